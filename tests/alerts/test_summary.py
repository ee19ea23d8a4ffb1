"""The summary for people: grouped by attack, bounded, honest about what was not read."""

import io
from ipaddress import ip_address
from typing import Any

from rich.console import Console

from idskit.alerts import summary as summary_module
from idskit.alerts.alert import Alert, Flow
from idskit.alerts.summary import Tallies
from idskit.detect.detection_summary import DetectionSummary

SECOND = 1_000_000
NOON = 1_700_000_000 * SECOND  # 2023-11-14 22:13:20 UTC


def make_alert(src: str, dst: str, label: str = "port scan", *, at: int = 0, score: float = 0.9):
    flow = Flow(
        src=ip_address(src),
        dst=ip_address(dst),
        src_port=1,
        dst_port=2,
        protocol=6,
        icmp_type=None,
        icmp_code=None,
        start_us=NOON + at * SECOND,
        end_us=NOON + (at + 1) * SECOND,
        fwd_packets=1,
        bwd_packets=1,
        fwd_bytes=60,
        bwd_bytes=60,
    )
    return Alert(flow=flow, row=0, label=label, score=score, threshold=0.5, model="0" * 12)


def test_flows_that_would_have_been_alerted_again_are_counted() -> None:
    alert = make_alert("10.0.0.1", "10.0.0.2")
    assert "7 flows with an alert still looked like an attack when they ended" in shown(
        alert, repeated=7
    )


def attacks_of(*alerts: Alert):
    tallies = Tallies()
    for alert in alerts:
        tallies.add(alert)
    return tallies.attacks()


def shown(*alerts: Alert, **changed: Any) -> str:
    fields = {
        "source": "a[b].pcap",
        "model": "ids.onnx 0123",
        "threshold": 0.5,
        "flows": 20,
        "packets": 1234,
        "attacks": attacks_of(*alerts),
        "skipped": {},
        "truncated": "",
        "seconds": 0.5,
    }
    text = io.StringIO()
    DetectionSummary(**(fields | changed)).show(Console(file=text, width=140))
    return text.getvalue()


def test_names_from_files_are_shown_and_not_sent() -> None:
    hostile = "a\x1b]0;pwned\x07\nforged [red]b"
    text = shown(
        make_alert("10.0.0.1", "10.0.0.2", hostile),
        source=hostile,
        model=hostile,
        truncated=hostile,
    )
    assert text.replace("\n", "").isprintable()
    assert "".join(text.split()).count(r"a\x1b]0;pwned\x07\nforged[red]b") == 4
    assert not [line for line in text.splitlines() if line.startswith("forged")]


def test_alerts_are_grouped_by_attack_and_pair() -> None:
    (attack,) = attacks_of(
        make_alert("10.0.0.1", "10.0.0.9", at=5, score=0.6),
        make_alert("10.0.0.2", "10.0.0.9", at=1, score=0.95),
        make_alert("10.0.0.2", "10.0.0.9", at=3),
    )
    assert (attack.label, attack.alerts, attack.max_score) == ("port scan", 3, 0.95)
    assert [(r.src, r.dst, r.alerts) for r in attack.routes] == [
        ("10.0.0.2", "10.0.0.9", 2),
        ("10.0.0.1", "10.0.0.9", 1),
    ]
    assert (attack.first_us, attack.last_us) == (NOON + SECOND, NOON + 6 * SECOND)


def test_the_worst_severity_comes_first() -> None:
    found = attacks_of(
        make_alert("10.0.0.1", "10.0.0.9"),
        make_alert("10.0.0.1", "10.0.0.9"),
        make_alert("10.0.0.1", "10.0.0.9", "brute force"),
    )
    assert [attack.label for attack in found] == ["brute force", "port scan"]


def test_a_flood_of_forged_sources_takes_bounded_memory(monkeypatch) -> None:
    monkeypatch.setattr(summary_module, "MAX_ROUTES", 10)
    (attack,) = attacks_of(*(make_alert(f"10.0.0.{i}", "10.1.0.1") for i in range(1, 31)))
    assert (attack.alerts, len(attack.routes), attack.other_routes) == (30, 10, 20)


def test_people_see_who_attacked_whom_and_when() -> None:
    text = shown(make_alert("10.0.0.1", "fd00::9"))
    assert "1 alert:" in text
    assert "10.0.0.1 → fd00::9 (1)" in text
    assert "2023-11-14" in text
    assert "22:13:20 … 22:13:21" in text
    assert "1,234 packets in 20 flows of a[b].pcap" in text


def test_a_scan_is_shown_at_its_source() -> None:
    text = shown(*(make_alert("10.1.0.1", f"10.0.0.{i}") for i in range(1, 9)))
    assert "10.1.0.1 → 8 addresses (8)" in text


def test_a_flood_is_shown_at_its_target() -> None:
    text = shown(*(make_alert(f"10.0.0.{i}", "10.1.0.1") for i in range(1, 9)))
    assert "8 addresses → 10.1.0.1 (8)" in text


def test_ends_beyond_the_busiest_are_counted() -> None:
    text = shown(*(make_alert(f"10.0.0.{i}", f"10.1.0.{i}") for i in range(1, 9)))
    assert "others (5)" in text


def test_no_incidents_is_said() -> None:
    assert "no incidents" in shown()


def test_what_was_not_read_is_said() -> None:
    text = shown(skipped={"arp": 3, "not_ip": 1}, truncated="the file ends inside a record")
    assert "packets not decoded: 3 arp, 1 not_ip" in text
    assert "reading ended early: the file ends inside a record" in text


def test_what_became_of_the_lines_is_said() -> None:
    text = shown(output="a[b].ndjson", lines_written=1002, lines_withheld={"flood": 5, "scan": 7})
    assert "1,002 lines written to a[b].ndjson" in text
    assert "lines withheld: 5 of flood, 7 of scan; 1,000 of a label are written at once" in text
    assert "lost" not in text
    assert "3 lines were lost: they could not be written" in shown(lines_lost=3)


def test_a_flood_of_forged_sources_does_not_hide_a_busy_one(monkeypatch) -> None:
    monkeypatch.setattr(summary_module, "MAX_ROUTES", 10)
    forged = [make_alert(f"10.{i}.{j}.1", "10.1.0.1") for i in range(10) for j in range(50)]
    real = [make_alert("192.0.2.1", "10.1.0.1")] * 100
    (attack,) = attacks_of(*forged, *real, *forged)
    assert attack.routes[0].src == "192.0.2.1"
    assert attack.routes[0].alerts == 100
    assert sum(route.alerts for route in attack.routes) + attack.other_routes == 1100


def test_a_table_names_no_addresses() -> None:
    alert = Alert(flow=None, row=3, label="dos", score=0.7, threshold=0.5, model="0" * 12)
    text = shown(alert, packets=None)
    assert "the table names no addresses" in text
    assert "packets" not in text
