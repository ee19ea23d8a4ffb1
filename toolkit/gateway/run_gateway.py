"""The service: packets of interfaces in, incidents to sinks and the page, for months.

    interfaces ──> flows ──> model ──> tracker ──> keeper (thread) ──> sinks (a thread each)
    └──────── one loop: packet_loop ─────────┘        └── control socket ──> page (a process)

This module opens these parts in an order in which each failure is one sentence, answers signals and
questions, and closes them so that nothing is lost.
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from idskit import __version__
from idskit.alerts.eve import Origin, eve_time
from idskit.capture.af_packet import interface_names
from idskit.detect.detector import Detector
from idskit.detect.detector_options import DetectorOptions
from idskit.errors import IdskitError
from idskit.gateway.configuration import settings_of
from idskit.gateway.control_socket import ControlServer
from idskit.gateway.journal import RECENT, Journal
from idskit.gateway.keeper import Keeper
from idskit.gateway.learned.service_site import ServiceSite, check_site
from idskit.gateway.outlets import Outlets, check_outlets
from idskit.gateway.packet_loop import Judges, PacketLoop
from idskit.gateway.service_options import NEEDS_RESTART, DetectionOptions, ServiceOptions
from idskit.gateway.state_folder import CheckedFile, StateLock, make_state_folder, state_folder
from idskit.gateway.steady_source import SteadySource
from idskit.incidents.incident import VERDICTS, Incident
from idskit.machine.precompile import make_ready
from idskit.modelfile.model_file import read_model
from idskit.modelfile.model_path import model_path
from idskit.process.notify import Notifier
from idskit.process.signals import finish_on_signals
from idskit.sinks.open_sinks import ModelFacts, ServiceStats
from idskit.sinks.prometheus import Metrics

SHOWN = 200  # incidents of a snapshot
CLOSE_S = 20.0
_ROUTES, _ROUTES_6 = Path("/proc/net/route"), Path("/proc/net/ipv6_route")
_UNKNOWN = "there is no incident of that identifier"
_COMPILING = "Loading; kernels are compiled where this machine has none yet"
Document = dict[str, Any]
Say = Callable[[str], object]


def run_gateway(options: ServiceOptions, *, reload: Callable[[], ServiceOptions], say: Say) -> None:
    """Run the service until SIGINT or SIGTERM.

    Args:
        options: its settings.
        reload: reads the settings again, for SIGHUP.
        say: called with a sentence for the log.

    Raises:
        IdskitError: it cannot start: no rights, no interface, no model, no state; or the model or
            a ring failed.
    """
    with ExitStack() as stack:
        gateway = Gateway(options, reload, say, stack)
        say(gateway.greeting())
        with finish_on_signals(gateway.loop.stop), _on_hangup(gateway.ask_reload):
            gateway.loop.run()


class Gateway:
    """The parts of a running service.

    Attributes:
        loop: the loop of packets, which ``run_gateway`` runs.
    """

    def __init__(
        self,
        options: ServiceOptions,
        reload: Callable[[], ServiceOptions],
        say: Say,
        stack: ExitStack,
    ) -> None:
        """Open all parts; ``stack`` closes them."""
        self._options, self._reload, self._say = options, reload, say
        self._started = _now()
        self._is_open = self._is_reload_asked = False
        self._reloading: threading.Thread | None = None
        folder = make_state_folder(state_folder(options.state.folder))
        stack.callback(StateLock(folder).release)
        names = options.capture.interfaces or (default_interface(),)
        SteadySource(names, lambda: None, filter=options.capture.filter).close()  # or say why not
        journal = _journal(folder, options.state.keep_mb << 20)
        self._outlets = Outlets(folder, options, Origin(interfaces=names), self._put_metrics)
        stack.callback(self._outlets.close)
        self._outlets.begin_page()  # it starts while the model is loaded
        detector = _loaded(options.detection)
        self._site = ServiceSite(options.site, folder, detector, say)
        stack.callback(self._site.close)
        judges = Judges.of(detector, self._site.levels)
        self._keeper = Keeper(journal, CheckedFile(folder, "tracker"), self._tell)
        stack.callback(self._keeper.close, CLOSE_S)
        self._restore(judges)
        self.loop = PacketLoop(options.capture, names, judges, self._keeper, self._site)
        stack.callback(self.loop.close)
        self.loop.on_tick = self._tick
        stack.callback(ControlServer(folder, self.answer).close)
        self._outlets.await_page()
        self._is_open = True

    def greeting(self) -> str:
        """Return what is watched, and where the page is."""
        names = ", ".join(one.name for one in self.loop.source.states)
        page = f"; the page is {self._outlets.page_url}" if self._outlets.page_url else ""
        return f"watching {names}{page}"

    def _tell(self, incident: Incident) -> None:
        """Hand an incident to the log and to every sink; the keeper calls this."""
        self._outlets.tell(incident)
        if incident.type == "new" and self._is_open:
            self._site.watch_budget(self._keeper.incidents(RECENT))
        if incident.type != "update":
            self._say(incident_sentence(incident))

    def _restore(self, judges: Judges) -> None:
        """Go on with the incidents of the last run; what nobody knows more of has ended."""
        state, problem = self._keeper.earlier_state()
        if problem:
            self._say(f"{problem}: {'the copy before is used' if state else 'it is not used'}")
        try:
            judges.tracker.restore(state or {"open": []})
        except (KeyError, TypeError, ValueError) as error:
            self._say(f"the state of open incidents is damaged ({error!r}): they are ended")
        known = {one.incident_id for one in judges.tracker.open_incidents}
        self._keeper.put(self._keeper.interrupted(known))

    def ask_reload(self) -> None:
        """Read the settings again soon; signal handlers may call this."""
        self._is_reload_asked = True

    def _tick(self) -> None:
        """Begin a reload that was asked for, in a thread: packets go on meanwhile."""
        is_free = self._reloading is None or not self._reloading.is_alive()
        if self._is_reload_asked and is_free:
            self._is_reload_asked = False
            self._reloading = threading.Thread(target=self._reload_now, name="reload", daemon=True)
            self._reloading.start()
        self._outlets.send_stats(self._stats, self._model_facts())
        self.loop.notifier.status(self._status())

    def _status(self) -> str:
        health = self.health()
        rate = self.loop.view.rates()["packets_per_s"][-1]
        reasons = f": {health['reasons'][0]}" if health["reasons"] else ""
        return f"{rate:,} packets/s, {self._keeper.open_incidents} open incidents{reasons}"

    def _reload_now(self) -> None:
        with self.loop.notifier.reloading():
            try:
                self._apply(self._reload())
            except IdskitError as error:
                self._say(f"the configuration is not reloaded, and the older one holds: {error}")

    def _apply(self, options: ServiceOptions) -> None:
        """Change what can be changed while packets are read; say what cannot."""
        check_settings(options)
        self._outlets.reload(options)
        self._site.reload(options.site)
        before = {one.field: one.value for one in settings_of(self._options)}
        changed = [one.field for one in settings_of(options) if before[one.field] != one.value]
        if options.detection != self._options.detection:
            detector = _loaded(options.detection, self.loop.judges.detector)
            self.loop.successor = detector
        for name in changed:
            needs_restart = name in NEEDS_RESTART
            self._say(f"{name} changed{', which takes a restart' if needs_restart else ''}")
        self._options = options
        self._say(f"the configuration was reloaded: {len(changed)} settings changed")

    # What the control socket is asked.

    def answer(self, asked: Document) -> Document:
        """Answer a question; see the README of this folder for what can be asked."""
        if asked.get("ask") == "snapshot":
            return self.snapshot()
        if asked.get("ask") == "older":
            return self._older(asked.get("skip"), asked.get("most"))
        if asked.get("ask") == "incident":
            return self._incident(str(asked.get("incident_id")))
        if asked.get("ask") == "verdict":
            return self._take_verdict(asked.get("incident_id"), asked.get("verdict"))
        if asked.get("ask") == "lower":
            self._site.lower()
            return {"ok": True}
        return {"error": "ask is one of snapshot, older, incident, verdict and lower"}

    def _incident(self, identifier: str) -> Document:
        found = self._keeper.incident(identifier)
        if not found:
            return {"error": _UNKNOWN}
        day = self.loop.view.day_of(Incident.from_json(found))
        return {"incident": found} | ({} if day is None else {"day": day.to_json()})

    def _older(self, skip: object, most: object) -> Document:
        if type(skip) is not int or type(most) is not int or skip < 0 or not 0 < most <= SHOWN:
            return {"error": f"skip is a number of incidents, and most is 1 to {SHOWN}"}
        return {"incidents": self._keeper.older(skip, most)}

    def _take_verdict(self, identifier: object, verdict: object) -> Document:
        if verdict not in VERDICTS:
            return {"error": f"a verdict is one of {', '.join(VERDICTS)}"}
        try:
            found = self._keeper.say_verdict(str(identifier), str(verdict))
            if found is None:
                return {"error": _UNKNOWN}
            return {"ok": True, "effect": self._site.say(found, str(verdict))}
        except OSError as error:
            return {"error": f"the verdict cannot be kept: {error.strerror}"}

    def health(self) -> Document:
        """Return whether all is well, and what is not, in sentences."""
        states, loop = self.loop.source.states, self.loop
        blind = [f"{one.name} {one.why_blind}" for one in states if one.why_blind]
        reasons = [*blind]
        if loop.is_overloaded:
            reasons.append(
                f"Packets come too fast: {loop.view.dropped_lately:,} dropped in the last minute, "
                f"read {loop.source.lag_us / 1e6:.1f} s late"
            )
        reasons += filter(None, (self._keeper.problem, self._keeper.clock.problem()))
        reasons += (*self._outlets.problems(), *self._site.health())
        progress = self._site.progress()
        quiet = "learning" if progress else "fine"
        return {
            "state": "blind" if blind else "overloaded" if loop.is_overloaded else quiet,
            "reasons": [*reasons, progress] if progress else reasons,
            "interfaces": [
                {
                    "name": one.name,
                    "up": not one.why_blind,
                    "packets": one.seen,
                    "dropped": one.dropped,
                }
                for one in states
            ],
        }

    def snapshot(self) -> Document:
        """Return what the page shows."""
        known = self._keeper.incidents(RECENT)
        incidents = known[:SHOWN]
        of_device = Counter(one["device"]["address"] for one in incidents if "device" in one)
        traffic, devices = self.loop.view.hosts(of_device)
        return {
            "version": __version__,
            "host": socket.gethostname(),
            "now": _now(),
            "started": self._started,
            "health": self.health(),
            "rates": self.loop.view.rates(),
            "traffic": {"seconds": 60, "hosts": traffic},
            "counters": self.counters(),
            "sinks": self._outlets.health(),
            "budget": self._site.budget_use(known),
            "verdicts": self._site.verdicts(),
            "incidents": incidents,
            "older": len(known) > SHOWN,
            "devices": self._site.described(devices),
            "model": asdict(self._model_facts()) | {"learning": self._site.learning()},
            "settings": [vars(one) for one in settings_of(self._options)],
        }

    def counters(self) -> dict[str, int]:
        """Return everything that is counted, by name."""
        found = self.loop.view.counters() | self.loop.skipped() | self._keeper.counters()
        found |= self._site.counters()
        tracker = self.loop.judges.tracker
        return found | {
            "cases_evicted": tracker.evicted,
            "callers_evicted": tracker.callers_evicted,
        }

    def _stats(self, today: int) -> ServiceStats:
        rates, counters = self.loop.view.rates(), self.loop.view.counters()
        return ServiceStats(
            open=self._keeper.open_incidents,
            today=today,
            packets_per_s=rates["packets_per_s"][-1],
            flows_per_s=rates["flows_per_s"][-1],
            dropped=counters["dropped_total"],
            health=self.health()["state"],
        )

    def _model_facts(self) -> ModelFacts:
        detector = self.loop.judges.detector
        return ModelFacts(
            name=str(self._options.detection.model or "shipped"),
            version=str(detector.card.facts.get("version", "")),
            sha256=detector.sha256,
            threshold=detector.threshold,
            classes=detector.card.classes,
        )

    def _put_metrics(self, metrics: Metrics) -> None:
        """Put the numbers that others keep; the thread that answers Prometheus calls this."""
        if not self._is_open:
            return
        statistics, model = self.loop.statistics, self._model_facts()
        metrics.put("idskit_packets_total", statistics.packets)
        metrics.put("idskit_capture_dropped_total", statistics.dropped)
        metrics.put("idskit_flows_total", statistics.flows)
        metrics.put("idskit_flow_table_evicted_total", statistics.evicted)
        for reason, count in statistics.skipped.items():
            metrics.put("idskit_frames_skipped_total", count, reason=reason)
        for what, count in self.loop.view.shed().items():
            metrics.put("idskit_shed_total", count, what=what)
        for one in self.loop.source.states:
            metrics.put("idskit_interface_up", not one.why_blind, interface=one.name)
        metrics.put("idskit_incidents_open", self._keeper.open_incidents)
        metrics.put("idskit_threshold", model.threshold)
        burn = self._site.budget_use(self._keeper.incidents(RECENT))
        for window in ("1h", "24h"):
            metrics.put("idskit_budget_burn_ratio", burn[f"burn_{window}"], window=window)
        metrics.put("idskit_evidence_factor", burn["factor"])
        drift = self._site.drift_ratio
        if drift is None:
            metrics.clear("idskit_drift_ratio")
        else:
            metrics.put("idskit_drift_ratio", drift)
        metrics.put("idskit_state_bytes", self._keeper.counters()["state_bytes"])
        metrics.put_only("idskit_model_info", 1, sha256=model.sha256, version=model.version)


def check_settings(options: ServiceOptions) -> None:
    """Refuse settings that the service could not use, without opening or connecting anything.

    Raises:
        IdskitError: no such model, a site, sinks or a page that cannot be used.
    """
    with model_path(options.detection.model) as path:
        check_site(options.site, read_model(path).card.schema)
    check_outlets(options)


def _journal(folder: Path, keep_bytes: int) -> Journal:
    try:
        return Journal(folder, keep_bytes)
    except OSError as error:
        raise IdskitError(
            f"the journal in {folder} cannot be opened ({error.strerror}): its files must "
            "belong to the user who runs the service"
        ) from error


def _loaded(options: DetectionOptions, before: Detector | None = None) -> Detector:
    """Return the detector, once all kernels that its flows need are compiled.

    Raises:
        IdskitError: no model, or one of other flows than those that are read now.
    """
    notifier = Notifier()
    with notifier.extending(_COMPILING):
        loaded = DetectorOptions(threads=options.threads, threshold=options.threshold)
        detector = Detector.open(options.model, loaded)
        if before is None:
            make_ready(detector.schema.name)
        elif before.schema != detector.schema:
            raise IdskitError(
                f"the model {options.model} reads other features than the one in use: restart the "
                "service to change to it"
            )
    notifier.close()
    return detector


def incident_sentence(incident: Incident) -> str:
    """Return what happened in one sentence, for a log."""
    said = "" if incident.explanation is None else incident.explanation.sentence
    ends = f"{incident.attacker} to {incident.target}" if incident.attacker else ""
    what = said or f"{incident.family} {ends}".strip()
    return f"{incident.type} incident {incident.incident_id} ({incident.family}): {what}"


def default_interface() -> str:
    """Return the interface of the default route.

    Raises:
        IdskitError: there is no default route.
    """
    found = [*_routes(_ROUTES, 1, "00000000", 0, 6), *_routes(_ROUTES_6, 0, "0" * 32, 9, 5)]
    usable = [name for _, name in sorted(found) if name != "lo"]
    if not usable:
        raise IdskitError(
            "no interface was named and this machine has no default route: name one of "
            f"{', '.join(interface_names())} (-i, or interfaces in section [capture])"
        )
    return usable[0]


def _routes(table: Path, to: int, everything: str, name: int, metric: int) -> list[tuple[int, str]]:
    """Return the default routes of a table of the kernel as (metric, interface)."""
    try:
        rows = [line.split() for line in table.read_text().splitlines()]
    except OSError:
        return []
    base = 10 if table == _ROUTES else 16
    return [
        (int(row[metric], base), row[name])
        for row in rows
        if len(row) > max(to, name, metric) and row[to] == everything
    ]


@contextmanager
def _on_hangup(call: Callable[[], None]) -> Iterator[None]:
    """Let SIGHUP call a function, in place of what it did."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        call()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGHUP, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def _now() -> str:
    return eve_time(time.time_ns() // 1000)
