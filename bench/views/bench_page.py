"""One HTML page of benchmark results: plots and tables, nothing fetched from afar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from idskit.bench.candidates import candidate, candidate_names, of_scenario
from idskit.bench.result import Report, Result, Sample
from idskit.bench.views.bench_report import machine_line
from idskit.bench.views.bench_tables import sections
from idskit.bench.views.section import Section
from idskit.bench.views.svg import Bar, Scale, Series, bar_chart, key_of, line_chart
from idskit.files.output import write_whole

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .3rem; }
p { margin: .3rem 0; } .about, figcaption { opacity: .75; }
table { border-collapse: collapse; margin: .5rem 0; display: block; overflow-x: auto; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid rgba(128, 128, 128, .35); }
th { text-align: left; font-weight: 600; } .n { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; } svg { max-width: 40rem; width: 100%; height: auto; display: block; }
.key { display: inline-block; margin-right: 1.2rem; }
.key i { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px;
  margin-right: .35rem; }
@media (max-width: 40rem) {
  th, td { padding: .2rem .4rem; font-size: .85rem; } svg text { font-size: 18px; }
}
"""

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
        differences: sentences about what is not alike in the reports, which come after these.

    Raises:
        IdskitError: the file cannot be written.
    """
    text = page(reports, comparison=comparison, differences=differences)
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def page(
    reports: Named, *, comparison: Sequence[Section] = (), differences: Sequence[str] = ()
) -> str:
    """The page's text."""
    alone = len(reports) == 1
    parts = [_heading(reports), *map(_table, comparison), _list(differences)]
    parts += [_list(report.verdict) for report in reports.values() if alone]
    parts += _plots(reports)
    for name, report in reports.items():
        parts += [] if alone else [f"<h1>{escape(name)}</h1>", _list(report.verdict)]
        parts += [*map(_table, sections(report)), _doubts(report)]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>idskit bench</title><style>{_STYLE}</style></head><body>{''.join(parts)}"
        "</body></html>\n"
    )


def _heading(reports: Named) -> str:
    lines = [
        f"<p>{f'<b>{escape(name)}</b>: ' if len(reports) > 1 else ''}"
        f"{escape(machine_line(report))}. "
        f"onnxruntime {escape(str(report.machine['packages'].get('onnxruntime')))}, "
        f"{report.created:%Y-%m-%d %H:%M} UTC.</p>"
        for name, report in reports.items()
    ]
    return f"<h1>Intrusion detection, measured</h1>{''.join(lines)}"


def _list(sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(said)}</li>" for said in sentences)
    return f"<ul>{items}</ul>" if items else ""


def _doubts(report: Report) -> str:
    """Every warning; the verdict tells only the first."""
    warned = [
        f"<li>{escape(result.model.name)}, {escape(result.run.scenario)}, batch "
        f"{result.run.batch}: {escape(warning)}</li>"
        for result in report.results
        for warning in result.warnings
    ]
    return f"<h2>Doubts (!)</h2><ul>{''.join(warned)}</ul>" if warned else ""


def _table(section: Section) -> str:
    def row(cells: Iterable[str], tag: str) -> str:
        made = (
            f"<{tag}{' class=n' if i >= section.words else ''}>{escape(cell)}</{tag}>"
            for i, cell in enumerate(cells)
        )
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(row(cells, "td") for cells in section.rows)
    return (
        f"<h2>{escape(section.title)}</h2><p class=about>{escape(section.about)}</p>"
        f"<table><thead>{row(section.columns, 'th')}</thead><tbody>{body}</tbody></table>"
        f"<p class=about>{escape(section.caption)}</p>"
    )


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
    chart = line_chart(series, Scale(label="per cent of calls", kind="nines"), _log("µs"))
    return _figure("Latency of one flow", chart, series)


def _throughput(reports: Named) -> str:
    series = _series(
        reports,
        "offline",
        lambda mine: [(r.run.batch, r.flows_per_s.median) for r in mine],
        lambda mine: [(r.flows_per_s.min, r.flows_per_s.max) for r in mine],
    )
    chart = line_chart(series, _log("flows a batch"), Scale(label="flows/s"))
    return _figure("Throughput against batch", chart, series)


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
    limit = bounds.pop() if len(bounds) == 1 else None
    chart = line_chart(series, _log("flows that arrive a second"), _log("p99 in ms"), limit=limit)
    return _figure("Waiting, by rate of arrivals (dashed: the bound)", chart, series)


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
    return _figure(title, chart, series)


def _over_time(result: Result, read: Callable[[Sample], float | None]) -> list[tuple[float, float]]:
    samples = result.sustained.samples if result.sustained else ()
    return [(s.at_s / 60, value) for s in samples if (value := read(s)) is not None]


def _machines(reports: Named) -> list[str]:
    """What each file reached, side by side."""
    charts: dict[str, tuple[str, str, Callable[[Result], float]]] = {
        "Most flows judged a second": ("offline", "flows/s", lambda r: r.flows_per_s.median),
        "Most flows that may arrive a second": (
            "server",
            "flows/s",
            lambda r: r.flows_per_s.median,
        ),
        "Packets a second, from capture to alerts": (
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
        figures.append(_figure(title, bar_chart(bars, unit), ()))
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
    """A line for every candidate of every report that has any points."""
    return [
        Series(name=name, points=tuple(found), spread=tuple(spread(mine)), color=i, joined=joined)
        for i, (_, name, mine) in enumerate(_measured(reports, scenario))
        if (found := points(mine))
    ]


def _measured(reports: Named, scenario: str) -> list[tuple[int, str, list[Result]]]:
    """Number of the file, name of the candidate (and file), and its results of a scenario."""
    found = []
    for number, (file, report) in enumerate(reports.items()):
        for key, name in candidate_names(report.results).items():
            mine = [r for r in of_scenario(report.results, scenario) if candidate(r) == key]
            if mine:
                found.append((number, f"{file}: {name}" if len(reports) > 1 else name, mine))
    return found


def _figure(title: str, chart: str, series: Sequence[Series]) -> str:
    if not chart:
        return ""
    keys = "".join(
        f'<span class=key><i style="background:{key_of(one.color)}"></i>{escape(one.name)}</span>'
        for one in series
    )
    return f"<h2>{escape(title)}</h2><figure>{chart}<figcaption>{keys}</figcaption></figure>"


def _log(label: str) -> Scale:
    return Scale(label=label, kind="log")
