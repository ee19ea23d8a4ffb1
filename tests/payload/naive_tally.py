"""Columns by name, and what the protocols of the reference share; see ``naive_payload``."""

from __future__ import annotations

from idskit.schemas.payload_columns import PAYLOAD


class Tally:
    def __init__(self) -> None:
        self.values: dict[str, float] = {feature.name: 0 for feature in PAYLOAD}

    def add(self, *names: str) -> bool:
        for name in names:
            self.values[name] += 1
        return True

    def most(self, name: str, value: float) -> None:
        self.values[name] = max(self.values[name], value)

    def put(self, name: str, number: float) -> None:
        """Put a number into a set of 24 bits."""
        self.values[name] = int(self.values[name]) | 1 << int(number) % 24


def number_of(data: bytes, before: float = 0) -> int:
    """FNV-1a of 32 bits, whose first byte is folded into the others; never 0."""
    found = 0x811C9DC5 ^ int(before)
    for byte in data:
        found = (found ^ byte) * 0x01000193 % 2**32
    return max(1, found // 2**24 ^ found % 2**24)


def content(data: bytes) -> bytes:
    """What a BER element holds, as far as the bytes go."""
    return data[2 + (data[1] & 0x7F if data[1] > 127 else 0) :]
