"""Learn a site: judged flows of everyday traffic become counts of devices, hours and peaks.

    flows ──> cases that nothing opens ──> peaks: what would have been an incident
      └─────> flows without any sign ───> hours of devices ──> contacts, levels, usual values

Nothing that looks like an attack is learned as normal: no flow with a sign, and no hour of a device
that a sequential test or a strong case accused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from idskit.errors import IdskitError
from idskit.flow import VERDICT
from idskit.incidents.evidence import FACTS, log_odds
from idskit.incidents.site_levels import contacts_of
from idskit.incidents.tracker import IncidentTracker
from idskit.packet import TCP
from idskit.schema import Schema
from idskit.site.case_peaks import HOUR_US, PeakWatcher
from idskit.site.column_sample import ColumnSample
from idskit.site.device_normal import DeviceHour, DeviceNormal
from idskit.site.site_normal import MOST_DEVICES, SiteNormal

FIRST_US = 946_684_800_000_000  # the year 2000: a clock before it was never set
MOST_OPEN_HOURS = 4 * MOST_DEVICES  # devices with an hour that is not over
_SAMPLED = 8  # rows of a device in an hour


class SiteLearner:
    """What is normal at a site, while it is learned.

    Args:
        schema: of the flows' features.
        classes: of the model, the first is the benign one.
        threshold: score at which a flow alone raises an alert.
        model: SHA-256 of the model file; levels are of one model.

    Attributes:
        left_out: number of flows and device hours that were not learned, by reason.
    """

    def __init__(
        self, schema: Schema, classes: Sequence[str], threshold: float, model: str = ""
    ) -> None:
        self.left_out: Counter[str] = Counter()
        self._watcher = PeakWatcher()
        self._tracker = IncidentTracker(schema, classes, threshold, self._watcher)
        self._normal = SiteNormal(schema=schema, model=model, threshold=threshold)
        self._devices: dict[int, DeviceNormal] = {}
        self._open: dict[int, DeviceHour] = {}
        self._hour = 0
        self._signed: dict[int, int] = {}  # by slot: serial of an open flow that had a sign
        self._columns = ColumnSample(schema)
        position = {name: at for at, name in enumerate(schema.names)}
        self._facts = [position.get(column, -1) for column, *_ in FACTS]

    def observe(
        self,
        flows: NDArray[np.void],
        features: NDArray[np.float64],
        probabilities: NDArray[np.float32],
    ) -> None:
        """Learn (n,) FLOW records with (n, d) features and (n, classes) probabilities."""
        dated = flows["start_us"] >= FIRST_US
        self._leave_out("the clock was not set", len(flows) - int(dated.sum()))
        flows, features, probabilities = flows[dated], features[dated], probabilities[dated]
        self._watcher.signed.clear()
        self._tracker.observe_flows(flows, features, probabilities)
        rows = self._silent(flows, probabilities)
        scores = log_odds(1 - probabilities[rows, 0].astype(np.float64))
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
            self._add(flows[row], features[row], score)

    def finish(self) -> SiteNormal:
        """Return what was learned.

        Raises:
            IdskitError: no flow could be learned from.
        """
        self._close_hour()
        normal = self._normal
        if not normal.hours:
            raise IdskitError(
                f"nothing was learned of {normal.flows + sum(self.left_out.values()):,} flows: "
                "they must be of local addresses, dated by a clock that is set"
            )
        self._leave_out("more devices than are kept", len(self._devices) - MOST_DEVICES)
        ranked = sorted(self._devices.items(), key=lambda item: (-item[1].hours, -item[1].flows))
        normal.devices = dict(sorted(ranked[:MOST_DEVICES]))
        normal.peaks = list(self._watcher.peaks)
        normal.unkept = self._watcher.unkept
        normal.columns = self._columns.quantiles()
        normal.left_out = dict(sorted(self.left_out.items()))
        return normal

    def _silent(
        self, flows: NDArray[np.void], probabilities: NDArray[np.float32]
    ) -> NDArray[np.int64]:
        """Return the rows of flows that ended, were judged, and never had a sign."""
        silent = np.isfinite(probabilities[:, 0])
        self._leave_out("the model could not judge them", len(flows) - int(silent.sum()))
        ended = flows["end"] != VERDICT
        slots, serials = flows["slot"].tolist(), flows["serial"].tolist()
        for row in range(len(flows)):
            signed = row in self._watcher.signed
            earlier = self._signed.get(slots[row]) == serials[row]
            if signed and not ended[row]:
                self._signed[slots[row]] = serials[row]
            elif (signed or earlier) and ended[row]:
                self._signed.pop(slots[row], None)
                self._leave_out("they looked like an attack")
                silent[row] = False
        return np.flatnonzero(silent & ended)

    def _add(self, flow: np.void, features: NDArray[np.float64], score: float) -> None:
        hour = int(flow["end_us"]) // HOUR_US
        if hour > self._hour:
            self._close_hour()
            self._hour = hour
        self._normal.flows += 1
        failed = int(flow["protocol"]) == TCP and not flow["bwd_packets"]
        for device, contact in contacts_of(flow):
            found = self._hour_of(device)
            if found is None or found.is_full:
                self._leave_out("more of a device or hour than are counted")
                continue
            sent = not contact.inbound or bool(flow["bwd_packets"])
            found.add(contact, failed=failed and not contact.inbound, sent=sent, score=score)
            if not contact.inbound:
                found.add_facts(np.array([features[at] if at >= 0 else 0 for at in self._facts]))
            if found.flows <= _SAMPLED:
                self._columns.add(features)

    def _hour_of(self, device: int) -> DeviceHour | None:
        found = self._open.get(device)
        if found is None and len(self._open) < MOST_OPEN_HOURS:
            found = self._open[device] = DeviceHour()
        return found

    def _close_hour(self) -> None:
        accused, self._watcher.accused = self._watcher.accused, set()
        self._normal.hours += bool(self._open)
        for device, found in self._open.items():
            if device in accused:
                self._leave_out("hours of a device that was accused")
            elif found.sent:
                self._normal_of(device).count(self._hour, found)
        self._open = {}

    def _normal_of(self, device: int) -> DeviceNormal:
        known = self._devices.get(device)
        if known is None:
            if len(self._devices) >= 2 * MOST_DEVICES:
                self._evict()
            known = DeviceNormal(first=self._hour, last=self._hour)
            self._devices[device] = known
        return known

    def _evict(self) -> None:
        """Drop half of the devices: those of the fewest hours, and of these the earliest seen."""
        ranked = sorted(self._devices.items(), key=lambda item: (-item[1].hours, -item[1].last))
        self._leave_out("more devices than are kept", len(ranked) - MOST_DEVICES)
        self._devices = dict(ranked[:MOST_DEVICES])

    def _leave_out(self, reason: str, number: int = 1) -> None:
        if number > 0:
            self.left_out[reason] += number
