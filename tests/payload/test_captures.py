"""Payload columns of whole captures against the reference, flow by flow and column by column.

The packets are the engine's own; which flow they are of, what they mean and how that adds up is
computed anew.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.flows.capture_files import read
from tests.flows.fragmentation import cut_frame
from tests.profiles.naive_gateway import Flow, Gateway, features

from idskit.capture.capture_file import open_capture
from idskit.decode.datagrams import make_datagrams
from idskit.decode.layers import SKIP_REASONS
from idskit.decode.reassembly import give_up, reassemble
from idskit.packet import PACKET
from idskit.profiles import open_flows
from idskit.schemas.payload_columns import PAYLOAD

ROOT = Path(__file__).resolve().parents[2]
NAMES = [feature.name for feature in PAYLOAD]
CHUNK = 500  # packets decoded at once


def packets_of(path: Path) -> Iterator[dict[str, Any]]:
    """The packets of a capture with the bytes of their payloads."""
    datagrams, skipped = make_datagrams(1 << 24, None), np.zeros(len(SKIP_REASONS), np.int64)
    rows = np.zeros(CHUNK, PACKET)
    with open_capture(path) as capture:
        for frames in capture.frames():
            first = 0
            while first < len(frames.records):
                first, count = reassemble(frames, first, rows, skipped, datagrams)
                yield from (named(row, frames.data, datagrams.kept) for row in rows[:count])
    count = give_up(datagrams, rows, skipped)
    yield from (named(row, rows.view(np.uint8), rows.view(np.uint8)) for row in rows[:count])


def named(row: np.void, frames: Any, kept: Any) -> dict[str, Any]:
    values = {name: row[name].item() for name in PACKET.names or ()}
    data, at = kept if values["payload_kept"] else frames, values["payload_at"]
    return values | {"content": data[at : at + values["payload_held"]].tobytes()}


def key_of(flow: Flow) -> tuple[int, ...]:
    ports = (0, 0) if flow.protocol in (1, 58) else (flow.src_port, flow.dst_port)
    forward = sum(flow.forward)
    counts = forward, len(flow.forward) - forward
    return flow.start, flow.last, *flow.src, *flow.dst, *ports, flow.protocol, *counts


def expected(path: Path) -> list[tuple[tuple[int, ...], list[float]]]:
    reference = Gateway()
    for packet in packets_of(path):
        reference.feed(packet)
    reference.close()
    made = [(key_of(flow), features(flow)[-len(NAMES) :]) for flow in reference.done]
    return sorted(made)


def found(path: Path) -> list[tuple[tuple[int, ...], list[float]]]:
    names = ("start_us", "end_us", "src_high", "src_low", "dst_high", "dst_low")
    names += ("src_port", "dst_port", "protocol", "fwd_packets", "bwd_packets")
    made = []
    with open_flows(path, "gateway") as flows:
        for batch in flows.batches():
            keys = zip(*(batch.flows[name].tolist() for name in names), strict=True)
            made += zip(keys, batch.features[:, -len(NAMES) :].tolist(), strict=True)
    return sorted(made)


def assert_as_reference(path: Path) -> None:
    ours, theirs = found(path), expected(path)
    assert [key for key, _ in ours] == [key for key, _ in theirs]
    for (key, row), (_, right) in zip(ours, theirs, strict=True):
        wrong = [
            f"{name} is {value}, not {each}"
            for name, value, each in zip(NAMES, row, right, strict=True)
            if abs(value - each) > 1e-6 * max(1, each)
        ]
        assert not wrong, f"{key}: {wrong}"


def test_the_shipped_sample(tmp_path: Path) -> None:
    whole = ROOT / "toolkit" / "shipped" / "sample.pcap"
    frames, records, _ = read(whole)
    some = slice(0, len(frames), 3)  # every third: messages, replies and openings are missing
    assert_as_reference(write(tmp_path / "some.pcap", frames[some], records[some], 1 << 16))


GOLDEN = [f"{name}.pcap" for name in (
    *("a_client_fin", "b_server_fin", "c_timeout", "d_rst", "e_rst_then_data", "f_active_idle"),
    *("g_bulk", "h_two_fwd_fin", "i_single", "j_psh_urg", "k_synack_first", "l_trunc", "m_frag"),
    *("n_vlan", "o_icmp", "q_tso_len0", "r_backward_time", "s_zero_dur", "t_rev_tuple", "u_sctp"),
)]  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_captures(name: str, shared: Path) -> None:
    assert_as_reference(present(shared / "data" / "pcap" / "golden" / name))


NAMED = """
attack/malcolm_PrintNightmare.pcap attack/malcolm_CVE-2022-24497.pcap attack/zeek_heartbleed.pcap
attack/sverify_kerberoast.pcap attack/sverify_20171220-smb-at-schedule.pcap
attack/markofu_blaster.pcap attack/malcolm_Pingback-ICMP.pcap attack/samples_teardrop.pcap
attack/ndpi_dns2tcp-tunnel.pcap attack/markofu_xprobe-icmp-m.pcap attack/avdemo_portscan.pcap
attack/markofu_Mafia-moblog-SQL-Injection.pcap
attack/markofu_vsftpd-large-CWD-commands-Memory-Corruption.pcap
benign/samples_DNS-TCP-HTTP.pcap benign/malcolm_dns-over-tcp.pcap benign/ndpi_dns-fragmented.pcap
benign/ndpi_tls-ech.pcapng benign/zeek_tls13-ech.pcap benign/ndpi_ftp-start-tls.pcap
benign/markofu_ipfragments.pcap benign/sanders_ipv6-fragments.pcapng benign/samples_vlan.pcap
benign/sverify_tests-quic-frag-input.pcap benign/zeek_tls-fragmented-handshake.pcap
benign/iti_dnp3-select-operate.pcap benign/iti_modbus-test-data-part1.pcap benign/ndpi_bacnet.pcapng
benign/iti_s7comm-varservice-libnodavedemo.pcap benign/ndpi_ethernetIP.pcap
benign/sverify_tests-mqtt5-pub-qos2-input.pcap benign/sverify_mqtt5-pub-jpeg-connack134.pcap
benign/zeek_pop3.pcap benign/ndpi_imap.pcap benign/samples_smtp.pcap benign/malcolm_DHCP.pcap
benign/zeek_ntpmode67.pcap benign/sverify_SNMPv3.pcap benign/samples_pppoe-v2.pcap
benign/samples_POS-SDH-ppp.pcap benign/zeek_socks.pcap benign/samples_iperf-mptcp-0-0.pcap
benign/samples_icmp-unreachable-ping.pcap benign/ndpi_sctp.pcap benign/samples_ipv6-6to4.pcapng
"""


@pytest.mark.parametrize("name", NAMED.split())
def test_captures_of_real_networks(name: str, shared: Path) -> None:
    assert_as_reference(present(shared / "data" / "pcap" / "wild" / name))


def present(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"needs the capture {path.name}")
    return path


def write(path: Path, frames: list[bytes], records: Any, snap: int) -> Path:
    """The same frames at their times, of which the capture keeps ``snap`` bytes."""
    parts = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, snap, int(records["link_type"][0]))]
    for frame, time_ns in zip(frames, records["time_ns"].tolist(), strict=True):
        kept = frame[:snap]
        parts.append(struct.pack("<IIII", *divmod(time_ns, 10**9), len(kept), len(frame)) + kept)
    path.write_bytes(b"".join(parts))
    return path


# How else the same packets may come.


def tag(frames: list[bytes]) -> list[list[bytes]]:
    return [[frame[:12] + b"\x81\0\0\7" + frame[12:]] for frame in frames]


def cut(frames: list[bytes]) -> list[list[bytes]]:
    return [cut_frame(frame, 64, number) for number, frame in enumerate(frames)]


def lose_openings(frames: list[bytes]) -> list[list[bytes]]:
    """Without SYNs: whoever is heard first is the source, and turns out not to be."""
    return [[] if frame[23] == 6 and frame[47] & 0x3F == 2 else [frame] for frame in frames]


def as_they_are(frames: list[bytes]) -> list[list[bytes]]:
    return [[frame] for frame in frames]


MIXED = ("attack/sverify_kerberoast.pcap", "benign/samples_DNS-TCP-HTTP.pcap")


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize(
    ("change", "snap"),
    [(tag, 9000), (cut, 9000), (lose_openings, 9000), (as_they_are, 90), (as_they_are, 200)],
)
def test_packets_that_come_otherwise(
    change: Callable[[list[bytes]], list[list[bytes]]],
    snap: int,
    name: str,
    shared: Path,
    tmp_path: Path,
) -> None:
    frames, records, _ = read(present(shared / "data" / "pcap" / "wild" / name))
    changed = change(frames)
    numbers = [number for number, some in enumerate(changed) for _ in some]
    together = [frame for some in changed for frame in some]
    assert_as_reference(write(tmp_path / "otherwise.pcap", together, records[numbers], snap))
