"""The files for a fleet: every number that they ask for exists, and rules fire when they should."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.sinks.parts import need

import idskit.sinks
from idskit.sinks.prometheus import FAMILIES

FLEET = Path(str(idskit.sinks.__file__)).resolve().parent / "fleet"
DASHBOARD = json.loads((FLEET / "grafana-dashboard.json").read_text())
RULES = FLEET / "prometheus-alerts.yml"


def exposed() -> set[str]:
    """Return every name that the exposition may have."""
    names = {family.name for family in FAMILIES}
    parts = [name for family in FAMILIES if family.kind == "histogram" for name in [family.name]]
    return names | {f"{name}{end}" for name in parts for end in ("_bucket", "_sum", "_count")}


def expressions() -> Iterator[str]:
    """Yield what every panel asks Prometheus for."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\bidskit_[a-z_]+", text))


def promtool(*words: str | Path) -> str:
    need("promtool")
    done = subprocess.run(
        ["promtool", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_number_of_the_dashboard_and_of_the_rules_exists() -> None:
    asked = names_in(" ".join(expressions())), names_in(RULES.read_text())
    assert all(len(names) > 8 for names in asked)
    for names in asked:
        assert names <= exposed()


def test_every_label_that_is_asked_for_exists() -> None:
    known = {family.name: set(family.labels) for family in FAMILIES}
    for text in (*expressions(), RULES.read_text()):
        for name, inside in re.findall(r"\b(idskit_[a-z_]+)\{([^}]*)\}", text):
            labels = set(re.findall(r"(\w+)[=!]", inside)) - {"instance"}
            assert labels <= known[name.removesuffix("_bucket")], name


def test_promtool_finds_no_fault_in_the_rules() -> None:
    assert "SUCCESS" in promtool("check", "rules", RULES)


def test_prometheus_understands_every_panel(tmp_path: Path) -> None:
    """Each becomes a rule, with Grafana's variables filled in."""
    rules = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$__rate_interval", "5m", text)}
        for number, text in enumerate(expressions())
    ]
    assert len(rules) > 20
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))  # JSON is YAML
    assert "SUCCESS" in promtool("check", "rules", file)


def test_the_dashboard_is_whole() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource", "instance"}
    cells = set()
    for panel in panels:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
        for x in range(grid["x"], grid["x"] + grid["w"]):
            for y in range(grid["y"], grid["y"] + grid["h"]):
                assert (x, y) not in cells, panel["title"]
                cells.add((x, y))
        for target in panel.get("targets", ()):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


QUIET = {
    'up{job="idskit",instance="a"}': "1x120",
    'idskit_packets_total{instance="a"}': "0+1000x120",
    'idskit_capture_dropped_total{instance="a"}': "0x120",
    'idskit_flow_table_evicted_total{instance="a"}': "0x120",
    'idskit_incidents_total{severity="1",instance="a"}': "0x120",
    'idskit_incidents_total{severity="2",instance="a"}': "0x60 1x60",
    'idskit_interface_up{interface="eth0",instance="a"}': "1x120",
    'idskit_sink_up{sink="mqtt",instance="a"}': "1x120",
    'idskit_sink_dropped_total{sink="mqtt",instance="a"}': "0x120",
    'idskit_sink_failed_total{sink="mqtt",instance="a"}': "0x120",
    'idskit_sink_unsaved_total{sink="mqtt",instance="a"}': "0x120",
    'idskit_budget_burn_ratio{window="1h",instance="a"}': "0.2x120",
    'idskit_budget_burn_ratio{window="24h",instance="a"}': "0.9x120",
    'idskit_drift_ratio{instance="a"}': "0.01x120",
    'idskit_model_info{sha256="aa",version="1",instance="a"}': "1x120",
    'idskit_detection_delay_seconds_bucket{le="1",instance="a"}': "0+2x120",
    'idskit_detection_delay_seconds_bucket{le="+Inf",instance="a"}': "0+2x120",
}
SAME = "IdskitSameAttackOnManyGateways"
MANY = {f'idskit_incidents_total{{severity="2",instance="{name}"}}': "0x100 3x20" for name in "abc"}
# What makes each rule fire after two hours, besides a quiet gateway.
LOUD: dict[str, dict[str, str]] = {
    "IdskitHighIncident": {'idskit_incidents_total{severity="1",instance="a"}': "0x115 1x5"},
    "IdskitManyIncidents": {'idskit_incidents_total{severity="2",instance="a"}': "0x90 0+1x30"},
    "IdskitGatewayAway": {'up{job="idskit",instance="a"}': "1x100 0x20"},
    "IdskitInterfaceDown": {'idskit_interface_up{interface="eth0",instance="a"}': "1x100 0x20"},
    "IdskitNoPackets": {'idskit_packets_total{instance="a"}': "7x120"},
    "IdskitFramesDropped": {'idskit_capture_dropped_total{instance="a"}': "0+50x120"},
    "IdskitFlowTableFull": {'idskit_flow_table_evicted_total{instance="a"}': "0+1x120"},
    "IdskitSlowDetection": {
        'idskit_detection_delay_seconds_bucket{le="120",instance="a"}': "0+4x120",
        'idskit_detection_delay_seconds_bucket{le="+Inf",instance="a"}': "0+4x120",
    },
    "IdskitBudgetBurns": {
        'idskit_budget_burn_ratio{window="1h",instance="a"}': "20x120",
        'idskit_budget_burn_ratio{window="24h",instance="a"}': "1.5x120",
    },
    "IdskitDrift": {'idskit_drift_ratio{instance="a"}': "0.3x120"},
    "IdskitSinkAway": {'idskit_sink_up{sink="mqtt",instance="a"}': "1x100 0x20"},
    "IdskitSinkLoses": {'idskit_sink_failed_total{sink="mqtt",instance="a"}': "0x100 1x20"},
    "IdskitSinkUnsafe": {'idskit_sink_unsaved_total{sink="mqtt",instance="a"}': "0x100 1x20"},
}


def of(instance: str, made: dict[str, str]) -> dict[str, str]:
    """Return the series of another gateway."""
    return {key.replace('instance="a"', f'instance="{instance}"'): made[key] for key in made}


def played(made: dict[str, str], firing: dict[str, int]) -> dict[str, Any]:
    """Return a test of promtool: two hours, and how many alerts a query finds then."""
    checks = [
        {
            "expr": f'count(ALERTS{{alertstate="firing",{query}}}) or vector(0)',
            "eval_time": "2h",
            "exp_samples": [{"labels": "{}", "value": count}],
        }
        for query, count in firing.items()
    ]
    series = [{"series": key, "values": values} for key, values in made.items()]
    return {"interval": "1m", "input_series": series, "promql_expr_test": checks}


def test_rules_fire_when_they_should_and_not_on_a_quiet_gateway(tmp_path: Path) -> None:
    burst = {'idskit_budget_burn_ratio{window="1h",instance="a"}': "20x120"}  # within a day's
    loud = {key: v for name, made in LOUD.items() for key, v in of(name, QUIET | made).items()}
    firing = {f'alertname="{name}",instance="{name}"': 1 for name in LOUD}
    tests = [
        played(QUIET, {'alertname=~".+"': 0}),
        played(QUIET | burst, {'alertname=~".+"': 0}),
        played(QUIET | MANY, {'alertname=~".+"': 1, f'alertname="{SAME}"': 1}),
        played(of("quiet", QUIET) | loud, firing | {'instance="quiet"': 0}),
    ]
    file = tmp_path / "test.yml"
    document = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}
    file.write_text(json.dumps(document))
    promtool("test", "rules", file)


def test_every_rule_is_tried() -> None:
    alerts = set(re.findall(r"alert: (\w+)", RULES.read_text()))
    assert alerts - set(LOUD) - {SAME} == {"IdskitModelsDiffer"}  # it waits for a day
