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


def content(data: bytes) -> bytes:
    """What a BER element holds, as far as the bytes go."""
    return data[2 + (data[1] & 0x7F if data[1] > 127 else 0) :]
