"""Disguises do what they say, and the command that measures them counts rightly."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import dpkt
import pytest
from tests.flows import evasion
from tests.flows.disguises import (
    FAKE_SYN_ACK,
    Connection,
    Connections,
    attacks,
    covered,
    each,
    exchange,
    forged,
    guesses,
    in_fragments,
    only_first,
    only_initiator,
    read_connections,
    read_records,
    slowed,
    spoofed,
    stretched,
    write_records,
)
from tests.flows.evasion import DISGUISES, SHIPPED, Outcome, compare, outcomes, table
from tests.flows.raw import Endpoints, fragments, take_apart

from idskit.detect.detector import Detector


@pytest.fixture(scope="module")
def sample() -> Connections:
    return read_connections(SHIPPED / "sample.pcap", SHIPPED / "sample.labels.csv")


@pytest.fixture(scope="module")
def guessing(sample: Connections) -> Connections:
    return [one for one in sample if guesses(one)]


def joined(pieces: list[bytes]) -> bytes:
    """Body of a datagram by dpkt's reading of its fragments."""
    parts = {}
    for piece in pieces:
        ip = dpkt.ethernet.Ethernet(piece).data
        if isinstance(ip, dpkt.ip.IP):
            parts[ip.offset * 8] = bytes(ip.data)
        else:
            at = ip.extension_hdrs[dpkt.ip.IP_PROTO_FRAGMENT].frag_off * 8
            parts[at] = bytes(ip)[-(ip.plen - 8) :]
    body = b"".join(parts[at] for at in sorted(parts))
    assert list(parts) == list(itertools.accumulate([0, *map(len, parts.values())]))[:-1]
    return body


@pytest.mark.parametrize("size", [8, 16, 24])
def test_fragments_hold_the_whole_packet(sample: Connections, size: int) -> None:
    for one in sample[::40]:
        for _, frame in one.records[:3]:
            body = take_apart(frame).body
            pieces = list(fragments(frame, size, 7))
            assert len(pieces) == -(-len(body) // size)
            if len(pieces) > 1:
                assert joined(pieces) == body


def is_right(frame: bytes) -> bool:
    """Whether dpkt, asked for checksums of its own, makes the same frame."""
    ip = dpkt.ethernet.Ethernet(frame).data
    before = ip.sum, ip.data.sum
    ip.sum = ip.data.sum = 0
    again = dpkt.ip.IP(bytes(ip))
    return before == (again.sum, again.data.sum)


def test_checksums_are_right_unless_forged() -> None:
    ends = Endpoints("192.0.2.1", 40000, "198.51.100.2", 443)
    assert all(is_right(frame) for _, frame in exchange(ends, 0))
    assert not is_right(FAKE_SYN_ACK(ends))
    assert dpkt.ethernet.Ethernet(FAKE_SYN_ACK(ends)).data.ttl == 1


def test_only_the_attackers_packets_are_cut(guessing: Connections) -> None:
    one = guessing[0]
    changed = in_fragments(8, both_sides=False)(one)
    backward = [record for record in one.records if not one.is_forward(record)]
    assert [record for record in changed.records if record in backward] == backward
    assert len(changed.records) > 2 * (len(one.records) - len(backward))


def test_lost_packets(guessing: Connections) -> None:
    one = guessing[0]
    assert only_first(one).records == one.records[:1]
    sides = {take_apart(frame).ends.src for _, frame in only_initiator(one).records}
    assert sides == {one.ends.src}


def test_forged_frames_come_right_before(guessing: Connections) -> None:
    one = forged(FAKE_SYN_ACK, FAKE_SYN_ACK)(guessing[0])
    assert [time - one.first for time, _ in one.extra] == [-2, -1]
    assert one.records == guessing[0].records


@pytest.mark.parametrize("factor", [3, 30])
def test_slowness(guessing: Connections, factor: int) -> None:
    def gaps(connections: Connections) -> list[int]:
        ssh = [one.first for one in connections if one.category == "ssh-guessing"]
        return [b - a for a, b in itertools.pairwise(sorted(ssh))]

    for disguise in (slowed(factor), stretched(factor)):
        assert gaps(disguise(guessing)) == [factor * gap for gap in gaps(guessing)]
    lengths = [one.last - one.first for one in guessing]
    assert [one.last - one.first for one in slowed(factor)(guessing)] == lengths
    assert [one.last - one.first for one in stretched(factor)(guessing)] == [
        factor * length for length in lengths
    ]


def test_cover_is_answered_and_elsewhere(guessing: Connections) -> None:
    made = each(covered(3), guesses)(guessing)
    flows = {
        frozenset((ends[:2], ends[2:]))
        for one in made
        for ends in (take_apart(frame).ends for _, frame in one.extra)
    }
    assert len(flows) == 3 * len(guessing)
    victims = {one.ends.dst for one in guessing}
    assert not victims & {take_apart(frame).ends.dst for one in made for _, frame in one.extra}


def test_spoofed_flows_are_a_stream_of_different_sources(guessing: Connections) -> None:
    endless = spoofed(guessing, 1 << 24)
    packets = [(time, take_apart(frame).ends) for time, frame in itertools.islice(endless, 5000)]
    assert len({ends.src for _, ends in packets}) == 5000
    assert [time for time, _ in packets] == sorted(time for time, _ in packets)


def test_the_plain_sample_is_written_as_it_was(sample: Connections, tmp_path: Path) -> None:
    write_records(tmp_path / "again.pcap", sample)
    again = list(read_records(tmp_path / "again.pcap"))
    assert sorted(again) == sorted(read_records(SHIPPED / "sample.pcap"))
    assert [time for time, _ in again] == sorted(time for time, _ in again)


def test_a_lost_family_misses_the_goal(sample: Connections) -> None:
    everything = frozenset(number for number, one in enumerate(sample) if attacks(one))
    plain = Outcome(found=everything, named=everything, false_alarms=1)
    lost = frozenset(number for number in everything if not guesses(sample[number]))
    row = compare(sample, plain, replace(plain, found=lost, named=lost))
    assert row.kept > 0.97
    assert row.worst == 0
    assert not row.reaches
    assert compare(sample, plain, plain).reaches
    assert not compare(sample, plain, replace(plain, named=lost)).reaches
    assert not compare(sample, plain, replace(plain, false_alarms=2)).reaches


def test_the_command_finds_what_detect_finds(guessing: Connections) -> None:
    chosen = {name: DISGUISES[name] for name in ("forged ACK before", "all gaps times 10")}
    found = list(outcomes(Detector.load(), guessing, chosen, 500))
    assert [name for name, _ in found] == [
        "as it is", *chosen, "500 spoofed flows between"
    ]  # fmt: skip
    plain = found[0][1]
    assert len(plain.found) >= 14  # of 16
    assert plain.named == plain.found
    assert not plain.false_alarms
    lines = list(table(guessing, iter(found)))
    assert len(lines) == 2 + len(found)
    assert len({line.count("|") for line in lines}) == 1


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("sys.argv", ["evasion", "--only", "1 answered", "--spoofed", "0"])
    evasion.main()
    lines = capsys.readouterr().out.splitlines()
    counts = Counter(line.split("|")[1].strip() for line in lines[2:])
    assert counts == {"as it is": 1, "1 answered HTTPS flow per guess": 1}


def test_every_family_is_labelled(sample: Connections) -> None:
    def is_used(one: Connection) -> bool:
        return bool(one.records)

    assert all(map(is_used, sample))
    assert sum(len(one.records) for one in sample) == 3600
