"""Interfaces: a ring made by hand, and veth pairs between namespaces of the test's own."""

from __future__ import annotations

import csv
import ctypes
import fcntl
import itertools
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dpkt
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.flows.capture_files import decoded, in_memory, pcap, read
from tests.flows.fragmentation import cut
from tests.flows.namespaces import Wire, wire

from idskit import open_flows
from idskit.capture.af_packet import LiveCapture, open_interface
from idskit.capture.packet_ring import BLOCK_BYTES, Ring, release, ring_over, walk
from idskit.errors import CaptureError, IdskitError
from idskit.generate import generate
from idskit.lab.namespaces import Host
from idskit.packet import FRAME, NOT_MERGED, OFFLOADED, RIGHT, UNKNOWN
from idskit.process.signals import finish_on_signals
from idskit.profiles.flow_reader import FlowBatch, FlowReader

# A ring made by hand, from the structures of linux/if_packet.h.

START_NS = 1_700_000_000_123_456_789
FRAMES = [bytes(range(60)), bytes(100), b"\xff" * 14]


def block(
    frames: list[bytes],
    *,
    tags: tuple[int, ...] = (),
    segments: tuple[tuple[int, int], ...] = (),
    count: int | None = None,
    first: int = 48,
    step: int | None = None,
    **header: int,
) -> bytes:
    """A block that the kernel has handed over; ``tags`` are taken out of the first frames.

    ``segments`` are gso_type and gso_size of the virtio_net_hdr in front of the first frames.
    """
    made = struct.pack(
        "=IIIIIIQ16x", 1, 48, 1, len(frames) if count is None else count, first, 0, 0
    )
    for number, frame in enumerate(frames):
        tag = tags[number] if number < len(tags) else 0
        size = 96 + (len(frame) + 15) // 16 * 16
        fields = {
            "next": size if step is None else step,
            "seconds": START_NS // 10**9,
            "nanoseconds": START_NS % 10**9 + number,
            "captured": len(frame),
            "wire": len(frame) + 7,
            "status": 1 | (0x50 if tag else 0),
            "mac": 82,
        } | header
        head = struct.pack("=6IHHIIHH8x", *fields.values(), 96, 0, tag, 0x88A8 if tag else 0, 0)
        stated = segments[number] if number < len(segments) else (0, 0)
        sizes = struct.pack("=BBHHHH", 0, stated[0], 66, stated[1], 34, 16)
        made += (head.ljust(72, b"\0") + sizes + frame).ljust(size, b"\0")
    return made.ljust(BLOCK_BYTES, b"\0")


EMPTY = bytes(BLOCK_BYTES)


def ring_of(*blocks: bytes, has_sizes: bool = False) -> Ring:
    return ring_over(np.frombuffer(bytearray(b"".join(blocks)), np.uint8), has_sizes=has_sizes)


def walked(
    ring: Ring, first: int = 0, limit: int = 99, rows: int = 8192
) -> tuple[NDArray[np.void], int, bool]:
    records = np.zeros(rows, FRAME)
    count, blocks, is_sound = walk(ring, first, limit, 1, records)
    return records[:count], blocks, is_sound


def octets(ring: Ring, records: NDArray[np.void]) -> list[bytes]:
    places = zip(records["offset"].tolist(), records["captured"].tolist(), strict=True)
    return [ring.octets[at : at + size].tobytes() for at, size in places]


def test_frames_are_found_where_they_lie() -> None:
    ring = ring_of(block(FRAMES[:2]), block(FRAMES[2:]), EMPTY)
    records, blocks, is_sound = walked(ring)
    assert (octets(ring, records), blocks, is_sound) == (FRAMES, 2, True)
    assert records["time_ns"].tolist() == [START_NS, START_NS + 1, START_NS]
    assert records["wire"].tolist() == [67, 107, 21]
    assert set(records["link_type"].tolist()) == {1}


def test_the_walk_goes_round_the_end_of_the_ring() -> None:
    ring = ring_of(block(FRAMES[1:2]), EMPTY, block(FRAMES[:1]))
    records, blocks, _ = walked(ring, first=2)
    assert (octets(ring, records), blocks) == (FRAMES[:2], 2)


def test_the_walk_stops_at_its_limit() -> None:
    assert walked(ring_of(block(FRAMES), block(FRAMES), EMPTY), limit=1)[1] == 1


def test_a_block_that_does_not_fit_waits_whole() -> None:
    records, blocks, is_sound = walked(ring_of(block(FRAMES), block(FRAMES), EMPTY), rows=5)
    assert (len(records), blocks, is_sound) == (3, 1, True)


def test_released_blocks_belong_to_the_kernel_again() -> None:
    ring = ring_of(block(FRAMES), EMPTY, block(FRAMES))
    release(ring, 2, 2)
    assert walked(ring)[1] == walked(ring, first=2)[1] == 0


def test_a_tag_that_the_kernel_took_out_is_put_back() -> None:
    frame = bytes(range(12)) + b"\x08\x00" + bytes(50)
    ring = ring_of(block([frame, frame], tags=(0x6005,)), EMPTY)
    records, _, _ = walked(ring)
    assert octets(ring, records) == [frame[:12] + b"\x88\xa8\x60\x05" + frame[12:], frame]
    assert (records["wire"] - records["captured"]).tolist() == [7, 7]


def test_segments_are_those_that_the_ring_states() -> None:
    """VIRTIO_NET_HDR_GSO_TCPV4, _TCPV6, _UDP_L4, with ECN, of a kind not known, none."""
    kinds = ((1, 1448), (4, 1428), (5, 1000), (0x81, 40), (9, 7), (0, 0))
    frames = [bytes(60)] * len(kinds)
    made = block(frames, segments=kinds, tags=(0x6005,) * 2)
    records, _, is_sound = walked(ring_of(made, EMPTY, has_sizes=True))
    assert is_sound
    assert records["gso_protocol"].tolist() == [6, 6, 17, 6, 0, 0]
    assert records["gso_size"].tolist() == [1448, 1428, 1000, 40, 0, NOT_MERGED]
    assert records["captured"].tolist() == [64, 64, 60, 60, 60, 60]  # the tags are back


def test_without_the_header_nothing_is_known_of_segments() -> None:
    records, _, _ = walked(ring_of(block(FRAMES, segments=((1, 1448),)), EMPTY))
    assert not records["gso_size"].any()
    assert not records["gso_protocol"].any()


def test_a_frame_whose_segments_would_be_stated_in_its_own_header_is_not_believed() -> None:
    made = block([bytes(60)], mac=52)
    assert walked(ring_of(made))[2]
    assert not walked(ring_of(made, has_sizes=True))[2]


@pytest.mark.parametrize(
    ("status", "checksum"), [(1, UNKNOWN), (1 | 8, OFFLOADED), (1 | 0x80, RIGHT)]
)
def test_what_the_kernel_says_of_a_checksum_is_kept(status: int, checksum: int) -> None:
    """TP_STATUS_CSUMNOTREADY: its own frames, left to the card; TP_STATUS_CSUM_VALID."""
    records, _, _ = walked(ring_of(block(FRAMES, status=status), EMPTY))
    assert records["checksum"].tolist() == [checksum] * 3


@pytest.mark.parametrize(
    "damage",
    [
        {"count": BLOCK_BYTES},
        {"first": BLOCK_BYTES - 32},
        {"first": 2**32 - 16},
        {"first": 0},
        {"first": 52},
        {"step": 2**31},
        {"step": BLOCK_BYTES},
        {"step": 4},
        {"captured": BLOCK_BYTES},
        {"captured": 2**32 - 1},
        {"mac": 65535, "captured": 65536},
        {"mac": 0},
    ],
)
def test_a_ring_that_lies_is_not_believed(damage: dict[str, int]) -> None:
    assert not walked(ring_of(block(FRAMES, **damage)))[2]


@pytest.mark.parametrize("has_sizes", [False, True])
def test_random_blocks_are_never_read_past_their_end(has_sizes: bool) -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        damaged = bytearray(block(FRAMES, tags=(1, 2, 3)))
        for at in rng.integers(12, 400, 3):
            damaged[at] = rng.integers(256)
        ring = ring_of(EMPTY, bytes(damaged), EMPTY, has_sizes=has_sizes)
        records, _, _ = walked(ring, first=1)
        ends = records["offset"] + records["captured"]
        assert all(records["offset"] >= BLOCK_BYTES)
        assert all(ends <= 2 * BLOCK_BYTES)
        assert not ring.octets[:BLOCK_BYTES].any(), "written before its block"
        assert not ring.octets[2 * BLOCK_BYTES :].any(), "written behind it"


# Interfaces.


@pytest.fixture
def veth() -> Iterator[Wire]:
    with wire() as made:
        yield made


@dataclass
class Heard:
    """What came through a live capture, and the flows that were made of it."""

    frames: list[bytes] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)
    batches: list[FlowBatch] = field(default_factory=list)
    statistics: Any = None

    def write(self, path: Path, link_type: int = 1) -> Path:
        """The same frames as a nanosecond pcap."""
        times = [divmod(time_ns, 10**9) for time_ns in self.times_ns]
        records = [(*at, frame) for at, frame in zip(times, self.frames, strict=True)]
        content = bytearray(pcap(records, magic=0xA1B23C4D, link_type=link_type))
        at = 24
        for frame in self.frames:  # capture_files claims longer frames on the wire
            content[at + 12 : at + 16] = struct.pack("<I", len(frame))
            at += 16 + len(frame)
        path.write_bytes(content)
        return path


def listen(flows: FlowReader, send: Callable[[], object], monkeypatch: Any) -> Heard:
    """Read an interface while ``send`` runs in another thread, and to the end after it."""
    heard, frames_of = Heard(), LiveCapture.frames

    def recorded(capture: LiveCapture) -> Iterator[Any]:
        for chunk in frames_of(capture):
            at, size = chunk.records["offset"], chunk.records["captured"]
            places = zip(at.tolist(), size.tolist(), strict=True)
            heard.frames += [chunk.data[a : a + n].tobytes() for a, n in places]
            heard.times_ns += chunk.records["time_ns"].tolist()
            yield chunk

    def send_and_stop() -> None:
        try:
            send()
            time.sleep(0.2)
        finally:
            flows.stop()

    monkeypatch.setattr(LiveCapture, "frames", recorded)
    sender = threading.Thread(target=send_and_stop)
    with flows:
        sender.start()
        heard.batches = list(flows.batches(size=100))
        heard.statistics = flows.statistics
    sender.join()
    return heard


def table(batches: list[FlowBatch]) -> tuple[NDArray[np.void], NDArray[np.float64]]:
    """All flows and features, sorted by start and addresses."""
    flows = np.concatenate([batch.flows for batch in batches])
    order = np.argsort(flows, order=flows.dtype.names)
    return flows[order], np.concatenate([batch.features for batch in batches])[order]


def totals(batches: list[FlowBatch]) -> Counter[Any]:
    """Packets, bytes and payload between each pair of endpoints."""
    found: Counter[Any] = Counter()
    for batch in batches:
        names = batch.schema.names
        payload = batch.features[:, [names.index("fwd_payload"), names.index("bwd_payload")]]
        for flow, size in zip(batch.flows, payload.sum(axis=1), strict=True):
            ends = [
                tuple(flow[f"{end}_{part}"].item() for part in ("high", "low", "port"))
                for end in ("src", "dst")
            ]
            key = flow["protocol"].item(), *sorted(ends)
            found[key, "packets"] += (flow["fwd_packets"] + flow["bwd_packets"]).item()
            found[key, "bytes"] += (flow["fwd_bytes"] + flow["bwd_bytes"]).item()
            found[key, "payload"] += round(size)
    return found


def from_file(path: Path, schema: str = "gateway") -> list[FlowBatch]:
    with open_flows(path, schema) as flows:
        return list(flows.batches(size=1000))


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("home") / "home.pcap", packets=4000, seed=3).path


@pytest.mark.parametrize("schema", ["gateway", "cic-fixed"])
def test_live_flows_are_those_of_the_same_packets_in_a_file(
    veth: Wire, capture: Path, tmp_path: Path, monkeypatch: Any, schema: str
) -> None:
    sent, _, _ = read(capture)
    flows = veth.near.call(open_flows, "veth0", schema)
    heard = listen(flows, lambda: veth.send(sent), monkeypatch)
    assert heard.frames == sent
    assert (heard.statistics.frames, heard.statistics.dropped) == (len(sent), 0)
    live = table(heard.batches)
    filed = table(from_file(heard.write(tmp_path / "heard.pcap"), schema))
    np.testing.assert_array_equal(live[0], filed[0])
    np.testing.assert_array_equal(live[1], filed[1])
    assert len(live[0]) > 100


def test_live_totals_are_those_of_the_capture_that_was_sent(
    veth: Wire, capture: Path, monkeypatch: Any
) -> None:
    sent, _, _ = read(capture)
    flows = veth.near.call(open_flows, "veth0", live=True)
    heard = listen(flows, lambda: veth.send(sent), monkeypatch)
    assert totals(heard.batches) == totals(from_file(capture))


def udp(src: str, dst: str, size: int = 10) -> bytes:
    datagram = dpkt.udp.UDP(sport=1, dport=2, data=bytes(size), ulen=8 + size)
    ends = {"src": socket.inet_aton(src), "dst": socket.inet_aton(dst)}
    return bytes(dpkt.ip.IP(p=17, data=datagram, len=28 + size, **ends))


def ethernet(packet: bytes, *tags: bytes) -> bytes:
    return bytes(range(2, 14)) + b"".join(tags) + b"\x08\x00" + packet


def test_tagged_frames_are_the_same_bytes_as_were_sent(veth: Wire, monkeypatch: Any) -> None:
    packet = udp("10.0.0.1", "10.0.0.2")
    inner, outer = b"\x81\x00\x60\x07", b"\x88\xa8\x00\x09"
    sent = [ethernet(packet), ethernet(packet, inner), ethernet(packet, outer, inner)]
    flows = veth.near.call(open_flows, "veth0", live=True)
    heard = listen(flows, lambda: veth.send(sent), monkeypatch)
    assert heard.frames == sent
    assert decoded(in_memory(heard.frames))[0]["vlan"].tolist() == [0, 8, 10]


def test_frames_that_are_no_packets_are_counted(veth: Wire, monkeypatch: Any) -> None:
    sent = [bytes(12) + b"\x08\x06" + bytes(28), ethernet(udp("10.0.0.1", "10.0.0.2"))]
    flows = veth.near.call(open_flows, "veth0", live=True)
    heard = listen(flows, lambda: veth.send(sent), monkeypatch)
    assert (heard.statistics.packets, heard.statistics.skipped) == (1, {"arp": 1})


def test_what_came_before_the_stop_is_read(veth: Wire) -> None:
    live = veth.near.call(open_interface, "veth0")
    veth.send([ethernet(udp("10.0.0.1", "10.0.0.2"))] * 3)
    live.stop()  # while their block is still being filled
    assert sum(len(frames.records) for frames in live.frames()) == 3
    live.close()


def test_a_ring_that_is_full_counts_what_the_kernel_drops(veth: Wire) -> None:
    live = veth.near.call(open_interface, "veth0", ring_mb=1)
    veth.send([ethernet(udp("10.0.0.1", "10.0.0.2", 1400))] * 2000)
    live.stop()
    seen = sum(len(frames.records) for frames in live.frames())
    live.close()
    assert live.dropped > 0
    assert seen + live.dropped == 2000


def test_loopback_counts_a_packet_once(veth: Wire, monkeypatch: Any) -> None:
    veth.near.run("ip", "link", "set", "lo", "up")

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for size in range(5):
                out.sendto(bytes(size), ("127.0.0.1", 9))

    flows = veth.near.call(open_flows, "lo")
    heard = listen(flows, lambda: veth.near.call(send), monkeypatch)
    rows, _ = decoded(in_memory(heard.frames))
    assert rows[rows["protocol"] == 17]["payload_bytes"].tolist() == [0, 1, 2, 3, 4]


def tunnel(name: str) -> int:
    """Make a tun interface: what is written to the file arrives on it."""
    file = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(file, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))  # IFF_NO_PI, TUN
    return file


def test_a_tunnel_gives_packets_without_a_link_header(veth: Wire, monkeypatch: Any) -> None:
    try:
        file = veth.near.call(tunnel, "tun9")
    except OSError as error:
        pytest.skip(f"may not make a tun interface: {error}")
    veth.near.run("ip", "link", "set", "tun9", "up")
    sent = [udp("10.0.0.1", "10.0.0.2", size) for size in (1, 2, 3)]
    flows = veth.near.call(open_flows, "tun9")
    heard = listen(flows, lambda: [os.write(file, packet) for packet in sent], monkeypatch)
    os.close(file)
    assert heard.frames == sent
    assert heard.statistics.packets == 3


def test_idle_flows_are_given_out_by_the_clock(veth: Wire, monkeypatch: Any) -> None:
    now_us = LiveCapture.now_us
    flows = veth.near.call(open_flows, "veth0", live=True)
    with flows:
        veth.send([ethernet(udp("10.0.0.1", "10.0.0.2"))])
        monkeypatch.setattr(LiveCapture, "now_us", lambda capture: now_us(capture) + 130_000_000)
        batch = next(flows.batches(max_wait_ms=0))
    assert batch.flows["end"].tolist() == [1]  # idle


def test_a_flow_waits_for_its_batch_no_longer_than_asked(veth: Wire) -> None:
    ends = {"src": b"\x0a\0\0\1", "dst": b"\x0a\0\0\2", "p": 6}
    segments = [
        dpkt.tcp.TCP(sport=1, dport=2, seq=n, flags=f) for n, f in ((7, 2), (8, 4), (99, 2))
    ]
    sent = [ethernet(bytes(dpkt.ip.IP(data=segment, **ends))) for segment in segments]
    with veth.near.call(open_flows, "veth0", live=True) as flows:
        veth.send(
            sent
        )  # SYN, RST, SYN: the second SYN ends the flow of the first, in a batch of 1000
        batch = next(flows.batches(size=1000, max_wait_ms=50))
    assert len(batch) == 1


def test_an_interface_that_disappears_while_nothing_comes(veth: Wire) -> None:
    flows = veth.near.call(open_flows, "veth0", live=True)
    remover = threading.Timer(0.3, veth.near.run, ("ip", "link", "del", "veth0"))
    remover.start()
    with flows, pytest.raises(CaptureError, match=r"^interface veth0 disappeared; the flows"):
        next(flows.batches())
    remover.join()


def test_the_open_flows_are_given_out_before_the_error(veth: Wire) -> None:
    flows = veth.near.call(open_flows, "veth0", live=True)
    veth.send([ethernet(udp("10.0.0.1", "10.0.0.2"))])
    veth.near.run("ip", "link", "del", "veth0")
    with flows:
        batches = flows.batches()
        assert next(batches).flows["fwd_packets"].tolist() == [1]
        with pytest.raises(CaptureError, match="disappeared"):
            next(batches)


def test_an_interface_may_go_down_and_come_up(veth: Wire, monkeypatch: Any) -> None:
    frame = ethernet(udp("10.0.0.1", "10.0.0.2"))

    def flap() -> None:
        for _ in range(2):
            veth.send([frame])
            time.sleep(0.3)
            veth.near.run("ip", "link", "set", "veth0", "down")
            time.sleep(0.3)
            veth.near.run("ip", "link", "set", "veth0", "up")
            while "state UP" not in veth.far.run("ip", "link", "show", "veth1"):
                time.sleep(0.05)
        veth.send([frame])

    flows = veth.near.call(open_flows, "veth0", live=True)
    assert listen(flows, flap, monkeypatch).frames == [frame] * 3


def test_an_interface_that_is_down(veth: Wire) -> None:
    veth.near.run("ip", "link", "set", "veth0", "down")
    with pytest.raises(CaptureError, match="veth0 is down: ip link set veth0 up"):
        veth.near.call(open_flows, "veth0", live=True)


def test_an_unknown_interface_names_those_there_are(veth: Wire) -> None:
    with pytest.raises(CaptureError, match="no network interface eth9: choose one of lo, veth0"):
        veth.near.call(open_flows, "eth9", live=True)


def test_a_file_of_an_interfaces_name_is_a_file(
    capture: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "lo").symlink_to(capture)
    monkeypatch.chdir(tmp_path)
    with open_flows("lo") as flows:
        assert not flows.is_live


def _drop_capability() -> None:
    cap_net_raw, pr_capbset_drop = 13, 24
    ctypes.CDLL(None).prctl(pr_capbset_drop, cap_net_raw, 0, 0, 0)  # fails where there is none


def test_without_the_capability_it_says_how_to_grant_it() -> None:
    code = (
        "from idskit.capture.af_packet import open_interface\n"
        "from idskit.errors import CaptureError\n"
        "try: open_interface('lo')\n"
        "except CaptureError as error: print(error)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, preexec_fn=_drop_capability, capture_output=True, text=True, check=True
    )
    assert "interface lo cannot be read without CAP_NET_RAW" in done.stdout
    assert "setcap cap_net_raw+ep" in done.stdout


def test_a_batch_cannot_wait_less_than_nothing(capture: Path) -> None:
    with open_flows(capture) as flows, pytest.raises(IdskitError, match="max_wait_ms is -1"):
        next(flows.batches(max_wait_ms=-1))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_and_the_second_does_what_it_did(number: signal.Signals) -> None:
    stops: list[int] = []
    before = signal.getsignal(number)
    with finish_on_signals(lambda: stops.append(1)):
        signal.raise_signal(number)
        assert signal.getsignal(number) == before
    assert stops == [1]


# The whole program, as a gateway runs it.


def idskit(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "idskit", *map(str, words)]


def is_listening(process: subprocess.Popen[str], namespace: Host) -> bool:
    """Whether the process has bound its socket (to every protocol), and handles SIGTERM."""
    assert process.poll() is None, process.communicate()
    sockets = Path(f"/proc/{namespace.pid}/net/packet").read_text().splitlines()[1:]
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(status.split("SigCgt:")[1].split()[0], 16)
    is_bound = any(line.split()[3] == "0003" for line in sockets)
    return is_bound and bool(caught >> (signal.SIGTERM - 1) & 1)


def resumed(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal to a stopped process, and let it go on."""
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_loses_nothing_that_is_in_the_ring(
    veth: Wire, tmp_path: Path, number: signal.Signals
) -> None:
    """The process sleeps while 500 packets come, and wakes up with the signal."""
    table = tmp_path / "flows.csv"
    command = veth.near.command(*idskit("extract", "-i", "veth0", "-o", table))
    sent = [ethernet(udp(f"10.0.1.{i % 250}", "10.0.0.2")) for i in range(500)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not is_listening(process, veth.near):
            time.sleep(0.05)
        process.send_signal(signal.SIGSTOP)
        veth.send(sent)
        resumed(process, number)
        _, said = process.communicate(timeout=200)  # compiles what is not cached
    assert process.returncode == 0
    assert "250 flows of 500 packets" in said
    header, *rows = csv.reader(table.read_text().splitlines())
    assert len(rows) == 250
    assert {row[header.index("end")] for row in rows} == {"capture_end"}


def test_a_process_without_the_capability_ends_with_one_sentence() -> None:
    command = idskit("extract", "-i", "lo")
    done = subprocess.run(
        command, preexec_fn=_drop_capability, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") <= 3
    assert "CAP_NET_RAW" in done.stderr


def test_the_drain_goes_on_behind_a_block_of_no_frames(veth: Wire) -> None:
    live = veth.near.call(open_interface, "veth0", ring_mb=1)
    live.stop()
    live._ring = ring_of(block([]), block(FRAMES), *[EMPTY] * 6)
    assert sum(len(frames.records) for frames in live.frames()) == 3
    live.close()


def test_fragments_on_an_interface_are_one_packet(veth: Wire, monkeypatch: Any) -> None:
    pieces = [ethernet(each) for each in cut(bytes(udp("192.0.2.1", "192.0.2.2", 40)[20:]), 16)]
    lonely = ethernet(cut(bytes(24), 8, ident=9)[1])
    flows = veth.near.call(open_flows, "veth0")
    heard = listen(flows, lambda: veth.send([*pieces, lonely]), monkeypatch)
    rows = np.concatenate([batch.flows for batch in heard.batches])
    assert sorted(zip(rows["protocol"].tolist(), rows["dst_port"].tolist(), strict=True)) == [
        (17, 2),
        (44, 0),
    ]
    assert heard.statistics.skipped == {"reassembled": len(pieces) - 1}
    assert heard.statistics.fragments["incomplete"] == 1


def test_incomplete_datagrams_are_emitted_by_the_clock(veth: Wire, monkeypatch: Any) -> None:
    clock = itertools.count(time.time_ns() // 1000, 50_000_000)  # goes on each time that it is read
    monkeypatch.setattr(LiveCapture, "now_us", lambda _: next(clock))
    flows = veth.near.call(open_flows, "veth0", live=True)
    with flows:
        veth.send([ethernet(cut(bytes(24), 8)[1])])
        batch = next(flows.batches(size=1))
    assert batch.flows["protocol"].tolist() == [44]
