"""Messages of devices: industrial protocols, MQTT, SNMP, NTP and DHCP.

Sources: Modbus Application Protocol 1.1b3, S7comm as Wireshark describes it, IEEE 1815 (DNP3),
IEC 60870-5-104, ODVA CIP volume 2 (EtherNet/IP), ASHRAE 135 (BACnet/IP), MQTT 3.1.1, RFC 1157,
RFC 5905, RFC 2131.
"""

from __future__ import annotations

from idskit.kernels.compile import kernel
from idskit.payload.payload_counts import (
    Bytes,
    Counts,
    big16,
    byte_at,
    count,
    inside_tag,
    little16,
    little32,
    number_of,
    put_into,
)
from idskit.schemas.payload_columns import COLUMN

_READS, _WRITES, _CONTROLS, _EXCEPTIONS = (
    COLUMN[f"industrial_{name}"] for name in ("reads", "writes", "controls", "exceptions")
)
_STOPS = COLUMN["industrial_stops"]
_ASKED, _CREDENTIALS, _DECLINED = (COLUMN[name] for name in ("asked", "credentials", "declined"))
_CONNECTS, _REFUSALS, _PUBLISHES = (
    COLUMN[f"mqtt_{name}"] for name in ("connects", "refusals", "publishes")
)
_SNMP, _NTP, _NTP_CONTROLS = (
    COLUMN[name] for name in ("snmp_messages", "ntp_messages", "ntp_controls")
)
_DHCP_REQUESTS, _DHCP_REPLIES = COLUMN["dhcp_requests"], COLUMN["dhcp_replies"]


@kernel
def note_modbus(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a request or response by its function; False if the bytes are none."""
    if end - at < 8 or big16(data, at + 2) != 0 or not 2 <= big16(data, at + 4) <= 260:
        return False
    function = byte_at(data, at + 7)
    if function & 0x80:
        count(counts, row + _EXCEPTIONS)
        put_into(counts, row + _DECLINED, counts[row + _ASKED])
        return True
    counts[row + _ASKED] = number_of(data, at + 6, min(end, at + 10))  # unit, function, address
    if function in (1, 2, 3, 4, 7, 11, 12, 17, 20, 24, 43):
        count(counts, row + _READS)
    elif function in (5, 6, 15, 16, 21, 22, 23):
        count(counts, row + _WRITES)
    else:
        count(counts, row + _CONTROLS)
        if end - at >= 10 and _is_stop(function, byte_at(data, at + 8), byte_at(data, at + 9)):
            count(counts, row + _STOPS)
    return True


@kernel
def _is_stop(function: int, first: int, second: int) -> bool:
    """Return whether a function of Modbus takes a controller out of service.

    Diagnostics restart its communication or make it listen only; 90 is Schneider's UMAS.
    """
    return (function == 8 and first == 0 and second in (1, 4)) or (function == 90 and second == 65)


@kernel
def note_s7(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a message behind TPKT and COTP headers; False if there is none."""
    if end - at < 18 or byte_at(data, at + 5) != 0xF0 or byte_at(data, at + 7) != 0x32:
        return False
    kind = byte_at(data, at + 8)
    header = 12 if kind in (2, 3) else 10
    if kind == 7 or end - at <= 7 + header:
        count(counts, row + _READS)
        return True
    function = byte_at(data, at + 7 + header)
    if function == 4:
        count(counts, row + _READS)
    elif function == 5:
        count(counts, row + _WRITES)
    elif function != 0xF0:  # set up communication
        count(counts, row + _CONTROLS)
        if kind == 1 and function == 0x29:  # a request to stop
            count(counts, row + _STOPS)
    return True


@kernel
def note_dnp3(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a message by its application function; False if the bytes are none."""
    if end - at < 10 or big16(data, at) != 0x0564:
        return False
    if end - at < 13 or byte_at(data, at + 2) < 8 or not byte_at(data, at + 10) & 0x40:
        return True  # of the link only, or not the first part of its message
    function = byte_at(data, at + 12)
    if function in (0, 1, 129, 130):
        count(counts, row + _READS)
    elif function == 2:
        count(counts, row + _WRITES)
    else:
        count(counts, row + _CONTROLS)
    return True


@kernel
def note_iec104(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a message by its type; False if the bytes are none."""
    if end - at < 6 or byte_at(data, at) != 0x68:
        return False
    if end - at >= 8 and byte_at(data, at + 2) & 1 == 0:
        kind = byte_at(data, at + 6)
        if 45 <= kind <= 64:
            count(counts, row + _WRITES)
        elif 100 <= kind <= 107:
            count(counts, row + _CONTROLS)
        else:
            count(counts, row + _READS)
    return True


@kernel
def note_ethernet_ip(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count an encapsulated command; False if the bytes are none."""
    if end - at < 24 or little32(data, at + 20) != 0:  # options
        return False
    command = little16(data, at)
    if command in (0x6F, 0x70):
        count(counts, row + _CONTROLS)
    elif command in (4, 0x63, 0x64, 0x65, 0x66):
        count(counts, row + _READS)
    else:
        return False
    return True


@kernel
def note_bacnet(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a message over UDP; False if the bytes are none."""
    if end - at < 4 or byte_at(data, at) != 0x81:
        return False
    count(counts, row + _READS)
    return True


@kernel
def note_mqtt(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a packet by its type (MQTT 3.1.1, 2.2.1); False if the bytes are none."""
    if end - at < 2:
        return False
    kind = byte_at(data, at) >> 4
    if kind == 1:
        count(counts, row + _CONNECTS)
        counts[row + _CREDENTIALS] = _credentials_of(data, at, end)
    elif kind == 2:
        if end - at >= 4 and byte_at(data, at + 3):
            count(counts, row + _REFUSALS)
    elif kind == 3:
        count(counts, row + _PUBLISHES)
    return 1 <= kind <= 15


@kernel
def _credentials_of(data: Bytes, at: int, end: int) -> int:
    """Return what stands for the part of a CONNECT behind its client identifier; 0 if all is cut.

    Behind the length of the packet come ten or more bytes, of which the first two say how long the
    name of the protocol is (MQTT 3.1.1, 3.1.2), and then the identifier behind its length.
    """
    at += 2 if byte_at(data, at + 1) < 128 else 3
    if end - at < 2:
        return 0
    at += big16(data, at) + 6
    if end - at < 2:
        return 0
    at += big16(data, at) + 2
    return number_of(data, at, end) if at < end else 0


@kernel
def note_snmp(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a message; False if the bytes are none."""
    if end - at < 8 or byte_at(data, at) != 0x30:
        return False
    at = inside_tag(data, at)
    if end - at < 3 or big16(data, at) != 0x0201 or byte_at(data, at + 2) > 3:  # the version
        return False
    count(counts, row + _SNMP)
    return True


@kernel
def note_ntp(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a message: of time, or one that controls or asks a server (modes 6 and 7)."""
    if end - at < 8 or not 1 <= (byte_at(data, at) >> 3) & 7 <= 4:  # the version
        return False
    if byte_at(data, at) & 7 >= 6:
        count(counts, row + _NTP_CONTROLS)
    else:
        count(counts, row + _NTP)
    return True


@kernel
def note_dhcp(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a request or a reply of BOOTP; False if the bytes are neither."""
    if end - at < 44 or byte_at(data, at) not in (1, 2) or byte_at(data, at + 2) > 16:
        return False
    count(counts, row + (_DHCP_REQUESTS if byte_at(data, at) == 1 else _DHCP_REPLIES))
    return True
