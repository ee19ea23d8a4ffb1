"""Read who claims which IPv4 address by ARP (RFC 826), in frames of Ethernet.

A request claims the address that asks, and a reply the one that was asked for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.decode.layers import read_u8, read_u16, read_u32
from idskit.kernels.compile import kernel, signed
from idskit.packet import Frames

CLAIM = np.dtype(
    [
        ("time_us", "<i8"),
        ("mac", "<u8"),  # that claims
        ("address", "<u4"),  # that is claimed
        ("asked", "<u4"),  # of a request: which address it asks for; of a reply: who gets it
        ("vlan", "<u2"),  # VLAN identifier plus one, 0 untagged
        ("is_reply", "u1"),
        ("is_for_one", "u1"),  # the frame is not sent to everybody
    ],
    align=True,
)
MOST_CLAIMS = 256  # that are read of a run of frames; in a storm of ARP the rest says the same
_ETHERNET, _ARP = 1, 0x0806
_ETHERNET_AND_IPV4, _SIZES = 0x00010800, 0x0604
_BYTES = 28  # of a message


def read_claims(frames: Frames) -> NDArray[np.void]:
    """Return the first claims (at most MOST_CLAIMS,) of a run of frames, as CLAIM."""
    out = np.zeros(MOST_CLAIMS, CLAIM)
    return out[: int(_read_claims(frames.data, frames.records, out))]


@kernel
def _read_claims(data: NDArray[np.uint8], records: NDArray[np.void], out: NDArray[np.void]) -> int:
    count = 0
    for i in range(len(records)):
        record = records[i]
        at, size = signed(record["offset"]), signed(record["captured"])
        if record["link_type"] != _ETHERNET or size < 14 + _BYTES:
            continue
        kind, header, vlan = read_u16(data, at + 12), 14, 0
        if kind in (0x8100, 0x88A8) and size >= 18 + _BYTES:
            kind, header, vlan = read_u16(data, at + 16), 18, (read_u16(data, at + 14) & 0xFFF) + 1
        if kind == _ARP and _is_claim(data, at + header):
            _note(data, at, header, out[count])
            out[count]["time_us"] = record["time_ns"] // 1000
            out[count]["vlan"] = vlan
            count += 1
            if count == len(out):
                break
    return count


@kernel
def _is_claim(data: NDArray[np.uint8], at: int) -> bool:
    """Return whether a message is a request or a reply of somebody who has an address."""
    if read_u32(data, at) != _ETHERNET_AND_IPV4 or read_u16(data, at + 4) != _SIZES:
        return False
    return read_u16(data, at + 6) in (1, 2) and read_u32(data, at + 14) != 0


@kernel
def _note(data: NDArray[np.uint8], frame: int, header: int, claim: np.void) -> None:
    at = frame + header
    claim["mac"] = (np.uint64(read_u16(data, at + 8)) << np.uint64(32)) | np.uint64(
        read_u32(data, at + 10)
    )
    claim["address"] = read_u32(data, at + 14)
    claim["asked"] = read_u32(data, at + 24)
    claim["is_reply"] = read_u16(data, at + 6) == 2
    claim["is_for_one"] = read_u8(data, frame) & 1 == 0
