"""Who is the source: what an attacker forges around a connection changes neither it nor the row."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.flows.tcp_frames import (
    ACK,
    CLIENT,
    FIN,
    PSH,
    RST,
    SERVER,
    SYN,
    Connection,
    Row,
    Segment,
    rows_of,
    write,
)

from idskit.cli import main
from idskit.profiles import open_flows

KINDS = {
    "syn-ack": SYN | ACK,
    "rst": RST,
    "rst-ack": RST | ACK,
    "fin": FIN | ACK,
    "ack": ACK,
    "junk": PSH | ACK,
    "syn of the victim": SYN,
}
WAYS = {
    "ttl 1": {"ttl": 1},
    "wrong checksum": {"checksum": "wrong"},
    "numbers far off": {"seq": 77_000_000, "ack": 99_000_000},
    "plain": {"seq": 5_001, "ack": 900_000_001},
}
DECIDE = ("syn-ack", "rst", "rst-ack", "fin")


def clean() -> Connection:
    return Connection().open().talk().close()


def forged(kind: str, way: str, time_us: int, *, as_victim: bool = False) -> Segment:
    made = Segment(time_us=time_us, flags=KINDS[kind], payload=b"x" * 20 if kind == "junk" else b"")
    if as_victim or kind == "syn of the victim":
        made = replace(made, src=SERVER, dst=CLIENT, src_port=22, dst_port=40_000)
    return replace(made, **{"seq": 5_001, "ack": 900_000_001} | WAYS[way])  # type: ignore[arg-type]


def rows(tmp_path: Path, segments: list[Segment]) -> list[Row]:
    return rows_of(write(tmp_path / "capture.pcap", segments))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Row:
    (row,) = rows(tmp_path_factory.mktemp("clean"), clean().segments)
    assert (row.source, row.features["fwd_packets"], row.features["bwd_packets"]) == (CLIENT, 7, 3)
    return row


@pytest.mark.parametrize("as_victim", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_before_the_handshake_changes_nothing(
    kind: str, way: str, as_victim: bool, expected: Row, tmp_path: Path
) -> None:
    before = forged(kind, way, 900_000, as_victim=as_victim)
    (row,) = [
        r for r in rows(tmp_path, [before, *clean().segments]) if r.features["fwd_packets"] > 1
    ]
    assert (row.source, row.plain()) == (CLIENT, expected.plain())


@pytest.mark.parametrize("at", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_within_the_connection_leaves_it_one_flow(
    kind: str, way: str, at: int, expected: Row, tmp_path: Path
) -> None:
    segments = clean().segments
    segments.insert(at, forged(kind, way, segments[at].time_us - 1))
    (row,) = rows(tmp_path, segments)
    assert row.source == CLIENT
    established = at >= 2
    if way == "ttl 1" and (kind != "syn of the victim" or established):
        assert row.plain() == expected.plain()
        assert row.features["short_lived"] == 1
    if kind in DECIDE and way == "wrong checksum":
        assert row.plain() == expected.plain()
        assert row.features["bad_checksums"] == 1
    if kind in DECIDE and way == "numbers far off" and established:
        assert row.plain() == expected.plain()
        assert row.features["out_of_window"] == 1


@pytest.mark.parametrize("pause_us", [7_000_000, 119_000_000])
@pytest.mark.parametrize("as_victim", [False, True])
@pytest.mark.parametrize("flags", [FIN | ACK, RST, RST | ACK, ACK, SYN | ACK])
def test_a_frame_after_the_close_starts_nothing(
    flags: int, as_victim: bool, pause_us: int, expected: Row, tmp_path: Path
) -> None:
    late = forged("ack", "plain", 2_000_000 + pause_us, as_victim=as_victim)
    capture = write(tmp_path / "capture.pcap", [*clean().segments, replace(late, flags=flags)])
    with open_flows(capture) as flows:
        (batch,) = flows.batches()
        assert flows.statistics.late == 1
    assert batch.features.tolist() == [list(expected.features.values())]


def test_data_after_the_close_keeps_the_orientation(tmp_path: Path) -> None:
    late = forged("junk", "plain", 9_000_000, as_victim=True)
    assert [row.source for row in rows(tmp_path, [*clean().segments, late])] == [CLIENT] * 2


def test_a_port_used_again_is_another_flow(tmp_path: Path) -> None:
    again = Connection(start_us=1_100_000, numbers={True: 10**9, False: 2 * 10**9})
    segments = clean().segments + again.open().talk().close().segments
    first, second = rows(tmp_path, segments)
    assert (first.features["fwd_packets"], second.features["fwd_packets"]) == (7, 7)


@pytest.mark.parametrize("ttl", [1, 64])
@pytest.mark.parametrize("is_closed", [False, True])
@pytest.mark.parametrize("by_victim", [False, True])
def test_a_whole_session_forged_before_leaves_the_real_one_as_it_is(
    by_victim: bool, is_closed: bool, ttl: int, expected: Row, tmp_path: Path
) -> None:
    fake = Connection(start_us=500_000, numbers={True: 3 * 10**9, False: 10**6}).open().talk()
    fake = fake.close() if is_closed else fake
    segments = [replace(segment, ttl=ttl) for segment in fake.segments]
    if by_victim:
        turned = {"src": SERVER, "dst": CLIENT, "src_port": 22, "dst_port": 40_000}
        back = {"src": CLIENT, "dst": SERVER, "src_port": 40_000, "dst_port": 22}
        segments = [
            replace(s, **(turned if s.src == CLIENT else back))  # type: ignore[arg-type]
            for s in segments
        ]
    *_, row = rows(tmp_path, segments + clean().segments)
    assert row.source == CLIENT
    for name in ("fwd_packets", "bwd_packets", "payload_max", "fwd_init_window", "syn_count"):
        assert row.features[name] == expected.features[name], name


@pytest.mark.parametrize("seen", ["both", "server", "client"])
def test_a_capture_that_begins_with_the_answer_finds_who_opened(seen: str, tmp_path: Path) -> None:
    segments = clean().segments[1:]
    if seen != "both":
        segments = [s for s in segments if (s.src == SERVER) == (seen == "server")]
    (row,) = rows(tmp_path, segments)
    assert row.source == CLIENT
    if seen == "server":
        assert (row.features["fwd_packets"], row.features["bwd_packets"]) == (0, 3)


def test_a_lone_answer_has_its_sender_as_the_source(tmp_path: Path) -> None:
    answer = clean().segments[1]
    refusal = replace(clean().segments[2], flags=RST, time_us=1_002_500, seq=answer.ack)
    assert [row.source for row in rows(tmp_path, [answer])] == [SERVER]
    assert [row.source for row in rows(tmp_path, [answer, refusal])] == [SERVER]


def test_a_forged_reset_does_not_end_what_goes_on(expected: Row, tmp_path: Path) -> None:
    segments = clean().segments
    late = [replace(s, time_us=s.time_us + 20_000_000) for s in segments[7:]]
    numbers = {"seq": segments[7].seq, "ack": segments[7].ack}
    reset = replace(forged("rst", "plain", segments[6].time_us + 1), **numbers)  # type: ignore[arg-type]
    (row,) = rows(tmp_path, [*segments[:7], reset, segments[6], *late])
    assert row.source == CLIENT
    assert row.features["fin_count"] == 2


@pytest.mark.parametrize("checksum", ["partial", "zero", "wrong"])
@pytest.mark.parametrize("sender", [CLIENT, SERVER])
def test_checksums_left_to_the_card_of_the_sender_change_nothing(
    checksum: str, sender: str, expected: Row, tmp_path: Path
) -> None:
    segments = [replace(s, checksum=checksum) if s.src == sender else s for s in clean().segments]
    (row,) = rows(tmp_path, segments)
    assert row == expected


def test_a_flood_on_one_port_stays_visible(tmp_path: Path) -> None:
    flood = [Segment(time_us=i, flags=SYN, seq=(i * 2_654_435_761) % 2**32) for i in range(1000)]
    (row,) = rows(tmp_path, flood)
    assert row.features["syn_count"] == 1000


def test_the_guesses_behind_forged_answers_are_found(shared: Path) -> None:
    found = rows_of(shared / "cases" / "evasion" / "synack_guess.pcap")
    guesses = [row for row in found if row.features["before_open"]]
    assert len(guesses) >= 15
    assert {row.source for row in guesses} == {CLIENT}


def test_the_shipped_model_finds_the_guesses_and_names_their_source(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capture = shared / "cases" / "evasion" / "synack_guess.pcap"
    with pytest.raises(SystemExit) as ended:
        main(["detect", "-r", str(capture)])
    assert ended.value.code in (0, None)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    incidents = [event["incident"] for event in events if event["event_type"] == "incident"]
    guesses = [one for one in incidents if one["type"] == "end" and one["label"] == "guessing"]
    assert [one["attacker"] for one in guesses] == [CLIENT]
    assert guesses[0]["flows"] >= 7  # all over Telnet; those over SSH hold zeros instead of SSH
