"""Structures in Thrift's compact protocol, as footers and page headers of Parquet are written."""

from __future__ import annotations

from typing import Any

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_BITS = {4: 16, 5: 32, 6: 64}  # of whole numbers, all of variable length
_MOST_DEPTH, _MOST_VARINT = 16, 10

Struct = dict[int, Any]  # values by field number


class TooManyItems(ValueError):
    """Structures and elements of lists beyond the bound."""


class ThriftReader:
    """A reader of structures from bytes.

    Args:
        data: the bytes.
        most_items: structures and elements of lists that may be read.
        kept: field of the outermost structure that is kept whole; of all others lists become their
            length, and texts None.

    Raises:
        IndexError: the bytes end within a structure.
        TooManyItems: there are more than ``most_items``.
        ValueError: the bytes are no structure.
    """

    def __init__(self, data: bytes, *, most_items: int = 64, kept: int = 0) -> None:
        self._data, self._left, self._kept = data, most_items, kept
        self.at = 0  # bytes read so far

    def struct(self, depth: int = 0, keeps: bool = False) -> Struct:
        """Read a structure, whole if it ``keeps`` lists and texts."""
        if depth > _MOST_DEPTH:
            raise ValueError("structures too deep")
        self._count(1)
        found: Struct = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._whole(16)
            if number in found or not 0 < number < 1 << 15:  # readers differ in which they take
                raise ValueError("a field twice, or without a number")
            whole = keeps or (not depth and number == self._kept)
            found[number] = self._value(head & 15, depth, whole)
        return found

    def _value(self, kind: int, depth: int, keeps: bool) -> Any:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind in _BITS:
            return self._whole(_BITS[kind])
        if kind == _STRUCT:
            return self.struct(depth + 1, keeps)
        if kind in (_LIST, _SET):
            return self._list(depth, keeps)
        sizes = {_BYTE: 1, _DOUBLE: 8}
        if kind not in (*sizes, _BINARY):
            raise ValueError(f"no type {kind} is known")
        return self._bytes(self._varint() if kind == _BINARY else sizes[kind], keeps)

    def _list(self, depth: int, keeps: bool) -> list[Any] | int:
        head = self._byte()
        count = head >> 4 if head >> 4 != 15 else self._varint()
        kind = _BYTE if head & 15 in (_TRUE, _FALSE) else head & 15  # a byte each within lists
        self._count(count)
        values = (self._value(kind, depth + 1, keeps) for _ in range(count))
        return list(values) if keeps else sum(1 for _ in values)

    def _count(self, items: int) -> None:
        self._left -= items
        if self._left < 0:
            raise TooManyItems

    def _bytes(self, count: int, keeps: bool) -> bytes | None:
        self.at += count
        if self.at > len(self._data):
            raise IndexError("the bytes end within a value")
        return self._data[self.at - count : self.at] if keeps else None

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _varint(self) -> int:
        value = 0
        for place in range(_MOST_VARINT):
            byte = self._byte()
            value |= (byte & 127) << 7 * place
            if byte < 128:
                return value
        raise ValueError("an integer of more than 64 bits")

    def _whole(self, bits: int) -> int:
        """Read a signed integer, zigzag-coded; others would cut one that is too long."""
        value = self._varint()
        if value >> bits:
            raise ValueError(f"an integer of more than {bits} bits")
        return (value >> 1) ^ -(value & 1)
