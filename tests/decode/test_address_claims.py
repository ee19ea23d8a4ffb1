"""Claims of addresses by ARP, next to what dpkt reads."""

from __future__ import annotations

import struct
from pathlib import Path

import dpkt
import numpy as np
import pytest

from idskit.decode.address_claims import MOST_CLAIMS, read_claims
from idskit.packet import FRAME, Frames
from idskit.profiles.flow_reader import open_flows

MINE, YOURS = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")


def arp(
    operation: int = 1,
    sender: bytes = bytes([192, 168, 1, 5]),
    target: bytes = bytes([192, 168, 1, 1]),
    to: bytes = b"\xff" * 6,
    tag: bytes = b"",
    head: bytes = struct.pack(">HHBB", 1, 0x0800, 6, 4),
) -> bytes:
    """Return a frame with a message of RFC 826."""
    message = head + struct.pack(">H", operation) + MINE + sender + bytes(6) + target
    return to + MINE + tag + b"\x08\x06" + message


def frames_of(*frames: bytes, link_type: int = 1) -> Frames:
    records = np.zeros(len(frames), FRAME)
    records["captured"] = records["wire"] = [len(frame) for frame in frames]
    records["offset"] = np.cumsum([0, *map(len, frames)])[: len(frames)]
    records["time_ns"] = 1_000_000 * np.arange(len(frames))
    records["link_type"] = link_type
    return Frames(data=np.frombuffer(b"".join(frames), np.uint8), records=records)


def test_a_question_and_its_answer():
    claims = read_claims(frames_of(b"x" * 60, arp(), arp(2, to=YOURS)))
    assert claims["time_us"].tolist() == [1000, 2000]
    assert claims["mac"].tolist() == [0x020000000001] * 2
    assert claims["address"].tolist() == [0xC0A80105] * 2
    assert claims["asked"].tolist() == [0xC0A80101] * 2
    assert claims["is_reply"].tolist() == [0, 1]
    assert claims["is_for_one"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("tag", "vlan"), [(b"", 0), (b"\x81\0\x20\x07", 8), (b"\x88\xa8\0\x01", 2)]
)
def test_the_vlan_is_read(tag: bytes, vlan: int):
    assert read_claims(frames_of(arp(tag=tag)))["vlan"].tolist() == [vlan]


@pytest.mark.parametrize(
    "frame",
    [
        arp()[:-1],  # cut off
        arp(tag=b"\x81\0\0\1")[:-1],
        arp(3),  # RARP
        arp(sender=bytes(4)),  # a probe, RFC 5227
        arp(head=struct.pack(">HHBB", 6, 0x0800, 6, 4)),  # not Ethernet
        arp(head=struct.pack(">HHBB", 1, 0x0800, 8, 4)),
        arp().replace(b"\x08\x06", b"\x08\0", 1),  # IP
        b"",
    ],
)
def test_what_is_no_claim(frame: bytes):
    assert len(read_claims(frames_of(frame))) == 0


def test_other_links_and_storms():
    assert len(read_claims(frames_of(arp(), link_type=101))) == 0
    assert len(read_claims(frames_of(*[arp()] * (MOST_CLAIMS + 9)))) == MOST_CLAIMS


@pytest.mark.parametrize(
    "name", ["wild/attack/samples_arpv2.pcap", "labelled/attack/test8-malicious.pcap"]
)
def test_captures_read_as_with_dpkt(shared: Path, name: str):
    path = shared / "data" / "pcap" / name
    expected = []
    with path.open("rb") as file:
        for time, frame in dpkt.pcap.Reader(file):
            found = dpkt.ethernet.Ethernet(frame).data
            if isinstance(found, dpkt.arp.ARP) and any(found.spa):
                expected.append((round(time * 1e6), found.sha, found.spa, found.tpa, found.op == 2))
    read: list[np.void] = []
    with open_flows(path, "kdd99") as flows:
        flows.on_claims = read.extend
        assert sum(len(batch) for batch in flows.batches()) >= 0
    assert len(expected) > 20
    assert [
        (
            int(claim["time_us"]),
            int(claim["mac"]).to_bytes(6, "big"),
            int(claim["address"]).to_bytes(4, "big"),
            int(claim["asked"]).to_bytes(4, "big"),
            bool(claim["is_reply"]),
        )
        for claim in read
    ] == expected[: len(read)]
    assert len(read) == min(len(expected), MOST_CLAIMS)
