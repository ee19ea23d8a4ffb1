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


def random_connections(seed: int, count: int) -> list[dict[str, Any]]:
    """``count`` TCP packets whose numbers mostly fit, and every forgery of them."""
    rng = np.random.default_rng(seed)
    clock, made = 1000.0, []
    expected = dict.fromkeys(((key, back) for key in range(4) for back in (False, True)), 10**9)
    for _ in range(count):
        gaps = [0.0, 1e-3, 0.3, 6.0, 130.0]
        clock += float(rng.choice(gaps, p=[0.2, 0.5, 0.2, 0.09, 0.01]))
        key, back = int(rng.integers(4)), bool(rng.integers(2))
        made.append(_segment(rng, clock, key, back, expected))
    return made


def _segment(
    rng: np.random.Generator,
    time_s: float,
    key: int,
    back: bool,
    expected: dict[tuple[int, bool], int],
) -> dict[str, Any]:
    flags = int(rng.choice([2, 18, 16, 24, 17, 4, 20], p=[0.2, 0.2, 0.25, 0.2, 0.06, 0.06, 0.03]))
    payload = int(rng.choice([0, 100, 1400, 3000, 20_000])) if flags in (16, 24) else 0
    off = [0, 0, 0, 0, 0, 0, 1, -1, 70_000, 10**8]
    sequence = (expected[key, back] + int(rng.choice(off))) % 2**32
    acknowledgement = (expected[key, not back] + int(rng.choice(off))) % 2**32
    if flags == 2 and rng.random() < 0.5:
        sequence = int(rng.integers(2**32))
    expected[key, back] = (sequence + payload + (flags & 3 != 0)) % 2**32
    ends = ["10.0.0.1", "10.0.0.2"]
    ports = [5000 + key % 2, 80]
    if back:
        ends, ports = ends[::-1], ports[::-1]
    return packet(
        time_s,
        *ends,
        src_port=ports[0],
        dst_port=ports[1],
        flags=flags,
        payload=payload,
        sequence=sequence,
        acknowledgement=acknowledgement if flags & 16 else 0,
        window=8192,
        ttl=int(rng.choice([64, 64, 64, 64, 1])),
        checksum=int(rng.choice([0, 1, 1, 1, 2, 3])) if flags & 7 else 0,
        mss=int(rng.choice([0, 1460, 536])) if flags & 2 else 0,
        vlan=int(rng.choice([0, 0, 11])) if key > 1 else 0,
    )
