"""Notes what a packet's payload means in the counters of its flow.

    payload ──> which protocol (first bytes; ports where these do not tell) ──> its fields
            └─> of the first packets: classes of bytes, words, executables

Every packet is looked at by itself, from its first byte: segments are not joined, so a message
that begins inside a packet is not seen, and one that goes on in the next counts there as unknown.
"""

from __future__ import annotations

from idskit.kernels.compile import kernel
from idskit.packet import TCP, UDP
from idskit.payload.byte_classes import note_byte_classes
from idskit.payload.device_messages import (
    note_bacnet,
    note_dhcp,
    note_dnp3,
    note_ethernet_ip,
    note_iec104,
    note_modbus,
    note_mqtt,
    note_ntp,
    note_s7,
    note_snmp,
)
from idskit.payload.dns_messages import note_dns
from idskit.payload.http_messages import note_request, note_response
from idskit.payload.payload_counts import (
    Bytes,
    Counts,
    big16,
    big32,
    byte_at,
    count,
    is_digit,
    is_letter,
)
from idskit.payload.secure_hellos import note_quic, note_ssh, note_tls
from idskit.payload.text_lines import note_line, note_telnet
from idskit.payload.windows_messages import (
    note_desktop,
    note_kerberos,
    note_ldap,
    note_rpc,
    note_smb,
)
from idskit.payload.words import SCANNED, note_words
from idskit.schemas.payload_columns import COLUMN

WORDS_IN = 4  # packets with a payload in each direction that are searched for words
NOTED = 64  # packets with a payload in each direction that are looked at
_FWD_BYTES, _BWD_BYTES = COLUMN["fwd_letters_bytes"], COLUMN["bwd_letters_bytes"]
_FWD_WORDS, _BWD_WORDS = COLUMN["fwd_sql_words"], COLUMN["bwd_sql_words"]
_FWD_UNKNOWN, _BWD_UNKNOWN = COLUMN["fwd_unknown_packets"], COLUMN["bwd_unknown_packets"]
_FWD_EXECUTABLE, _BWD_EXECUTABLE = (
    COLUMN["fwd_executable_packets"],
    COLUMN["bwd_executable_packets"],
)
_USUAL = COLUMN["usual_port"]
# What recognised a payload, and the ports on which it is usual.
_UNKNOWN, _WEB, _SECURE, _SHELL, _NAMES, _OTHER = range(6)


@kernel
def note_payload(
    counts: Counts,
    row: int,
    data: Bytes,
    at: int,
    end: int,
    protocol: int,
    port: int,
    peer_port: int,
    is_forward: bool,
    number: int,
) -> None:
    """Note a payload.

    Args:
        counts: of all flows, see ``payload_counts``.
        row: where the flow's begin.
        data: the buffer that the payload lies in, from ``at`` to before ``end``.
        protocol: of IP.
        port: of the flow's destination.
        peer_port: of its source.
        is_forward: whether the source sent it.
        number: of the packet among those with a payload in its direction, from 1.
    """
    if number > NOTED or end <= at:
        return
    if number == 1:
        note_byte_classes(counts, row + (_FWD_BYTES if is_forward else _BWD_BYTES), data, at, end)
    if number <= WORDS_IN:
        words = _FWD_WORDS if is_forward else _BWD_WORDS
        note_words(counts, row + words, data, at, end)
        if _has_executable(data, at, end):
            count(counts, row + (_FWD_EXECUTABLE if is_forward else _BWD_EXECUTABLE))
    found = _UNKNOWN
    if protocol == TCP:
        found = _note_tcp(counts, row, data, at, end, port, peer_port)
    elif protocol == UDP:
        found = _note_udp(counts, row, data, at, end, port, peer_port)
    if found == _UNKNOWN:
        count(counts, row + (_FWD_UNKNOWN if is_forward else _BWD_UNKNOWN))
    elif found != _OTHER:
        usual = _is_usual(found, port) or _is_usual(found, peer_port)
        counts[row + _USUAL] = 1.0 if usual else -1.0


@kernel
def _is_usual(found: int, port: int) -> bool:
    if found == _WEB:
        return port in (80, 81, 591, 1900, 3128, 5000, 5985, 8000, 8008, 8080, 8081, 8088, 8888)
    if found == _SECURE:
        return port in (443, 465, 563, 636, 853, 989, 990, 992, 993, 994, 995, 3389, 4433, 8443)
    if found == _SHELL:
        return port in (22, 2222)
    return port in (53, 5353, 5355, 137)


@kernel
def _note_tcp(
    counts: Counts, row: int, data: Bytes, at: int, end: int, port: int, peer_port: int
) -> int:
    first = byte_at(data, at)
    if note_tls(counts, row, data, at, end):
        return _SECURE
    if is_letter(first):
        if note_request(counts, row, data, at, end) or note_response(counts, row, data, at, end):
            return _WEB
        if first == 83 and note_ssh(counts, row, data, at, end):
            return _SHELL
    if is_letter(first) or is_digit(first) or first in (42, 43, 45):
        if note_line(counts, row, data, at, end):
            return _OTHER
    found = _note_binary(counts, row, data, at, end, port, peer_port)
    return found if found else _note_by_port(counts, row, data, at, end, port, peer_port)


@kernel
def _note_binary(
    counts: Counts, row: int, data: Bytes, at: int, end: int, port: int, peer_port: int
) -> int:
    """Note what its first bytes tell."""
    first = byte_at(data, at)
    if first == 0:
        if note_smb(counts, row, data, at, end):
            return _OTHER
        if (port == 22 or peer_port == 22) and note_ssh(counts, row, data, at, end):
            return _SHELL
    elif first == 3 and end - at >= 7 and byte_at(data, at + 1) == 0:
        if note_desktop(counts, row, data, at, end) or note_s7(counts, row, data, at, end):
            return _OTHER
    elif first == 5:
        if note_dnp3(counts, row, data, at, end) or note_rpc(counts, row, data, at, end):
            return _OTHER
    elif first == 255 and note_telnet(counts, row, data, at, end):
        return _OTHER
    return _UNKNOWN


@kernel
def _note_by_port(
    counts: Counts, row: int, data: Bytes, at: int, end: int, port: int, peer_port: int
) -> int:
    """Note what its first bytes alone do not tell."""
    for known in (port, peer_port):
        if known in (53, 5353) and end - at > 2:
            return _NAMES if note_dns(counts, row, data, at + 2, end) else _UNKNOWN
        if known == 88:
            return _OTHER if note_kerberos(counts, row, data, at, end) else _UNKNOWN
        if known in (389, 3268):
            return _OTHER if note_ldap(counts, row, data, at, end) else _UNKNOWN
        if known == 502:
            return _OTHER if note_modbus(counts, row, data, at, end) else _UNKNOWN
        if known == 1883:
            return _OTHER if note_mqtt(counts, row, data, at, end) else _UNKNOWN
        if known == 2404:
            return _OTHER if note_iec104(counts, row, data, at, end) else _UNKNOWN
        if known == 44818:
            return _OTHER if note_ethernet_ip(counts, row, data, at, end) else _UNKNOWN
    return _UNKNOWN


@kernel
def _note_udp(
    counts: Counts, row: int, data: Bytes, at: int, end: int, port: int, peer_port: int
) -> int:
    for known in (port, peer_port):
        if known in (53, 5353, 5355):
            return _NAMES if note_dns(counts, row, data, at, end) else _UNKNOWN
        if known in (67, 68):
            return _OTHER if note_dhcp(counts, row, data, at, end) else _UNKNOWN
        if known == 123:
            return _OTHER if note_ntp(counts, row, data, at, end) else _UNKNOWN
        if known in (161, 162):
            return _OTHER if note_snmp(counts, row, data, at, end) else _UNKNOWN
        if known == 88:
            return _OTHER if note_kerberos(counts, row, data, at, end) else _UNKNOWN
        if known == 389:
            return _OTHER if note_ldap(counts, row, data, at, end) else _UNKNOWN
        if known == 47808:
            return _OTHER if note_bacnet(counts, row, data, at, end) else _UNKNOWN
    if note_quic(counts, row, data, at, end):
        return _SECURE
    if note_request(counts, row, data, at, end) or note_response(counts, row, data, at, end):
        return _OTHER
    return _UNKNOWN


@kernel
def _has_executable(data: Bytes, at: int, end: int) -> bool:
    """Return whether a program begins at the payload's start or behind an HTTP head."""
    if _is_executable(data, at, end):
        return True
    if end - at < 16 or not is_letter(byte_at(data, at)):
        return False
    for i in range(at, min(end, at + SCANNED) - 8):
        if byte_at(data, i) == 13 and big32(data, i) == 0x0D0A0D0A:
            return _is_executable(data, i + 4, end)
    return False


@kernel
def _is_executable(data: Bytes, at: int, end: int) -> bool:
    """Return whether Windows' or Linux' form of a program begins here."""
    if end - at < 4:
        return False
    return big16(data, at) == 0x4D5A or big32(data, at) == 0x7F454C46
