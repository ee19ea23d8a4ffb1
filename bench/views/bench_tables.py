"""Every table that the results of a report fill.

A view is made of sections, which are text; ``bench_page`` puts the same ones into HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from idskit.bench.grouping import (
    Names,
    by_subject,
    microseconds,
    number,
    of_scenario,
    speed,
    subject_names,
    subject_of,
    thread_text,
)
from idskit.bench.measure import PERCENTILES
from idskit.bench.result import Report, Result
from idskit.bench.subject import Execution
from idskit.bench.views.extraction_report import extraction_sections
from idskit.report.section import Section


def sections(report: Report) -> list[Section]:
    """Return every table that the results of a report fill."""
    names = subject_names(report.results)
    made = [_models(report.results, names)]
    for scenario, make in _TABLES.items():
        results = of_scenario(report.results, scenario)
        if results:
            made.append(make(results, names))
    return made + _share_of_machine(report, names) + extraction_sections(report.extraction)


def _models(results: Sequence[Result], names: Names) -> Section:
    seen = {subject_of(result): result for result in results}
    return Section(
        title="models",
        about="what was measured",
        columns=("model", "runs", "size", "load", "first", "macro-F1"),
        rows=tuple(
            (
                names[key],
                f"{key[0].precision} in {_runs_in(key[1])}",
                f"{key[0].bytes / 1024:,.0f} KiB",
                f"{result.init_ms:,.0f} ms",
                f"{result.first_ms:,.1f} ms",
                f"{result.accuracy.macro_f1:.4f}" if result.accuracy else "",
            )
            for key, result in seen.items()
        ),
        caption="load: from the file to a session; first: the first flow; macro-F1: as exported",
        words=2,
    )


def _latency(results: Sequence[Result], names: Names) -> Section:
    numbers = (*PERCENTILES, "max")
    rows = [[*(microseconds(result.latency_ms[n]) for n in numbers)] for result in results]
    return _compared(
        results,
        names,
        Section(
            title="single-stream",
            about="microseconds to judge one flow, one after the other",
            columns=("model", "p50", "p90", "p95", "p99", "p99.9", "max"),
            rows=tuple((_named(r, names), *cells) for r, cells in zip(results, rows, strict=True)),
            caption="p99: 99 of 100 flows are judged within this time",
        ),
    )


def _throughput(results: Sequence[Result], names: Names) -> Section:
    ordered = sorted(results, key=lambda result: names[subject_of(result)])
    return _compared(
        ordered,
        names,
        Section(
            title="offline",
            about="flows judged a second, many at once",
            columns=("model", "batch", "flows/s", "±", "ms a batch"),
            rows=tuple(
                (
                    _named(result, names),
                    str(result.run.batch),
                    f"{result.flows_per_s.median:,.0f}",
                    f"{result.flows_per_s.relative:.0%}",
                    number(result.latency_ms["p50"], 3),
                )
                for result in ordered
            ),
            caption="median of the rounds; ±: their standard deviation",
        ),
    )


def _server(results: Sequence[Result], names: Names) -> Section:
    bounds = {result.server.bound_ms for result in results if result.server}
    return _compared(
        results,
        names,
        Section(
            title="server",
            about=f"flows that may arrive a second, at random, with p99 within "
            f"{', '.join(f'{bound:g}' for bound in bounds)} ms, queueing included",
            columns=("model", "flows/s", "±", "p50 ms", "p99 ms", "probes"),
            rows=tuple(
                (
                    _named(result, names),
                    f"{result.flows_per_s.median:,.0f}",
                    f"{result.flows_per_s.relative:.0%}",
                    number(result.latency_ms["p50"], 2),
                    number(result.latency_ms["p99"], 2),
                    str(len(result.server.probes)) if result.server else "",
                )
                for result in results
            ),
            caption="median of the searches; p50 and p99 at the highest rate of each; "
            "flows that wait are judged together",
        ),
    )


def _pipeline(results: Sequence[Result], names: Names) -> Section:
    return Section(
        title="pipeline",
        about="packets of a capture in, alert lines out",
        columns=("model", "packets/s", "±", "flows/s", "extract", "infer", "post", "MiB"),
        rows=tuple(
            (
                _named(result, names),
                f"{result.packets_per_s.median:,.0f}",
                f"{result.packets_per_s.relative:.0%}",
                f"{result.flows_per_s.median:,.0f}",
                *(f"{share:.0%}" for share in result.split_ms.shares().values()),
                f"{result.rss_mib.peak:,.0f}",
            )
            for result in results
            if result.packets_per_s is not None and result.split_ms is not None
        ),
        caption="share of time; extract: packets to features; infer: to probabilities; "
        "post: to alerts; MiB: most memory of the whole process",
    )


def _sustained(results: Sequence[Result], names: Names) -> Section:
    return Section(
        title="sustained",
        about="flows judged a second under full load, from the start to the end",
        columns=("model", "minutes", "flows/s", "drift", "°C", "MHz", "W"),
        rows=tuple(
            (
                _named(result, names),
                f"{result.run.duration_s / 60:g}",
                f"{result.flows_per_s.median:,.0f}",
                f"{result.sustained.drift:+.0%}",
                _from_to([sample.temperature_c for sample in result.sustained.samples]),
                _from_to([sample.frequency_mhz for sample in result.sustained.samples]),
                _from_to([sample.power_w for sample in result.sustained.samples]),
            )
            for result in results
            if result.sustained is not None
        ),
        caption="drift: the last quarter against the first; empty where there is no sensor",
    )


_TABLES: dict[str, Callable[[Sequence[Result], Names], Section]] = {
    "single-stream": _latency,
    "offline": _throughput,
    "server": _server,
    "pipeline": _pipeline,
    "sustained": _sustained,
}


def _share_of_machine(report: Report, names: Names) -> list[Section]:
    """Return what part of the fastest int8 product each file reaches at its best batch."""
    if report.int8_rate is None:
        return []
    rate = report.int8_rate
    rows = []
    for key, mine in by_subject(of_scenario(report.results, "offline")).items():
        macs = rate.macs_per_flow.get(key[0].sha256)
        if macs and key[1].threads == rate.threads:
            best = max(mine, key=speed)
            gmac_per_s = speed(best) * macs / 1e9
            rows.append(
                (
                    names[key],
                    str(best.run.batch),
                    f"{macs / 1e6:,.2f} M",
                    f"{gmac_per_s:,.1f}",
                    f"{gmac_per_s / rate.gmac_per_s.median:.0%}",
                )
            )
    section = Section(
        title="share of the machine",
        about=f"int8 matrix products reach {rate.gmac_per_s.median:,.0f} GMAC/s here "
        f"(MatMulInteger 1024³, {rate.types}, {thread_text(rate.threads)})",
        columns=("model", "batch", "MACs a flow", "GMAC/s", "share"),
        rows=tuple(rows),
    )
    return [section] if rows else []


def _compared(results: Sequence[Result], names: Names, section: Section) -> Section:
    """Add by how much the first subject is faster than each one, where there are others."""
    if len({subject_of(result) for result in results}) < 2:
        return section
    first = next(iter(names))
    reference = {r.run.batch: speed(r) for r in results if subject_of(r) == first}
    cells = [
        "" if subject_of(r) == first else _times(reference.get(r.run.batch), speed(r))
        for r in results
    ]
    letter = names[first].split()[0]
    return Section(
        title=section.title,
        about=section.about,
        columns=(*section.columns, f"{letter} faster"),
        rows=tuple((*row, cell) for row, cell in zip(section.rows, cells, strict=True)),
        caption=section.caption,
        words=section.words,
    )


def _times(speed: float | None, other: float) -> str:
    return "" if speed is None or not other else f"{speed / other:,.2f}x"


def _named(result: Result, names: Names) -> str:
    """Return the subject's name, with a mark where its numbers are in doubt."""
    return names[subject_of(result)] + (" (!)" if result.warnings else "")


def _from_to(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{known[0]:,.0f} to {known[-1]:,.0f}" if known else ""


def _runs_in(execution: Execution) -> str:
    provider = execution.provider_used.removesuffix("ExecutionProvider")
    return f"{execution.backend}, {provider}, {thread_text(execution.threads)}"
