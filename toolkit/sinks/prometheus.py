"""Numbers of the service in Prometheus' text format, version 0.0.4.

Rooms count with ``add``, ``put`` and ``observe``, which cost some microseconds and may be called
from any thread. No label is an address: their number would be an attacker's choice, and everybody
who reads the numbers would learn who talks here.
"""

from __future__ import annotations

import ipaddress
import math
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

MOST_SERIES = 100  # of one name; what has further labels is counted under "other"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MAC = re.compile(r"(?i)([0-9a-f]{2}[:-]){5}[0-9a-f]{2}")
_DELAYS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_SHORT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


@dataclass(frozen=True, kw_only=True)
class Family:
    """All series of one name."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()  # of a histogram's buckets, without infinity
    known: tuple[str, ...] = ()  # values of its label that are there from the start, at 0


def _counter(name: str, help: str, *labels: str) -> Family:
    return Family(name=f"idskit_{name}_total", kind="counter", help=help, labels=labels)


def _gauge(name: str, help: str, *labels: str) -> Family:
    return Family(name=f"idskit_{name}", kind="gauge", help=help, labels=labels)


def _histogram(name: str, help: str, bounds: tuple[float, ...]) -> Family:
    return Family(name=f"idskit_{name}", kind="histogram", help=help, bounds=bounds)


FAMILIES = (
    _counter("packets", "Packets of flows, parsed."),
    _counter("frames_skipped", "Frames that belong to no flow.", "reason"),
    _counter("capture_dropped", "Frames that the kernel dropped before they were read."),
    _counter("flows", "Flows that ended."),
    _counter("flow_table_evicted", "Flows ended early because the table was full."),
    _counter("alerts", "Flows judged an attack.", "label"),
    Family(
        name="idskit_incidents_total",
        kind="counter",
        help="Incidents opened.",
        labels=("severity",),
        known=("1", "2"),  # Prometheus sees no increase in a series that begins with 1
    ),
    _gauge("incidents_open", "Incidents that go on."),
    _histogram("detection_delay_seconds", "First packet of an attack to its incident.", _DELAYS),
    _histogram("inference_seconds", "Time of one batch of flows in the model.", _SHORT),
    _gauge("threshold", "Score from which a flow is evidence."),
    _gauge("budget_burn_ratio", "False incidents against the budget; 1 uses it up.", "window"),
    _gauge(
        "evidence_factor", "Evidence an incident needs, by that of the budget; a person lowers."
    ),
    _gauge("drift_ratio", "Part of this week's devices that are no longer as learned."),
    _gauge("model_info", "The model in use; the value is 1.", "sha256", "version"),
    _counter("shadow_disagreements", "Flows that the shadow model judges otherwise."),
    _gauge("sink_queue_events", "Incidents and lines that wait for a receiver.", "sink"),
    _counter("sink_written", "Incidents and lines that a receiver took.", "sink"),
    _counter("sink_dropped", "Incidents and lines dropped for lack of room.", "sink"),
    _counter("sink_failed", "Incidents and lines that a receiver refused.", "sink"),
    _counter("sink_damaged", "Lines of a spool that could not be read.", "sink"),
    _counter("sink_unsaved", "Incidents whose spool could not be written.", "sink"),
    _gauge("sink_up", "Whether the receiver takes what it is sent.", "sink"),
    _gauge("sink_last_success_timestamp_seconds", "When a receiver last took something.", "sink"),
    _gauge("feed_indicators", "Indicators of a feed in use.", "feed"),
    _gauge("feed_last_success_timestamp_seconds", "When a feed was last read.", "feed"),
    _gauge("blocks_active", "Blocks in force."),
    _counter("blocks", "Blocks asked for.", "result"),
    _gauge("state_bytes", "Size of the state on disk."),
    _gauge("interface_up", "Whether an interface can be read.", "interface"),
)
_Key = tuple[str, ...]


class Metrics:
    r"""All numbers of one service.

    Example:
        >>> metrics = Metrics()
        >>> metrics.add("idskit_frames_skipped_total", 2, reason="truncated")
        >>> print(*metrics.text().splitlines()[:3], sep="\n")
        # HELP idskit_frames_skipped_total Frames that belong to no flow.
        # TYPE idskit_frames_skipped_total counter
        idskit_frames_skipped_total{reason="truncated"} 2
    """

    def __init__(self, families: tuple[Family, ...] = FAMILIES) -> None:
        self._families = {family.name: family for family in families}
        self._values: dict[str, dict[_Key, float]] = {
            family.name: {(value,): 0.0 for value in family.known} for family in families
        }
        self._buckets: dict[str, list[int]] = {}  # the last is of infinity; not cumulative
        self._lock = threading.Lock()
        self._collectors: dict[str, Callable[[Metrics], None]] = {}

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter.

        Raises:
            KeyError, ValueError: there is no such name, or these are not its labels.
        """
        with self._lock:
            values, key = self._series(name, labels)
            values[key] = values.get(key, 0) + amount

    def put(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge, or a counter that somebody else keeps.

        Raises:
            KeyError, ValueError: there is no such name, or these are not its labels.
        """
        with self._lock:
            values, key = self._series(name, labels)
            values[key] = value

    def put_only(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge whose other series are gone, such as the model in use."""
        self.clear(name)
        self.put(name, value, **labels)

    def clear(self, prefix: str) -> None:
        """Remove every series whose name begins so."""
        with self._lock:
            for name, values in self._values.items():
                if name.startswith(prefix):
                    values.clear()

    def observe(self, name: str, value: float) -> None:
        """Count a value in a histogram.

        Raises:
            KeyError: there is no such name.
        """
        bounds = self._families[name].bounds
        place = next((n for n, bound in enumerate(bounds) if value <= bound), len(bounds))
        with self._lock:
            buckets = self._buckets.setdefault(name, [0] * (len(bounds) + 1))
            buckets[place] += 1
            self._values[name][()] = self._values[name].get((), 0) + value

    def before_text(self, room: str, collect: Callable[[Metrics], None]) -> None:
        """Call a room's function before each text, which puts numbers that are kept elsewhere.

        It replaces the one that the room named before.
        """
        self._collectors[room] = collect

    def text(self) -> str:
        """Return every series that has a value."""
        for collect in list(self._collectors.values()):
            collect(self)
        with self._lock:
            return "".join(self._text_of(family) for family in self._families.values())

    def _series(self, name: str, labels: dict[str, str]) -> tuple[dict[_Key, float], _Key]:
        family, values = self._families[name], self._values[name]
        key = tuple(labels[label] for label in family.labels if label in labels)
        if len(key) != len(family.labels) or len(labels) != len(key):
            raise ValueError(f"{name} has the labels {family.labels}, not {tuple(labels)}")
        if key not in values:
            _refuse_addresses(name, key)
            if key and len(values) >= MOST_SERIES:
                key = ("other",) * len(key)
        return values, key

    def _text_of(self, family: Family) -> str:
        values = self._values[family.name]
        if not values:
            return ""
        lines = [f"# HELP {family.name} {_escaped_help(family.help)}"]
        lines.append(f"# TYPE {family.name} {family.kind}")
        if family.kind == "histogram":
            lines += self._histogram_lines(family)
        else:
            for key, value in values.items():
                pairs = dict(zip(family.labels, key, strict=True))
                lines.append(f"{family.name}{_labelled(pairs)} {_number(value)}")
        return "\n".join(lines) + "\n"

    def _histogram_lines(self, family: Family) -> list[str]:
        lines, count = [], 0
        bounds = [*map(_number, family.bounds), "+Inf"]
        for bound, held in zip(bounds, self._buckets[family.name], strict=True):
            count += held
            lines.append(f"{family.name}_bucket{_labelled({'le': bound})} {count}")
        lines.append(f"{family.name}_sum {_number(self._values[family.name][()])}")
        return [*lines, f"{family.name}_count {count}"]


def _refuse_addresses(name: str, key: _Key) -> None:
    for value in key:
        if _MAC.fullmatch(value) or _is_address(value):
            raise ValueError(f"a label of {name} would be an address")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _labelled(pairs: dict[str, str]) -> str:
    if not pairs:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs.items()) + "}"


def _escaped(value: str) -> str:
    return _escaped_help(value).replace('"', r"\"")


def _escaped_help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
