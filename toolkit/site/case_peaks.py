"""The highest evidence of every case of benign traffic: what a threshold of incidents would meet.

A case that nothing opens goes on collecting evidence, so its peak says at which thresholds it would
have been an incident. A case that was silent for as long as ends an incident begins a new peak.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from idskit.incidents.case import Case
from idskit.incidents.evidence import Sign
from idskit.incidents.incident import Incident
from idskit.incidents.sequential_tests import OPENS
from idskit.incidents.site_levels import Service, contacts_of, device_of
from idskit.incidents.tracker import SILENCE_US

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


@dataclass(kw_only=True)
class _Running:
    peak: Peak
    last_us: int


class PeakWatcher:
    """Levels at which nothing opens, which note how high cases get.

    Attributes:
        peaks: of LEAST_NATS and more, in the order of their first signs.
        unkept: number of peaks beyond MOST_PEAKS.
        signed: rows of the latest batch that had a sign.
        accused: devices that a case of OPENS or more was about since they were last cleared.
    """

    def __init__(self) -> None:
        self.peaks: list[Peak] = []
        self.unkept = 0
        self.signed: set[int] = set()
        self.accused: set[int] = set()
        self._running: WeakKeyDictionary[Case, _Running] = WeakKeyDictionary()

    def weighed(self, sign: Sign, flow: np.void) -> Sign:
        """Note the sign, and return it."""
        self.signed.add(sign.row)
        if sign.test or sign.weight >= OPENS:
            self.accused.update(device for device, _ in contacts_of(flow))
        return sign

    def opens(self, case: Case) -> bool:
        """Note the evidence of a case; it opens only at MOST_NATS."""
        running = self._running.get(case)
        if running is None or case.updated_us - running.last_us > SILENCE_US:
            running = self._running[case] = self._new(case)
        peak, running.last_us = running.peak, case.updated_us
        before, peak.nats = peak.nats, max(peak.nats, case.weight)
        peak.tested |= bool(case.tests)
        if before < LEAST_NATS <= peak.nats:
            self._keep(peak)
        if peak.nats >= OPENS:
            self.accused.add(peak.device)
        return case.weight >= MOST_NATS

    def with_usual(self, incident: Incident) -> Incident:
        """Return the incident as it is."""
        return incident

    def _new(self, case: Case) -> _Running:
        peak = Peak(
            family=case.family,
            device=device_of(case),
            service=case.services.busiest,
            hour=case.updated_us // HOUR_US,
            nats=0.0,
            tested=False,
        )
        return _Running(peak=peak, last_us=case.updated_us)

    def _keep(self, peak: Peak) -> None:
        if len(self.peaks) < MOST_PEAKS:
            self.peaks.append(peak)
        else:
            self.unkept += 1
