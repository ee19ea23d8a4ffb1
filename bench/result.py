"""A benchmark's result: one JSON file, from which every view is made.

The file's JSON Schema is ``result.schema.json`` next to this module; ``SCHEMA_VERSION`` grows with
every change that a reader must know of.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from idskit.bench.measure import Spread
from idskit.bench.subject import Accuracy, Execution, ModelFacts
from idskit.errors import IdskitError
from idskit.files.output import write_whole

SCHEMA_VERSION = 2
_RETIRED = {"gpu_steps": None}  # ignored when read, and written for earlier versions
_DROPPED = {"verdict_after"}  # ignored when read
_SHOWN = {"model", "cpu", "architecture", "cores", "affinity", "features", "packages"}  # by views


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """How one measurement was made."""

    scenario: str
    batch: int
    rounds: int
    duration_s: float  # of all rounds together, warm-up apart
    warmup_s: float
    seed: int
    input: str  # in words


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Resident memory of the whole process in MiB: before loading, at most, at the end."""

    start: float | None
    peak: float
    end: float | None


@dataclass(frozen=True, kw_only=True)
class Split:
    """Where the time of a pipeline goes, in milliseconds a pass: medians."""

    extract: float  # packets to feature rows
    infer: float  # feature rows to probabilities
    post: float  # probabilities to alert lines

    def shares(self) -> dict[str, float]:
        """Return the share of each step in the whole."""
        parts = asdict(self)
        whole = sum(parts.values())
        return {step: part / whole for step, part in parts.items()}


@dataclass(frozen=True, kw_only=True)
class RoundLatency:
    """Latency percentiles round by round, in milliseconds; None where a round had too few calls."""

    p50: Spread | None
    p99: Spread | None


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One try of the server scenario: arrivals at a rate, and how long flows waited."""

    rate_per_s: float
    p50_ms: float
    p99_ms: float
    met: bool  # every arrival served, and p99 within the bound


@dataclass(frozen=True, kw_only=True)
class Server:
    """The server scenario's search; ``flows_per_s`` holds the highest rate of each repeat."""

    bound_ms: float
    max_batch: int  # so many waiting flows are judged together
    probes: tuple[Probe, ...]  # of all repeats, by rate


@dataclass(frozen=True, kw_only=True)
class Paced:
    """A pipeline at a chosen packet rate; ``latency_ms`` is then that of its verdicts."""

    rate_per_s: float
    verdicts: int  # timed


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The sustained scenario at one moment."""

    at_s: float
    flows_per_s: float
    temperature_c: float | None
    frequency_mhz: float | None
    throttled: bool | None
    power_w: float | None


@dataclass(frozen=True, kw_only=True)
class Sustained:
    """The sustained scenario's curve."""

    samples: tuple[Sample, ...]
    drift: float  # median of the last quarter over that of the first, minus 1


@dataclass(frozen=True, kw_only=True)
class Result:
    """One model in one scenario; None where the scenario or the machine has no such number."""

    model: ModelFacts
    execution: Execution
    run: RunFacts
    init_ms: float
    first_ms: float
    latency_ms: dict[
        str, float | int | None
    ]  # of one batch, one flow's wait or verdict, or one pass
    split_ms: Split | None
    flows_per_s: Spread
    packets_per_s: Spread | None
    rss_mib: Memory
    temperature_c: float | None
    frequency_mhz: float | None
    throttled: dict[str, bool] | None
    power_w: float | None
    energy_mj_per_flow: float | None
    accuracy: Accuracy | None
    warnings: tuple[str, ...]
    quantiles_ms: tuple[tuple[float, float], ...] = ()  # (percent of calls, ms at most)
    round_latency_ms: RoundLatency | None = None
    server: Server | None = None
    sustained: Sustained | None = None
    paced: Paced | None = None


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """One program that turns packets into flow records, on one capture.

    It ran as a process of its own; None where there is no such number, and all of them where
    ``reason`` says why it could not be measured.
    """

    name: str
    version: str | None
    computes: str  # for each flow, and where that goes
    columns: int | None
    capture: str  # in words
    mix: str | None  # of the generator; None for a capture that was given
    packets: int
    flows: int | None  # that it found
    cpu_s: Spread | None  # of the whole process
    us_per_packet: Spread | None  # CPU of one more packet, start-up taken out
    wall_s: Spread | None
    rss_mib: Spread | None  # at most, of its largest process
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Int8Rate:
    """How fast this machine multiplies int8 matrices, and what each model needs of that."""

    gmac_per_s: Spread  # MatMulInteger of 1024 x 1024 matrices, in 1e9 multiply-adds a second
    types: str  # U8S8 or S8S8, whichever is faster here
    threads: int
    macs_per_flow: dict[str, int]  # by the model file's SHA-256


@dataclass(frozen=True, kw_only=True)
class Report:
    """All results of one run of ``idskit bench`` on one machine."""

    machine: dict[str, Any]
    results: tuple[Result, ...]
    verdict: tuple[str, ...]  # sentences
    created: datetime
    int8_rate: Int8Rate | None = None
    extraction: tuple[Extraction, ...] = ()

    def to_json(self) -> str:
        """Return the result file's text."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "created": self.created.astimezone(UTC).isoformat(timespec="seconds"),
            "machine": self.machine,
            "int8_rate": self.int8_rate and asdict(self.int8_rate),
            "results": [asdict(result) | _RETIRED for result in self.results],
            "extraction": [asdict(entry) for entry in self.extraction],
            "verdict": list(self.verdict),
        }
        return json.dumps(document, indent=2)

    def save(self, path: Path) -> None:
        """Write the result file; it appears under its name only when complete.

        Raises:
            IdskitError: the file cannot be written.
        """
        write_whole(path, lambda partial: partial.write_text(self.to_json() + "\n"))

    @classmethod
    def load(cls, path: Path) -> Report:
        """Read a result file.

        Raises:
            IdskitError: missing, no such file of ours, of another schema version, or damaged.
        """
        document = _document(path)
        version = document["schema_version"]
        if version != SCHEMA_VERSION:
            raise IdskitError(
                f"{path} is a benchmark result of schema version {version}, this idskit reads "
                f"version {SCHEMA_VERSION}: measure again, or use the idskit that wrote it"
            )
        try:
            content = {name: document[name] for name in document if name != "schema_version"}
            created = datetime.fromisoformat(content.pop("created"))
            absent = _SHOWN - document["machine"].keys()
            if absent:
                raise ValueError(f"machine: {', '.join(sorted(absent))} missing")
            return cls(created=created, **_members(cls, content, skip=("created",)))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise IdskitError(
                f"{path} is a damaged benchmark result ({error}): measure again"
            ) from error


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise IdskitError(f"{path} cannot be read: {error.strerror}; check the path") from error
    except ValueError:
        document = None
    if not isinstance(document, dict) or "schema_version" not in document:
        raise IdskitError(
            f"{path} was given as a benchmark result, but it is none: use a file that "
            "`idskit bench --json` wrote"
        )
    return document


def _members(kind: Any, document: Mapping[str, Any], skip: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the arguments of dataclass ``kind`` from a JSON object that has exactly its fields."""
    hints = typing.get_type_hints(kind)
    names = [field.name for field in fields(kind) if field.name not in skip]
    odd = set(names) ^ (set(document) - {*_RETIRED, *_DROPPED})
    if odd:
        raise ValueError(f"{kind.__name__}: {', '.join(sorted(odd))} missing or unknown")
    return {name: _value(hints[name], document[name], name) for name in names}


def _value(kind: Any, value: Any, name: str) -> Any:
    """Return a JSON value as the annotation ``kind`` says."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        if value is None and type(None) in arguments:
            return None
        options = [option for option in arguments if option is not type(None)]
        return _value(options[0], value, name) if len(options) == 1 else value
    if is_dataclass(kind):
        return kind(**_members(kind, value))  # type: ignore[operator]
    if origin is tuple:
        repeated = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_value(k, v, name) for k, v in zip(repeated, value, strict=True))
    if origin is dict:
        return {key: _value(arguments[1], item, name) for key, item in value.items()}
    allowed = (int, float) if kind is float else kind
    if kind is not Any and not isinstance(value, allowed):
        raise TypeError(f"{name} is {value!r}")
    return value
