"""Learning and the watch for drift, whose hours are kept: a restart costs the one that is not over.

The loop of packets calls these; whatever waits for a disk is done in threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.detect.detector import Detector
from idskit.gateway.state_folder import CheckedFile, SlowFile
from idskit.incidents.incident import Incident
from idskit.profiles.flow_reader import FlowBatch
from idskit.schema import Schema
from idskit.site.case_peaks import HOUR_US
from idskit.site.learn_site import learner_for
from idskit.site.site_drift import DriftWatch
from idskit.site.site_learner import FIRST_US
from idskit.site.site_normal import SiteNormal

Document = dict[str, Any]
Say = Callable[[str], object]


class HourlyLearner:
    """A learner that keeps its hours, so that a restart costs the hour that is not over.

    Args:
        detector: whose probabilities are learned.
        wanted: hours of traffic after which all is learned.
        file: where hours are kept.
        say: called with a sentence for the log.

    Attributes:
        since_us: when learning began, since the epoch.
    """

    def __init__(self, detector: Detector, wanted: int, file: CheckedFile, say: Say) -> None:
        self.wanted = wanted
        self.since_us = time.time_ns() // 1000
        self._kept = SlowFile(file)
        self._hour = 0  # of the latest flow, since the epoch
        self._learner = learner_for(detector)
        self._model = model_of(detector)
        self._resume(detector.schema, say)

    @property
    def hours(self) -> int:
        """Return the hours of traffic that are learned."""
        return self._learner.hours

    def observe(self, batch: FlowBatch, probabilities: NDArray[np.float32]) -> SiteNormal | None:
        """Learn a batch; return what was learned once the last hour is over, without the batch."""
        ends_us = batch.flows["end_us"]
        hour = int(ends_us.max()) // HOUR_US if len(ends_us) else 0
        is_over = 0 < self._hour < hour
        if is_over and self.hours + 1 >= self.wanted:
            return self._learner.finish()
        self._learner.observe(batch.flows, batch.features, probabilities)
        if is_over:
            self._keep()
        if hour >= FIRST_US // HOUR_US:
            self._hour = max(self._hour, hour)
        return None

    @property
    def problem(self) -> str:
        """Return why hours cannot be kept; empty if they can."""
        return self._kept.problem

    def close(self) -> None:
        """Wait until the file is written."""
        self._kept.close()

    def _resume(self, schema: Schema, say: Say) -> None:
        found, problem = self._kept.file.read(), self._kept.file.problem
        if found is None and not problem:
            return
        try:
            if found is None or found["model"] != self._model:
                raise ValueError(problem or "another model judges now")
            earlier = SiteNormal.from_json(found["site"], schema)
            self.since_us = int(found["since_us"])
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            say(f"what was learned of the site cannot be used ({error}): learning begins again")
            return
        self._learner.resume(earlier)
        say(f"learning of the site goes on after {earlier.hours:,} hours of {self.wanted:,}")

    def _keep(self) -> None:
        known = {"model": self._model, "since_us": self.since_us}
        normal = self._learner.so_far()
        self._kept.write(lambda: known | {"site": normal.to_json()})


class HourlyWatch:
    """A watch for drift that keeps its week, so that a restart repeats no alarm.

    Args:
        normal: what was learned.
        detector: the one that it was learned with.
        file: where the week is kept.
        say: called with a sentence for the log.

    Attributes:
        ratio: part of the devices of this week that are no longer as they were learned.
    """

    def __init__(self, normal: SiteNormal, detector: Detector, file: CheckedFile, say: Say) -> None:
        self._watch = DriftWatch(normal, detector.card.classes)
        self._kept = SlowFile(file)
        self._site = [normal.model, normal.hours, normal.flows]
        self._hour = 0
        found, problem = file.read(), file.problem
        try:
            if found is not None and found["site"] == self._site:
                self._watch.restore(found["week"])
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            problem = problem or repr(error)
        if problem:
            say(f"this week of the watch for drift is damaged ({problem}): it begins again")
        self.ratio = _drifted(self._watch.to_state())

    def observe(self, batch: FlowBatch, probabilities: NDArray[np.float32]) -> list[Incident]:
        """Count a batch, and return what is no longer as it was learned, each as its incidents."""
        alarms = self._watch.observe(batch.flows, batch.features, probabilities)
        hour = int(batch.flows["end_us"].max(initial=0)) // HOUR_US
        if hour > self._hour:
            self._hour = hour
            self._keep()
        return [incident for alarm in alarms for incident in alarm.incidents()]

    @property
    def problem(self) -> str:
        """Return why the week cannot be kept; empty if it can."""
        return self._kept.problem

    def close(self) -> None:
        """Wait until the file is written."""
        self._kept.close()

    def _keep(self) -> None:
        week = self._watch.to_state()
        self.ratio = _drifted(week)
        state = {"site": self._site, "week": week}
        self._kept.write(lambda: state)


def _drifted(week: Document) -> float:
    """Return the part of the devices of the latest week that had an alarm; 0 without any."""
    streams = list(week["streams"].values())
    latest = max((one["week"] for one in streams), default=0)
    alarmed = [one["alarmed"] for one in streams if one["week"] == latest]
    return float(np.mean(alarmed)) if alarmed else 0.0


def model_of(detector: Detector) -> list[Any]:
    """Return what two learners must share to go on with each other's hours."""
    return [detector.sha256, detector.schema.sha256, detector.threshold]
