"""What was measured of flow extractors, as tables and as sentences."""

from __future__ import annotations

from collections.abc import Sequence

from idskit.bench.measure import MAX_RELATIVE_SPREAD, Spread
from idskit.bench.result import Extraction
from idskit.report.section import Section

FLAT = 1.25  # costs of a packet within this factor are called flat
_COLUMNS = ("flows", "CPU s", "wall s", "MiB", "packets/s", "±", "x")
_CAPTION = (
    "CPU, wall, MiB: of the whole process, start-up included; packets/s: of one core, start-up "
    "taken out (what one more packet costs); ±: its standard deviation; x: processor time of one "
    "more packet, as a multiple of idskit's"
)


def extraction_sections(results: Sequence[Extraction]) -> list[Section]:
    """Return what each program computes, a table for each capture, and idskit as flows grow."""
    if not results:
        return []
    compared = [_costs(entries) for entries in _compared(results).values()]
    growth = _growth(results)
    return [_programs(results), *compared, *([_grown(growth)] if growth else [])]


def extraction_verdict(results: Sequence[Extraction]) -> list[str]:
    """Return what the numbers mean, in sentences."""
    return [
        *(_comparison(entries) for entries in _compared(results).values()),
        *_growth_sentence(_growth(results)),
        *_reasons(results),
        *_doubts(results),
    ]


def _compared(results: Sequence[Extraction]) -> dict[str, list[Extraction]]:
    """Group entries by capture; the first of each is idskit's."""
    groups: dict[str, list[Extraction]] = {}
    for entry in results:
        groups.setdefault(entry.capture, []).append(entry)
    return {capture: entries for capture, entries in groups.items() if len(entries) > 1}


def _growth(results: Sequence[Extraction]) -> list[Extraction]:
    """Return idskit's entries on captures of one mix that differ in size, by size."""
    first = [entry for entry in results if entry.name == results[0].name and entry.mix]
    mixes = [entry.mix for entry in first]
    return [entry for entry in first if mixes.count(entry.mix) > 1 and entry.us_per_packet]


# Tables.


def _programs(results: Sequence[Extraction]) -> Section:
    programs = {entry.name: entry for entry in results}
    return Section(
        title="extraction",
        about="packets to flow records, each program a process of its own",
        columns=("program", "computes", "columns"),
        rows=tuple(
            (f"{entry.name} {entry.version or ''}".strip(), entry.computes, _count(entry.columns))
            for entry in programs.values()
        ),
        words=2,
    )


def _costs(entries: Sequence[Extraction]) -> Section:
    return Section(
        title="extraction",
        about=entries[0].capture,
        columns=("program", *_COLUMNS),
        rows=tuple((entry.name, *_cost(entry, entries[0])) for entry in entries),
        caption=_CAPTION,
    )


def _cost(entry: Extraction, first: Extraction) -> list[str]:
    if entry.reason:
        return ["no result", *[""] * (len(_COLUMNS) - 1)]
    return [
        _count(entry.flows),
        _number(entry.cpu_s),
        _number(entry.wall_s),
        _number(entry.rss_mib, 0),
        _rate(entry.us_per_packet),
        _relative(entry.us_per_packet),
        _ratio(entry.us_per_packet, first.us_per_packet),
    ]


def _grown(growth: Sequence[Extraction]) -> Section:
    return Section(
        title="extraction",
        about=f"{growth[0].name} as flows grow, mix {growth[0].mix}",
        columns=("flows at once", "MiB", "packets/s", "±"),
        rows=tuple(
            (
                _count(entry.flows),
                _number(entry.rss_mib, 0),
                _rate(entry.us_per_packet),
                _relative(entry.us_per_packet),
            )
            for entry in growth
        ),
        words=0,
    )


# Sentences.


def _comparison(entries: Sequence[Extraction]) -> str:
    first = entries[0]
    if first.us_per_packet is None or first.cpu_s is None:
        return f"Nothing to compare with on {first.capture}: {first.name} was not measured."
    more = {entry.name: entry.us_per_packet for entry in entries}
    whole = {entry.name: entry.cpu_s for entry in entries}
    if first.us_per_packet.median <= 0:
        return (
            f"On {first.capture}, what one more packet costs {first.name} cannot be told from the "
            "noise of its start-up: measure again, or read a larger capture."
        )
    return (
        f"On {first.capture}: {first.name} reads {_rate(first.us_per_packet)} packets/s on one "
        f"core, which is {_number(first.us_per_packet)} µs each without start-up "
        f"({_times(more)}); its whole process takes {_number(first.cpu_s)} s of CPU "
        f"({_times(whole)})."
    )


def _times(costs: dict[str, Spread | None]) -> str:
    """Write what the others cost, as multiples of the first."""
    first, *others = costs
    ratios = {name: _ratio(costs[name], costs[first]) for name in others}
    known = [f"{name} {ratio} times that" for name, ratio in ratios.items() if ratio]
    return ", ".join(known) or "nothing to compare with"


def _growth_sentence(growth: Sequence[Extraction]) -> list[str]:
    costs = [entry.us_per_packet.median for entry in growth if entry.us_per_packet]
    if len(costs) < 2 or min(costs) <= 0:
        return []
    factor = max(costs) / min(costs)
    says = "flat" if factor <= FLAT else "not flat"
    return [
        f"As flows grow from {_count(growth[0].flows)} to {_count(growth[-1].flows)} at once, a "
        f"packet takes {growth[0].name} {min(costs):.2f} to {max(costs):.2f} µs: {says}."
    ]


def _reasons(results: Sequence[Extraction]) -> list[str]:
    """State each reason once, with its captures if these are not all."""
    captures = len({entry.capture for entry in results if entry.name == results[-1].name})
    reasons: dict[tuple[str, str], list[str]] = {}
    for entry in results:
        if entry.reason:
            reasons.setdefault((entry.name, entry.reason), []).append(entry.capture)
    return [
        f"{name} was not measured{'' if len(on) >= captures else ' on ' + ', '.join(on)}: {reason}."
        for (name, reason), on in reasons.items()
    ]


def _doubts(results: Sequence[Extraction]) -> list[str]:
    doubted = [entry.name for entry in results if _is_unstable(entry.us_per_packet)]
    if not doubted:
        return []
    return [
        f"Unstable: the rounds of {', '.join(dict.fromkeys(doubted))} differ by more than "
        f"{MAX_RELATIVE_SPREAD:.0%}; measure again on a quiet machine."
    ]


def _is_unstable(spread: Spread | None) -> bool:
    return spread is not None and abs(spread.relative) > MAX_RELATIVE_SPREAD


# Numbers.


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _number(spread: Spread | None, digits: int = 2) -> str:
    return "" if spread is None else f"{spread.median:,.{digits}f}"


def _relative(spread: Spread | None) -> str:
    if spread is None:
        return ""
    return f"{abs(spread.relative):.0%}" if len(spread.values) > 1 else "1 run"


def _rate(us_per_packet: Spread | None) -> str:
    """Write packets per second, if their cost stands out from start-up."""
    if us_per_packet is None or us_per_packet.median <= 0:
        return ""
    return f"{1e6 / us_per_packet.median:,.0f}"


def _ratio(cost: Spread | None, first: Spread | None) -> str:
    if cost is None or first is None or first.median <= 0:
        return ""
    ratio = cost.median / first.median
    return f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"
