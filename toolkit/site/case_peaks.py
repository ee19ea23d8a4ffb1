"""The highest evidence of every case of benign traffic: what a threshold of incidents would meet.

A case that nothing opens goes on collecting evidence, so its peak says at which thresholds it would
have been an incident, until it was silent for as long as ends one.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from idskit.incidents.case import Case
from idskit.incidents.evidence import Sign
from idskit.incidents.sequential.nats import OPENS
from idskit.incidents.tracker import Levels
from idskit.site.site_levels import Service, contacts_of, device_of

HOUR_US = 3_600_000_000
LEAST_NATS = OPENS / 2  # no threshold is lower, so smaller peaks are not kept
MOST_NATS = 10 * OPENS  # a case of so much evidence opens, whatever the budget is
MOST_PEAKS = 20_000


@dataclass(kw_only=True)
class Peak:
    """The highest evidence of a case between two silences.

    Attributes:
        device: whose habits the case is judged by, as a number.
        service: protocol and port that most of its signs are of.
        hour: of its first sign, in hours since the epoch.
        tested: whether a sequential test was among its signs.
    """

    family: str
    device: int
    service: Service
    hour: int
    nats: float
    tested: bool


class PeakWatcher(Levels):
    """Levels at which nothing opens, which note how high cases get.

    Attributes:
        peaks: of LEAST_NATS and more, in the order of their first signs.
        unkept: number of peaks beyond MOST_PEAKS.
        signed: rows of the latest batch that had a sign.
        accused: hours and devices that a sequential test or a case of OPENS or more was about.
    """

    def __init__(self) -> None:
        self.peaks: list[Peak] = []
        self.unkept = 0
        self.signed: set[int] = set()
        self.accused: set[tuple[int, int]] = set()
        self._running: WeakKeyDictionary[Case, Peak] = WeakKeyDictionary()

    def weighed(self, sign: Sign, flow: np.void) -> Sign:
        """Note the sign, and return it."""
        self.signed.add(sign.row)
        if sign.test or sign.weight >= OPENS:
            hour = int(flow["end_us"]) // HOUR_US
            self.accused.update((hour, device) for device, _ in contacts_of(flow))
        return sign

    def opens(self, case: Case) -> bool:
        """Note the evidence of a case; it opens only at MOST_NATS."""
        peak = self._running.get(case) or self._new(case)
        before, peak.nats = peak.nats, max(peak.nats, case.weight)
        peak.tested |= bool(case.tests)
        if before < LEAST_NATS <= peak.nats:
            self._keep(peak)
        if peak.nats >= OPENS:
            self.accused.add((case.updated_us // HOUR_US, peak.device))
        return case.weight >= MOST_NATS

    def _new(self, case: Case) -> Peak:
        peak = self._running[case] = Peak(
            family=case.family,
            device=device_of(case),
            service=case.services.busiest,
            hour=case.updated_us // HOUR_US,
            nats=0.0,
            tested=False,
        )
        return peak

    def _keep(self, peak: Peak) -> None:
        if len(self.peaks) < MOST_PEAKS:
            self.peaks.append(peak)
        else:
            self.unkept += 1
