"""Planned packets to the bytes of a capture file: Ethernet, IPv4 or IPv6, TCP, UDP or ICMP."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.generate.conversation import (
    BSD_SYN,
    CLIENT,
    LINUX_SYN,
    MSS_ONLY,
    NO_OPTIONS,
    OPTION_BYTES,
    TIMESTAMPS,
)
from idskit.kernels.compile import kernel, raw_pointer, signed
from idskit.packet import ICMP, TCP, UDP

MAX_RECORD_BYTES = 28 + 1516 + 4  # around the largest Ethernet frame, padded: an enhanced packet
NOISE_BYTES = 1 << 16

_Bytes = NDArray[np.uint8]
_OPTION_BYTES = np.array(OPTION_BYTES)
EPOCH_S = 1_700_000_000  # 2023-11-14, when every capture begins

# Ethernet addresses are locally administered, IEEE 802, 8.4: 02:00:... and the IPv4 address.
_GATEWAY_MAC = 0x020000000001
_LAN6_SUBNET = 1  # the fourth group of the network's IPv6 addresses


def file_header(*, pcapng: bool) -> bytes:
    """Classic pcap, or a section and an interface of pcapng: little-endian, microseconds."""
    if pcapng:
        section = np.array([0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0xFFFFFFFF, 0xFFFFFFFF, 28], "<u4")
        interface = np.array([1, 20, 1, 262144, 20], "<u4")  # Ethernet, the snap length
        return section.tobytes() + interface.tobytes()
    header = np.array([(0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)], "<u4,<u2,<u2,<i4,<u4,<u4,<u4")
    return header.tobytes()


@kernel
def write_records(  # noqa: PLR0913, PLR0917 - a kernel takes what it needs
    out: _Bytes,
    times_us: NDArray[np.int64],
    flow_of: NDArray[np.int64],
    step_of: NDArray[np.int64],
    flows: NDArray[np.void],
    steps: NDArray[np.void],
    prefixes: _Bytes,
    noise: _Bytes,
    pcapng: bool,
) -> tuple[int, int]:
    """Write packet records while there is room for the largest.

    Args:
        out: bytes of the file from here on.
        times_us: (n,) since the capture's beginning.
        flow_of: (n,) row of ``flows``, FLOW, for each packet.
        step_of: (n,) row of ``steps``, STEP, for each packet.
        flows: who.
        steps: what.
        prefixes: first bytes of the payloads.
        noise: (NOISE_BYTES,) what the rest of a payload is taken from.
        pcapng: as blocks of pcapng, else as records of classic pcap.

    Returns:
        How many packets were written, and into how many bytes.
    """
    at = 0
    pointer = raw_pointer(out)
    head = 28 if pcapng else 16
    for i in range(len(times_us)):
        if len(out) - at < MAX_RECORD_BYTES:
            return i, at
        flow, step = flows[flow_of[i]], steps[step_of[i]]
        size = _frame(pointer, at + head, flow, step, prefixes, noise, times_us[i] // 1000)
        if pcapng:
            at += _block(pointer, at, times_us[i], size)
        else:
            at += _record(pointer, at, times_us[i], size)
    return len(times_us), at


@kernel
def _put16(out: _Bytes, at: int, value: int) -> None:
    out[at], out[at + 1] = (value >> 8) & 255, value & 255


@kernel
def _put32(out: _Bytes, at: int, value: int) -> None:
    _put16(out, at, value >> 16)
    _put16(out, at + 2, value)


@kernel
def _put_little32(out: _Bytes, at: int, value: int) -> None:
    for i in range(4):
        out[at + i] = (value >> (8 * i)) & 255


@kernel
def _put64(out: _Bytes, at: int, value: np.uint64) -> None:
    for i in range(8):
        out[at + i] = np.uint8((value >> np.uint64(56 - 8 * i)) & np.uint64(255))


@kernel
def _record(out: _Bytes, at: int, time_us: int, size: int) -> int:
    _put_little32(out, at, EPOCH_S + time_us // 1_000_000)
    _put_little32(out, at + 4, time_us % 1_000_000)
    _put_little32(out, at + 8, size)
    _put_little32(out, at + 12, size)
    return 16 + size


@kernel
def _block(out: _Bytes, at: int, time_us: int, size: int) -> int:
    """Write what surrounds a frame in an enhanced packet block."""
    whole, time_us = 32 + (size + 3) // 4 * 4, EPOCH_S * 1_000_000 + time_us
    for i in range(at + 28 + size, at + whole - 4):
        out[i] = 0
    _put_little32(out, at, 6)
    _put_little32(out, at + 4, whole)
    _put_little32(out, at + 8, 0)  # of the only interface
    _put_little32(out, at + 12, time_us >> 32)
    _put_little32(out, at + 16, time_us & 0xFFFFFFFF)
    _put_little32(out, at + 20, size)
    _put_little32(out, at + 24, size)
    _put_little32(out, at + whole - 4, whole)
    return whole


@kernel
def _frame(
    out: _Bytes,
    at: int,
    flow: np.void,
    step: np.void,
    prefixes: _Bytes,
    noise: _Bytes,
    time_ms: int,
) -> int:
    """Write one frame at ``at``; its size."""
    from_client = step["side"] == CLIENT
    ipv6 = flow["client_high"] != 0
    ip_at = at + 14
    transport_at = ip_at + (40 if ipv6 else 20)
    header = _transport_bytes(signed(flow["protocol"]), signed(step["options"]))
    payload_at = transport_at + header
    _payload(out, payload_at, flow, step, prefixes, noise)
    end = payload_at + signed(step["payload_bytes"])
    _ethernet(out, at, flow, from_client, ipv6)
    if ipv6:
        _ipv6(out, ip_at, end, flow, step, from_client)
    else:
        _ipv4(out, ip_at, end, flow, step, from_client)
    _transport(out, transport_at, end, flow, step, from_client, time_ms)
    while end - at < 60:  # the smallest Ethernet frame, without its check sequence
        out[end] = 0
        end += 1
    return end - at


@kernel
def _transport_bytes(protocol: int, options: int) -> int:
    if protocol == TCP:
        return 20 + signed(_OPTION_BYTES[options])
    return 8 if protocol == UDP else 0  # ICMP's header is in the payload


@kernel
def _payload(
    out: _Bytes, at: int, flow: np.void, step: np.void, prefixes: _Bytes, noise: _Bytes
) -> None:
    first, prefix_at = signed(step["prefix_bytes"]), signed(step["prefix_at"])
    for i in range(first):
        out[at + i] = prefixes[prefix_at + i]
    size = signed(step["payload_bytes"])
    noise_at = (signed(flow["noise"]) + signed(step["number"]) * 1511) % (
        NOISE_BYTES - MAX_RECORD_BYTES
    )
    for i in range(first, size):
        out[at + i] = noise[noise_at + i]


@kernel
def _mac(high: np.uint64, low: np.uint64) -> int:
    """Devices and groups (RFC 1112, RFC 2464) have theirs, the rest is behind the gateway."""
    number = signed(low & np.uint64(0xFFFFFFFF))
    if high >> np.uint64(56) == 0xFF:
        return 0x333300000000 | number
    if high != 0:
        subnet = signed(high & np.uint64(0xFFFF))
        return 0x020600000000 | number if subnet == _LAN6_SUBNET else _GATEWAY_MAC
    if number == 0xFFFFFFFF:
        return 0xFFFFFFFFFFFF
    if number >> 28 == 0xE:
        return 0x01005E000000 | (number & 0x7FFFFF)
    private = number >> 24 == 10 or number >> 16 == 0xC0A8 or number == 0
    return 0x020400000000 | number if private and number & 255 != 1 else _GATEWAY_MAC


@kernel
def _ethernet(out: _Bytes, at: int, flow: np.void, from_client: bool, ipv6: bool) -> None:
    client = _mac(flow["client_high"], flow["client_low"])
    server = _mac(flow["server_high"], flow["server_low"])
    destination, source = (server, client) if from_client else (client, server)
    _put16(out, at, destination >> 32)
    _put32(out, at + 2, destination)
    _put16(out, at + 6, source >> 32)
    _put32(out, at + 8, source)
    _put16(out, at + 12, 0x86DD if ipv6 else 0x0800)


@kernel
def _ipv4(out: _Bytes, at: int, end: int, flow: np.void, step: np.void, from_client: bool) -> None:
    _put16(out, at, 0x4500)
    _put16(out, at + 2, end - at)
    first = signed(flow["client_id"] if from_client else flow["server_id"])
    _put16(out, at + 4, first + signed(step["number"]))
    _put16(out, at + 6, 0x4000)  # do not fragment
    out[at + 8] = _ttl(flow, step, from_client)
    out[at + 9] = flow["protocol"]
    _put16(out, at + 10, 0)
    client, server = signed(flow["client_low"]), signed(flow["server_low"])
    _put32(out, at + 12, client if from_client else server)
    _put32(out, at + 16, server if from_client else client)
    _put16(out, at + 10, _checksum(out, at, at + 20, 0))


@kernel
def _ipv6(out: _Bytes, at: int, end: int, flow: np.void, step: np.void, from_client: bool) -> None:
    _put32(out, at, 0x60000000)
    _put16(out, at + 4, end - at - 40)
    out[at + 6] = flow["protocol"]
    out[at + 7] = _ttl(flow, step, from_client)
    client_at, server_at = (at + 8, at + 24) if from_client else (at + 24, at + 8)
    _put64(out, client_at, flow["client_high"])
    _put64(out, client_at + 8, flow["client_low"])
    _put64(out, server_at, flow["server_high"])
    _put64(out, server_at + 8, flow["server_low"])


@kernel
def _ttl(flow: np.void, step: np.void, from_client: bool) -> int:
    return signed(step["ttl"]) - signed(flow["client_hops"] if from_client else flow["server_hops"])


@kernel
def _transport(
    out: _Bytes,
    at: int,
    end: int,
    flow: np.void,
    step: np.void,
    from_client: bool,
    time_ms: int,
) -> None:
    """Header, but for ICMP, and checksum."""
    protocol, ipv6 = signed(flow["protocol"]), flow["client_high"] != 0
    checksum_at = at + 2
    if protocol in (TCP, UDP):
        client, server = signed(flow["client_port"]), signed(flow["server_port"])
        _put16(out, at, client if from_client else server)
        _put16(out, at + 2, server if from_client else client)
        checksum_at = at + 16 if protocol == TCP else at + 6
    if protocol == TCP:
        _tcp(out, at, flow, step, from_client, time_ms)
    elif protocol == UDP:
        _put16(out, at + 4, end - at)
    _put16(out, checksum_at, 0)
    pseudo = 0 if protocol == ICMP else _pseudo_header(out, at, end, protocol, ipv6)
    checksum = _checksum(out, at, end, pseudo)
    _put16(out, checksum_at, checksum if checksum or protocol != UDP else 0xFFFF)  # RFC 768


@kernel
def _tcp(
    out: _Bytes, at: int, flow: np.void, step: np.void, from_client: bool, time_ms: int
) -> None:
    client, server = signed(flow["client_isn"]), signed(flow["server_isn"])
    own, other = (client, server) if from_client else (server, client)
    acknowledges = signed(step["flags"]) & 16 != 0
    _put32(out, at + 4, own + signed(step["sequence"]))
    _put32(out, at + 8, other + signed(step["acknowledgement"]) if acknowledges else 0)
    kind = signed(step["options"])
    out[at + 12] = (20 + signed(_OPTION_BYTES[kind])) // 4 << 4
    out[at + 13] = step["flags"]
    _put16(out, at + 14, signed(step["window"]))
    _put16(out, at + 18, 0)  # urgent pointer
    own_ms = signed(flow["client_clock"] if from_client else flow["server_clock"]) + time_ms
    echo_ms = signed(flow["server_clock"] if from_client else flow["client_clock"]) + time_ms
    _options(out, at + 20, kind, own_ms, echo_ms if acknowledges else 0, flow["client_high"] != 0)


@kernel
def _options(out: _Bytes, at: int, kind: int, own_ms: int, echo_ms: int, ipv6: bool) -> None:
    """RFC 9293, 3.2; RFC 7323, 2.2 and 3.2; RFC 2018, 2: in the order of each stack."""
    if kind == NO_OPTIONS:
        return
    if kind == TIMESTAMPS:
        _put16(out, at, 0x0101)
        _timestamps(out, at + 2, own_ms, echo_ms)
        return
    _put32(out, at, 0x02040000 | (1440 if ipv6 else 1460))  # maximum segment size
    if kind == LINUX_SYN:
        _put16(out, at + 4, 0x0402)  # selective acknowledgements permitted
        _timestamps(out, at + 6, own_ms, echo_ms)
        _put32(out, at + 16, 0x01030307)  # window scale 7
    elif kind == BSD_SYN:
        _put32(out, at + 4, 0x01030306)
        _put16(out, at + 8, 0x0101)
        _timestamps(out, at + 10, own_ms, echo_ms)
        _put32(out, at + 20, 0x04020000)
    elif kind != MSS_ONLY:
        _put32(out, at + 4, 0x01030308)
        _put32(out, at + 8, 0x01010402)


@kernel
def _timestamps(out: _Bytes, at: int, own_ms: int, echo_ms: int) -> None:
    _put16(out, at, 0x080A)
    _put32(out, at + 2, own_ms)
    _put32(out, at + 6, echo_ms)


@kernel
def _pseudo_header(out: _Bytes, at: int, end: int, protocol: int, ipv6: bool) -> int:
    """Sum over addresses, length and protocol, RFC 9293, 3.1; RFC 8200, 8.1."""
    addresses = 32 if ipv6 else 8
    return _sum(out, at - addresses, at) + end - at + protocol


@kernel
def _sum(data: _Bytes, at: int, end: int) -> int:
    total = 0
    for i in range(at, end - 1, 2):
        total += (signed(data[i]) << 8) | signed(data[i + 1])
    return total + (signed(data[end - 1]) << 8 if (end - at) % 2 else 0)


@kernel
def _checksum(data: _Bytes, at: int, end: int, start: int) -> int:
    """Internet checksum, RFC 1071."""
    total = start + _sum(data, at, end)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
