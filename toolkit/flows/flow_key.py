"""The key of a flow, its endpoints in sorted order, and the keyed hash of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.kernels.compile import kernel

_Record = np.void
KEY_WORDS = 14
PRIME = (1 << 31) - 1


def hash_keys(secret: bytes) -> NDArray[np.int64]:
    """Expand a secret into the multipliers of the hash."""
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(secret, "little")))
    return rng.integers(1, PRIME, KEY_WORDS + 1, dtype=np.int64)


@kernel
def is_swapped(packet: _Record) -> bool:
    """Return whether the packet's destination is endpoint a of its flow."""
    if packet["src_high"] != packet["dst_high"]:
        return bool(packet["src_high"] > packet["dst_high"])
    if packet["src_low"] != packet["dst_low"]:
        return bool(packet["src_low"] > packet["dst_low"])
    return bool(packet["src_port"] > packet["dst_port"])


@kernel
def _piece(word: np.uint64, shift: int) -> int:
    return int(np.int64((word >> np.uint64(shift)) & np.uint64(0x3FFFFF)))


@kernel
def address_sum(keys: NDArray[np.int64], at: int, high: np.uint64, low: np.uint64) -> int:
    """Products of 22-bit pieces and 31-bit keys: all sums here stay below 2**58."""
    return int(
        keys[at] * _piece(low, 0)
        + keys[at + 1] * _piece(low, 22)
        + keys[at + 2] * _piece(low, 44)
        + keys[at + 3] * _piece(high, 0)
        + keys[at + 4] * _piece(high, 22)
        + keys[at + 5] * _piece(high, 44)
    )


@kernel
def scrambled(total: int) -> int:
    """Reduce modulo 2**31 - 1, then mix the bits: a 32-bit number."""
    tag = (total & PRIME) + (total >> 31)
    tag = (tag & PRIME) + (tag >> 31)
    tag = (((tag >> 16) ^ tag) * 0x45D9F3B) & 0xFFFFFFFF
    return int((tag >> 16) ^ tag)


@kernel
def tag_of(keys: NDArray[np.int64], packet: _Record, protocol: int, swapped: bool) -> int:
    """Hash the flow key.

    Multilinear over secret multipliers modulo a prime (Carter and Wegman, 1979): whoever does not
    know them cannot choose keys that collide more often than by chance.
    """
    src = 6 if swapped else 0
    total = address_sum(keys, src, packet["src_high"], packet["src_low"])
    total += address_sum(keys, 6 - src, packet["dst_high"], packet["dst_low"])
    source, destination = int(packet["src_port"]), int(packet["dst_port"])
    low = destination if swapped else source
    high = source if swapped else destination
    first = low | protocol << 16 | int(packet["interface"]) << 24  # below 2**28: MAX_INTERFACES
    total += keys[12] * first + keys[13] * high + keys[14]
    return int(scrambled(total))
