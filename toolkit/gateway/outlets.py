"""What leaves the service: the sinks with their numbers, and the page, which reloads open anew."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from idskit.alerts.eve import Origin
from idskit.errors import IdskitError
from idskit.gateway.control_socket import NAME
from idskit.gateway.service_options import ServiceOptions
from idskit.incidents.incident import Incident
from idskit.incidents.incident_lines import incident_lines
from idskit.page.page_options import protection_of
from idskit.page.page_process import PageProcess, start_page
from idskit.sinks.home_assistant import this_sensor
from idskit.sinks.open_sinks import ModelFacts, ServiceStats, check_sinks, open_sinks
from idskit.sinks.prometheus import FAMILIES, Family, Metrics

STATS_S = 30.0  # between two messages of how the service does
_SHED = Family(
    name="idskit_shed_total",
    kind="counter",
    help="Work that was left out because packets came too fast.",
    labels=("what",),
)


def check_outlets(options: ServiceOptions) -> None:
    """Refuse sinks and a page that could not be used, without opening or connecting anything.

    Raises:
        IdskitError: options that do not go together, or a file that cannot be used.
    """
    check_sinks(*options.sinks, sensor=this_sensor())
    if options.page.enabled:
        protection_of(options.page.page())


class Outlets:
    """The sinks and the page of a service.

    Attributes:
        metrics: numbers that Prometheus reads.
        page_url: where the page is; empty while there is none.
    """

    def __init__(
        self,
        folder: Path,
        options: ServiceOptions,
        origin: Origin,
        put_metrics: Callable[[Metrics], None],
    ) -> None:
        """Open the sinks.

        Raises:
            IdskitError: one of them cannot be used as it is configured.
        """
        self._folder, self._options, self._origin = folder, options, origin
        self.metrics = Metrics((*FAMILIES, _SHED))
        self.metrics.before_text("gateway", put_metrics)
        self._lock = threading.RLock()  # held while sinks are exchanged: incidents wait
        self._opened_today, self._day = 0, ""
        self._stats_due_s = 0.0
        self._away: list[str] = []  # sinks whose receiver is away, when they were last asked
        self._page: PageProcess | None = None
        self._opening: Future[PageProcess] | None = None
        self._open_sinks()

    @property
    def page_url(self) -> str:
        """Return where the page is; empty while there is none."""
        return "" if self._page is None else self._page.url

    def tell(self, incident: Incident) -> None:
        """Hand an incident to every sink, and count it."""
        with self._lock:
            self._sinks.send(incident)
        if incident.type == "new":
            self._count_today()
            self.metrics.add("idskit_incidents_total", severity=str(incident.severity))
            delay_s = time.time() - incident.started_us / 1e6
            self.metrics.observe("idskit_detection_delay_seconds", max(delay_s, 0.0))

    def send_stats(self, stats_of: Callable[[int], ServiceStats], model: ModelFacts) -> None:
        """Tell sinks how the service does, every STATS_S; the loop of packets calls this."""
        if time.monotonic() < self._stats_due_s or not self._lock.acquire(blocking=False):
            return
        try:
            self._stats_due_s = time.monotonic() + STATS_S
            self._sinks.send_stats(stats_of(self._opened_today))
            self._sinks.send_model(model)
        finally:
            self._lock.release()

    def _count_today(self) -> None:
        day = f"{datetime.now(UTC):%Y-%m-%d}"
        self._opened_today = 1 if day != self._day else self._opened_today + 1
        self._day = day

    def begin_page(self) -> None:
        """Start the page, where it is wanted; ``await_page`` gets it."""
        if self._options.page.enabled:
            pool = ThreadPoolExecutor(1)
            options = self._options.page.page()
            self._opening = pool.submit(start_page, options, self._folder / NAME)
            pool.shutdown(wait=False)

    def await_page(self) -> None:
        """Wait until the page that was started listens.

        Raises:
            IdskitError: it cannot be served.
        """
        if self._opening is not None:
            opening, self._opening = self._opening, None
            self._page = opening.result()

    def health(self) -> list[dict[str, object]]:
        """Return how every sink does, as plain types."""
        with self._lock:
            return [asdict(one) for one in self._sinks.health()]

    def problems(self) -> list[str]:
        """Return what does not work, in sentences."""
        if self._lock.acquire(blocking=False):  # the loop of packets asks, and never waits
            try:
                self._away = [f"{one.name}: {one.away}" for one in self._sinks.health() if one.away]
            finally:
                self._lock.release()
        has_ended = self._page is not None and self._page.process.poll() is not None
        return self._away + ["the page ended: SIGHUP starts it again"] * has_ended

    def reload(self, options: ServiceOptions) -> None:
        """Reopen files, and open anew what is configured otherwise.

        Raises:
            IdskitError: a sink or the page cannot be used as it is configured now.
        """
        before, self._options = self._options, options
        if options.sinks == before.sinks:
            self._sinks.reopen()
        else:
            self._exchange_sinks(before)
        has_ended = self._page is not None and self._page.process.poll() is not None
        if options.page != before.page or has_ended:
            self._close_page()
            self.begin_page()
            self.await_page()

    def _exchange_sinks(self, before: ServiceOptions) -> None:
        """Open the sinks that are configured now, or again those of before."""
        with self._lock:
            self._sinks.close()
            try:
                self._open_sinks()
            except IdskitError:
                self._options = before
                self._open_sinks()
                raise

    def _open_sinks(self) -> None:
        spool = self._folder / "spool"
        with suppress(FileExistsError):
            spool.mkdir(mode=0o700)
        self._sinks = open_sinks(
            *self._options.sinks,
            lines_of=lambda incident: incident_lines(incident, self._origin),
            sensor=this_sensor(self.page_url or None),
            spool=spool,
            metrics=self.metrics,
        )

    def _close_page(self) -> None:
        with suppress(IdskitError):
            self.await_page()
        if self._page is not None:
            self._page.close()
            self._page = None

    def close(self) -> None:
        """Send what can be sent, and end the page."""
        self._close_page()
        self._sinks.close()
