"""The page of benchmark results: charts and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from idskit.bench.grouping import of_scenario, subject_names, subject_of
from idskit.bench.result import Report, Result, Sample
from idskit.bench.views.bench_tables import sections
from idskit.report.html_page import figure, heading, html_page, paragraph, save_html, sentence_list
from idskit.report.html_page import table as html_table
from idskit.report.section import Section
from idskit.report.svg import Scale, Series, line_chart
from idskit.report.svg_rows import Bar, bar_chart

TITLE = "idskit bench"
Named = Mapping[str, Report]


def save_page(
    path: Path,
    reports: Named,
    *,
    comparison: Sequence[Section] = (),
    differences: Sequence[str] = (),
) -> None:
    """Write the page; it appears under its name only when complete.

    Args:
        path: the HTML file.
        reports: results by the name each one is shown under, mostly their files'.
        comparison: tables that come first.
        differences: sentences about what differs between the reports, which come after these.

    Raises:
        IdskitError: the file cannot be written.
    """
    save_html(path, TITLE, _parts(reports, comparison, differences))


def page(
    reports: Named, *, comparison: Sequence[Section] = (), differences: Sequence[str] = ()
) -> str:
    """Return the text of the page."""
    return html_page(TITLE, _parts(reports, comparison, differences))


def _parts(reports: Named, comparison: Sequence[Section], differences: Sequence[str]) -> list[str]:
    alone = len(reports) == 1
    parts = [*_heading(reports), *map(html_table, comparison), sentence_list(differences)]
    parts += [sentence_list(report.verdict) for report in reports.values() if alone]
    parts += _plots(reports)
    for name, report in reports.items():
        parts += [] if alone else [heading(name), sentence_list(report.verdict)]
        parts += [*map(html_table, sections(report)), _warnings(report)]
    return parts


def _heading(reports: Named) -> list[str]:
    lines = [
        paragraph(
            f"{machine_line(report)}. onnxruntime {report.machine['packages'].get('onnxruntime')}, "
            f"{report.created:%Y-%m-%d %H:%M} UTC.",
            bold=name if len(reports) > 1 else "",
        )
        for name, report in reports.items()
    ]
    return [heading("Speed of intrusion detection"), *lines]


def machine_line(report: Report) -> str:
    """Describe the machine in one line."""
    machine = report.machine
    features = [name for name, there in machine["features"].items() if there]
    words = [
        machine["cpu"] or machine["model"] or machine["architecture"],
        f"{len(machine['affinity'])} of {machine['cores']} cores usable",
        f"int8 instructions: {', '.join(features) or 'none'}",
    ]
    return "; ".join(words)


def _warnings(report: Report) -> str:
    """List every warning; the verdict states only the first."""
    warned = [
        f"{result.model.name}, {result.run.scenario}, batch {result.run.batch}: {warning}"
        for result in report.results
        for warning in result.warnings
    ]
    return heading("Warnings (!)", 2) + sentence_list(warned) if warned else ""


def _plots(reports: Named) -> list[str]:
    charts = [
        _latency(reports),
        _throughput(reports),
        _server(reports),
        *_sustained(reports),
        *(_machines(reports) if len(reports) > 1 else ()),
    ]
    return [chart for chart in charts if chart]


def _latency(reports: Named) -> str:
    series = _series(
        reports,
        "single-stream",
        lambda mine: [(percent, ms * 1e3) for percent, ms in mine[0].quantiles_ms],
    )
    chart = line_chart(series, Scale(label="% of flows", kind="nines"), _log("latency in µs"))
    note = "how long it takes at most to judge that share of the flows, one after the other"
    return figure("Latency of one flow", chart, note)


def _throughput(reports: Named) -> str:
    series = _series(
        reports,
        "offline",
        lambda mine: [(r.run.batch, r.flows_per_s.median) for r in mine],
        lambda mine: [(r.flows_per_s.min, r.flows_per_s.max) for r in mine],
    )
    chart = line_chart(series, _log("flows per batch"), Scale(label="flows/s"))
    return figure("Throughput by batch size", chart, "upright lines: slowest to fastest round")


def _server(reports: Named) -> str:
    series = _series(
        reports,
        "server",
        lambda mine: [
            (probe.rate_per_s, probe.p99_ms) for r in mine if r.server for probe in r.server.probes
        ],
        joined=False,
    )
    bounds = {
        result.server.bound_ms
        for report in reports.values()
        for result in report.results
        if result.server
    }
    limit = [(f"bound: {bound:g} ms", bound) for bound in bounds]
    chart = line_chart(
        series,
        _log("arriving flows per second"),
        _log("p99 latency in ms"),
        limit=limit[0] if len(limit) == 1 else None,
    )
    return figure("Latency by rate of arrivals", chart, "each dot is a rate that was tried")


def _sustained(reports: Named) -> list[str]:
    curves: dict[str, tuple[str, Callable[[Sample], float | None]]] = {
        "Throughput under full load": ("flows/s", lambda sample: sample.flows_per_s),
        "Temperature under full load": ("°C", lambda sample: sample.temperature_c),
        "Clock under full load": ("MHz", lambda sample: sample.frequency_mhz),
        "Power under full load": ("W", lambda sample: sample.power_w),
    }
    return [_curve(reports, title, unit, read) for title, (unit, read) in curves.items()]


def _curve(reports: Named, title: str, unit: str, read: Callable[[Sample], float | None]) -> str:
    series = _series(reports, "sustained", lambda mine: _over_time(mine[0], read))
    chart = line_chart(series, Scale(label="minutes"), Scale(label=unit))
    return figure(title, chart)


def _over_time(result: Result, read: Callable[[Sample], float | None]) -> list[tuple[float, float]]:
    samples = result.sustained.samples if result.sustained else ()
    return [(s.at_s / 60, value) for s in samples if (value := read(s)) is not None]


def _machines(reports: Named) -> list[str]:
    """Compare what each file reached."""
    charts: dict[str, tuple[str, str, Callable[[Result], float]]] = {
        "Flows judged per second, at best": ("offline", "flows/s", lambda r: r.flows_per_s.median),
        "Flows that may arrive per second": (
            "server",
            "flows/s",
            lambda r: r.flows_per_s.median,
        ),
        "Packets per second, from capture to alerts": (
            "pipeline",
            "packets/s",
            lambda r: r.packets_per_s.median if r.packets_per_s else 0.0,
        ),
    }
    figures = []
    for title, (scenario, unit, value) in charts.items():
        bars = [
            _bar(name, max(mine, key=value), color)
            for color, name, mine in _measured(reports, scenario)
            if any(map(value, mine))
        ]
        figures.append(figure(title, bar_chart(bars, unit), "thin lines: slowest to fastest round"))
    return figures


def _bar(name: str, result: Result, color: int) -> Bar:
    spread = result.packets_per_s or result.flows_per_s
    return Bar(
        name=name,
        value=spread.median,
        low=spread.min,
        high=spread.max,
        text=f"{spread.median:,.0f}",
        color=color,
    )


Points = Sequence[tuple[float, float]]


def _series(
    reports: Named,
    scenario: str,
    points: Callable[[list[Result]], Points],
    spread: Callable[[list[Result]], Points] = lambda _: (),
    *,
    joined: bool = True,
) -> list[Series]:
    """Return a line for every subject of every report that has any points."""
    return [
        Series(name=name, points=tuple(found), spread=tuple(spread(mine)), color=i, joined=joined)
        for i, (_, name, mine) in enumerate(_measured(reports, scenario))
        if (found := points(mine))
    ]


def _measured(reports: Named, scenario: str) -> list[tuple[int, str, list[Result]]]:
    """Return each subject's file number, its name (with its file) and its results of a scenario."""
    found = []
    for number, (file, report) in enumerate(reports.items()):
        for key, name in subject_names(report.results).items():
            mine = [r for r in of_scenario(report.results, scenario) if subject_of(r) == key]
            if mine:
                found.append((number, f"{file}: {name}" if len(reports) > 1 else name, mine))
    return found


def _log(label: str) -> Scale:
    return Scale(label=label, kind="log")
