"""Read protobuf's wire format strictly and write it canonically, without the onnx package.

Two readers of one file must not see two models. So a message is accepted only in the form that
serializers write: varints as short as possible, fields in the order of their numbers, no number or
wire type that the layout does not list, no second value of a field that has one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["int", "float", "text", "bytes", "message", "ints", "floats", "refused"]
Bytes = bytes | memoryview
_VARINT, _DELIMITED, _FIXED32 = 0, 2, 5
_WIRES: dict[Kind, int] = {"int": _VARINT, "ints": _VARINT, "float": _FIXED32, "floats": _FIXED32}
_VARINT_BYTES = 10  # for 64 bits
_CHUNK = 1 << 20  # bytes of a long list decoded at once
MAX_NUMBERS = 1 << 21  # per list
_SHORT = 16  # longest list that is quicker to read one by one


@dataclass(frozen=True)
class Field:
    """One field of a message.

    ``ints`` and ``floats`` are lists of numbers, which become one array; any other kind is a list
    where there may be more than one value. The name of a ``refused`` field completes the sentence
    "it ...", which is the error about a file that has it.
    """

    name: str
    kind: Kind
    most: int = 1  # most values; many small ones would take much memory
    layout: Mapping[int, Field] | None = None  # layout of a message

    @property
    def repeated(self) -> bool:
        """Return whether the value is a list."""
        return self.most > 1


Layout = Mapping[int, Field]


def parse(message: memoryview, layout: Layout) -> dict[str, Any]:
    """Read a message into values by name; repeated ones are lists, absent ones are absent.

    Raises:
        ValueError: the bytes are not such a message in its canonical form.
    """
    found: dict[str, Any] = {f.name: [] for f in layout.values() if f.repeated}
    position, last = 0, 0
    while position < len(message):
        tag, start = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        field = layout.get(number)
        if field is not None and field.kind == "refused":
            raise ValueError(f"it {field.name}, which idskit never loads")
        if field is None or wire != _WIRES.get(field.kind, _DELIMITED):
            raise ValueError(f"field {number} of wire type {wire} is not one that export writes")
        if number < last or (number == last and not field.repeated):
            raise ValueError(f"field {field.name} is given twice or out of order")
        value, position = _value(message, position, start, field)
        last = number
        if field.repeated:
            found[field.name].append(value)
            if len(found[field.name]) > field.most:
                raise ValueError(f"field {field.name} has more than {field.most:,} values")
        else:
            found[field.name] = value
    return found


def _value(message: memoryview, tag: int, start: int, field: Field) -> tuple[Any, int]:
    """Return the value of a field that begins at ``start``, and where the next field begins."""
    read = _READERS.get(field.kind)
    if read is not None:
        return read(message, tag, start)
    length, start = _varint(message, start)
    value = _slice(message, start, length)
    if field.kind == "text":
        return str(value, "utf-8"), start + length
    if field.layout is not None:
        return parse(value, field.layout), start + length
    return value, start + length


def _slice(message: memoryview, start: int, length: int) -> memoryview:
    if length > len(message) - start:
        raise ValueError("a field is cut short")
    return message[start : start + length]


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return an unsigned 64-bit number in its shortest form, and where it ends."""
    value = 0
    for index, byte in enumerate(message[position : position + _VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if (index and not byte) or value >> 64:
                raise ValueError("a number is longer than it needs to be")
            return value, position + index + 1
    raise ValueError("a number is cut short or longer than 64 bits")


def signed(value: int) -> int:
    """Return the int64 whose bits ``value`` has."""
    return value - (1 << 64) if value >> 63 else value


def _int(message: memoryview, _: int, start: int) -> tuple[int, int]:
    value, end = _varint(message, start)
    return signed(value), end


def _float(message: memoryview, _: int, start: int) -> tuple[float, int]:
    return struct.unpack("<f", _slice(message, start, 4))[0], start + 4


def _float_run(message: memoryview, start: int, _: int) -> tuple[NDArray[np.float32], int]:
    """Return the values of equal one-byte tags with four bytes each, and where they end."""
    count = (len(message) - start) // 5
    records = np.frombuffer(message, np.uint8, 5 * count, start).reshape(count, 5)
    same = records[:, 0] == message[start]
    count = count if same.all() else int(same.argmin())
    if not 0 < count <= MAX_NUMBERS:
        raise ValueError("a list of numbers is cut short or too long")
    return np.ascontiguousarray(records[:count, 1:]).view("<f4").ravel(), start + 5 * count


def _int_run(message: memoryview, start: int, _: int) -> tuple[NDArray[np.int64], int]:
    """Return the values of equal one-byte tags with a varint each, and where they end."""
    tag, position = message[start], start
    first: list[int] = []
    while position < len(message) and message[position] == tag and len(first) < _SHORT:
        value, position = _varint(message, position + 1)
        first.append(signed(value))
    parts = [np.array(first, np.int64)]
    while position < len(message) and message[position] == tag:
        part, length = _ints(np.frombuffer(message[position : position + _CHUNK], np.uint8), tag)
        parts.append(part)
        position += length
        if sum(map(len, parts)) > MAX_NUMBERS:
            raise ValueError("a list of numbers is too long")
    return np.concatenate(parts) if len(parts) > 1 else parts[0], position


def _ints(content: NDArray[np.uint8], tag: int) -> tuple[NDArray[np.int64], int]:
    """Return the values of the tag-varint pairs that ``content`` begins with, and their length.

    A tag of one byte is itself a varint, so tags and values alternate among the varints.
    """
    ends = np.flatnonzero(content < 0x80)
    ends = ends[: len(ends) // 2 * 2]
    starts = np.concatenate([[0], ends[:-1] + 1])
    is_tag = (ends[::2] == starts[::2]) & (content[ends[::2]] == tag)
    count = len(is_tag) if is_tag.all() else int(is_tag.argmin())
    if not count:
        raise ValueError("a list of numbers is cut short")
    first, last = starts[1 : 2 * count : 2], ends[1 : 2 * count : 2]
    length, values = last - first + 1, np.zeros(count, np.uint64)
    top = content[last]
    if ((length > 1) & (top == 0)).any() or (length > _VARINT_BYTES).any():
        raise ValueError("a number is longer than it needs to be")
    if ((length == _VARINT_BYTES) & (top > 1)).any():
        raise ValueError("a number is longer than 64 bits")
    for index in range(int(length.max())):
        longer = length > index
        low = (content[first[longer] + index] & 0x7F).astype(np.uint64)
        values[longer] |= low << np.uint64(7 * index)
    return values.view(np.int64), int(last[-1]) + 1


_READERS: dict[Kind, Callable[[memoryview, int, int], tuple[Any, int]]] = {
    "int": _int,
    "float": _float,
    "ints": _int_run,
    "floats": _float_run,
}


def write(values: Mapping[str, Any], layout: Layout) -> bytes:
    """Return the canonical bytes of a message; names that are absent or None are omitted."""
    parts: list[Bytes] = []
    for number, field in sorted(layout.items()):
        if field.kind == "refused":
            continue
        value = values.get(field.name)
        given = value if field.repeated else [] if value is None else [value]
        for one in given or ():
            parts += _written(number, field, one)
    return b"".join(parts)


def _written(number: int, field: Field, value: Any) -> Iterator[Bytes]:
    tag = number << 3 | _WIRES.get(field.kind, _DELIMITED)
    if field.kind in _NUMBERS:
        yield _NUMBERS[field.kind](tag, value)
        return
    content: Bytes = value
    if field.kind == "text":
        content = value.encode()
    elif field.layout is not None:
        content = write(value, field.layout)
    yield varint(tag) + varint(len(content))
    yield content


def varint(value: int) -> bytes:
    """Return a number of up to 64 bits in its shortest form."""
    rest, made = value & (1 << 64) - 1, bytearray()
    while rest > 0x7F:
        made.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*made, rest])


def _write_ints(tag: int, values: NDArray[np.int64]) -> bytes:
    if len(values) <= _SHORT:
        return b"".join(varint(tag) + varint(value) for value in values.tolist())
    rest = np.ascontiguousarray(values, np.int64).view(np.uint64)
    length = np.ones(len(rest), np.int64)
    for index in range(1, _VARINT_BYTES):
        length += rest >= np.uint64(1) << np.uint64(7 * index)
    starts = np.cumsum(length + 1) - length - 1
    made = np.empty(int((length + 1).sum()), np.uint8)
    made[starts] = tag
    for index in range(int(length.max(initial=0))):
        kept = length > index
        low = (rest[kept] >> np.uint64(7 * index)).astype(np.uint8) & 0x7F
        made[starts[kept] + 1 + index] = low | np.where(length[kept] > index + 1, 0x80, 0)
    return made.tobytes()


def _write_floats(tag: int, values: NDArray[np.float32]) -> bytes:
    made = np.empty((len(values), 5), np.uint8)
    made[:, 0] = tag
    made[:, 1:] = np.ascontiguousarray(values, "<f4").view(np.uint8).reshape(-1, 4)
    return made.tobytes()


_NUMBERS: dict[Kind, Callable[[int, Any], bytes]] = {
    "int": lambda tag, value: varint(tag) + varint(value),
    "float": lambda tag, value: varint(tag) + struct.pack("<f", value),
    "ints": _write_ints,
    "floats": _write_floats,
}
