"""Walk the ring of an AF_PACKET socket: memory shared with the kernel of Linux.

    block ──> header of each frame (time, lengths, VLAN tag, checksum, segments) ──> FRAME records

Layouts are those of linux/if_packet.h (TPACKET_V3) and linux/virtio_net.h. No number in them is
trusted: a frame that does not lie inside its block ends the walk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from idskit.kernels.compile import kernel, raw_pointer, signed
from idskit.packet import NOT_MERGED, OFFLOADED, RIGHT, TCP, UDP, UNKNOWN

BLOCK_BYTES = 1 << 17  # more than the largest frame, 64 KiB, that offloading makes
TAG_BYTES = 4  # size of a VLAN tag, for which the ring reserves space in front of each frame

# struct tpacket_block_desc and struct tpacket3_hdr: positions of the fields that are read.
_BLOCK_STATUS, _BLOCK_COUNT, _BLOCK_FIRST, _BLOCK_HEADER = 8, 12, 16, 48
_NEXT, _SECONDS, _NANOSECONDS, _CAPTURED, _WIRE, _STATUS = 0, 4, 8, 12, 16, 20
_MAC, _TAG, _TAG_PROTOCOL, _FRAME_HEADER = 24, 32, 36, 48
_ALIGNMENT = 8  # of frame headers
_READY, _NOT_SUMMED, _TAG_VALID, _TAG_PROTOCOL_VALID, _SUM_VALID = 1, 8, 0x10, 0x40, 0x80
# struct virtio_net_hdr, which ends where a frame begins.
_SEGMENT_HEADER_BYTES = 10
_GSO_TYPE, _GSO_SIZE = 1, 4
_GSO_TCP4, _GSO_TCP6, _GSO_UDP, _GSO_ECN = 1, 4, 5, 0x80

_NS = 10**9


class Ring(NamedTuple):
    """One memory, as numbers of three sizes in the byte order of the machine."""

    octets: NDArray[np.uint8]
    halves: NDArray[np.uint16]
    words: NDArray[np.uint32]
    blocks: int
    has_sizes: bool  # a virtio_net_hdr lies in front of each frame


def ring_over(octets: NDArray[np.uint8], *, has_sizes: bool = False) -> Ring:
    """Return a ring of as many whole blocks as there are in ``octets``, which are not copied."""
    return Ring(
        octets=octets,
        halves=octets.view(np.uint16),
        words=octets.view(np.uint32),
        blocks=len(octets) // BLOCK_BYTES,
        has_sizes=has_sizes,
    )


def _fence() -> None:
    """Keep the processor from moving reads and writes across; the kernel may run on another one."""


@overload(_fence, inline="always")
def _compiled_fence() -> Callable[[], None]:
    def ordered() -> None:
        _barrier()  # type: ignore[call-arg]  # an intrinsic's first argument is numba's

    return ordered


@intrinsic
def _barrier(typing_context: Any) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        builder.fence("acq_rel")
        return context.get_dummy_value()

    return types.none(), generate


@kernel
def walk(
    shared: Ring, first: int, limit: int, link_type: int, out: NDArray[np.void]
) -> tuple[int, int, bool]:
    """Fill ``out`` with the frames of the blocks that are here: ``limit`` at most, from ``first``.

    Returns:
        Number of records filled, number of blocks read, and whether all of these were sound.
    """
    count, most, ring = 0, BLOCK_BYTES // _FRAME_HEADER, _raw_pointers(shared)
    for read in range(min(limit, ring.blocks)):
        base = (first + read) % ring.blocks * BLOCK_BYTES
        if not _word(ring, base + _BLOCK_STATUS) & _READY:
            return count, read, True
        _fence()
        frames = _word(ring, base + _BLOCK_COUNT)
        if frames > min(most, len(out)):
            return count, read, False
        if frames > len(out) - count:
            return count, read, True
        if not _walk_block(ring, base, frames, link_type, out[count : count + frames]):
            return count, read, False
        count += frames
    return count, min(limit, ring.blocks), True


@kernel
def release(ring: Ring, first: int, count: int) -> None:
    """Hand ``count`` blocks from ``first`` on back to the kernel."""
    _fence()
    for held in range(count):
        base = (first + held) % ring.blocks * BLOCK_BYTES
        ring.words[(base + _BLOCK_STATUS) >> 2] = 0


@kernel
def _raw_pointers(ring: Ring) -> Ring:
    """Return the ring as raw pointers."""
    octets, halves, words = (
        raw_pointer(ring.octets),
        raw_pointer(ring.halves),
        raw_pointer(ring.words),
    )
    return Ring(octets, halves, words, ring.blocks, ring.has_sizes)


@kernel
def _word(ring: Ring, at: int) -> int:
    """Return the number at a multiple of 4; the caller knows that it is inside the ring."""
    return signed(ring.words[at >> 2])


@kernel
def _half(ring: Ring, at: int) -> int:
    """Return the number at a multiple of 2; the caller knows that it is inside the ring."""
    return signed(ring.halves[at >> 1])


@kernel
def _walk_block(ring: Ring, base: int, frames: int, link_type: int, out: NDArray[np.void]) -> bool:
    """Fill ``out`` with the frames of one block; return whether all are inside it."""
    offset = _word(ring, base + _BLOCK_FIRST)
    headroom = _FRAME_HEADER + (_SEGMENT_HEADER_BYTES if ring.has_sizes else TAG_BYTES)
    for i in range(frames):
        if not _is_header(offset):
            return False
        at = base + offset
        start, captured = offset + _half(ring, at + _MAC), _word(ring, at + _CAPTURED)
        if start + captured > BLOCK_BYTES or start < offset + headroom:
            return False
        record = out[i]
        record["time_ns"] = _word(ring, at + _SECONDS) * _NS + _word(ring, at + _NANOSECONDS)
        record["link_type"] = link_type
        record["checksum"] = _checksum(_word(ring, at + _STATUS))
        _put_segments(ring, base + start, record)  # before a tag overwrites them
        tag = _restore_tag(ring, at, base + start, captured, link_type)
        record["offset"] = base + start - tag
        record["captured"] = captured + tag
        record["wire"] = _word(ring, at + _WIRE) + tag
        offset += _word(ring, at + _NEXT)
    return True


@kernel
def _checksum(status: int) -> int:
    """Return what the kernel says of a checksum; the card is yet to sum frames sent here."""
    if status & _NOT_SUMMED:
        return OFFLOADED
    return RIGHT if status & _SUM_VALID else UNKNOWN


@kernel
def _put_segments(ring: Ring, start: int, record: np.void) -> None:
    """Store which segments, and of what payload, were merged into the frame at ``start``."""
    record["gso_protocol"] = record["gso_size"] = 0
    if ring.has_sizes:
        header = start - _SEGMENT_HEADER_BYTES
        kind = signed(ring.octets[header + _GSO_TYPE]) & ~_GSO_ECN
        if kind in (_GSO_TCP4, _GSO_TCP6, _GSO_UDP):
            record["gso_protocol"] = UDP if kind == _GSO_UDP else TCP
            record["gso_size"] = _half(ring, header + _GSO_SIZE)
        elif kind == 0:
            record["gso_size"] = NOT_MERGED


@kernel
def _is_header(offset: int) -> bool:
    """Return whether a frame's header can lie at ``offset``."""
    inside = _BLOCK_HEADER <= offset <= BLOCK_BYTES - _FRAME_HEADER
    return inside and offset % _ALIGNMENT == 0


@kernel
def _restore_tag(ring: Ring, at: int, start: int, captured: int, link_type: int) -> int:
    """Put the VLAN tag back behind the addresses, which move to the front; return its bytes."""
    status = _word(ring, at + _STATUS)
    if not status & _TAG_VALID or link_type != 1 or captured < 12:
        return 0
    octets = ring.octets
    for i in range(start, start + 12):
        octets[i - TAG_BYTES] = octets[i]
    protocol = _half(ring, at + _TAG_PROTOCOL) if status & _TAG_PROTOCOL_VALID else 0x8100
    tag = _word(ring, at + _TAG)
    octets[start + 8], octets[start + 9] = protocol >> 8, protocol & 0xFF
    octets[start + 10], octets[start + 11] = (tag >> 8) & 0xFF, tag & 0xFF
    return TAG_BYTES
