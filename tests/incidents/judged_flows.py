"""Judged flows for the tracker, made field by field: no capture and no model is needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address

import numpy as np

from idskit.flow import CLOSE, FLOW
from idskit.incidents.incident import Incident
from idskit.incidents.tracker import SHIPPED_LEVELS, IncidentTracker, Levels
from idskit.schemas.gateway_columns import GATEWAY

CLASSES = ("benign", "web", "amplification", "guessing", "tunnel", "malware", "flood", "scan")
THRESHOLD = 0.1  # one flow of which the model is sure opens an incident, and nothing less
SECOND = 1_000_000
NOON = 1_700_000_000 * SECOND
MAPPED = 0xFFFF << 32


@dataclass(kw_only=True)
class Judged:
    """One flow with what the model says of it and the columns that are not 0."""

    src: str = "192.0.2.9"
    dst: str = "192.168.1.5"
    at: float = 0.0  # seconds after noon
    label: str = "scan"
    score: float = 1.0
    sport: int = 40_000
    dport: int = 22
    protocol: int = 6
    answered: bool = True
    end: int = CLOSE
    slot: int = 0
    serial: int = 0
    icmp_type: int = -1
    packets: int = 1  # each way
    columns: dict[str, float] = field(default_factory=dict)


def words(text: str) -> tuple[int, int]:
    address = ip_address(text)
    number = int(address) if address.version == 6 else MAPPED | int(address)
    return number >> 64, number & (1 << 64) - 1


def arrays(flows: list[Judged]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """FLOW records, features and probabilities of some flows."""
    records = np.zeros(len(flows), FLOW)
    features = np.zeros((len(flows), len(GATEWAY)))
    probabilities = np.zeros((len(flows), len(CLASSES)), np.float32)
    for row, flow in enumerate(flows):
        records[row]["src_high"], records[row]["src_low"] = words(flow.src)
        records[row]["dst_high"], records[row]["dst_low"] = words(flow.dst)
        start = NOON + round(flow.at * SECOND)
        for name, value in (
            ("start_us", start),
            ("end_us", start + 1000),
            ("src_port", flow.sport),
            ("dst_port", flow.dport),
            ("protocol", flow.protocol),
            ("ip_version", 4),
            ("end", flow.end),
            ("slot", flow.slot),
            ("serial", flow.serial),
            ("icmp_type", flow.icmp_type),
            ("fwd_packets", flow.packets),
            ("fwd_bytes", 60),
            ("bwd_packets", flow.packets * flow.answered),
            ("bwd_bytes", 60 * flow.answered),
        ):
            records[row][name] = value
        for name, value in flow.columns.items():
            features[row, GATEWAY.names.index(name)] = value
        probabilities[row, CLASSES.index(flow.label)] = flow.score
        probabilities[row, 0] += 1 - flow.score
    return records, features, probabilities


def tracker(site: Levels = SHIPPED_LEVELS) -> IncidentTracker:
    return IncidentTracker(GATEWAY, CLASSES, THRESHOLD, site)


def observed(made: IncidentTracker, flows: list[Judged], batch: int = 1024) -> list[Incident]:
    """What a tracker says of flows in batches."""
    found: list[Incident] = []
    for first in range(0, len(flows), batch):
        found += made.observe_flows(*arrays(flows[first : first + batch]))
    return found


def incidents_of(flows: list[Judged], batch: int = 1024) -> list[Incident]:
    made = tracker()
    return observed(made, flows, batch) + made.finish()
