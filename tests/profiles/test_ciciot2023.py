"""The ``ciciot2023`` profiles against the scripts' own tables, and against dpkt in Python."""

from __future__ import annotations

import csv
import gzip
import io
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.flows.capture_files import pcap, read
from tests.profiles.naive_ciciot2023 import windows

from idskit.capture.capture_file import open_capture
from idskit.extract.extract import extract
from idskit.flow import ENDS, FLOW
from idskit.flow_input import FlowInput
from idskit.flows.flow_records import Settings, new_output
from idskit.packet import PACKET
from idskit.profiles import FlowBatch, open_flows, schema_named
from idskit.profiles.ciciot2023.ciciot2023_windows import PIECE_BYTES, PacketWindows
from idskit.schema import Schema
from idskit.schemas.ciciot2023_columns import FIRST

REFERENCES = [
    "WebattackSQLinj",
    "alexa-app",
    "amp.dns.RRSIG.fragmented",
    "arppoison",
    "coap_mqtt",
    "dnp3",
    "dns_exfiltration",
    "ftp-bruteforce",
    "http_dvwa_sqlinjection",
    "http_espn",
    "iotsentinel_Aria_Setup-A-1-STA",
    "iotsentinel_HueBridge_Setup-A-1-STA",
    "mail_sender_attachment",
    "modbus",
    "mqtt",
    "sshguess",
    "synscan",
    "test7-malicious",
    "tplink_shp",
    "trickbot",
]
# Fragments, VLAN tags, quoted packets, cut frames, no length, tunnels with padding inside.
ODD = [
    "golden/l_trunc.pcap",
    "golden/m_frag.pcap",
    "golden/n_vlan.pcap",
    "golden/o_icmp.pcap",
    "golden/q_tso_len0.pcap",
    "golden/r_backward_time.pcap",
    "golden/u_sctp.pcap",
    "edge/tcpdump/icmp-rfc5837.pcap",
    "edge/suricata-verify/bug-2576-01-ips__temp6.pcap",
]


def everything(path: Path, schema: str, **settings: int) -> FlowBatch:
    """All rows of a capture in one batch."""
    with open_flows(path, schema, **settings) as flows:
        batches = list(flows.batches())
    width = len(schema_named(schema))
    return FlowBatch(
        schema=schema_named(schema),
        flows=np.concatenate([np.zeros(0, FLOW), *(batch.flows for batch in batches)]),
        features=np.concatenate([np.zeros((0, width)), *(batch.features for batch in batches)]),
    )


def table(folder: Path) -> list[dict[str, str]]:
    """The scripts' own table of a capture."""
    path = next(folder.glob("ciciot2023-pcap2csv.csv*"))
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.DictReader(io.StringIO(content.decode())))


@pytest.mark.parametrize("name", REFERENCES)
def test_every_published_cell_of_the_reference_tables(shared: Path, name: str) -> None:
    folder = shared / "data/pcap/flow-reference" / name
    expected = table(folder)
    batch = everything(folder / "capture.pcap", "ciciot2023")
    cells = [[float(row[column]) for column in batch.schema.names] for row in expected]
    np.testing.assert_allclose(batch.features, np.array(cells), rtol=1e-6, atol=0)


def frames_of(path: Path) -> list[tuple[int, bytes]]:
    frames, records, _ = read(path)
    return list(zip((records["time_ns"] // 1000).tolist(), frames, strict=True))


def assert_as_naive(path: Path, schema: str, size: int, *, later: bool) -> None:
    expected = windows(frames_of(path), size, PIECE_BYTES, later=later)
    got = everything(path, schema).features
    np.testing.assert_allclose(
        got, np.array(expected).reshape(-1, got.shape[1]), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("name", ["coap_mqtt", "iotsentinel_HueBridge_Setup-A-1-STA", "synscan"])
@pytest.mark.parametrize(
    ("schema", "size", "later"),
    [("ciciot2023-100", 100, False), ("ciciot2023-39", 10, True), ("ciciot2023-39-100", 100, True)],
)
def test_other_windows_and_the_later_version(
    shared: Path, name: str, schema: str, size: int, later: bool
) -> None:
    path = shared / "data/pcap/flow-reference" / name / "capture.pcap"
    assert_as_naive(path, schema, size, later=later)


@pytest.mark.parametrize("name", ODD)
def test_odd_frames_are_read_as_dpkt_reads_them(shared: Path, name: str) -> None:
    assert_as_naive(shared / "data/pcap" / name, "ciciot2023", 10, later=False)


# Captures made here.


def ipv4(protocol: int, body: bytes, *, src: int = 1, dst: int = 2, ttl: int = 64) -> bytes:
    """An Ethernet frame with an IPv4 packet between 10.0.0.src and 10.0.0.dst."""
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, ttl, protocol, 0)
    packet = head + bytes([10, 0, 0, src, 10, 0, 0, dst]) + body
    return bytes(12) + b"\x08\x00" + packet


def tcp(src_port: int, dst_port: int, flags: int, payload: int = 0) -> bytes:
    return struct.pack(">HHIIBBHHH", src_port, dst_port, 0, 0, 0x50, flags, 9, 0, 0) + bytes(
        payload
    )


def udp(src_port: int, dst_port: int, payload: int = 0) -> bytes:
    return struct.pack(">HHHH", src_port, dst_port, 8 + payload, 0) + bytes(payload)


def arp(padding: int = 0) -> bytes:
    body = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + bytes(6) + bytes([10, 0, 0, 7])
    return bytes(12) + b"\x08\x06" + body + bytes(6) + bytes([10, 0, 0, 8]) + bytes(padding)


def made(path: Path, frames: list[bytes], step_us: int = 1000) -> Path:
    """A capture of frames at a steady pace, from second 100 on."""
    records = [(100 + i * step_us // 10**6, i * step_us % 10**6, f) for i, f in enumerate(frames)]
    path.write_bytes(pcap(records))
    return path


def column(batch: FlowBatch, name: str) -> list[float]:
    return batch.features[:, batch.schema.names.index(name)].tolist()


def single(path: Path, frame: bytes, name: str, schema: str = "ciciot2023") -> float:
    return column(everything(made(path, [frame]), schema), name)[0]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return tmp_path / "made.pcap"


@pytest.mark.parametrize(
    ("name", "protocol", "src_port", "dst_port"),
    [
        ("HTTP", 6, 80, 5000),
        ("HTTPS", 6, 5000, 443),
        ("DNS", 17, 53, 5000),
        ("Telnet", 6, 5000, 23),
        ("SMTP", 6, 25, 5000),
        ("SSH", 6, 5000, 22),
        ("IRC", 6, 5000, 21),
        ("DHCP", 17, 67, 68),
        ("DHCP", 17, 67, 5000),
    ],
)
def test_service_ports(
    capture: Path, name: str, protocol: int, src_port: int, dst_port: int
) -> None:
    body = tcp(src_port, dst_port, 2) if protocol == 6 else udp(src_port, dst_port)
    assert single(capture, ipv4(protocol, body), name) == 1


@pytest.mark.parametrize(
    ("name", "body", "protocol"),
    [
        ("DNS", tcp(5000, 53, 2), 6),
        ("HTTP", udp(5000, 80), 17),
        ("DHCP", udp(68, 67), 17),  # from client to server it does not count
        ("IRC", tcp(5000, 6667, 2), 6),
    ],
)
def test_services_that_the_scripts_miss(
    capture: Path, name: str, body: bytes, protocol: int
) -> None:
    assert single(capture, ipv4(protocol, body), name) == 0


def test_counts_go_by_the_wrong_names(capture: Path) -> None:
    flags = [1, 2, 4, 8, 16]  # FIN, SYN, RST, PSH, ACK
    frames = [ipv4(6, tcp(1000, 80, 0))] * 4 + [ipv4(6, tcp(1000, 80, flags[0]))]
    batch = everything(made(capture, frames), "ciciot2023")
    assert column(batch, "ack_count") == [1 / 5]
    names = ["ack_count", "syn_count", "fin_count", "urg_count", "rst_count"]
    for name, flag in zip(names, flags, strict=True):
        assert single(capture, ipv4(6, tcp(1000, 80, flag)), name) == 1


def test_rate_stays_at_that_of_another_flow(capture: Path) -> None:
    flow = [ipv4(6, tcp(1000, 80, 16)), ipv4(6, tcp(1000, 80, 16))]
    batch = everything(made(capture, [*flow, arp()]), "ciciot2023")
    assert column(batch, "Rate") == pytest.approx([(0 + 2000 + 2000) / 3], rel=1e-6)


def test_drate_counts_only_packets_from_an_endpoint_to_itself(capture: Path) -> None:
    land = ipv4(6, tcp(80, 80, 2), src=3, dst=3)
    batch = everything(made(capture, [land, land]), "ciciot2023")
    assert column(batch, "Drate") == pytest.approx([1000], rel=1e-6)
    other = everything(made(capture, [ipv4(6, tcp(80, 81, 2))] * 2), "ciciot2023")
    assert column(other, "Drate") == [0]


def test_weight_over_twenty_packets_is_the_constant_of_the_published_tables(capture: Path) -> None:
    batch = everything(made(capture, [arp()] * 20), "ciciot2023")
    assert sum(column(batch, "Weight")) / 2 == pytest.approx(141.55)
    assert sum(column(batch, "Number")) / 2 == 9.5


def test_iat_is_the_epoch_on_the_first_and_every_twentieth_packet(capture: Path) -> None:
    batch = everything(made(capture, [arp()] * 20), "ciciot2023")
    first, second = (value * 10 for value in column(batch, "IAT"))
    assert first == pytest.approx(100 + 0.009)
    assert second == pytest.approx(100.019 + 0.009)


def test_padding_counts_behind_arp_only(capture: Path) -> None:
    assert single(capture, arp(padding=18), "Tot size") == 60
    padded = ipv4(6, tcp(1, 2, 2)) + bytes(6)
    assert single(capture, padded, "Tot size") == 54
    assert single(capture, padded, "Tot size", "ciciot2023-39") == 60


@pytest.mark.parametrize(
    "frame",
    [
        bytes(12) + b"\x86\xdd" + b"\x60" + bytes(39),
        bytes(12) + b"\x81\x00\x00\x01\x08\x00" + ipv4(6, tcp(1, 2, 2))[14:],
        ipv4(6, tcp(1, 2, 2))[:33],
        bytes(13),
    ],
    ids=["IPv6", "VLAN", "cut IPv4 header", "cut Ethernet header"],
)
def test_frames_that_make_no_row(capture: Path, frame: bytes) -> None:
    batch = everything(made(capture, [arp(), frame, arp()]), "ciciot2023-39")
    assert column(batch, "Number") == [2]


def test_a_cut_transport_header_leaves_neither_tcp_nor_udp(capture: Path) -> None:
    frame = ipv4(6, tcp(80, 80, 2))[:-1]
    assert single(capture, frame, "TCP") == 0
    assert single(capture, frame, "IPv") == 1
    assert single(capture, frame, "Protocol Type") == 6


def test_a_row_bears_the_name_of_its_first_packet(capture: Path) -> None:
    frames = [arp(), *[ipv4(17, udp(5353, 53), src=4)] * 10]
    batch = everything(made(capture, frames), "ciciot2023")
    assert batch.sources() == ["10.0.0.7", "10.0.0.4"]
    assert batch.destinations() == ["10.0.0.8", "10.0.0.2"]
    assert batch.flows["dst_port"].tolist() == [0, 53]
    assert batch.flows["fwd_packets"].tolist() == [10, 1]
    assert batch.flows["start_us"].tolist() == [100_000_000, 100_010_000]
    assert batch.flows["end_us"].tolist() == [100_009_000, 100_010_000]
    assert [ENDS[end] for end in batch.flows["end"]] == ["close", "capture_end"]


# Pieces.


def long_capture(path: Path) -> Path:
    """A little more than one piece, of large packets in two flows, with ARP between them."""
    count = PIECE_BYTES // 60_000 + 40
    frames = [ipv4(17, udp(1000 + i % 2, 9, 60_000)) if i % 7 else arp() for i in range(count)]
    return made(path, frames)


@pytest.mark.parametrize(
    ("schema", "size", "later"), [("ciciot2023", 10, False), ("ciciot2023-39-100", 100, True)]
)
def test_a_piece_of_ten_megabytes_starts_anew(
    capture: Path, schema: str, size: int, later: bool
) -> None:
    path = long_capture(capture)
    assert "replaced" in [ENDS[end] for end in everything(path, schema).flows["end"]]
    assert_as_naive(path, schema, size, later=later)


def test_a_piece_counts_frames_that_make_no_row(capture: Path) -> None:
    ipv6 = bytes(12) + b"\x86\xdd" + b"\x60" + bytes(60_000)
    frames = [arp(), *[ipv6] * (PIECE_BYTES // 60_000 + 1), arp()]
    assert len(everything(made(capture, frames), "ciciot2023")) == 2


def test_without_pieces_nothing_starts_anew(capture: Path) -> None:
    path = long_capture(capture)
    profile = PacketWindows(SCHEMA=Schema(name="whole", features=FIRST), piece_bytes=0)
    state, output = profile.make(Settings(memory_bytes=1 << 20)), new_output(100, len(FIRST))
    with open_capture(path) as frames:
        for chunk in frames.frames():
            rows = profile.reread(chunk, np.zeros(0, PACKET))
            assert profile.advance(state, output, rows, 0) == len(rows)
    count = int(state.table.state["emitted"][0])
    expected = windows(frames_of(path), 10, 0, later=False)
    got = output.features.reshape(100, -1)[:count]
    np.testing.assert_allclose(got, np.array(expected[:count]), rtol=1e-6, atol=1e-9)
    assert count == len(expected) - 1  # the last one is not full


# Bounds.


def test_flows_beyond_the_budget_are_evicted_and_counted(capture: Path) -> None:
    frames = [ipv4(17, udp(i % 60_000, i // 60_000)) for i in range(12_000)]
    with open_flows(made(capture, frames), "ciciot2023", memory_mb=1) as flows:
        rows = sum(len(batch) for batch in flows.batches())
    assert rows == 1200
    assert 0 < flows.statistics.evicted < 12_000


def test_the_flow_silent_for_longest_is_evicted(capture: Path) -> None:
    kept = ipv4(17, udp(1, 1), src=9)
    frames = [kept if i % 100 == 0 else ipv4(17, udp(i, 2)) for i in range(12_001)]
    batch = everything(made(capture, frames, step_us=10), "ciciot2023", memory_mb=1)
    assert column(batch, "Header_Length")[-1] == 121 * 42  # alone in the last row: all of its bytes


def test_rows_do_not_depend_on_the_size_of_batches(capture: Path) -> None:
    path = long_capture(capture)
    with open_flows(path, "ciciot2023") as flows:
        small = np.concatenate([batch.features for batch in flows.batches(size=1)])
    np.testing.assert_array_equal(small, everything(path, "ciciot2023").features)


# Schemas and tables.


def test_columns_are_those_of_the_published_tables(shared: Path) -> None:
    first = schema_named("ciciot2023").names
    published = table(shared / "data/pcap/flow-reference/mqtt")[0]
    dropped = set(published) - set(first)
    assert list(first) == [name for name in published if name not in dropped]
    with gzip.open(shared / "data/ciciot2023/SqlInjection.pcap.csv.gz", "rt") as file:
        assert schema_named("ciciot2023-39").names == tuple(file.readline().strip().split(","))


def test_a_model_of_one_window_does_not_take_the_other() -> None:
    names = ["ciciot2023", "ciciot2023-100", "ciciot2023-39", "ciciot2023-39-100"]
    assert len({schema_named(name).sha256 for name in names}) == 4


def test_a_window_of_one_packet_is_as_the_publisher_writes_it(capture: Path) -> None:
    batch = everything(made(capture, [arp()]), "ciciot2023-39")
    assert column(batch, "Rate") == [math.inf]
    assert math.isnan(column(batch, "Std")[0])
    assert math.isnan(column(batch, "Variance")[0])


def test_extract_writes_the_published_spellings(capture: Path, tmp_path: Path) -> None:
    given = FlowInput(capture=made(capture, [arp()] * 10))
    extract(given, tmp_path / "rows.csv", schema="ciciot2023")
    header, *rows = (tmp_path / "rows.csv").read_text().splitlines()
    assert ",Magnitue," in header
    assert header.split(",")[-46:] == list(schema_named("ciciot2023").names)
    assert len(rows) == 1


# The publisher's own rows of the later version: the identities that its definitions imply.


@pytest.fixture(scope="module")
def published(shared: Path) -> dict[str, NDArray[np.float64]]:
    """Columns of the two files whose numbers are printed in full, without the last short row."""
    rows = []
    for name in ("SqlInjection", "BrowserHijacking"):
        with gzip.open(shared / f"data/ciciot2023/{name}.pcap.csv.gz", "rt") as file:
            header, *lines = csv.reader(file)
            rows += [line for line in lines if "" not in line and "inf" not in line]
    return dict(zip(header, np.array(rows, np.float64).T, strict=True))


def test_published_sizes_and_spread(published: dict[str, NDArray[np.float64]]) -> None:
    mean = published["Tot sum"] / published["Number"]
    np.testing.assert_allclose(published["AVG"], mean, rtol=1e-9)
    np.testing.assert_allclose(published["Tot size"], mean, rtol=1e-9)
    np.testing.assert_allclose(published["Variance"], published["Std"] ** 2, rtol=1e-6)


def test_published_variance_is_that_of_a_sample(published: dict[str, NDArray[np.float64]]) -> None:
    """(n - 1) times it is a sum of squares less a whole number squared over n: n times is whole."""
    count = published["Number"]
    whole = published["Variance"] * (count - 1) * count
    np.testing.assert_allclose(whole, np.round(whole), atol=1e-3, rtol=1e-9)


def test_published_counts_are_sums_of_flags(published: dict[str, NDArray[np.float64]]) -> None:
    for name in ("ack", "syn", "fin", "rst"):
        flags = published[f"{name}_flag_number"] * published["Number"]
        np.testing.assert_allclose(published[f"{name}_count"], flags, atol=1e-6)


def test_published_protocol_is_the_most_frequent(published: dict[str, NDArray[np.float64]]) -> None:
    shares = np.stack([published[name] for name in ("ARP", "ICMP", "IGMP", "TCP", "UDP")])
    most = np.array([0, 1, 2, 6, 17])[np.argmax(np.round(shares, 6), axis=0)]
    known = shares.sum(axis=0) > 0.999
    assert np.mean(most[known] == published["Protocol Type"][known]) == 1


def test_published_first_rate_is_packets_over_time(
    published: dict[str, NDArray[np.float64]],
) -> None:
    """In a file's first row IAT is 0 for the first packet, so Rate and mean IAT are inverse."""
    assert published["Rate"][0] * published["IAT"][0] == pytest.approx(1, rel=1e-5)
    assert np.all(published["Rate"] * published["IAT"] > 0.999)
