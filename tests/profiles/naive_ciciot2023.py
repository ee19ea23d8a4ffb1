"""The CICIoT2023 scripts' rows in plain Python over dpkt: slow, and as close to them as it gets."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import dpkt
import numpy as np

Frame = tuple[int, bytes]  # time in microseconds, bytes
Row = list[float]


def pieces(frames: Iterable[Frame], piece_bytes: int) -> Iterator[list[Frame]]:
    """What ``tcpdump -C`` makes of a capture."""
    piece: list[Frame] = []
    size = 24
    for frame in frames:
        if 0 < piece_bytes < size:
            yield piece
            piece, size = [], 24
        piece.append(frame)
        size += 16 + len(frame[1])
    yield piece


def parse(frame: bytes) -> Any:
    """The frame as dpkt sees it; None where the scripts make no row, or die."""
    try:
        eth = dpkt.ethernet.Ethernet(frame)
    except Exception:
        return None
    if eth.type == dpkt.ethernet.ETH_TYPE_ARP:
        return eth
    is_ip = eth.type == dpkt.ethernet.ETH_TYPE_IP and isinstance(eth.data, dpkt.ip.IP)
    return eth if is_ip else None


def windows(frames: Iterable[Frame], size: int, piece_bytes: int, *, later: bool) -> list[Row]:
    """Rows of the whole capture."""
    rows: list[Row] = []
    for piece in pieces(frames, piece_bytes):
        parsed = [(time_us, frame, parse(frame)) for time_us, frame in piece]
        packets = [Packet(*found) for found in parsed if found[2] is not None]
        table = [packet.values() for packet in packets] if later else first_version(packets)
        for at in range(0, len(packets), size):
            chunk = packets[at : at + size]
            if later:
                before = packets[max(at - 1, 0)].seconds
                rows.append(later_version(chunk, before))
            else:
                rows.append([math.fsum(column) / len(chunk) for column in columns(table, at, size)])
    return rows


def columns(table: list[Row], at: int, size: int) -> Iterator[tuple[float, ...]]:
    return zip(*table[at : at + size], strict=True)


class Packet:
    """What both versions look at in a packet."""

    def __init__(self, time_us: int, frame: bytes, eth: Any) -> None:
        self.seconds = time_us // 10**6 + (time_us % 10**6) / 1e6
        self.captured, self.found = len(frame), len(eth)
        self.is_ip = isinstance(eth.data, dpkt.ip.IP)
        data = eth.data.data if self.is_ip else None
        self.tcp = data if isinstance(data, dpkt.tcp.TCP) else None
        self.udp = data if isinstance(data, dpkt.udp.UDP) else None
        self.protocol = eth.data.p if self.is_ip else 0
        self.ttl = eth.data.ttl if self.is_ip else 0
        self.ends = []
        if self.tcp or self.udp:
            self.ends = sorted([(eth.data.src, data.sport), (eth.data.dst, data.dport)])

    def flags(self) -> list[int]:
        flags = self.tcp.flags if self.tcp else 0
        return [flags >> bit & 1 for bit in range(8)]

    def services(self) -> Row:
        tcp = {self.tcp.sport, self.tcp.dport} if self.tcp else set()
        udp = {self.udp.sport, self.udp.dport} if self.udp else set()
        dhcp = self.udp and (self.udp.sport == 67 or self.udp.dport == 68)
        found = [80 in tcp, 443 in tcp, 53 in udp, 23 in tcp, 25 in tcp, 22 in tcp, 21 in tcp]
        found += [bool(self.tcp), bool(self.udp), bool(dhcp), not self.is_ip]
        found += [self.is_ip and self.protocol == 1]
        return [float(value) for value in found]

    def values(self) -> Row:
        fin, syn, rst, psh, ack, _, ece, cwr = self.flags()
        return [float(flag) for flag in (fin, syn, rst, psh, ack, ece, cwr)]


def first_version(packets: list[Packet]) -> list[Row]:
    """A row a packet, 46 columns."""
    flows: dict[Any, list[Packet]] = {}
    sizes: list[int] = []
    streams: list[int] = []
    rate = backward = previous = 0.0
    rows = []
    for packet in packets:
        duration, total, counts = 0.0, 0, [0] * 5
        if packet.ends:
            key = (bool(packet.tcp), *packet.ends)
            flow = flows.setdefault(key, [])
            flow.append(packet)
            times = [each.seconds for each in flow]
            duration, total = max(times) - min(times), sum(each.found for each in flow)
            counts = [sum(column) for column in zip(*(p.flags() for p in flow), strict=True)][:5]
            if duration != 0:
                rate = len(flow) / duration
                backward = rate if packet.ends[0] == packet.ends[1] else 0.0
        sizes.append(packet.found)
        spread = [sum(sizes), min(sizes), max(sizes), sum(sizes) / len(sizes), np.std(sizes)]
        if len(sizes) == 20:
            dynamic, previous, sizes = two_streams(streams), 0.0, []
            streams = []
        else:
            streams.append(packet.found)
            dynamic = two_streams(streams)
        row = [duration, total, packet.protocol, packet.ttl, rate, rate, backward]
        row += [*packet.values(), *counts, *packet.services(), packet.is_ip, packet.is_ip]
        row += [*spread, packet.found, packet.seconds - previous, len(sizes), *dynamic]
        rows.append([float(value) for value in row])
        previous = packet.seconds
    return rows


def two_streams(sizes: list[int]) -> Row:
    mean, variance = sum(sizes) / len(sizes), float(np.var(sizes))
    ratio = float(variance != 0)
    radius = (variance + variance) ** 0.5
    return [(mean + mean) ** 0.5, radius, variance, ratio, len(sizes) ** 2]


def later_version(window: list[Packet], before_s: float) -> Row:
    """39 columns of a window, whose predecessor ended at ``before_s``."""
    count = len(window)
    sizes = [packet.captured for packet in window]
    times = [packet.seconds for packet in window]
    header = sum(p.tcp.off * 4 if p.tcp else 8 if p.udp else 0 for p in window)
    modes = Counter(packet.protocol for packet in window)
    mode = min(value for value, times_ in modes.items() if times_ == max(modes.values()))
    span = max(times) - min(times)
    flags = [sum(column) for column in zip(*(packet.values() for packet in window), strict=True)]
    services = [sum(c) / count for c in zip(*(packet.services() for packet in window), strict=True)]
    ip = sum(packet.is_ip for packet in window) / count
    igmp = sum(packet.is_ip and packet.protocol == 2 for packet in window) / count
    fin, syn, rst, _, ack, *_ = flags
    std = float(np.std(sizes, ddof=1)) if count > 1 else math.nan
    gaps = np.diff([before_s, *times])
    row = [header / count, mode, sum(p.ttl for p in window) / count]
    row += [count / span if span else math.inf, *(flag / count for flag in flags)]
    row += [ack, syn, fin, rst, *services, igmp, ip, ip, sum(sizes), min(sizes), max(sizes)]
    row += [sum(sizes) / count, std, sum(sizes) / count, float(gaps.mean()), count, std * std]
    return [float(value) for value in row]
