"""Views of a benchmark's result: tables for a terminal and for Markdown, a verdict in words.

A view is made of sections, which are text; ``idskit.bench.page`` puts the same ones into HTML.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from idskit.bench.backends import Execution, ModelFacts
from idskit.bench.measure import PERCENTILES
from idskit.bench.result import Paced, Report, Result
from idskit.detect.run import MAX_WAIT_MS


@dataclass(frozen=True, kw_only=True)
class Section:
    """One table of a view, as text."""

    title: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    words: int = 1  # leading columns that hold words; the others hold numbers


def show(report: Report, console: Console) -> None:
    """Print the tables of a report, then its verdict."""
    console.print(f"[bold]machine[/bold]: {escape(machine_line(report))}", highlight=False)
    show_sections(sections(report), console)
    for sentence in report.verdict:
        console.print(escape(sentence), highlight=False)


def show_sections(shown: Iterable[Section], console: Console) -> None:
    """Print tables."""
    for section in shown:
        console.print(f"[bold]{section.title}[/bold]: {escape(section.about)}", highlight=False)
        table = Table()
        for i, name in enumerate(section.columns):
            if i < section.words:
                words = (len(word) for row in section.rows for word in row[i].split())
                table.add_column(name, overflow="fold", min_width=min(max(words, default=0), 14))
            else:
                table.add_column(name, justify="right", no_wrap=True)
        for row in section.rows:
            table.add_row(*map(escape, row))
        console.print(table)
        if section.caption:
            console.print(f"[dim]{escape(section.caption)}[/dim]", highlight=False)


def markdown(report: Report) -> str:
    """The same tables and sentences, for a README."""
    parts = [
        f"Machine: {machine_line(report)}. idskit {report.machine['packages'].get('idskit')}, "
        f"onnxruntime {report.machine['packages'].get('onnxruntime')}, "
        f"{report.created:%Y-%m-%d}.",
        *map(markdown_section, sections(report)),
        "\n".join(f"- {sentence}" for sentence in report.verdict),
    ]
    return "\n\n".join(parts) + "\n"


def markdown_section(section: Section) -> str:
    """One table in GitHub's Markdown."""
    rule = ["---" if i < section.words else "---:" for i in range(len(section.columns))]
    lines = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        for row in (section.columns, rule, *section.rows)
    ]
    caption = f"\n\n{section.caption}" if section.caption else ""
    return f"**{section.title}**: {section.about}\n\n" + "\n".join(lines) + caption


def sections(report: Report) -> list[Section]:
    """Every table that the results of a report fill."""
    from idskit.bench.extraction_report import extraction_sections  # which is made of Section

    names = candidate_names(report.results)
    made = [_models(report.results, names)]
    for scenario, make in _TABLES.items():
        results = of_scenario(report.results, scenario)
        if results:
            made.append(make(results, names))
    return (
        made
        + _gpu(report.results, names)
        + _share_of_machine(report, names)
        + extraction_sections(report.extraction)
    )


def verdict(results: Sequence[Result]) -> tuple[str, ...]:
    """What the numbers say, in sentences."""
    return (
        *_model_sentences(results),
        *_precision_sentences(results),
        *_backend_sentences(results),
        *_server_sentences(results),
        *_pipeline_sentences(results),
        *_sustained_sentences(results),
        *_throttling_sentences(results),
        *_doubt_sentences(results),
    )


Key = tuple[ModelFacts, Execution]
Names = dict[Key, str]


def candidate_names(results: Sequence[Result]) -> Names:
    """A letter and the model's name for each candidate."""
    keys = dict.fromkeys(candidate(result) for result in results)
    return {key: f"{chr(65 + i)} {key[0].name}" for i, key in enumerate(keys)}


def candidate(result: Result) -> Key:
    """What was measured: which model, run by what."""
    return result.model, result.execution


def machine_line(report: Report) -> str:
    """The machine in one line."""
    machine = report.machine
    features = [name for name, there in machine["features"].items() if there]
    words = [
        machine["cpu"] or machine["model"] or machine["architecture"],
        f"{len(machine['affinity'])} of {machine['cores']} cores usable",
        f"int8 instructions: {', '.join(features) or 'none'}",
    ]
    return "; ".join(words)


def _models(results: Sequence[Result], names: Names) -> Section:
    seen = {candidate(result): result for result in results}
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
    rows = [[*(_microseconds(result.latency_ms[n]) for n in numbers)] for result in results]
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
    ordered = sorted(results, key=lambda result: names[candidate(result)])
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
                    _number(result.latency_ms["p50"], 3),
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
                    _number(result.latency_ms["p50"], 2),
                    _number(result.latency_ms["p99"], 2),
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
        columns=("model", "packets/s", "±", "flows/s", "extract", "infer", "post"),
        rows=tuple(
            (
                _named(result, names),
                f"{result.packets_per_s.median:,.0f}",
                f"{result.packets_per_s.relative:.0%}",
                f"{result.flows_per_s.median:,.0f}",
                *(f"{share:.0%}" for share in result.split_ms.shares().values()),
            )
            for result in results
            if result.packets_per_s is not None and result.split_ms is not None
        ),
        caption="share of time; extract: packets to features; infer: to probabilities; "
        "post: to alerts",
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


def _gpu(results: Sequence[Result], names: Names) -> list[Section]:
    """Copies and compute apart, where a GPU did the work."""
    rows = [
        (
            _named(result, names),
            str(steps.rows),
            *(f"{ms:,.3f}" for ms in (steps.copy_in_ms, steps.compute_ms, steps.copy_out_ms)),
            f"{steps.enqueue_ms / steps.compute_ms:.0%}",
        )
        for result in results
        if (steps := result.gpu_steps) is not None
    ]
    section = Section(
        title="GPU",
        about="milliseconds of one call",
        columns=("model", "batch", "copy in", "compute", "copy out", "host"),
        rows=tuple(rows),
        caption="host: share of compute in which the processor hands over kernels",
    )
    return [section] if rows else []


def _share_of_machine(report: Report, names: Names) -> list[Section]:
    """What part of the fastest int8 product each file reaches at its best batch."""
    if report.int8_rate is None:
        return []
    rate = report.int8_rate
    rows = []
    for key, mine in _by_candidate(of_scenario(report.results, "offline")).items():
        macs = rate.macs_per_flow.get(key[0].sha256)
        if macs and key[1].threads == rate.threads:
            best = max(mine, key=_speed)
            gmac_per_s = _speed(best) * macs / 1e9
            rows.append(
                (
                    names[key],
                    str(best.run.batch),
                    f"{macs / 1e6:,.2f} M",
                    f"{gmac_per_s:,.1f}",
                    f"{gmac_per_s / rate.gmac_per_s.median:.0%}",
                )
            )
    return [
        Section(
            title="share of the machine",
            about=f"int8 matrix products reach {rate.gmac_per_s.median:,.0f} GMAC/s here "
            f"(MatMulInteger 1024³, {rate.types}, {_threads(rate.threads)})",
            columns=("model", "batch", "MACs a flow", "GMAC/s", "share"),
            rows=tuple(rows),
        )
    ]


def _compared(results: Sequence[Result], names: Names, section: Section) -> Section:
    """Add by how much the first candidate is faster than each one, where there are others."""
    if len({candidate(result) for result in results}) < 2:
        return section
    first = next(iter(names))
    reference = {r.run.batch: _speed(r) for r in results if candidate(r) == first}
    cells = [
        "" if candidate(r) == first else _times(reference.get(r.run.batch), _speed(r))
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
    """The candidate's name, with a mark where its numbers are in doubt."""
    return names[candidate(result)] + (" (!)" if result.warnings else "")


def _from_to(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{known[0]:,.0f} to {known[-1]:,.0f}" if known else ""


def _number(value: float | int | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _runs_in(execution: Execution) -> str:
    provider = execution.provider_used.removesuffix("ExecutionProvider")
    return f"{execution.backend}, {provider}, {_threads(execution.threads)}"


def _threads(count: int) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"


def _microseconds(ms: float | int | None) -> str:
    return "too few" if ms is None else f"{ms * 1e3:,.1f}" if ms < 0.1 else f"{ms * 1e3:,.0f}"


def of_scenario(results: Iterable[Result], scenario: str) -> list[Result]:
    """The results of one scenario."""
    return [result for result in results if result.run.scenario == scenario]


def _model_sentences(results: Sequence[Result]) -> list[str]:
    sentences = []
    for (model, execution), mine in _by_candidate(results).items():
        parts = []
        offline = of_scenario(mine, "offline")
        if offline:
            best = max(offline, key=lambda result: result.flows_per_s.median)
            parts.append(
                f"{best.flows_per_s.median:,.0f} flows a second in batches of {best.run.batch}"
            )
        for result in of_scenario(mine, "single-stream"):
            middle, tail = result.latency_ms["p50"], result.latency_ms["p99"]
            parts.append(f"one flow in {_microseconds(middle)} µs")
            if tail is not None:
                parts.append(f"99 of 100 within {_microseconds(tail)} µs")
        if parts:
            who = f"{model.name} ({model.precision}, {execution.backend})"
            sentences.append(f"{who}: {', '.join(parts)}.")
    return sentences


def _precision_sentences(results: Sequence[Result]) -> list[str]:
    """Whether int8 pays, where both precisions were measured alike."""
    sentences = []
    for alike in _alike(results):
        onnx = [result for result in alike if result.execution.backend == "onnxruntime"]
        int8, fp32 = (_fastest(r for r in onnx if r.model.precision == p) for p in ("int8", "fp32"))
        if int8 is None or fp32 is None:
            continue
        ratio = _speed(int8) / _speed(fp32)
        says = "pays" if ratio > 1.05 else "costs more than it gains" if ratio < 0.95 else "is even"
        sentences.append(f"int8 {says} here: {ratio:.2f} times the speed of fp32 ({_how(int8)}).")
    return sentences


def _backend_sentences(results: Sequence[Result]) -> list[str]:
    """How far onnxruntime is ahead of torch, where both were measured alike."""
    sentences = []
    for alike in _alike(results):
        onnx, torch = (
            _fastest(result for result in alike if result.execution.backend == backend)
            for backend in ("onnxruntime", "torch eager")
        )
        if onnx is None or torch is None:
            continue
        sentences.append(
            f"{onnx.model.name} in onnxruntime runs at {_speed(onnx) / _speed(torch):.1f} times "
            f"the speed of {torch.model.name} in torch eager ({_how(onnx)})."
        )
    return sentences


def _server_sentences(results: Sequence[Result]) -> list[str]:
    return [
        f"{result.flows_per_s.median:,.0f} flows a second may arrive at random at "
        f"{result.model.name}, and 99 of 100 have their verdict within "
        f"{result.server.bound_ms:g} ms."
        for result in of_scenario(results, "server")
        if result.server is not None and result.flows_per_s.median
    ]


def _sustained_sentences(results: Sequence[Result]) -> list[str]:
    sentences = []
    for result in of_scenario(results, "sustained"):
        if result.sustained is None:
            continue
        rates = [sample.flows_per_s for sample in result.sustained.samples]
        end = statistics.median(rates[-max(len(rates) // 4, 1) :])
        sentences.append(
            f"After {result.run.duration_s / 60:g} minutes of full load, {result.model.name} "
            f"judges {end:,.0f} flows a second: {result.sustained.drift:+.0%} against the start."
        )
    return sentences


def _throttling_sentences(results: Sequence[Result]) -> list[str]:
    if not any(result.throttled and result.throttled["now"] for result in results):
        return []
    return [
        "The machine slowed itself down while it was measured: look to its cooling and its power "
        "supply."
    ]


def _pipeline_sentences(results: Sequence[Result]) -> list[str]:
    sentences = []
    for result in of_scenario(results, "pipeline"):
        if result.packets_per_s is None or result.split_ms is None:
            continue
        if result.paced is not None:
            sentences.append(_paced_sentence(result, result.paced))
            continue
        shares = result.split_ms.shares()
        slowest = max(shares, key=lambda step: shares[step])
        sentences.append(
            f"From packets to alerts with {result.model.name}: "
            f"{result.packets_per_s.median:,.0f} packets a second; {slowest} takes "
            f"{shares[slowest]:.0%} of the time and limits; packets to features alone, "
            f"{result.packets_per_s.median / shares['extract']:,.0f} packets a second."
        )
    return sentences


def _paced_sentence(result: Result, paced: Paced) -> str:
    middle, tail = result.latency_ms["p50"], result.latency_ms["p99"]
    within = "" if tail is None else f", 99 of 100 within {tail:,.0f} ms"
    return (
        f"At {paced.rate_per_s:,.0f} packets a second, {result.model.name} gives its verdict "
        f"{_number(middle, 0)} ms after packet {paced.verdict_after} of a flow{within} (median of "
        f"{paced.verdicts:,} verdicts; flows wait up to {MAX_WAIT_MS:g} ms for others)."
    )


def _doubt_sentences(results: Sequence[Result]) -> list[str]:
    doubted = [result for result in results if result.warnings]
    if not doubted:
        return ["All measurements are stable."]
    first = doubted[0]
    return [
        f"{len(doubted)} of {len(results)} measurements have warnings, first "
        f"{first.model.name}, {_how(first)}: {first.warnings[0]}."
    ]


def _by_candidate(results: Sequence[Result]) -> dict[Key, list[Result]]:
    groups: dict[Key, list[Result]] = {}
    for result in results:
        groups.setdefault(candidate(result), []).append(result)
    return groups


def _alike(results: Sequence[Result]) -> list[list[Result]]:
    """Results under the same conditions: one flow at a time, and the largest batch."""
    offline = of_scenario(results, "offline")
    largest = max((result.run.batch for result in offline), default=0)
    return [
        of_scenario(results, "single-stream"),
        [result for result in offline if result.run.batch == largest],
    ]


def _fastest(results: Iterable[Result]) -> Result | None:
    return max(results, key=_speed, default=None)


def _speed(result: Result) -> float:
    """Flows a second; one at a time the median latency says it, whatever a few calls took."""
    middle = result.latency_ms["p50"]
    alone = result.run.scenario == "single-stream" and middle is not None
    return 1e3 / middle if alone and middle else result.flows_per_s.median


def _how(result: Result) -> str:
    if result.run.scenario == "offline":
        return f"offline, batch {result.run.batch}"
    return result.run.scenario
