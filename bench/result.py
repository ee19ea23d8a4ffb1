"""A benchmark's result: one JSON file, from which every view is made.

The file's JSON Schema is ``result.schema.json`` beside this module; ``SCHEMA_VERSION`` grows with
every change that a reader must know of.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from idskit.bench.backends import Accuracy, Execution, ModelFacts
from idskit.bench.measure import Spread
from idskit.output import write_whole

SCHEMA_VERSION = 1


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
        """Share of each step in the whole."""
        parts = asdict(self)
        whole = sum(parts.values())
        return {step: part / whole for step, part in parts.items()}


@dataclass(frozen=True, kw_only=True)
class Result:
    """One model in one scenario; None where the scenario or the machine has no such number."""

    model: ModelFacts
    execution: Execution
    run: RunFacts
    init_ms: float
    first_ms: float
    latency_ms: dict[str, float | int | None]  # of one batch, or of one pass of a pipeline
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


@dataclass(frozen=True, kw_only=True)
class Report:
    """All results of one run of ``idskit bench`` on one machine."""

    machine: dict[str, Any]
    results: tuple[Result, ...]
    verdict: tuple[str, ...]  # sentences
    created: datetime

    def to_json(self) -> str:
        """The result file's text."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "created": self.created.astimezone(UTC).isoformat(timespec="seconds"),
            "machine": self.machine,
            "results": [asdict(result) for result in self.results],
            "verdict": list(self.verdict),
        }
        return json.dumps(document, indent=2)

    def save(self, path: Path) -> None:
        """Write the result file; it appears under its name only when complete.

        Raises:
            IdskitError: the file cannot be written.
        """
        write_whole(path, lambda partial: partial.write_text(self.to_json() + "\n"))
