"""Random packets that meet as often as possible: few hosts, few ports, every flag."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.flows.packets import packet

FLAGS = [2, 18, 16, 24, 17, 4, 20, 1, 0xFF, 0x20, 0xC2, 16, 16, 24]


def random_packets(
    seed: int, count: int, *, hosts: int = 6, ports: int = 3, jitter: bool = False
) -> list[dict[str, Any]]:
    """``count`` packets between ``hosts`` hosts; with ``jitter`` up to 3 s late."""
    rng = np.random.default_rng(seed)
    clock, made = 1000.0, []
    for _ in range(count):
        gaps = [0.0, 1e-4, 0.01, 0.3, 1.5, 6.0, 40.0]
        clock += float(rng.choice(gaps, p=[0.1, 0.3, 0.3, 0.15, 0.08, 0.05, 0.02]))
        late = float(rng.choice([0, 0, 0, 0.5, 3])) if jitter else 0.0
        made.append(_packet(rng, clock - late, hosts, ports))
    return made


def _packet(rng: np.random.Generator, time_s: float, hosts: int, ports: int) -> dict[str, Any]:
    src, dst = rng.integers(1, hosts, 2)
    network = "10.0.0." if rng.random() < 0.8 else "fd00::"
    protocol = int(rng.choice([6, 17, 1, 58, 2, 132], p=[0.55, 0.25, 0.1, 0.04, 0.03, 0.03]))
    fields: dict[str, Any] = {"icmp_type": 0, "icmp_code": 0, "window": 0}
    if protocol in (6, 17, 132):
        fields |= dict(zip(("src_port", "dst_port"), rng.integers(1, ports, 2), strict=True))
    if protocol == 6:
        fields |= {"flags": int(rng.choice(FLAGS)), "window": int(rng.choice([0, 100, 8192]))}
    if protocol in (1, 58):
        fields["icmp_type"] = int(rng.choice([0, 8, 3, 1]))
        fields["icmp_code"] = int(rng.integers(0, 2))
    if rng.random() < 0.05:
        kinds = ("fragments", "tiny_fragments", "overlapping_fragments", "incomplete")
        fields |= {"fragments": int(rng.integers(1, 70))}
        fields |= {kind: int(rng.integers(0, 2)) for kind in kinds[1:]}
    payload = int(rng.choice([0, 0, 1, 100, 1400]))
    src_ip, dst_ip = f"{network}{src}", f"{network}{dst}"
    return packet(time_s, src_ip, dst_ip, protocol=protocol, payload=payload, **fields)
