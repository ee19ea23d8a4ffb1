"""The same traffic, merged (GRO, TSO, USO) or not, gives the same rows on an interface."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.flows.namespaces import Wire, await_delivery, wire
from tests.flows.tcp_frames import MSS, Segment, download, merged

from idskit import open_flows
from idskit.capture import af_packet
from idskit.lab.namespaces import Host, switch_offloads_off
from idskit.packet import NOT_MERGED
from idskit.schemas.payload_columns import BYTE_CLASSES

DATAGRAM, BURST = 1000, 10_500  # bytes of a segment, and of what is sent at once
TIMED = ("us", "packets/s", "bytes/s")  # units of columns that measure when a frame was captured


@pytest.fixture
def veth() -> Iterator[Wire]:
    with wire() as made:
        if not made.near.call(af_packet.states_segments, "veth0"):
            pytest.skip("needs Linux 6.2 or newer, which states the size of merged segments")
        yield made


def switch_gro_on(interface: str) -> None:
    """ETHTOOL_SGRO, linux/ethtool.h."""
    setting = ctypes.create_string_buffer(struct.pack("II", 0x2C, 1))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sP", interface.encode(), ctypes.addressof(setting))
        fcntl.ioctl(control, 0x8946, request)


def switch_off(veth: Wire) -> None:
    """Merge nothing, at neither end."""
    for end, interface in ((veth.near, "veth0"), (veth.far, "veth1")):
        end.call(switch_offloads_off, interface)


def send_merged(segments: list[Segment], interface: str) -> None:
    """Send segments that follow each other at once as super-packets, as TSO does.

    The kernel cuts them where the interface cannot.
    """
    processor = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processor})  # of this thread: keeps their order
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.setsockopt(263, 15, 1)  # SOL_PACKET, PACKET_VNET_HDR
        out.bind((interface, 0))
        for segment in merged(segments):
            is_super = len(segment.payload) > MSS
            header = struct.pack("=BBHHHH", 1, 1, 54, MSS, 34, 16) if is_super else bytes(10)
            out.send(header + segment.frame())
            await_delivery(processor)


def talk_tcp(veth: Wire) -> None:
    veth.far.call(send_merged, download().segments, "veth1")


def talk_udp(veth: Wire) -> None:
    """Send datagrams in one call, as QUIC does (UDP_SEGMENT), from one host to the other."""
    with socket_in(veth.near) as server, socket_in(veth.far) as client:
        server.bind(("192.0.2.1", 9))
        client.bind(("192.0.2.2", 40_000))
        client.sendto(b"hello", ("192.0.2.1", 9))
        client.setsockopt(socket.IPPROTO_UDP, 103, DATAGRAM)
        for _ in range(3):
            client.sendto(bytes(BURST), ("192.0.2.1", 9))


def socket_in(namespace: Host) -> socket.socket:
    made: socket.socket = namespace.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
    return made


def capture(
    veth: Wire, talk: Callable[[Wire], None], monkeypatch: Any, schema: str = "gateway-packets"
) -> tuple[Any, list[int]]:
    """Rows of what is said, and the sizes of segments that the ring states."""
    sizes: list[int] = []
    take = af_packet.LiveCapture.take

    def recorded(live: af_packet.LiveCapture) -> Any:
        frames = take(live)
        sizes.extend(frames.records["gso_size"].tolist())
        return frames

    with monkeypatch.context() as patch, veth.near.call(open_flows, "veth0", schema) as flows:
        patch.setattr(af_packet.LiveCapture, "take", recorded)
        talk(veth)
        time.sleep(0.2)
        flows.stop()
        batches = list(flows.batches(size=100))
    assert flows.statistics.dropped == 0
    names = [feature.name for feature in flows.schema.features if feature.unit not in TIMED]
    at = [flows.schema.names.index(name) for name in names]
    rows = np.concatenate([batch.features[:, at] for batch in batches])
    ports = np.concatenate([batch.flows["src_port"] for batch in batches])
    (row,) = rows[ports == 40_000].tolist()
    return dict(zip(names, row, strict=True)), sizes


def connect(veth: Wire) -> None:
    for end, name, address in ((veth.near, "veth0", 1), (veth.far, "veth1", 2)):
        end.run("ip", "link", "set", name, "mtu", "1500", "arp", "on")
        end.run("ip", "address", "add", f"192.0.2.{address}/24", "dev", name)


@pytest.mark.parametrize(("talk", "size"), [(talk_tcp, MSS), (talk_udp, DATAGRAM)])
def test_segments_that_are_not_cut_yet_give_the_rows_of_those_on_the_wire(
    veth: Wire, talk: Callable[[Wire], None], size: int, monkeypatch: Any
) -> None:
    connect(veth)
    row, sizes = capture(veth, talk, monkeypatch)  # a veth pair hands super-packets over whole
    switch_off(veth)
    expected, sizes_apart = capture(veth, talk, monkeypatch)
    assert row == expected
    assert row["payload_max"] == size
    assert size in sizes
    assert set(sizes_apart) == {NOT_MERGED}


def test_segments_that_gro_merged_give_the_rows_of_those_on_the_wire(
    veth: Wire, monkeypatch: Any
) -> None:
    """Compare no series: the last segment of what the sender cut overtakes those merged."""
    connect(veth)
    switch_off(veth)
    expected, sizes_apart = capture(veth, talk_tcp, monkeypatch, "gateway")
    veth.near.call(switch_gro_on, "veth0")
    row, sizes = capture(veth, talk_tcp, monkeypatch, "gateway")
    opening = {f"bwd_{name}_bytes" for name in BYTE_CLASSES}  # of the first segment, as it came
    assert {name for name in row if row[name] != expected[name]} <= opening
    assert row["payload_max"] == MSS
    assert set(sizes_apart) == {NOT_MERGED}
    assert MSS in sizes


@pytest.mark.parametrize(
    ("release", "in_card", "expected"),
    [
        ("6.18.44-fc", False, True),
        ("6.2.0-rc1+", False, True),
        ("6.1.99", False, False),
        ("5.15.0-91-generic", False, False),
        ("10.0", False, True),
        ("6.18.44", True, False),
        ("unknown", False, False),
    ],
)
def test_sizes_are_asked_for_where_nothing_is_lost_by_it(
    release: str, in_card: bool, expected: bool, monkeypatch: Any
) -> None:
    """Linux before 6.2 drops merged UDP, and any Linux what a card merged without saying how."""
    system = os.uname()
    named = type(system)((*system[:2], release, *system[3:]))
    monkeypatch.setattr(os, "uname", lambda: named)
    monkeypatch.setattr(af_packet, "_merges_in_card", lambda _: in_card)
    assert af_packet.states_segments("lo") is expected
