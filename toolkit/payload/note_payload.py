"""Notes what a packet's payload means in the counters of its flow.

    payload ──> which protocol (first bytes; ports where these do not tell) ──> its fields
            └─> of the first packets: classes of bytes, words, executables

Every packet is looked at by itself, from its first byte: segments are not joined, so a message
that begins inside a packet is not seen, and one that goes on in the next counts there as unknown.
"""

from __future__ import annotations

from typing import NamedTuple

from idskit.kernels.compile import kernel
from idskit.packet import TCP, UDP
from idskit.payload.content.byte_classes import note_byte_classes
from idskit.payload.content.given_names import misuses_redis, names_intruder
from idskit.payload.content.words import SCANNED, note_words
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
from idskit.payload.http_messages import note_form, note_request, note_response
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
from idskit.payload.refused_logins import refuses_login
from idskit.payload.secure_hellos import note_quic, note_ssh, note_tls
from idskit.payload.shell_lines import note_shell
from idskit.payload.text_lines import (
    TELNET_PORTS,
    note_line,
    note_telnet,
    note_telnet_refusal,
)
from idskit.payload.windows_messages import (
    note_desktop,
    note_kerberos,
    note_ldap,
    note_rpc,
    note_smb,
)
from idskit.schemas.payload_columns import COLUMN

WORDS_IN = 4  # packets with a payload in each direction that are searched for words
SAID_IN = 16  # the same where a conversation comes before what it is about: mail, FTP
LOOKED_AT = 2048  # bytes of a payload, at most
NOTED = 64  # packets with a payload in each direction that are looked at
_FWD_BYTES, _BWD_BYTES = COLUMN["fwd_letters_bytes"], COLUMN["bwd_letters_bytes"]
_FWD_WORDS, _BWD_WORDS = COLUMN["fwd_sql_words"], COLUMN["bwd_sql_words"]
_FWD_UNKNOWN, _BWD_UNKNOWN = COLUMN["fwd_unknown_packets"], COLUMN["bwd_unknown_packets"]
_FWD_EXECUTABLE, _BWD_EXECUTABLE = (
    COLUMN["fwd_executable_packets"],
    COLUMN["bwd_executable_packets"],
)
_INTRUDERS, _REDIS = COLUMN["intruder_names"], COLUMN["redis_misuses"]
_REFUSALS, _POSTS = COLUMN["service_refusals"], COLUMN["http_posts"]
_USUAL = COLUMN["usual_port"]
# Ports of protocols whose first bytes do not tell them.
_TCP_PORTS = (53, 5353, 88, 389, 3268, 502, 1883, 2404, 44818)
_UDP_PORTS = (53, 5353, 5355, 67, 68, 123, 161, 162, 88, 389, 47808)
_TALKING_PORTS = (21, 25, 587)
_NAME_PORTS, _SHELL_PORTS = (53, 5353, 5355), (22, 2222)
_WEB_PORTS = (  # with RTSP (554, 8554), SSDP (1900) and SIP (5060) over TCP
    *(80, 81, 554, 591, 1900, 3128, 5000, 5060, 5985),
    *(8000, 8008, 8080, 8081, 8088, 8554, 8888),
)
_SECURE_PORTS = (
    *(443, 465, 563, 636, 853, 989, 990, 992, 993, 994, 995),
    *(3389, 4433, 5061, 8443),
)
# What recognised a payload, and the ports on which it is usual.
_UNKNOWN, _WEB, _SECURE, _SHELL, _NAMES, _OTHER = range(6)


class Payload(NamedTuple):
    """A payload and what is known of its packet."""

    data: Bytes  # the buffer that it lies in
    at: int  # from here
    end: int  # to before here
    protocol: int  # of IP
    port: int  # of the flow's destination
    peer_port: int  # of its source
    is_forward: bool  # the source sent it
    number: int  # of the packet among those with a payload in its direction, from 1


@kernel
def note_payload(counts: Counts, row: int, payload: Payload) -> None:
    """Note a payload in the counters of its flow, which begin at ``row``."""
    if payload.number > NOTED or payload.end <= payload.at:
        return
    if payload.number <= WORDS_IN:
        _note_content(counts, row, payload)
    found = _UNKNOWN
    if payload.protocol == TCP:
        found = _note_tcp(counts, row, payload)
        searched = SAID_IN if payload.port in _TALKING_PORTS else WORDS_IN
        if found == _UNKNOWN and payload.number <= searched:
            _note_unknown(counts, row, payload)
        if found == _UNKNOWN and payload.is_forward:
            _note_forms(counts, row, payload)
    elif payload.protocol == UDP:
        found = _note_udp(counts, row, payload)
    if found == _UNKNOWN:
        count(counts, row + (_FWD_UNKNOWN if payload.is_forward else _BWD_UNKNOWN))
    elif found != _OTHER:
        usual = _is_usual(found, payload.port) or _is_usual(found, payload.peer_port)
        counts[row + _USUAL] = 1.0 if usual else -1.0


@kernel
def _note_unknown(counts: Counts, row: int, payload: Payload) -> None:
    """Note what tells an intruder where no protocol was recognised."""
    data, at, end = payload.data, payload.at, payload.end
    if names_intruder(data, at, end):
        count(counts, row + _INTRUDERS)
    if not payload.is_forward:
        if refuses_login(data, at, end, payload.port, payload.number):
            count(counts, row + _REFUSALS)
        return
    if byte_at(data, at) in (42, 67, 77, 99, 109) and misuses_redis(data, at, end):  # * C M c m
        count(counts, row + _REDIS)


@kernel
def _note_forms(counts: Counts, row: int, payload: Payload) -> None:
    """Note a form that comes behind the head of its request, or without one."""
    data, at, end = payload.data, payload.at, payload.end
    if payload.number > WORDS_IN and not counts[row + _POSTS]:
        return
    if is_letter(byte_at(data, at)) or byte_at(data, at) == 123:  # {
        note_form(counts, row, data, at, end)


@kernel
def _note_content(counts: Counts, row: int, payload: Payload) -> None:
    """Note what does not depend on the protocol."""
    data, at, end = payload.data, payload.at, payload.end
    if payload.number == 1:
        classes = _FWD_BYTES if payload.is_forward else _BWD_BYTES
        note_byte_classes(counts, row + classes, data, at, end)
    note_words(counts, row + (_FWD_WORDS if payload.is_forward else _BWD_WORDS), data, at, end)
    if _has_executable(data, at, end):
        count(counts, row + (_FWD_EXECUTABLE if payload.is_forward else _BWD_EXECUTABLE))


@kernel
def _is_usual(found: int, port: int) -> bool:
    if found == _WEB:
        return port in _WEB_PORTS
    if found == _SECURE:
        return port in _SECURE_PORTS
    if found == _SHELL:
        return port in _SHELL_PORTS
    return port in _NAME_PORTS


@kernel
def _note_tcp(counts: Counts, row: int, payload: Payload) -> int:
    data, at, end = payload.data, payload.at, payload.end
    first, found = byte_at(data, at), _UNKNOWN
    if note_tls(counts, row, data, at, end):
        return _SECURE
    if is_letter(first) or is_digit(first) or first in (42, 43, 45):
        found = _note_text(counts, row, data, at, end)
    if found == _UNKNOWN:
        found = _note_binary(counts, row, payload)
    if found == _UNKNOWN:
        found = _note_by_tcp_port(counts, row, payload)
    if found == _UNKNOWN and payload.port not in TELNET_PORTS:
        note_shell(counts, row, data, at, end)
    elif found == _UNKNOWN and not payload.is_forward:
        note_telnet_refusal(counts, row, data, at, end)
    return found


@kernel
def _note_text(counts: Counts, row: int, data: Bytes, at: int, end: int) -> int:
    """Note what begins with a letter, a digit, or a sign of a reply."""
    if note_request(counts, row, data, at, end) or note_response(counts, row, data, at, end):
        return _WEB
    if byte_at(data, at) == 83 and note_ssh(counts, row, data, at, end):
        return _SHELL
    return _OTHER if note_line(counts, row, data, at, end) else _UNKNOWN


@kernel
def _note_binary(counts: Counts, row: int, payload: Payload) -> int:
    """Note what its first bytes tell."""
    data, at, end = payload.data, payload.at, payload.end
    first, found = byte_at(data, at), False
    if first == 0:
        found = note_smb(counts, row, data, at, end)
        if not found and (payload.port in _SHELL_PORTS or payload.peer_port in _SHELL_PORTS):
            return _SHELL if note_ssh(counts, row, data, at, end) else _UNKNOWN
    elif first == 3 and end - at >= 7 and byte_at(data, at + 1) == 0:
        found = note_desktop(counts, row, data, at, end) or note_s7(counts, row, data, at, end)
    elif first == 5:
        found = note_dnp3(counts, row, data, at, end) or note_rpc(counts, row, data, at, end)
    elif first == 255:
        found = note_telnet(counts, row, data, at, end)
    return _OTHER if found else _UNKNOWN


@kernel
def _note_by_tcp_port(counts: Counts, row: int, payload: Payload) -> int:
    """Note what its first bytes alone do not tell."""
    data, at, end = payload.data, payload.at, payload.end
    port = payload.port if payload.port in _TCP_PORTS else payload.peer_port
    found = False
    if port in (53, 5353):
        return _NAMES if end - at > 2 and note_dns(counts, row, data, at + 2, end) else _UNKNOWN
    if port == 88:
        found = note_kerberos(counts, row, data, at, end)
    elif port in (389, 3268):
        found = note_ldap(counts, row, data, at, end)
    elif port == 502:
        found = note_modbus(counts, row, data, at, end)
    elif port == 1883:
        found = note_mqtt(counts, row, data, at, end)
    elif port == 2404:
        found = note_iec104(counts, row, data, at, end)
    elif port == 44818:
        found = note_ethernet_ip(counts, row, data, at, end)
    return _OTHER if found else _UNKNOWN


@kernel
def _note_udp(counts: Counts, row: int, payload: Payload) -> int:
    data, at, end = payload.data, payload.at, payload.end
    port = payload.port if payload.port in _UDP_PORTS else payload.peer_port
    if port in _UDP_PORTS:
        return _note_by_udp_port(counts, row, data, at, end, port)
    if note_quic(counts, row, data, at, end):
        return _SECURE
    if note_request(counts, row, data, at, end) or note_response(counts, row, data, at, end):
        return _OTHER
    return _UNKNOWN


@kernel
def _note_by_udp_port(counts: Counts, row: int, data: Bytes, at: int, end: int, port: int) -> int:
    found = False
    if port in (53, 5353, 5355):
        return _NAMES if note_dns(counts, row, data, at, end) else _UNKNOWN
    if port in (67, 68):
        found = note_dhcp(counts, row, data, at, end)
    elif port == 123:
        found = note_ntp(counts, row, data, at, end)
    elif port in (161, 162):
        found = note_snmp(counts, row, data, at, end)
    elif port == 88:
        found = note_kerberos(counts, row, data, at, end)
    elif port == 389:
        found = note_ldap(counts, row, data, at, end)
    elif port == 47808:
        found = note_bacnet(counts, row, data, at, end)
    return _OTHER if found else _UNKNOWN


@kernel
def _has_executable(data: Bytes, at: int, end: int) -> bool:
    """Return whether a program begins at the payload's start or behind an HTTP head."""
    if _is_executable(data, at, end):
        return True
    if end - at < 16 or not is_letter(byte_at(data, at)):
        return False
    for i in range(at, min(end, at + SCANNED) - 7):
        if byte_at(data, i) == 13 and big32(data, i) == 0x0D0A0D0A:
            return _is_executable(data, i + 4, end)
    return False


@kernel
def _is_executable(data: Bytes, at: int, end: int) -> bool:
    """Return whether Windows' or Linux' form of a program begins here."""
    if end - at < 4:
        return False
    return big16(data, at) == 0x4D5A or big32(data, at) == 0x7F454C46
