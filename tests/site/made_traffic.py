"""Flows of made-up devices, as records, features and probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.flow import FLOW, IDLE, address_number
from idskit.schemas.gateway_columns import GATEWAY
from idskit.site.case_peaks import HOUR_US

CLASSES = ("benign", "web", "guessing", "malware", "scan")
THRESHOLD = 0.865
FIRST_HOUR = 490_896  # 2026-01-01
TCP, UDP = 6, 17


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Flows, in the order in which they ended."""

    flows: NDArray[np.void]
    features: NDArray[np.float64]
    probabilities: NDArray[np.float32]

    @property
    def parts(self) -> tuple[Any, Any, Any]:
        """What ``observe`` takes."""
        return self.flows, self.features, self.probabilities

    def __add__(self, other: Traffic) -> Traffic:
        both = [np.concatenate(pair) for pair in zip(self.parts, other.parts, strict=True)]
        order = np.argsort(both[0]["end_us"], kind="stable")
        return Traffic(flows=both[0][order], features=both[1][order], probabilities=both[2][order])


def traffic(
    hour: float,
    number: int = 10,
    *,
    src: str = "192.168.1.20",
    dst: str = "93.184.216.34",
    port: int = 443,
    protocol: int = TCP,
    score: float = 0.01,
    family: str = "malware",
    answered: bool = True,
    **columns: float,
) -> Traffic:
    """Return flows of one device to one service, over the hour that begins ``hour`` after all."""
    flows = np.zeros(number, FLOW)
    start = int((FIRST_HOUR + hour) * HOUR_US)
    flows["start_us"] = start + np.arange(number) * 1_000_000
    flows["end_us"] = flows["start_us"] + 500_000
    for end, text in (("src", src), ("dst", dst)):
        address = address_number(text)
        flows[f"{end}_high"], flows[f"{end}_low"] = address >> 64, address & (1 << 64) - 1
    flows["src_port"], flows["dst_port"], flows["protocol"] = 40_000, port, protocol
    flows["ip_version"] = ip_address(src).version
    flows["fwd_packets"], flows["bwd_packets"] = 3, 3 if answered else 0
    flows["fwd_bytes"], flows["bwd_bytes"] = 300, 300 if answered else 0
    flows["icmp_type"] = flows["icmp_code"] = -1
    flows["end"] = IDLE
    flows["slot"] = np.arange(number)
    flows["serial"] = start // 1_000_000 + np.arange(number)
    features = np.zeros((number, len(GATEWAY)))
    features[:, GATEWAY.names.index("is_tcp")] = protocol == TCP
    for name, value in columns.items():
        features[:, GATEWAY.names.index(name)] = value
    probabilities = np.zeros((number, len(CLASSES)), np.float32)
    probabilities[:, 0], probabilities[:, CLASSES.index(family)] = 1 - score, score
    return Traffic(flows=flows, features=features, probabilities=probabilities)
