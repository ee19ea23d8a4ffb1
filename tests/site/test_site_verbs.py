"""learn, budget and detect --site from end to end, on tables: no packet is decoded."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from tests.site.made_traffic import CLASSES, THRESHOLD, Traffic, traffic

from idskit.alerts.alert import FLOW_NUMBERS
from idskit.cli.entry import main
from idskit.flow import addresses
from idskit.schemas.gateway_columns import GATEWAY
from idskit.site.budget_site import BudgetReport
from idskit.site.incident_budget import Budget
from idskit.site.site_learner import SiteLearner


def table(path: Path, found: Traffic) -> Path:
    """Write flows as ``idskit extract`` does."""
    flows = found.flows
    ends = [addresses(flows[f"{end}_high"], flows[f"{end}_low"]) for end in ("src", "dst")]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["src_ip", "dst_ip", *FLOW_NUMBERS, "end", *GATEWAY.names])
        for row, features in enumerate(found.features.tolist()):
            numbers = [int(flows[name][row]) for name in FLOW_NUMBERS]
            writer.writerow([ends[0][row], ends[1][row], *numbers, "idle", *features])
    return path


def run(*words: object) -> None:
    """Run the command line, which must end well."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code == 0


def days(number: int) -> Traffic:
    """Return everyday flows of one device, some an hour."""
    found = traffic(0, 3)
    for hour in range(1, 24 * number):
        found = found + traffic(hour, 3)
    return found


def test_learn_writes_a_site_that_detect_takes(tmp_path, capsys) -> None:
    source, site = table(tmp_path / "flows.csv", days(2)), tmp_path / "site.idskit"
    run("learn", "--flows", source, "-o", site, "--json", "-")
    told = json.loads(capsys.readouterr().out)
    assert (told["hours"], told["devices"], told["flows"]) == (48, 1, 144)
    run("detect", "--flows", source, "--site", site, "-o", tmp_path / "eve.json")
    assert "no incidents" in capsys.readouterr().err


def test_learn_says_what_is_missing(tmp_path, capsys) -> None:
    source = table(tmp_path / "flows.csv", traffic(0, 5))
    run("learn", "--flows", source, "-o", tmp_path / "site.idskit")
    assert "23 more are needed" in " ".join(capsys.readouterr().err.split())


def test_learn_keeps_no_address_of_an_anonymous_site(tmp_path) -> None:
    source, site = table(tmp_path / "flows.csv", traffic(0, 5)), tmp_path / "site.idskit"
    run("learn", "--flows", source, "-o", site, "--anonymous")
    assert b"192.168" not in site.read_bytes()


def test_rows_of_nobody_are_refused(tmp_path, capsys) -> None:
    source = tmp_path / "flows.csv"
    rows = [",".join(GATEWAY.names), ",".join("0" for _ in GATEWAY.names)]
    source.write_text("\n".join(rows) + "\n")
    with pytest.raises(SystemExit) as ended:
        main(["learn", "--flows", str(source), "-o", str(tmp_path / "site.idskit")])
    assert ended.value.code == 1
    assert "does not say whose flows" in capsys.readouterr().err
    assert not (tmp_path / "site.idskit").exists()


def test_only_captures_are_joined(tmp_path, capsys) -> None:
    source = table(tmp_path / "flows.csv", traffic(0, 5))
    with pytest.raises(SystemExit):
        main(["learn", "--flows", str(source), "-o", str(tmp_path / "site"), "--join"])
    assert "only captures can be joined" in capsys.readouterr().err


def report(strong_hours: int, attacks: tuple[float, ...]) -> BudgetReport:
    """Return a report of four days in which a different device is odd each hour."""
    learner = SiteLearner(GATEWAY, CLASSES, THRESHOLD)
    for hour in range(96):
        learner.observe(*traffic(hour, 3).parts)
        if hour < strong_hours:
            odd = traffic(hour + 0.5, 9, src=f"192.168.2.{hour + 1}", score=0.985, family="web")
            learner.observe(*odd.parts)
    normal = learner.finish()
    (like, *_) = normal.peaks
    peaks = tuple((type(like)(**{**vars(like), "nats": nats}),) for nats in attacks)
    return BudgetReport(
        normal=normal, budget=Budget.parse("1/day"), attacks=peaks, attacks_are="attacks"
    )


def test_a_budget_trades_false_incidents_for_attacks() -> None:
    found = report(strong_hours=8, attacks=(9.0, 12.5, 30.0, 90.0)).to_json()
    assert found["shipped"]["incidents"] == found["by_family"]["web"] == 8
    assert found["shipped"]["per_day"] == 2.0
    low, high = found["shipped"]["interval"]
    assert low <= 3.4538 / 4  # Garwood, of 8; all of them came in eight hours, one after another
    assert high > 15.7633 / 4
    assert found["shipped"]["found"] == 0.75
    assert found["at_budget"]["per_day"] <= 1
    assert found["at_budget"]["found"] == 0.5
    assert found["by_nats"]["48"] == {
        "incidents": 0,
        "per_day": 0.0,
        "interval": [0.0, pytest.approx(3.6889 / 4, rel=1e-3)],
        "found": 0.25,
    }


def test_a_report_shows_its_tables(capsys) -> None:
    from idskit.cli.notices import console

    report(strong_hours=8, attacks=(9.0, 90.0)).show(console())
    shown = capsys.readouterr().err
    assert "2 false incidents a day" in shown
    assert "by family" in shown
    assert "attacks found" in shown
