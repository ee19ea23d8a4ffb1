"""What ``idskit bench`` may be asked for: every option with its default, its range and its help."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from idskit.detect.session import thread_count
from idskit.errors import IdskitError
from idskit.options import check_options, option

SCENARIOS = ("single-stream", "offline", "server", "pipeline", "sustained")
DEFAULT_SCENARIOS = SCENARIOS[:4]  # measured when none is named
MINUTES = 5.0  # of the sustained scenario


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What is measured, and how; each field is a flag of ``idskit bench``."""

    scenario: tuple[str, ...] = option(
        (), "Scenario to measure: single-stream, offline, server, pipeline or sustained; "
        "repeatable; all but sustained if omitted"
    )  # fmt: skip
    device: str = option(
        "cpu", "Device to run on, an error if it is missing: cpu, cuda or tensorrt"
    )
    threads: tuple[int, ...] = option(
        (), "Threads of one inference; repeatable to compare counts; as many as this process has "
        "processors if omitted", low=1
    )  # fmt: skip
    batch: int | None = option(
        None, "Flows per call (offline), or at most per call (server, sustained); several sizes "
        "if omitted", low=1
    )  # fmt: skip
    minutes: float | None = option(
        None, "Duration of the sustained scenario; 5 if omitted", metavar="MINUTES"
    )
    capture: Path | None = option(
        None,
        "Capture that the pipeline scenario reads; a generated one if omitted",
        flag="-r, --read",
    )
    rate: float | None = option(
        None, "Packets per second that arrive at the pipeline; full speed if omitted"
    )
    quick: bool = option(False, "Measure for seconds instead of minutes, with wider spread")
    peers: bool = option(
        False, "Also measure other runtimes of the run folder, and other flow extractors (pipeline)"
    )

    @property
    def first_threads(self) -> int | None:
        """Thread count of whatever is measured with one count only; None: all processors."""
        return self.threads[0] if self.threads else None

    @property
    def duration_min(self) -> float:
        """Return the minutes of the sustained scenario."""
        return MINUTES if self.minutes is None else self.minutes

    def scenarios(self) -> tuple[str, ...]:
        """Return the scenarios to measure, in their order."""
        named = self.scenario or DEFAULT_SCENARIOS
        asked = {*named, *(("sustained",) if self.minutes and not self.scenario else ())}
        return tuple(name for name in SCENARIOS if name in asked)

    def check(self, models: Sequence[Path]) -> None:
        """Refuse what cannot be measured.

        Raises:
            IdskitError: an unknown scenario, a number out of range, an option without its scenario,
                or several thread counts for a training run.
            DeviceError: more threads than any processor runs.
        """
        check_options(self)
        unknown = [name for name in self.scenario if name not in SCENARIOS]
        if unknown:
            raise IdskitError(
                f"scenario {unknown[0]!r} was asked for: choose among {', '.join(SCENARIOS)}"
            )
        self._check_scenario_of("minutes", self.minutes, "sustained")
        self._check_scenario_of("rate", self.rate, "pipeline")
        for count in self.threads:
            thread_count(count)
        runs = [path for path in models if path.is_dir()]
        if len(self.threads) > 1 and runs:
            raise IdskitError(
                f"{len(self.threads)} thread counts were asked for with the training run {runs[0]}:"
                " torch has one count per process, measure runs with one --threads"
            )

    def _check_scenario_of(self, flag: str, value: float | None, scenario: str) -> None:
        if value is None:
            return
        if scenario not in self.scenarios():
            raise IdskitError(
                f"--{flag} was given without the scenario it belongs to: add --scenario {scenario}"
            )
        if not 0 < value < math.inf:
            raise IdskitError(f"--{flag} {value:g} was asked for: more than 0 is needed")
