"""Read the classic pcap format (draft-ietf-opsawg-pcap) and the variants met in the wild."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idskit.capture.buffered_file import Source
from idskit.errors import CaptureError
from idskit.kernels.compile import kernel, raw_pointer, signed

MAX_FRAME_BYTES = 1 << 18  # the largest snapshot length that capture tools allow
NEED_DATA, FULL, STOPPED = range(3)  # why a walk ended

_NS = 10**9


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Layout of the records, by the magic number of the file."""

    big: bool  # byte order
    tick_ns: int
    header: int  # bytes before a frame


VARIANTS = {
    magic.to_bytes(4, "big" if big else "little"): Variant(big=big, tick_ns=tick_ns, header=header)
    for big in (False, True)
    for magic, tick_ns, header in (
        (0xA1B2C3D4, 1000, 16),
        (0xA1B23C4D, 1, 16),
        (0xA1B2CD34, 1000, 24),  # Kuznetzov's: eight more bytes in each record header
    )
}


class PcapReader:
    """Reader of pcap files: of the header at once, of the packet records in ``walk``.

    Raises:
        CaptureError: the file ends inside its header.
    """

    unit = "packet record"

    def __init__(self, source: Source, variant: Variant) -> None:
        if not source.need(24):
            raise CaptureError(f"{source.path} ends inside its 24-byte pcap file header")
        self.variant = variant
        self.link_type = source.number(20, 4, variant.big) & 0x03FFFFFF  # above: FCS length
        source.start = 24

    def walk(self, source: Source, out: NDArray[np.void]) -> tuple[int, int]:
        """Fill ``out`` (n,) FRAME from the buffer; return the number filled, and why it ended."""
        v = self.variant
        count, source.start, why = _walk(
            source.buffer, source.start, source.end, v.big, v.tick_ns, v.header, self.link_type, out
        )
        return count, why

    def resume(self, source: Source) -> str:
        """Return why reading cannot go on where ``walk`` stopped."""
        size = source.number(8, 4, self.variant.big)
        return (
            f"a packet record claims {size} captured bytes, more than the {MAX_FRAME_BYTES} "
            "that a frame can have"
        )


@kernel
def u16(data: NDArray[np.uint8], at: int, big: bool) -> int:
    """Return two bytes of ``data`` as a number; the caller checks that they are there."""
    first, second = signed(data[at]), signed(data[at + 1])
    return (first << 8) | second if big else (second << 8) | first


@kernel
def u32(data: NDArray[np.uint8], at: int, big: bool) -> int:
    """Return four bytes of ``data`` as a number; the caller checks that they are there."""
    first, second = u16(data, at, big), u16(data, at + 2, big)
    return (first << 16) | second if big else (second << 16) | first


@kernel
def _walk(
    data: NDArray[np.uint8],
    at: int,
    end: int,
    big: bool,
    tick_ns: int,
    header: int,
    link_type: int,
    out: NDArray[np.void],
) -> tuple[int, int, int]:
    """Return the number of records filled, the position behind them, and why it ended."""
    data = raw_pointer(data)
    for count in range(len(out)):
        if end - at < header:
            return count, at, NEED_DATA
        captured = u32(data, at + 8, big)
        if captured > MAX_FRAME_BYTES:
            return count, at, STOPPED
        if end - at < header + captured:
            return count, at, NEED_DATA
        record = out[count]
        record["time_ns"] = u32(data, at, big) * _NS + u32(data, at + 4, big) * tick_ns
        record["offset"] = at + header
        record["captured"] = captured
        record["wire"] = u32(data, at + 12, big)
        record["link_type"] = link_type
        at += header + captured
    return len(out), at, FULL
