"""All sinks of a service: what is configured is opened, and gets every incident.

with open_sinks(eve, mqtt, sensor=this_sensor(), spool=folder) as sinks:
    sinks.send(incident)
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from idskit.errors import IdskitError
from idskit.incidents.incident import Incident
from idskit.incidents.incident_lines import incident_lines
from idskit.options import check_options
from idskit.sinks.home_assistant import Sensor
from idskit.sinks.incident_text import encoded
from idskit.sinks.local_outputs import EveOptions, EveOutput, LinesOf, UnixOptions, UnixSocket
from idskit.sinks.mqtt_broker import MqttBroker, MqttOptions
from idskit.sinks.outbox import Destination, IncidentSink, SinkHealth, Topic
from idskit.sinks.prometheus import Metrics
from idskit.sinks.scrape_server import PrometheusOptions, ScrapeServer
from idskit.sinks.spool import Spool
from idskit.sinks.syslog_receiver import SyslogOptions, SyslogReceiver
from idskit.sinks.webhook import Webhook, WebhookOptions

SinkOptions = (
    EveOptions | UnixOptions | SyslogOptions | MqttOptions | WebhookOptions | PrometheusOptions
)
SECTIONS: dict[str, type[Any]] = {  # of the configuration file
    "eve": EveOptions,
    "unix": UnixOptions,
    "syslog": SyslogOptions,
    "mqtt": MqttOptions,
    "webhook": WebhookOptions,
    "prometheus": PrometheusOptions,
}
CLOSE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class ServiceStats:
    """Numbers of the service, for receivers that show its state."""

    open: int  # incidents
    today: int  # incidents opened since midnight
    packets_per_s: float
    flows_per_s: float
    dropped: int  # frames that were not seen, since the start
    health: str  # fine, learning, blind or overloaded


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """The model in use."""

    name: str
    version: str
    sha256: str
    threshold: float
    classes: tuple[str, ...] = ()


class Sinks:
    """Every sink that is open. None of its methods but ``close`` waits for a receiver."""

    def __init__(self, sinks: Sequence[IncidentSink], server: ScrapeServer | None = None) -> None:
        self._sinks, self._server = tuple(sinks), server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def metrics_port(self) -> int | None:
        """Return the port that Prometheus reads; None where that is off."""
        return None if self._server is None else self._server.port

    def send(self, incident: Incident) -> None:
        """Send an event in the life of an incident to every sink, at least once."""
        line = encoded(incident)
        for sink in self._sinks:
            sink.offer(line)

    def send_line(self, line: str) -> None:
        """Send another EVE line, such as a flow's alert, to the sinks that take lines."""
        for sink in self._sinks:
            sink.offer_line(line)

    def send_stats(self, stats: ServiceStats) -> None:
        """Send the numbers of the service to the sinks that take states."""
        self._send_state("open", str(stats.open))
        self._send_state("stats", json.dumps(asdict(stats)))

    def send_model(self, model: ModelFacts) -> None:
        """Send what model is in use to the sinks that take states."""
        self._send_state("model", json.dumps(asdict(model)))

    def reopen(self) -> None:
        """Open files and connections anew, as SIGHUP asks for."""
        for sink in self._sinks:
            sink.reopen()

    def health(self) -> list[SinkHealth]:
        """Return how every sink does."""
        return [sink.health() for sink in self._sinks]

    def put_metrics(self, metrics: Metrics) -> None:
        """Put the numbers of every sink, and remove those of sinks that are no longer there."""
        metrics.clear("idskit_sink_")
        for health in self.health():
            _put_health(metrics, health)

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Send what can be sent within the time, all sinks at once; the rest waits on disk."""
        if self._server is not None:
            self._server.close()
        for sink in self._sinks:
            sink.close_soon()
        end = time.monotonic() + timeout_s
        for sink in self._sinks:
            sink.close(max(0.0, end - time.monotonic()))

    def _send_state(self, topic: Topic, state: str) -> None:
        for sink in self._sinks:
            sink.offer_state(topic, state)


def open_sinks(
    *options: SinkOptions,
    sensor: Sensor,
    lines_of: LinesOf = incident_lines,
    spool: Path | None = None,
    metrics: Metrics | None = None,
) -> Sinks:
    """Open the sinks that are configured; a section that sets nothing opens none.

    Args:
        options: at most one of each kind.
        sensor: this gateway.
        lines_of: what makes EVE lines of an incident.
        spool: folder where incidents wait for receivers that are away; None keeps them in memory.
        metrics: numbers of the service; those of the sinks are put there.

    Raises:
        IdskitError: a sink cannot be used as it is configured. What is only away is waited for.
    """
    made: list[IncidentSink] = []
    server = None
    try:
        for one in options:
            check_options(one)
            destination = _destination(one, lines_of, sensor)
            if destination is not None:
                made.append(IncidentSink(destination, _spool(spool, destination)))
        metrics = Metrics() if metrics is None else metrics
        server = _server(options, metrics)
    except IdskitError:
        Sinks(made).close(1.0)
        raise
    sinks = Sinks(made, server)
    metrics.before_text("sinks", sinks.put_metrics)
    return sinks


def check_sinks(*options: SinkOptions, sensor: Sensor) -> None:
    """Refuse what ``open_sinks`` would refuse, without opening or connecting anything.

    Files of secrets and certificates are read. That a place can be written to, or a port can be
    had, is seen when it is opened.

    Raises:
        IdskitError: a sink cannot be used as it is configured.
    """
    for one in options:
        check_options(one)
        if not isinstance(one, EveOptions):  # a running service may have locked its file
            _destination(one, lambda _: [], sensor)


def _destination(options: SinkOptions, lines_of: LinesOf, sensor: Sensor) -> Destination | None:
    """Return what a section describes; None where it is off, or is no destination."""
    makers: dict[type[Any], Callable[[Any], Destination]] = {
        EveOptions: lambda found: EveOutput(found, lines_of),
        UnixOptions: lambda found: UnixSocket(found, lines_of),
        SyslogOptions: lambda found: SyslogReceiver(found, socket.gethostname()),
        MqttOptions: lambda found: MqttBroker(found, sensor),
        WebhookOptions: lambda found: Webhook(found, sensor.version),
    }
    is_wanted = options.is_on and type(options) in makers
    return makers[type(options)](options) if is_wanted else None


def _spool(folder: Path | None, destination: Destination) -> Spool:
    return Spool(None if folder is None else folder / f"{destination.name}.spool")


def _server(options: Sequence[SinkOptions], metrics: Metrics) -> ScrapeServer | None:
    for one in options:
        if isinstance(one, PrometheusOptions) and one.is_on:
            return ScrapeServer(one, metrics)
    return None


def _put_health(metrics: Metrics, health: SinkHealth) -> None:
    name = health.name
    metrics.put("idskit_sink_queue_events", health.waiting, sink=name)
    metrics.put("idskit_sink_written_total", health.written, sink=name)
    metrics.put("idskit_sink_dropped_total", health.dropped, sink=name)
    metrics.put("idskit_sink_failed_total", health.failed, sink=name)
    metrics.put("idskit_sink_damaged_total", health.damaged, sink=name)
    metrics.put("idskit_sink_unsaved_total", health.unsaved, sink=name)
    metrics.put("idskit_sink_up", health.away is None, sink=name)
    if health.last_success_s is not None:
        metrics.put("idskit_sink_last_success_timestamp_seconds", health.last_success_s, sink=name)
