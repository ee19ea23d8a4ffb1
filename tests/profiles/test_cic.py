"""``cic-fixed`` and ``cic-original`` against the tables of the Java tools, cell by cell."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import SHARED
from tests.flows.engine import run
from tests.flows.packets import packet, to_array
from tests.profiles.java_tables import TOOLS, cases, compare

from idskit.extract.extract import extract
from idskit.flow_input import FlowInput
from idskit.packet import ACK, FIN, RST, SYN, TCP, UDP
from idskit.profiles import schema_named

CASES = [(schema, name) for schema in TOOLS for name in cases(SHARED, schema)]
CLIENT, SERVER = "192.0.2.1", "192.0.2.2"


@pytest.mark.skipif(not CASES, reason="needs the data folder shared/ next to the checkout")
@pytest.mark.parametrize(("schema", "name"), CASES)
def test_every_cell_of_the_java_table_agrees(
    schema: str, name: str, shared: Path, tmp_path: Path
) -> None:
    capture, table = cases(shared, schema)[name]
    extract(FlowInput(capture=capture), tmp_path / "ours.csv", schema=schema)
    result = compare(tmp_path / "ours.csv", table)
    assert result.missing == result.extra == result.differing == []


@pytest.mark.parametrize("capture", ["ssh-session", "hydra-ftp"])
@pytest.mark.parametrize("schema", TOOLS)
def test_unpadded_arp_makes_the_flows_that_the_tool_sees(
    schema: str, capture: str, shared: Path, tmp_path: Path
) -> None:
    folder = shared / "cases" / "arp-pseudo-flow"
    extract(FlowInput(capture=folder / f"{capture}.pcap"), tmp_path / "ours.csv", schema=schema)
    table = folder / f"{capture}.cicflowmeter-{TOOLS[schema][1]}.csv"
    result = compare(tmp_path / "ours.csv", table)
    assert result.missing == result.extra == result.differing == []


def test_all_reference_captures_are_compared(shared: Path) -> None:
    assert {schema: len(cases(shared, schema)) for schema in TOOLS} == {
        "cic-fixed": 41,
        "cic-original": 41,
    }


def tcp(time_s: float, flags: int, *, back: bool = False, **fields: int) -> dict[str, object]:
    ends = [(CLIENT, 50000), (SERVER, 80)]
    (src, src_port), (dst, dst_port) = ends[::-1] if back else ends
    ports = {"src_port": src_port, "dst_port": dst_port}
    return packet(time_s, src, dst, flags=flags, **ports, **fields)


def test_ipv6_follows_the_rules_of_ipv4() -> None:
    def exchange(client: str, server: str) -> list[dict[str, object]]:
        ports = {"src_port": 1, "dst_port": 2}
        back = {"src_port": 2, "dst_port": 1}
        return [
            packet(0, client, server, flags=SYN, **ports),
            packet(1, server, client, flags=SYN | ACK, window=5, **back),
            packet(2, client, server, flags=ACK, payload=100, **ports),
        ]

    four = run("cic-fixed", to_array(exchange(CLIENT, SERVER)))
    six = run("cic-fixed", to_array(exchange("2001:db8::1", "2001:db8::2")))
    assert four.features.tolist() == six.features.tolist()


def test_retransmissions_are_known_again_after_the_120_s_cut() -> None:
    first = tcp(0, ACK, payload=10, sequence=7)
    again = tcp(130, ACK, payload=10, sequence=7)
    result = run("cic-fixed", to_array([first, again]))
    assert result.column("cic-fixed", "Fwd TCP Retrans. Count") == [0, 1]
    assert result.column("cic-fixed", "Total Connection Flow Time") == [0, 130e6]


def test_retransmissions_are_evicted_with_the_connection() -> None:
    closed = [tcp(0, SYN), tcp(1, RST, back=True)]
    result = run("cic-fixed", to_array([*closed, tcp(2, SYN)]))
    assert result.column("cic-fixed", "Fwd TCP Retrans. Count") == [0, 0]


def test_the_memory_of_retransmissions_grows_and_keeps_open_connections() -> None:
    first = [tcp(0.0001 * i, ACK, sequence=i) for i in range(5000)]
    again = [tcp(1 + 0.0001 * i, ACK, sequence=i) for i in range(5000)]
    result = run("cic-fixed", to_array([*first, *again]))
    assert result.column("cic-fixed", "Fwd TCP Retrans. Count") == [5000]


def test_a_full_memory_of_retransmissions_is_counted() -> None:
    packets = [tcp(0.0001 * i, ACK, sequence=i) for i in range(12_000)]
    result = run("cic-fixed", to_array(packets), memory_bytes=1 << 18)
    assert result.state.memory["evicted"][0] > 0
    assert len(result.flows) == 1


def test_flows_of_cic_profiles_never_idle_out() -> None:
    packets = [tcp(0, SYN), *(tcp(t, ACK, back=True) for t in (50, 100, 119))]
    late = packet(100_000, "192.0.2.9", SERVER, protocol=UDP)
    for schema in TOOLS:
        result = run(schema, to_array([*packets, late]), close=False)
        assert len(result.flows) == 0


def test_a_server_fin_closes_the_original_flow_at_once() -> None:
    packets = [tcp(0, SYN), tcp(1, FIN | ACK, back=True), tcp(2, ACK), tcp(3, ACK)]
    result = run("cic-original", to_array(packets))
    assert result.flows["fwd_packets"].tolist() == [1, 2]


def test_the_original_never_writes_a_flow_of_one_packet() -> None:
    assert len(run("cic-original", to_array([tcp(0, SYN)])).flows) == 0


@pytest.mark.parametrize(("schema", "width"), [("cic-fixed", 86), ("cic-original", 76)])
def test_the_schema_has_the_columns_of_the_tool(schema: str, width: int) -> None:
    assert len(schema_named(schema)) == width


def test_protocols_without_ports_share_one_flow_an_address_pair() -> None:
    packets = [packet(i, CLIENT, SERVER, protocol=p) for i, p in enumerate((47, 50, 89))]
    result = run("cic-fixed", to_array(packets))
    assert result.flows["protocol"].tolist() == [0]
    assert result.flows["fwd_packets"].tolist() == [3]


def test_two_ports_of_one_host_are_all_forward() -> None:
    packets = [
        packet(0, CLIENT, CLIENT, src_port=1, dst_port=2, protocol=TCP),
        packet(1, CLIENT, CLIENT, src_port=2, dst_port=1, protocol=TCP),
    ]
    result = run("cic-fixed", to_array(packets))
    assert result.flows["fwd_packets"].tolist() == [2]
