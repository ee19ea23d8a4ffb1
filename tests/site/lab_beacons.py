"""Measure how beacons of the traffic laboratory are found at a site that was learned.

    python -m tests.site.lab_beacons CAPTURES... [--draws N]

The laboratory's servers have local addresses, so they are moved outside: those of benign captures
into one network, the controller of each capture of an attack into a network of its own. Half of the
benign captures are learned, an hour for each; counted are incidents of contacts at regular
intervals in the other half, and in the captures whose name has ``beacon``. Devices are taken for
steady as shipped, and, for an upper bound, all that were seen.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tests.site.unseen_site import Bench, JudgedCapture, joined, judged_captures

from idskit.flow import address_number
from idskit.incidents.regular_contacts import TEST
from idskit.site.incident_budget import DEFAULT_BUDGET, HOURS_A_DAY
from idskit.site.site_levels import SiteLevels

LAB = "lab"  # repository of its captures: the folder that they are in
NETWORK, SERVERS = address_number("10.77.0.0"), range(10, 100)
OUTSIDE, CONTROLLERS = address_number("198.51.100.0"), address_number("203.0.0.0")


def moved(capture: JudgedCapture) -> JudgedCapture:
    """Return a capture whose servers are outside of the network of its clients."""
    outside = OUTSIDE
    if capture.is_attack:
        outside = CONTROLLERS + (zlib.crc32(capture.name.encode()) % 250 << 8)
    flows = capture.flows.copy()
    for end in ("src", "dst"):
        low = flows[f"{end}_low"]
        last = low & np.uint64(255)
        is_server = (flows[f"{end}_high"] == 0) & (low - last == NETWORK)
        is_server &= np.isin(last, SERVERS)
        flows[f"{end}_low"] = np.where(is_server, last + np.uint64(outside), low)
    return JudgedCapture(**{**vars(capture), "flows": flows})


def beacons(bench: Bench, capture: JudgedCapture, levels: SiteLevels) -> list[int]:
    """Return the flows of each incident of contacts at regular intervals."""
    found = bench.incidents(capture, levels)
    return [one.flows for one in found if any(item.name == TEST for item in one.evidence)]


def measure(bench: Bench, captures: Sequence[JudgedCapture], seed: int) -> None:
    """Print what is found, and what is found falsely."""
    stream = joined([moved(one) for one in bench.benign(LAB)], seed)
    half = len(stream) // 2
    normal = bench.learned(stream[:half])
    shipped = normal.levels(DEFAULT_BUDGET)
    for name, steady in (("as shipped", shipped.steady), ("all", frozenset(normal.devices))):
        levels = replace(shipped, steady=steady)
        false = sum(len(beacons(bench, one, levels)) for one in stream[half:])
        found = {one.name: beacons(bench, moved(one), levels) for one in captures}
        print(
            f"steady devices {name} ({len(steady)}): {sum(map(bool, found.values()))} of "
            f"{len(found)} captures found, {false} false in {half / HOURS_A_DAY:.1f} days"
        )
        print("  not found:", *(one for one, flows in found.items() if not flows))


def main() -> None:
    """Measure the folders named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("captures", nargs="+", type=Path)
    parser.add_argument("--draws", type=int, default=3)
    given = parser.parse_args()
    bench = judged_captures(given.captures)
    captures = [one for one in bench.attacks if one.site == LAB and "beacon" in one.name]
    for seed in range(given.draws):
        measure(bench, captures, seed)


if __name__ == "__main__":
    main()
