"""The site that the service guards: learned here or read from a file, and what persons said of it.

    batches ──> learner, kept every hour ──> site file ──┐
    a site file that is there ──────────────────────────>├──> levels of the tracker
    verdicts of persons, kept in the state folder ───────┘

The loop of packets gives batches and reads ``levels`` between two of them; whatever waits for a
disk is done in threads.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.alerts.eve import eve_time
from idskit.detect.detector import Detector
from idskit.errors import IdskitError
from idskit.explain.usual import Usual
from idskit.flow import address_number
from idskit.gateway.journal import BurnFile, VerdictFile, opened_us
from idskit.gateway.learned.hourly_site import HourlyLearner, HourlyWatch, model_of
from idskit.gateway.service_options import SiteSection
from idskit.gateway.state_folder import CheckedFile
from idskit.incidents.family_facts import FAMILY_FACTS
from idskit.incidents.incident import Incident
from idskit.incidents.sequential.nats import OPENS
from idskit.profiles.flow_reader import FlowBatch
from idskit.schema import Schema
from idskit.site.device_normal import DeviceNormal, service_text
from idskit.site.incident_budget import Budget, BurnRate
from idskit.site.site_file import LoadedSite, read_site, write_site
from idskit.site.site_levels import SiteLevels
from idskit.site.site_normal import SiteNormal

NAME = "site.idskit"  # in the state folder, unless the user names another file
_MOST_NEW, _MOST_USUAL = 3, 8  # services that a device of the snapshot names
_MOST_SHOWN = 200  # verdicts of a snapshot
_WAIT_S = 20.0  # for a file that is being written when the service ends
Document = dict[str, Any]
Say = Callable[[str], object]


class ServiceSite:
    """What is known of the site of a service.

    Attributes:
        levels: that the tracker asks; others take their place as a whole, from any thread.
        normal: what was learned; None until it is.
    """

    def __init__(self, options: SiteSection, folder: Path, detector: Detector, say: Say) -> None:
        """Read the site's file, or begin to learn where there is none.

        Raises:
            IdskitError: the file that the user named is damaged, or is of another model's flows.
        """
        self._options, self._detector, self._say = options, detector, say
        self._path = options.file or folder / NAME
        self._learning_file = CheckedFile(folder, "learning")
        self._week_file = CheckedFile(folder, "drift")
        self._watch: HourlyWatch | None = None
        self._completing: threading.Thread | None = None
        self._learner: HourlyLearner | None = None
        self._problem = ""
        self._since_us = 0
        self._said, self._burn = VerdictFile(folder), BurnFile(folder)
        self._lock = threading.Lock()  # held while verdicts or levels change
        self.normal: SiteNormal | None = None
        self.levels = SiteLevels()
        self._set_levels()
        if _exists(self._path):
            self._open()
        if self.normal is None and options.learn_hours:
            self._learner = HourlyLearner(detector, options.learn_hours, self._learning_file, say)

    @property
    def budget(self) -> Budget:
        """Return the false incidents that are put up with."""
        return Budget.parse(self._options.budget)

    @property
    def is_learning(self) -> bool:
        """Return whether batches are learned from."""
        return self._learner is not None and self._completing is None

    @property
    def wants_flows(self) -> bool:
        """Return whether ``observe`` does anything."""
        return self.is_learning or self._watch is not None

    # Called by the loop of packets: nothing here waits for a disk.

    def observe(self, batch: FlowBatch, probabilities: NDArray[np.float32]) -> list[Incident]:
        """Learn a batch, or return the incidents of what is no longer as it was learned."""
        watch, learner = self._watch, self._learner
        if watch is not None:
            return watch.observe(batch, probabilities)
        normal = None
        if learner is not None and self._completing is None:
            normal = learner.observe(batch, probabilities)
        if normal is not None:
            self._completing = threading.Thread(
                target=self._complete, args=(normal, learner), daemon=True
            )
            self._completing.start()
        return []

    def usual(self, row: NDArray[np.float32] | None) -> Usual | None:
        """Return what is usual here for a flow like a row (d,); None where that is not known."""
        normal = self.normal
        return None if normal is None or row is None else normal.usual(row)

    def judged_by(self, detector: Detector) -> None:
        """Take note that another detector of the same flows judges from now on."""
        before, self._detector = self._detector, detector
        learner = self._learner if self.is_learning else None
        if learner is not None and model_of(before) != model_of(detector):
            learner.close()
            self._learner = HourlyLearner(detector, learner.wanted, self._learning_file, self._say)
        if model_of(before) != model_of(detector):
            self._begin_watch()
        self._say_notes()

    # Called by others.

    def reload(self, options: SiteSection) -> None:
        """Keep another budget from now on; what else changed takes a restart."""
        is_other = options.budget != self._options.budget
        self._options = options
        if is_other:
            self._set_levels()
            self._say_notes()

    def say(self, incident: Document, verdict: str) -> str:
        """Let a verdict change what is like its incident; return how, see ``VerdictFile.say``.

        Raises:
            OSError: it holds until the service ends, but cannot be written.
        """
        try:
            with self._lock:
                return self._said.say(incident, verdict)
        finally:
            self._set_levels()

    def verdicts(self) -> list[Document]:
        """Return the verdicts in force with what they change, the latest first."""
        with self._lock:
            listed = self._said.verdicts.listed()[:_MOST_SHOWN]
        return [
            {"incident_id": one.incident_id, "verdict": one.verdict, "effect": str(one)}
            for one in listed
        ]

    def health(self) -> list[str]:
        """Return what keeps the site from being learned or used, in sentences."""
        hourly = self._learner or self._watch
        kept = (self._problem, self._said.problem, hourly.problem if hourly else "")
        return list(filter(None, (*kept, self._burn.problem, self._burn.said(self.budget))))

    def learning(self) -> Document:
        """Return the state of learning, for the snapshot."""
        learner, normal = self._learner, self.normal
        if normal is not None:
            return {"state": "learned", "hours": normal.hours, "since": eve_time(self._since_us)}
        if learner is not None:
            return {
                "state": "learning", "hours": learner.hours, "since": eve_time(learner.since_us)
            }  # fmt: skip
        return {"state": "off", "hours": 0, "since": None}

    def progress(self) -> str:
        """Return how far learning is, in a sentence; empty while nothing is learned."""
        learner = self._learner
        if learner is None:
            return ""
        return (
            f"It learns what is normal here: {learner.hours:,} of {learner.wanted:,} hours of "
            "traffic; until then incidents open as shipped"
        )

    def budget_use(self, incidents: Iterable[Document]) -> Document:
        """Return how fast the budget burns: 1 is as fast as it may, over an hour and over a day."""
        hour, day = BurnRate.rates(opened_us(incidents), _now_us(), self.budget)
        nats = (self.levels.nats.get(family, OPENS) for family in FAMILY_FACTS)
        return {
            "per_day": self.budget.per_day,
            "burn_1h": hour,
            "burn_24h": day,
            "threshold": max(nats) * self.levels.factor,
            "factor": self.levels.factor,
        }

    def watch_budget(self, incidents: Iterable[Document]) -> None:
        """Ask for more evidence while more incidents open than the budget allows."""
        if self._burn.watch(opened_us(incidents), self.budget):
            self._set_levels()
            self._say(self._burn.said(self.budget))

    def lower(self) -> None:
        """Ask for as much evidence as the budget needs, because a person wants it."""
        self._burn.lower()
        self._set_levels()
        self._say("a person lowered the evidence that an incident needs to that of the budget")

    @property
    def drift_ratio(self) -> float | None:
        """Return the part of this week's devices that are not as learned; None: not watched."""
        watch = self._watch
        return None if watch is None else watch.ratio

    def described(self, devices: list[Document]) -> list[Document]:
        """Return devices with their usual services, and what is new since the site was learned."""
        normal = self.normal
        if normal is None:
            return devices
        return [
            one | _news(one, normal.devices.get(address_number(one["address"]))) for one in devices
        ]

    def counters(self) -> dict[str, int]:
        """Return what was learned, by name."""
        learner, normal = self._learner, self.normal
        if normal is None:
            return {"site_hours": 0 if learner is None else learner.hours}
        return {
            "site_hours": normal.hours,
            "site_flows": normal.flows,
            "site_devices": len(normal.devices),
            "site_flows_left_out": sum(normal.left_out.values()),
        }

    def close(self) -> None:
        """Wait until what was learned is written."""
        for hourly in (self._learner, self._watch):
            if hourly is not None:
                hourly.close()
        if self._completing is not None:
            self._completing.join(_WAIT_S)

    # The file.

    def _open(self) -> None:
        """Use the file; a damaged one of the service's own is learned anew.

        Raises:
            IdskitError: the file is the user's, and cannot be used.
        """
        try:
            found = read_site(self._path, self._detector.schema)
        except IdskitError as error:
            if self._options.file is not None:
                raise
            self._problem = f"the site is not used: {error}"
            self._say(self._problem)
            return
        self._use(found, int(self._path.stat().st_mtime * 1e6))
        self._say(
            f"the site {self._path} is used: {found.normal.hours:,} hours of "
            f"{len(found.normal.devices):,} devices"
        )

    def _complete(self, normal: SiteNormal, learner: HourlyLearner) -> None:
        """Write what was learned, and let its levels take the place of the shipped ones."""
        learner.close()
        if self._options.file is not None and _exists(self._path):
            self._say(
                f"{self._path} was written by somebody while the service learned: it is kept, and "
                "what was learned is used until the service ends"
            )
        elif not self._is_written(normal):
            self._use(LoadedSite(normal=normal), _now_us())
            return
        self._learning_file.remove()
        self._use(LoadedSite(normal=normal), _now_us())
        self._say(
            f"the site is learned: {normal.flows:,} flows of {len(normal.devices):,} devices in "
            f"{normal.hours:,} hours ({self._path}); its levels open incidents from now on"
        )

    def _is_written(self, normal: SiteNormal) -> bool:
        try:
            write_site(normal, self._path)
        except IdskitError as error:
            self._problem = f"the learned site is used, but cannot be written: {error}"
            self._say(self._problem)
            return False
        self._problem = ""
        return True

    def _use(self, found: LoadedSite, since_us: int) -> None:
        self._since_us, self.normal = since_us, found.normal
        self._set_levels()
        self._learner = None
        self._begin_watch()
        for note in found.notes:
            self._say(note)
        self._say_notes()

    def _set_levels(self) -> None:
        with self._lock:
            said = self._said.verdicts.factors()
            normal = self.normal
            levels = normal.levels(self.budget, said) if normal else SiteLevels(said=said)
            self.levels = replace(levels, factor=self._burn.burn.factor)

    def _begin_watch(self) -> None:
        """Watch for drift, where the model judges that the site was learned with."""
        normal, detector = self.normal, self._detector
        is_same = normal is not None and [normal.model, normal.threshold] == [
            detector.sha256,
            detector.threshold,
        ]
        self._watch = None
        if normal is not None and is_same:
            self._watch = HourlyWatch(normal, detector, self._week_file, self._say)
        elif normal is not None:
            self._say("drift is not watched: the site was learned with another model or threshold")

    def _say_notes(self) -> None:
        """Say what the levels cannot promise."""
        normal = self.normal
        if normal is None:
            return
        for note in normal.openings(self.budget).notes:
            self._say(note)
        if normal.model not in ("", self._detector.sha256):
            self._say(
                f"the site was learned with another model ({normal.model[:12]}): its thresholds "
                f"may not keep the budget; remove {self._path} and restart to learn it again"
            )


def check_site(options: SiteSection, schema: Schema) -> None:
    """Refuse a site file that could not be used.

    Raises:
        IdskitError: it is damaged, or of other columns than those of ``schema``.
    """
    if options.file is not None and _exists(options.file):
        read_site(options.file, schema)


def _news(device: Document, known: DeviceNormal | None) -> Document:
    """Return the parts ``new`` and ``usual`` of a device of the snapshot."""
    if known is None:
        return {"new": ["It was not learned: it joined later, or looked like an attacker then."]}
    hours: Counter[str] = Counter()
    for contact, (seen, _) in known.contacts.items():
        if not contact.inbound:
            hours[service_text(*contact.service)] += seen
    new = [service for service in device["services"] if service not in hours]
    more = f" and {len(new) - _MOST_NEW} more" if len(new) > _MOST_NEW else ""
    news = [f"It uses {', '.join(new[:_MOST_NEW])}{more}: not learned of it."] if new else []
    return {"new": news, "usual": [service for service, _ in hours.most_common(_MOST_USUAL)]}


def _exists(path: Path) -> bool:
    with suppress(OSError):  # a folder that this user may not look into
        return path.exists()
    return False


def _now_us() -> int:
    return time.time_ns() // 1000
