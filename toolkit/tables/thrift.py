"""Structures in Thrift's compact protocol, as the headers of Parquet pages are written."""

from __future__ import annotations

from typing import Any

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_WHOLE = (4, 5, 6)  # 16, 32 and 64 bits, all as variable-length integers
_MOST_DEPTH, _MOST_VARINT = 8, 10

Struct = dict[int, Any]  # values by field number


class ThriftReader:
    """A reader of structures from bytes.

    Raises:
        IndexError: the bytes end within a structure.
        ValueError: they are none.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0  # bytes read so far

    def struct(self, depth: int = 0) -> Struct:
        """Read a structure; values of kinds that Parquet's headers do not need are None."""
        if depth > _MOST_DEPTH:
            raise ValueError("structures too deep")
        found: Struct = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._whole()
            if number in found or not 0 < number < 1 << 15:  # readers differ in which they take
                raise ValueError("a field twice, or without a number")
            found[number] = self._value(head & 15, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind in _WHOLE:
            return self._whole()
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            return self._skip_list(depth)
        sizes = {_BYTE: 1, _DOUBLE: 8}
        if kind not in (*sizes, _BINARY):
            raise ValueError(f"no type {kind} is known")
        return self._skip(self._varint() if kind == _BINARY else sizes[kind])

    def _skip_list(self, depth: int) -> None:
        head = self._byte()
        count = head >> 4 if head >> 4 != 15 else self._varint()
        for _ in range(count):
            if head & 15 in (_TRUE, _FALSE):  # a byte each within lists
                self._byte()
            else:
                self._value(head & 15, depth + 1)

    def _skip(self, count: int) -> None:
        if self.at + count > len(self._data):
            raise IndexError("the bytes end within a value")
        self.at += count

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

    def _whole(self) -> int:
        """Read a signed integer, zigzag-coded."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
