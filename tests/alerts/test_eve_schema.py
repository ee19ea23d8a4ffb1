"""Every line against Suricata's own schema of EVE (OISF/suricata, read in place)."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idskit.alerts.alert import Alert, Flow
from idskit.alerts.eve import Origin, stats_line
from idskit.flow import ENDS

PORTED = (6, 17, 132)
TIMES = st.integers(-(2**63) // 1000, 2**63 // 1000 - 1)  # what 64 bits of nanoseconds can say
COUNTS = st.integers(0, 2**63 - 1)
PORTS = st.integers(0, 65535)


@pytest.fixture(scope="module")
def suricata(shared: Path) -> Any:
    schema = json.loads((shared / "data" / "eve" / "schema.json").read_text())
    return jsonschema.validators.validator_for(schema)(schema)


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    protocol = draw(st.sampled_from([1, 2, 6, 17, 47, 50, 58, 132]) | st.integers(0, 255))
    has_ports, is_icmp = protocol in PORTED, protocol in (1, 58)
    kind, bits = draw(st.sampled_from([(IPv4Address, 32), (IPv6Address, 128)]))
    ends = st.integers(0, 2**bits - 1).map(kind) if draw(st.booleans()) else st.none()
    icmp = draw(st.integers(0, 255) | st.none()) if is_icmp else None
    return Flow(
        src=draw(ends),
        dst=draw(ends),
        src_port=draw(PORTS) if has_ports else 0,
        dst_port=draw(PORTS) if has_ports else 0,
        protocol=protocol,
        icmp_type=icmp,
        icmp_code=None if icmp is None else draw(st.integers(0, 255)),
        start_us=draw(TIMES),
        end_us=draw(TIMES),
        fwd_packets=draw(COUNTS),
        bwd_packets=draw(COUNTS),
        fwd_bytes=draw(COUNTS),
        bwd_bytes=draw(COUNTS),
        end=draw(st.sampled_from([None, *ENDS])),
        vlan=draw(st.integers(0, 4096)),
        interface=draw(st.integers(0, 255)),
    )


def alerts() -> st.SearchStrategy[Alert]:
    return st.builds(
        Alert,
        flow=flows() | st.none(),
        row=COUNTS,
        label=st.sampled_from(["scan", "malware-c2", "flood", "x"]) | st.text(_text(), min_size=1),
        score=st.floats(0, 1),
        threshold=st.floats(0, 1),
        model=st.just("0123456789ab"),
        end_us=TIMES | st.none(),
    )


def _text() -> st.SearchStrategy[str]:
    return st.characters(exclude_categories=["Cs"])  # a model's classes are valid text


def origins() -> st.SearchStrategy[Origin]:
    names = st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1)
    files = st.binary(min_size=1).map(lambda name: name.decode(errors="surrogateescape"))
    return st.builds(
        Origin, interfaces=st.lists(names, max_size=3).map(tuple), capture=files | st.none()
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(alert=alerts(), origin=origins(), withheld=COUNTS)
def test_suricatas_schema_accepts_every_line(
    suricata: Any, alert: Alert, origin: Origin, withheld: int
) -> None:
    line = alert.to_eve(origin, withheld=withheld)
    line.encode("ascii")  # no consumer has to guess an encoding
    assert "\n" not in line
    event = json.loads(line)
    suricata.validate(event)
    # what its consumers read: CrowdSec's parser, and the direction that the schema has for us
    assert event["event_type"] == "alert"
    assert event["alert"]["severity"] == 3
    if alert.flow is not None and alert.flow.src is not None:
        ends = {(event["alert"][end]["ip"]) for end in ("source", "target")}
        assert ends == {event["src_ip"], event["dest_ip"]}
        assert event["ip_v"] == alert.flow.src.version
        assert event["flow"]["end"] == event["timestamp"]


def test_suricatas_schema_accepts_the_line_that_ends_a_flood(suricata: Any) -> None:
    event = json.loads(stats_line(5, uptime_s=12.3, written=1000, withheld=199_000))
    suricata.validate(event)
    assert event["stats"] == {
        "uptime": 12,
        "detect": {"alert": 1000, "alerts_suppressed": 199_000},
    }


def test_the_schema_can_refuse(suricata: Any) -> None:
    event = json.loads(Alert(flow=None, row=0, label="x", score=1, threshold=0, model="").to_eve())
    assert not suricata.is_valid(event | {"idskit": {}})
    assert not suricata.is_valid({k: v for k, v in event.items() if k != "timestamp"})
