"""PACKET rows for tests, from a few words each."""

from __future__ import annotations

import ipaddress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.packet import PACKET

HEADERS = {6: 20, 17: 8, 132: 12}


def words(address: str) -> tuple[int, int]:
    """The two words of an address as PACKET holds it."""
    parsed = ipaddress.ip_address(address)
    number = int(parsed) | (0xFFFF << 32) if parsed.version == 4 else int(parsed)
    return number >> 64, number & (2**64 - 1)


def packet(
    time_s: float,
    src: str,
    dst: str,
    *,
    src_port: int = 0,
    dst_port: int = 0,
    protocol: int = 6,
    flags: int = 0,
    payload: int = 0,
    **fields: Any,
) -> dict[str, Any]:
    """One packet by its PACKET fields; sizes follow from the payload unless given."""
    header = HEADERS.get(protocol, 0)
    version = ipaddress.ip_address(src).version
    size = (20 if version == 4 else 40) + (header + payload if header else 8 + payload)
    made = {
        "time_us": round(time_s * 1e6),
        "src_high": words(src)[0],
        "src_low": words(src)[1],
        "dst_high": words(dst)[0],
        "dst_low": words(dst)[1],
        "src_port": src_port,
        "dst_port": dst_port,
        "protocol": protocol,
        "flags": flags,
        "payload_bytes": payload if header else 0,
        "header_bytes": header,
        "ip_bytes": size,
        "wire_bytes": size + 14,
        "captured_bytes": size + 14,
        "ip_version": version,
        "ttl": 64,
    }
    return made | fields


def to_array(packets: list[dict[str, Any]]) -> NDArray[np.void]:
    """Rows of PACKET; ``content`` is no field of it, see ``lay_out``."""
    rows = np.zeros(len(packets), PACKET)
    for row, values in zip(rows, packets, strict=True):
        for name, value in values.items():
            if name != "content":
                row[name] = value
    return rows


def lay_out(packets: list[dict[str, Any]]) -> tuple[NDArray[np.void], list[NDArray[np.uint8]]]:
    """Rows of PACKET, and the two buffers in which their ``content`` lies, between other bytes."""
    rows, buffers = to_array(packets), [bytearray(), bytearray()]
    for row, values in zip(rows, packets, strict=True):
        buffer = buffers[values.get("payload_kept", 0)]
        buffer += b"GET "
        row["payload_at"], row["payload_held"] = len(buffer), len(values.get("content", b""))
        buffer += values.get("content", b"")
    return rows, [np.frombuffer(buffer + b" /", np.uint8) for buffer in buffers]
