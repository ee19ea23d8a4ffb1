"""The settings of the service: every field of its configuration file, by section."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from idskit.options import option
from idskit.page.page_options import PageOptions
from idskit.sinks.local_outputs import EveOptions, UnixOptions
from idskit.sinks.mqtt_broker import MqttOptions
from idskit.sinks.scrape_server import PrometheusOptions
from idskit.sinks.syslog_receiver import SyslogOptions
from idskit.sinks.webhook import WebhookOptions
from idskit.site.incident_budget import DEFAULT_BUDGET, LEAST_HOURS, Budget


@dataclass(frozen=True, kw_only=True)
class CaptureOptions:
    """Which packets are read."""

    interfaces: tuple[str, ...] = option(
        (), "Interfaces to read; that of the default route if there is none here"
    )
    filter: str | None = option(
        None, "Which frames to read, as tcpdump takes it, or what tcpdump -ddd prints"
    )
    memory_mb: int = option(64, "Memory for open flows, in MB", low=1, high=65_536)


@dataclass(frozen=True, kw_only=True)
class DetectionOptions:
    """How flows are judged."""

    model: Path | None = option(None, "Model file; the one that idskit ships if omitted")
    threshold: float | None = option(
        None, "Score from which a flow is evidence; the model's own if omitted", low=0, high=1
    )
    threads: int = option(1, "Threads of one inference", low=1, high=256)


@dataclass(frozen=True, kw_only=True)
class SiteSection:
    """What is normal at this site."""

    file: Path | None = option(
        None, "File of the site, from idskit learn; site.idskit in the state folder if omitted"
    )
    budget: str = option(
        DEFAULT_BUDGET.text,
        "False incidents to accept, as 1/day, 2/week or 0.1/day: chooses the evidence that opens "
        "an incident, once the site is learned",
    )
    learn_hours: int = option(
        LEAST_HOURS,
        f"Hours of traffic to learn while the file does not exist; fewer than {LEAST_HOURS} state "
        "no threshold, 0 learns nothing",
        low=0,
        high=672,
    )

    def __post_init__(self) -> None:
        """Refuse a budget that is none.

        Raises:
            IdskitError: with what to write.
        """
        Budget.parse(self.budget)


@dataclass(frozen=True, kw_only=True)
class StateOptions:
    """What is kept over a restart, and how much of it."""

    folder: Path | None = option(
        None,
        "Folder of the state; $STATE_DIRECTORY, /var/lib/idskit as root, or "
        "$XDG_STATE_HOME/idskit if omitted",
    )
    keep_mb: int = option(16, "Most MB of incidents to keep; the oldest go first", low=4, high=1024)


@dataclass(frozen=True, kw_only=True)
class PageSection(PageOptions):
    """The web page of the service."""

    enabled: bool = option(True, "Whether there is a page")

    def page(self) -> PageOptions:
        """Return the options that the page itself has."""
        return PageOptions(**{one.name: getattr(self, one.name) for one in fields(PageOptions)})


@dataclass(frozen=True, kw_only=True)
class ServiceOptions:
    """All settings; each field is a section of the configuration file."""

    capture: CaptureOptions = field(default_factory=CaptureOptions)
    detection: DetectionOptions = field(default_factory=DetectionOptions)
    site: SiteSection = field(default_factory=SiteSection)
    state: StateOptions = field(default_factory=StateOptions)
    page: PageSection = field(default_factory=PageSection)
    eve: EveOptions = field(default_factory=EveOptions)
    unix: UnixOptions = field(default_factory=UnixOptions)
    syslog: SyslogOptions = field(default_factory=SyslogOptions)
    mqtt: MqttOptions = field(default_factory=MqttOptions)
    webhook: WebhookOptions = field(default_factory=WebhookOptions)
    prometheus: PrometheusOptions = field(default_factory=PrometheusOptions)

    @property
    def sinks(
        self,
    ) -> tuple[
        EveOptions, UnixOptions, SyslogOptions, MqttOptions, WebhookOptions, PrometheusOptions
    ]:
        """Return where incidents and numbers go."""
        return self.eve, self.unix, self.syslog, self.mqtt, self.webhook, self.prometheus


# What a reload cannot change: it says so, and goes on with the older value.
NEEDS_RESTART = frozenset(
    {
        "capture.interfaces",
        "capture.filter",
        "capture.memory_mb",
        "site.file",
        "site.learn_hours",
        "state.folder",
    }
)


def sections() -> dict[str, type[Any]]:
    """Return the dataclass of every section by its name, in the order of the file."""
    return {one.name: one.default_factory for one in fields(ServiceOptions)}  # type: ignore[misc]
