"""Results by candidate and by scenario: what every view is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from idskit.bench.backends import Execution, ModelFacts
from idskit.bench.result import Result

Key = tuple[ModelFacts, Execution]


Names = dict[Key, str]


def candidate_names(results: Sequence[Result]) -> Names:
    """A letter and the model's name for each candidate."""
    keys = dict.fromkeys(candidate(result) for result in results)
    return {key: f"{chr(65 + i)} {key[0].name}" for i, key in enumerate(keys)}


def candidate(result: Result) -> Key:
    """What was measured: which model, run by what."""
    return result.model, result.execution


def by_candidate(results: Sequence[Result]) -> dict[Key, list[Result]]:
    """Results grouped by what was measured, in order."""
    groups: dict[Key, list[Result]] = {}
    for result in results:
        groups.setdefault(candidate(result), []).append(result)
    return groups


def of_scenario(results: Iterable[Result], scenario: str) -> list[Result]:
    """The results of one scenario."""
    return [result for result in results if result.run.scenario == scenario]


def speed(result: Result) -> float:
    """Flows a second; one at a time the median latency says it, whatever a few calls took."""
    middle = result.latency_ms["p50"]
    alone = result.run.scenario == "single-stream" and middle is not None
    return 1e3 / middle if alone and middle else result.flows_per_s.median


def number(value: float | int | None, digits: int) -> str:
    """A number for a table; empty where there is none."""
    return "" if value is None else f"{value:,.{digits}f}"


def microseconds(ms: float | int | None) -> str:
    """A latency in microseconds, without a unit."""
    return "too few" if ms is None else f"{ms * 1e3:,.1f}" if ms < 0.1 else f"{ms * 1e3:,.0f}"


def threads_in_words(count: int) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{count} thread" if count == 1 else f"{count} threads"
