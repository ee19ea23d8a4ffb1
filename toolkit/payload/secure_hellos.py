"""What opens an encrypted conversation: TLS (RFC 8446), QUIC (RFC 9000) and SSH (RFC 4253)."""

from __future__ import annotations

from idskit.kernels.compile import kernel
from idskit.payload.content.given_names import names_intruder
from idskit.payload.payload_counts import Bytes, Counts, big16, big32, byte_at, count, largest
from idskit.schemas.payload_columns import COLUMN

_CLIENT, _SERVER, _ALERTS, _HEARTBEATS, _DATA = (
    COLUMN[f"tls_{name}"]
    for name in ("client_hellos", "server_hellos", "alerts", "heartbeats", "data_records")
)
_VERSION, _CIPHERS, _EXTENSIONS, _NAME, _PROTOCOLS, _GREASE = (
    COLUMN[f"tls_{name}"]
    for name in ("version", "ciphers", "extensions", "name_length", "protocols", "grease")
)
_QUIC, _BANNERS, _KEYS = (
    COLUMN[name] for name in ("quic_initials", "ssh_banners", "ssh_key_exchanges")
)
_INTRUDERS = COLUMN["intruder_names"]
_LONGEST_RECORD = 16_384 + 2048  # bytes, RFC 5246, 6.2.3


@kernel
def note_tls(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count the record that a payload begins with; False if it is none."""
    if end - at < 6 or byte_at(data, at + 1) != 3 or byte_at(data, at + 2) > 4:
        return False
    if not 0 < big16(data, at + 3) <= _LONGEST_RECORD:
        return False
    kind = byte_at(data, at)
    if kind == 21:
        count(counts, row + _ALERTS)
    elif kind == 24:
        count(counts, row + _HEARTBEATS)
    elif kind in (20, 23):
        count(counts, row + _DATA)
    elif kind == 22:
        _note_handshake(counts, row, data, at + 5, end)
    else:
        return False
    return True


@kernel
def _note_handshake(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    kind = byte_at(data, at)
    if kind in (2, 11) and names_intruder(data, at, end):  # its certificate, to TLS 1.2
        count(counts, row + _INTRUDERS)
    if end - at < 6 or byte_at(data, at + 4) != 3:  # no version: another message, or encrypted
        kind = 0
    if kind == 1:
        count(counts, row + _CLIENT)
        _note_client(counts, row, data, at, end)
    elif kind == 2:
        count(counts, row + _SERVER)
    else:
        count(counts, row + _DATA)


@kernel
def _note_client(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Note a client's hello: version, numbers of ciphers and extensions, name (RFC 8446, 4.1.2)."""
    if end - at < 40:
        return
    largest(counts, row + _VERSION, min(byte_at(data, at + 5), 4))
    at += 38
    at += 1 + byte_at(data, at)
    if end - at < 4:
        return
    ciphers = big16(data, at)
    largest(counts, row + _CIPHERS, ciphers >> 1)
    if _is_grease(big16(data, at + 2)):
        largest(counts, row + _GREASE, 1)
    at += 2 + ciphers
    if end - at < 1:
        return
    at += 1 + byte_at(data, at)
    if end - at >= 2:
        _note_extensions(counts, row, data, at + 2, min(end, at + 2 + big16(data, at)))


@kernel
def _is_grease(value: int) -> bool:
    """Return whether a value is one that browsers sprinkle in, RFC 8701."""
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


@kernel
def _note_extensions(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    number = 0
    while end - at >= 4:
        kind, size = big16(data, at), big16(data, at + 2)
        number += 1
        if kind == 0 and size > 5:
            largest(counts, row + _NAME, size - 5)
        elif kind == 16:
            largest(counts, row + _PROTOCOLS, 1)
        elif kind == 43:
            largest(counts, row + _VERSION, 4)
        at += 4 + size
    largest(counts, row + _EXTENSIONS, number)


@kernel
def note_quic(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a packet with a long header of version 1, 2 or a draft (RFC 9000, 17.2)."""
    if end - at < 20 or byte_at(data, at) & 0xC0 != 0xC0:
        return False
    version = big32(data, at + 1)
    if version not in (1, 0x6B3343CF) and version >> 8 != 0xFF0000 and version >> 24 != 0x51:
        return False
    count(counts, row + _QUIC)
    return True


@kernel
def note_ssh(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count an identification string or a key exchange that begins (RFC 4253, 4.2 and 7.1)."""
    if end - at < 8:
        return False
    if big32(data, at) == 0x5353482D:  # "SSH-"
        count(counts, row + _BANNERS)
        return True
    size = big32(data, at)
    if size > 35_000 or byte_at(data, at + 5) not in (20, 30, 31) or byte_at(data, at + 4) > 16:
        return False
    count(counts, row + _KEYS)
    return True
