"""The parsers on one flow, without a flow engine around them, and an array with a fence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.payload.messages import CLIENT_PORT, Message

from idskit.kernels.compile import kernel, raw_pointer
from idskit.payload.note_payload import Payload, note_payload
from idskit.payload.payload_counts import WIDTH
from idskit.schemas.payload_columns import PAYLOAD

NAMES = [feature.name for feature in PAYLOAD]
BEFORE, BEHIND = 3, 5  # rows of other flows, of which none may be touched


class Fenced:
    """Bytes that may be read from ``at`` to before ``end``, and nowhere else; counts the reads."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at, self.end, self.reads = data, at, at + len(data), 0

    def __getitem__(self, at: int) -> int:
        self.reads += 1
        if not self.at <= at < self.end:
            raise AssertionError(f"byte {at} was read, outside of [{self.at}, {self.end})")
        return self.data[at - self.at]


@kernel
def _note(
    counts: NDArray[np.float32],
    row: int,
    data: Any,
    fields: tuple[int, int, int, int, int, bool, int],
) -> None:
    """Note a payload by raw pointers, as the flow engine does; ``make compile`` compiles this."""
    note_payload(raw_pointer(counts), row, Payload(raw_pointer(data), *fields))


def noted(
    said: Iterable[tuple[bytes, bool, int]],
    protocol: int,
    src_port: int,
    dst_port: int,
    buffer: Any = None,
) -> dict[str, float]:
    """Columns of a flow after some payloads (bytes, whether forward, number in its direction).

    Each lies somewhere inside a buffer of other bytes, or in what ``buffer`` makes of it.
    """
    counts = np.zeros(BEFORE * WIDTH + WIDTH + BEHIND, np.float32)
    for data, forward, number in said:
        around = b"GET / HTTP/1.0\r\n"
        lying = np.frombuffer(around + data + around, np.uint8)
        held = lying if buffer is None else buffer(data, len(around))
        at = len(around)
        fields = (at, at + len(data), protocol, dst_port, src_port, forward, number)
        _note(counts, BEFORE * WIDTH, held, fields)
    row = counts[BEFORE * WIDTH :][:WIDTH]
    assert np.count_nonzero(counts) == np.count_nonzero(row), "other flows' counters were touched"
    return dict(zip(NAMES, row.tolist(), strict=True))


def noted_alone(
    message: Message, data: bytes | None = None, buffer: Any = None
) -> dict[str, float]:
    """Columns of a flow of one message, or of other bytes that travel as it does."""
    said = [(message.data if data is None else data, message.forward, 1)]
    return noted(said, message.protocol, CLIENT_PORT, message.port, buffer)


if __name__ == "__main__":  # compile ahead, for all test processes
    noted([(b"", True, 1)], 6, 1024, 80)
