"""Writing protobuf messages field by field; the gateway has no onnx package."""

from __future__ import annotations


def number(field: int, value: int) -> bytes:
    """A field that holds a number that is not negative."""
    return _varint(field << 3) + _varint(value)


def text(field: int, value: str) -> bytes:
    """A field that holds text."""
    return packed(field, value.encode())


def packed(field: int, value: bytes) -> bytes:
    """A field that holds bytes or another message."""
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
