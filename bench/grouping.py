"""Results by subject and by scenario, and how their numbers are written: for every view."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from idskit.bench.result import Result
from idskit.bench.subject import Execution, ModelFacts

Key = tuple[ModelFacts, Execution]  # a model, and what ran it
Names = dict[Key, str]


def subject_names(results: Sequence[Result]) -> Names:
    """Name each subject by a letter and its model's name."""
    keys = dict.fromkeys(subject_of(result) for result in results)
    return {key: f"{chr(65 + i)} {key[0].name}" for i, key in enumerate(keys)}


def subject_of(result: Result) -> Key:
    """Return what was measured: the model, and what ran it."""
    return result.model, result.execution


def by_subject(results: Sequence[Result]) -> dict[Key, list[Result]]:
    """Group results by what was measured, in order."""
    groups: dict[Key, list[Result]] = {}
    for result in results:
        groups.setdefault(subject_of(result), []).append(result)
    return groups


def of_scenario(results: Iterable[Result], scenario: str) -> list[Result]:
    """Return the results of one scenario."""
    return [result for result in results if result.run.scenario == scenario]


def speed(result: Result) -> float:
    """Return flows per second; for single flows by the median latency, which outliers spare."""
    middle = result.latency_ms["p50"]
    alone = result.run.scenario == "single-stream" and middle is not None
    return 1e3 / middle if alone and middle else result.flows_per_s.median


def number(value: float | int | None, digits: int) -> str:
    """Write a number for a table; nothing for None."""
    return "" if value is None else f"{value:,.{digits}f}"


def microseconds(ms: float | int | None) -> str:
    """Write a latency in microseconds, without its unit."""
    return "too few" if ms is None else f"{ms * 1e3:,.1f}" if ms < 0.1 else f"{ms * 1e3:,.0f}"


def thread_text(count: int) -> str:
    """Write ``1 thread``, ``2 threads``."""
    return f"{count} thread" if count == 1 else f"{count} threads"
