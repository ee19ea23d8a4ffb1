"""Learn a site: judged flows of everyday traffic become counts of devices, hours and peaks.

    flows ──> cases that nothing opens ──> peaks: what would have been an incident
      └─────> flows without any sign ───> hours of devices ──> contacts, levels, usual values

Nothing that looks like an attack is learned as normal: no flow with a sign, and no hour of a device
that a sequential test or a strong case accused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from idskit.errors import IdskitError
from idskit.flow import VERDICT
from idskit.incidents.case import SILENCE_US
from idskit.incidents.evidence import FACTS, log_odds
from idskit.incidents.tracker import IncidentTracker
from idskit.packet import TCP
from idskit.schema import Schema
from idskit.site.case_peaks import HOUR_US, PeakWatcher
from idskit.site.device_normal import DeviceHour, DeviceNormal
from idskit.site.site_levels import contacts_of
from idskit.site.site_normal import MOST_DEVICES, ColumnSample, SiteNormal

FIRST_US = 946_684_800_000_000  # the year 2000: a clock before it was never set
MOST_OPEN_HOURS = 4 * MOST_DEVICES  # devices with an hour that is not over
_SAMPLED = 8  # rows of a device in an hour


class DeviceHours:
    """The hour that is not over yet, of every device.

    A flow counts once, at the first of its rows: one that got nothing more after a verdict has no
    other.

    Args:
        schema: of the flows' features.
    """

    def __init__(self, schema: Schema) -> None:
        self.hour = 0
        self.open: dict[int, DeviceHour] = {}
        self.left_out: Counter[str] = Counter()
        self._seen: dict[int, int] = {}  # by slot: serial of an open flow
        position = {name: at for at, name in enumerate(schema.names)}
        self._facts = [position.get(column, -1) for column, *_ in FACTS]

    def is_over(self, flow: np.void) -> bool:
        """Return whether a flow ended after the hour."""
        return int(flow["end_us"]) // HOUR_US > self.hour

    def begin(self, flow: np.void) -> dict[int, DeviceHour]:
        """Begin the hour of a flow, and return the one before it by device."""
        over, self.open = self.open, {}
        self.hour = int(flow["end_us"]) // HOUR_US
        return over

    def is_first(self, flow: np.void) -> bool:
        """Return whether a row is the first of its flow."""
        slot, serial = int(flow["slot"]), int(flow["serial"])
        is_known = self._seen.get(slot) == serial
        if int(flow["end"]) == VERDICT:
            self._seen[slot] = serial
        else:
            self._seen.pop(slot, None)
        return not is_known

    def ban(self, flow: np.void) -> None:
        """Learn nothing of the contacts of a flow in this hour."""
        for device, contact in contacts_of(flow):
            found = self._hour_of(device)
            if found is not None:
                found.ban(contact)

    def add(self, flow: np.void, features: NDArray[np.float64], score: float) -> bool:
        """Count a flow; return whether it is one of the first of a device in the hour."""
        failed = int(flow["protocol"]) == TCP and not flow["bwd_packets"]
        is_early = False
        for device, contact in contacts_of(flow):
            found = self._hour_of(device)
            if found is None or found.is_full:
                self.left_out["more of a device or hour than are counted"] += 1
                continue
            sent = not contact.inbound or bool(flow["bwd_packets"])
            found.add(contact, failed=failed and not contact.inbound, sent=sent, score=score)
            if not contact.inbound:
                found.add_facts(np.array([features[at] if at >= 0 else 0 for at in self._facts]))
            is_early |= found.flows <= _SAMPLED
        return is_early

    def _hour_of(self, device: int) -> DeviceHour | None:
        found = self.open.get(device)
        if found is None and len(self.open) < MOST_OPEN_HOURS:
            found = self.open[device] = DeviceHour()
        return found


class QuietHours:
    """The hours of devices, without what looked like an attack.

    Args:
        schema: of the flows' features.
        classes: of the model, the first is the benign one.
        threshold: score at which a flow alone raises an alert.

    Attributes:
        watcher: notes the peaks of cases.
        flows: number of flows that were counted.
        left_out: number of flows and device hours that were not, by reason.
    """

    def __init__(self, schema: Schema, classes: Sequence[str], threshold: float) -> None:
        self.watcher = PeakWatcher()
        self.flows = 0
        self.left_out: Counter[str] = Counter()
        self._tracker = IncidentTracker(schema, classes, threshold, self.watcher)
        self._hours = DeviceHours(schema)

    def observe(
        self,
        flows: NDArray[np.void],
        features: NDArray[np.float64],
        probabilities: NDArray[np.float32],
        sample: ColumnSample | None = None,
    ) -> Iterator[tuple[int, dict[int, DeviceHour]]]:
        """Count (n,) FLOW records, and yield the hours that are over: each with its devices.

        Args:
            flows: n records.
            features: (n, d).
            probabilities: (n, classes).
            sample: is offered the first flows of each device and hour.
        """
        dated = flows["start_us"] >= FIRST_US
        self.leave_out("the clock was not set", len(flows) - int(dated.sum()))
        flows, features, probabilities = flows[dated], features[dated], probabilities[dated]
        for part in _quarters(flows):
            yield from self._observe(flows[part], features[part], probabilities[part], sample)

    def _observe(
        self,
        flows: NDArray[np.void],
        features: NDArray[np.float64],
        probabilities: NDArray[np.float32],
        sample: ColumnSample | None,
    ) -> Iterator[tuple[int, dict[int, DeviceHour]]]:
        self.watcher.signed.clear()
        self._tracker.advance(int(flows["end_us"].min()))
        self._tracker.drop_silent()
        self._tracker.observe_flows(flows, features, probabilities)
        scores = log_odds(probabilities)
        for row, score in enumerate(scores.tolist()):
            if self._hours.is_over(flows[row]):
                yield self._over(self._hours.hour, self._hours.begin(flows[row]))
            if self._add(flows[row], features[row], score, row in self.watcher.signed) and sample:
                sample.add(features[row])

    def finish(self) -> tuple[int, dict[int, DeviceHour]]:
        """Return the hour that is not over yet."""
        self.left_out += self._hours.left_out
        hours, self._hours.open, self._hours.left_out = self._hours.open, {}, Counter()
        return self._over(self._hours.hour, hours)

    def resume(self, earlier: SiteNormal) -> None:
        """Go on counting where an earlier learner ended."""
        self.flows, self.left_out = earlier.flows, Counter(earlier.left_out)
        self.watcher.peaks, self.watcher.unkept = list(earlier.peaks), earlier.unkept

    def leave_out(self, reason: str, number: int = 1) -> None:
        """Count what is not learned."""
        if number > 0:
            self.left_out[reason] += number

    def _add(
        self, flow: np.void, features: NDArray[np.float64], score: float, is_signed: bool
    ) -> bool:
        """Count a flow; return whether it is one of the first of a device in the hour."""
        is_first = self._hours.is_first(flow)
        if is_signed:
            self._hours.ban(flow)
            self.leave_out("they looked like an attack", is_first)
        elif np.isnan(score):
            self.leave_out("the model could not judge them", is_first)
        elif is_first:
            self.flows += 1
            return self._hours.add(flow, features, score)
        return False

    def _over(self, hour: int, over: dict[int, DeviceHour]) -> tuple[int, dict[int, DeviceHour]]:
        accused = {device for when, device in self.watcher.accused if when == hour}
        self.watcher.accused = {one for one in self.watcher.accused if one[0] > hour}
        sent = {device: found for device, found in over.items() if found.sent}
        quiet = {device: found for device, found in sent.items() if device not in accused}
        self.leave_out("hours of a device that was accused", len(sent) - len(quiet))
        return hour, quiet


class SiteLearner:
    """What is normal at a site, while it is learned.

    Args:
        schema: of the flows' features.
        classes: of the model, the first is the benign one.
        threshold: score at which a flow alone raises an alert.
        model: SHA-256 of the model file; levels are of one model.
    """

    def __init__(
        self, schema: Schema, classes: Sequence[str], threshold: float, model: str = ""
    ) -> None:
        self._quiet = QuietHours(schema, classes, threshold)
        self._normal = SiteNormal(schema=schema, model=model, threshold=threshold)
        self._devices: dict[int, DeviceNormal] = {}
        self._columns = ColumnSample(schema)

    def observe(
        self,
        flows: NDArray[np.void],
        features: NDArray[np.float64],
        probabilities: NDArray[np.float32],
    ) -> None:
        """Learn (n,) FLOW records with (n, d) features and (n, classes) probabilities."""
        for hour, found in self._quiet.observe(flows, features, probabilities, self._columns):
            self._count(hour, found)

    @property
    def hours(self) -> int:
        """Return the hours of traffic that are over."""
        return self._normal.hours

    def resume(self, earlier: SiteNormal) -> None:
        """Go on with what an earlier learner of the same model had learned.

        Columns are sampled anew; the earlier quantiles hold where too few rows follow.
        """
        self._normal.hours, self._normal.columns = earlier.hours, earlier.columns
        self._devices = dict(earlier.devices)
        self._quiet.resume(earlier)

    def finish(self) -> SiteNormal:
        """Return what was learned.

        Raises:
            IdskitError: no flow could be learned from.
        """
        self._count(*self._quiet.finish())
        quiet = self._quiet
        if not self._normal.hours:
            raise IdskitError(
                f"nothing was learned of {quiet.flows + quiet.left_out.total():,} flows: they must "
                "be of local addresses, dated by a clock that is set, and not all like attacks"
            )
        return self.so_far()

    def so_far(self) -> SiteNormal:
        """Return what the hours that are over taught; it stays as it is when more is learned."""
        quiet, left_out = self._quiet, self._quiet.left_out.copy()
        if len(self._devices) > MOST_DEVICES:
            left_out["more devices than are kept"] += len(self._devices) - MOST_DEVICES
        ranked = sorted(self._devices.items(), key=lambda item: (-item[1].hours, -item[1].flows))
        return replace(
            self._normal,
            flows=quiet.flows,
            devices={one: known.copied() for one, known in sorted(ranked[:MOST_DEVICES])},
            peaks=list(quiet.watcher.peaks),
            unkept=quiet.watcher.unkept,
            columns={**self._normal.columns, **self._columns.quantiles()},
            left_out=dict(sorted(left_out.items())),
        )

    def _count(self, hour: int, hours: dict[int, DeviceHour]) -> None:
        self._normal.hours += hour > 0
        for device, found in hours.items():
            self._normal_of(device, hour).count(hour, found)

    def _normal_of(self, device: int, hour: int) -> DeviceNormal:
        known = self._devices.get(device)
        if known is None:
            if len(self._devices) >= 2 * MOST_DEVICES:
                self._evict()
            known = self._devices[device] = DeviceNormal(first=hour, last=hour)
        return known

    def _evict(self) -> None:
        """Drop half of the devices: those of the fewest hours, and of these the earliest seen."""
        ranked = sorted(self._devices.items(), key=lambda item: (-item[1].hours, -item[1].last))
        self._quiet.leave_out("more devices than are kept", len(ranked) - MOST_DEVICES)
        self._devices = dict(ranked[:MOST_DEVICES])


def _quarters(flows: NDArray[np.void]) -> Iterator[slice]:
    """Yield parts of (n,) records within a quarter of an hour: a batch of files may last a day."""
    quarters = flows["end_us"] // SILENCE_US
    bounds = [0, *(1 + np.flatnonzero(np.diff(quarters))).tolist(), len(flows)]
    for first, last in pairwise(bounds):
        if first < last:
            yield slice(first, last)
