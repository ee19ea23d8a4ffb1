"""Labels from what reading captures gave: display filters over flows, verdicts, the overlay."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from idskit.data import reviews
from idskit.data.capture_labels import Capture, find_captures
from idskit.data.display_filter import FALSE, TRUE, UNCERTAIN, flows_selected, parse
from idskit.data.labelled_captures import how_labelled, read_capture
from idskit.data.reviews import Review, find_reviews
from idskit.errors import DataError
from idskit.flow import FLOW
from idskit.generate import generate

HEADER = "file,published,verdict,attackers,victims,attack_filter,kind,where\n"


def record(source: str, destination: str, protocol: int, *, answered: bool = True) -> tuple:
    """A FLOW record of addresses and ports written as ``10.0.0.1:80`` or ``[::1]:80``."""
    flow = np.zeros(1, FLOW)[0]
    for side, text in (("src", source), ("dst", destination)):
        host, _, port = text.rpartition(":")
        address = ip_address(host.strip("[]"))
        number = int(address) | (0xFFFF << 32 if address.version == 4 else 0)
        flow[f"{side}_high"], flow[f"{side}_low"] = number >> 64, number & (1 << 64) - 1
        flow[f"{side}_port"], flow["ip_version"] = int(port), address.version
    flow["protocol"], flow["fwd_packets"], flow["bwd_packets"] = protocol, 1, int(answered)
    return tuple(flow)


def flows(*records: tuple) -> NDArray[np.void]:
    return np.array(list(records), FLOW)


WEB = record("10.0.0.1:4000", "10.0.0.2:80", 6)
NAMES = record("10.0.0.1:4001", "10.0.0.3:53", 17)
PING = record("10.0.0.1:0", "10.0.0.2:0", 1)
PROBE = record("10.0.0.9:5000", "10.0.0.2:80", 6, answered=False)
SIX = record("[fe80::2]:0", "[fe80::1]:0", 58)
ALL = flows(WEB, NAMES, PING, PROBE, SIX)


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("ip.addr==10.0.0.1", "TTT.."),
        ("ip.addr == 10.0.0.1 && ip.addr == 10.0.0.2", "T.T.."),
        ("ip.addr==10.0.0.1 and tcp.port==80", "T...."),
        ("tcp.port in {22, 80}", "T..T."),
        ("tcp.port in {22 80}", "T..T."),
        ("udp.port==80 || udp.port==53", ".T..."),
        ("(tcp.port==53 or udp.port==53) && ip.addr==10.0.0.3", ".T..."),
        ("tcp.srcport==80", "T...."),  # of an answer; the probe has none
        ("tcp.dstport==80", "T..T."),
        ("ip.src==10.0.0.2", "T.T.."),
        ("ip.dst==10.0.0.9", "....."),
        ("ip.dst==10.0.0.2 && !icmp", "T..T."),
        ("ip.addr in {10.0.0.3, 10.0.0.9}", ".T.T."),
        ("dns", ".T..."),
        ("udp", ".T..."),
        ("ip.addr==10.0.0.1 && icmp", "..T.."),
        ("ipv6.src==fe80::1", "....T"),
        ("icmpv6 && ipv6.src==fe80::2", "....T"),
        ("not tcp", ".TT.T"),
        ("arp && eth.src==60:67:20:77:15:22", "....."),
        ("tcp.flags==0x0002", "?..?."),
        ("tcp.port==80 && ip.flags.mf==1", "?..?."),
        ("ip.frag_offset>0 or tcp", "T??T."),
        ("http.request", "?????"),
    ],
)
def test_filters_select_the_flows_of_the_packets_that_they_select(text: str, selected: str):
    marks = {FALSE: ".", UNCERTAIN: "?", TRUE: "T"}
    assert "".join(marks[int(value)] for value in flows_selected(text, ALL)) == selected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ip.addr==",
        "ip.addr==10.0.0",
        "tcp.port==http",
        "tcp.port==70000",
        "tcp.port>80",
        "(tcp",
        "tcp udp",
        "tcp &&",
        "tcp.port in {}",
        "tcp.port in 80",
        "tcp.port == 80 ; udp",
        "10.0.0.1",
        "|| tcp",
    ],
)
def test_what_is_no_filter_is_refused(text: str):
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_every_filter_of_the_public_captures_can_be_read(shared: Path):
    found = find_reviews(shared / "data" / "pcap" / "labels.csv")
    assert sum(bool(review.attack_filter) for review in found.values()) > 150


def make_review(**changes: object) -> Review:
    fields: dict[str, object] = {"verdict": "attack", "kind": "scan", "attack_filter": ""}
    fields |= {"attackers": (), "victims": (), "where": "host"}
    return Review(**fields | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("review", "selected", "told_by"),
    [
        (make_review(attack_filter="udp"), ".T...", "filter"),
        (make_review(attack_filter="tcp.flags==2", attackers=("10.0.0.9",)), "...T.", "addresses"),
        (make_review(attack_filter="tcp.flags==2", attackers=("*",)), "T..T.", "addresses"),
        (make_review(attack_filter="arp", attackers=("10.0.0.9",)), ".....", "no flow"),
        (make_review(attackers=("10.0.0.1",), victims=("10.0.0.2",)), "T.T..", "addresses"),
        (make_review(attackers=("mac:00:11", "10.0.0.9"), victims=("*",)), "...T.", "addresses"),
        (make_review(), ".....", "not located"),
    ],
)
def test_attack_flows_are_told_by_the_filter_and_else_by_addresses(
    review: Review, selected: str, told_by: str
):
    found, how = review.attack_flows(ALL)
    assert "".join("T" if one else "." for one in found) == selected
    assert how == told_by


def write_reviews(folder: Path, *lines: str) -> Path:
    (folder / "reviewed.csv").write_text(HEADER + "".join(line + "\n" for line in lines))
    return folder / "labels.csv"


def test_reviews_lie_next_to_the_labels_or_above(tmp_path: Path):
    line = 'wild/a.pcap,attack,attack,10.0.0.1,10.0.0.2;10.0.0.3,"tcp.port in {1, 2}",Scan,host'
    write_reviews(tmp_path, line)
    expected = Review(
        verdict="attack",
        kind="scan",
        attackers=("10.0.0.1",),
        victims=("10.0.0.2", "10.0.0.3"),
        attack_filter="tcp.port in {1, 2}",
        where="host",
    )
    for labels in (tmp_path / "labels.csv", tmp_path / "wild" / "labels.csv"):
        assert find_reviews(labels)[tmp_path / "wild" / "a.pcap"] == expected


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("a.pcap,attack,odd,,,,,", r"row 1 has the verdict 'odd': write one of attack, benign"),
        ("a.pcap,attack,attack,,,tcp &&,,", r"row 1 cannot be used: 'tcp &&' has 'its end'"),
        ("a.pcap,attack,attack,10.0.0,,,,", r"row 1 cannot be used: '10.0.0' does not appear"),
    ],
)
def test_a_review_that_cannot_be_used_is_named(tmp_path: Path, line: str, sentence: str):
    with pytest.raises(DataError, match=sentence):
        find_reviews(write_reviews(tmp_path, line))


def test_a_capture_that_is_reviewed_twice_is_named(tmp_path: Path):
    line = "a.pcap,attack,attack,,,,,"
    with pytest.raises(DataError, match=r"row 2 lists a\.pcap again"):
        find_reviews(write_reviews(tmp_path, line, line))


def test_the_overlay_replaces_a_line_and_gives_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    labels = write_reviews(tmp_path, "a.pcap,attack,attack,,,,scan,host", "b.pcap,,benign,,,,,")
    overlay = tmp_path / "overlay.csv"
    columns = "file,verdict,attackers,victims,attack_filter,kind,where,reason\n"
    overlay.write_text(columns + "a.pcap,benign,,,,,,a name server's own transfer\n")
    monkeypatch.setattr(reviews, "OVERLAY", overlay)
    assert {p.name: r.verdict for p, r in find_reviews(labels).items()} == {
        "a.pcap": "benign",
        "b.pcap": "benign",
    }
    overlay.write_text(columns + "a.pcap,benign,,,,,,\n")
    with pytest.raises(DataError, match="row 1 gives no reason"):
        find_reviews(labels)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    path = tmp_path_factory.mktemp("reviewed") / "home.pcap"
    made = generate(path, packets=2000, mix="benign", seed=3)
    return Capture(path=made.path, name="home", category="exploit")


def with_review(capture: Capture, **changes: object) -> Capture:
    fields = {"path": capture.path, "name": "home", "category": capture.category}
    return Capture(**fields, review=make_review(**changes))


def test_background_of_an_attack_is_neither_benign_nor_attack(capture: Capture):
    found = read_capture(with_review(capture, attack_filter="dns"))
    names = read_capture(with_review(capture, attack_filter="udp.port==53 or tcp.port==53"))
    assert found.is_attack
    assert (found.families == names.families).all()
    assert set(found.families) == {"", "scan"}
    assert [part.family for part in found.by_family()] == ["scan"]
    assert found.labelled_by == "filter"


def test_a_benign_verdict_makes_a_published_attack_benign(capture: Capture):
    found = read_capture(with_review(capture, verdict="benign", kind=""))
    assert set(found.families) == {"benign"}
    assert not found.is_attack


@pytest.mark.parametrize("verdict", ["policy", "unsure", "not visible"])
def test_nothing_is_learned_from_what_readers_do_not_call_either(capture: Capture, verdict: str):
    found = read_capture(with_review(capture, verdict=verdict))
    assert found.is_probe
    assert not found.by_family()
    assert how_labelled([found]) == [
        "reviewed captures: 0 benign, attack flows selected by filter in 0 and by addresses in 0; "
        f"left out: {verdict} 1"
    ]


def test_an_attack_without_a_kind_has_the_published_family(capture: Capture):
    found = read_capture(with_review(capture, kind="", attack_filter="udp"))
    assert set(found.families) == {"", "lateral"}


TABLE = "file,label,category,source_repository,group\n"


def test_repositories_and_groups_come_from_the_table(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.pcap").touch()
    lines = "a.pcap,benign,web,first/lab (a part),one\nb.pcap,attack,scan,second/lab,\n"
    (tmp_path / "labels.csv").write_text(TABLE + lines)
    found = {capture.name: capture for capture in find_captures(tmp_path)}
    assert found["a.pcap"].repository == "first/lab"
    assert (found["a.pcap"].group, found["b.pcap"].group) == ("one", "b.pcap")


def test_a_repository_without_a_name_is_refused(tmp_path: Path):
    (tmp_path / "a.pcap").touch()
    (tmp_path / "labels.csv").write_text(TABLE + "a.pcap,benign,web,,one\n")
    with pytest.raises(DataError, match=r"row 1 leaves source_repository of a\.pcap empty"):
        find_captures(tmp_path)


def make_folder(folder: Path) -> Path:
    (folder / "benign").mkdir(parents=True)
    (folder / "benign" / "a.pcap").touch()
    return folder


def test_several_folders_are_repositories_of_their_own(tmp_path: Path):
    folders = [make_folder(tmp_path / name) for name in ("tools", "home")]
    found = {capture.name: capture.repository for capture in find_captures(folders)}
    assert found == {"tools/benign/a.pcap": "tools", "home/benign/a.pcap": "home"}
    assert {c.group for c in find_captures(folders)} == found.keys()


def test_folders_that_cannot_be_told_apart_are_refused(tmp_path: Path):
    folders = [make_folder(tmp_path / name / "lab") for name in ("one", "two")]
    with pytest.raises(DataError, match="2 folders called lab were given"):
        find_captures(folders)
    with pytest.raises(DataError, match=r"which holds it: give one of them"):
        find_captures([tmp_path, folders[0]])


def test_captures_of_the_lab_are_grouped_by_activity(tmp_path: Path):
    folder = tmp_path / "lab"
    folder.mkdir()
    for name in ("nmap-syn-lan-0", "nmap-syn-wan-7"):
        (folder / f"{name}.pcap").touch()
        (folder / f"{name}.labels.csv").touch()
    assert len({capture.group for capture in find_captures(folder)}) == 2
    (folder / "lab.json").touch()
    assert {capture.group for capture in find_captures(folder)} == {"lab:nmap-syn"}
