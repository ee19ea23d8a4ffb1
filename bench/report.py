"""Views of a benchmark's result: tables and a verdict in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from idskit.bench.backends import Execution, ModelFacts
from idskit.bench.measure import PERCENTILES
from idskit.bench.result import Report, Result


def show(report: Report, console: Console) -> None:
    """Print the tables of a report, then its verdict."""
    names = _names(report.results)
    console.print(_machine_line(report), highlight=False)
    console.print(_models_table(report.results, names))
    for scenario, (title, table, caption) in _VIEWS.items():
        results = _of(report.results, scenario)
        if results:
            console.print(f"[bold]{scenario}[/bold]: {title}", highlight=False)
            console.print(table(results, names))
            console.print(f"[dim]{caption}[/dim]", highlight=False)
    for sentence in report.verdict:
        console.print(escape(sentence), highlight=False)


def verdict(results: Sequence[Result]) -> tuple[str, ...]:
    """What the numbers say, in sentences."""
    return (
        *_model_sentences(results),
        *_precision_sentences(results),
        *_backend_sentences(results),
        *_pipeline_sentences(results),
        *_doubt_sentences(results),
    )


Key = tuple[ModelFacts, Execution]
Names = dict[Key, str]


def _names(results: Sequence[Result]) -> Names:
    """A letter and the model's name for each candidate."""
    keys = dict.fromkeys(_key(result) for result in results)
    return {key: f"{chr(65 + i)} {key[0].name}" for i, key in enumerate(keys)}


def _key(result: Result) -> Key:
    return result.model, result.execution


def _machine_line(report: Report) -> str:
    machine = report.machine
    features = [name for name, there in machine["features"].items() if there]
    words = [
        machine["cpu"] or machine["model"] or machine["architecture"],
        f"{len(machine['affinity'])} of {machine['cores']} cores usable",
        f"int8 instructions: {', '.join(features) or 'none'}",
    ]
    return f"[bold]machine[/bold]: {escape('; '.join(words))}"


def _models_table(results: Sequence[Result], names: Names) -> Table:
    table = Table()
    for name in ("model", "precision", "runs in"):
        table.add_column(name)
    for name in ("size", "load", "macro-F1"):
        table.add_column(name, justify="right")
    seen = {_key(result): result for result in results}
    for key, result in seen.items():
        model, execution = key
        table.add_row(
            escape(names[key]),
            model.precision,
            _runs_in(execution),
            f"{model.bytes / 1024:,.0f} KiB",
            f"{result.init_ms:,.0f} ms",
            f"{result.accuracy.macro_f1:.4f}" if result.accuracy else "",
        )
    return table


def _latency_table(results: Sequence[Result], names: Names) -> Table:
    table = _table("p50", "p90", "p95", "p99", "p99.9", "max")
    for result in results:
        numbers = [result.latency_ms[name] for name in (*PERCENTILES, "max")]
        table.add_row(escape(names[_key(result)]), *map(_microseconds, numbers))
    return table


def _throughput_table(results: Sequence[Result], names: Names) -> Table:
    table = _table("batch", "flows/s", "±", "ms a batch")
    for result in sorted(results, key=lambda result: names[_key(result)]):
        middle = result.latency_ms["p50"]
        table.add_row(
            escape(names[_key(result)]),
            str(result.run.batch),
            f"{result.flows_per_s.median:,.0f}",
            f"{result.flows_per_s.relative:.0%}",
            "" if middle is None else f"{middle:,.3f}",
        )
    return table


def _pipeline_table(results: Sequence[Result], names: Names) -> Table:
    table = _table("packets/s", "±", "flows/s", "extract", "infer", "post")
    for result in results:
        if result.packets_per_s is None or result.split_ms is None:
            continue
        table.add_row(
            escape(names[_key(result)]),
            f"{result.packets_per_s.median:,.0f}",
            f"{result.packets_per_s.relative:.0%}",
            f"{result.flows_per_s.median:,.0f}",
            *(f"{share:.0%}" for share in result.split_ms.shares().values()),
        )
    return table


_VIEWS = {
    "single-stream": (
        "microseconds to judge one flow, one after the other",
        _latency_table,
        "p99: 99 of 100 flows are judged within this time",
    ),
    "offline": (
        "flows judged a second, many at once",
        _throughput_table,
        "median of the rounds; ±: their standard deviation",
    ),
    "pipeline": (
        "packets of a capture in, alert lines out",
        _pipeline_table,
        "share of time; extract: packets to features; infer: to probabilities; post: to alerts",
    ),
}


def _table(*numbers: str) -> Table:
    table = Table()
    table.add_column("model", overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _runs_in(execution: Execution) -> str:
    provider = execution.provider_used.removesuffix("ExecutionProvider")
    threads = "thread" if execution.threads == 1 else "threads"
    return f"{execution.backend}, {provider}, {execution.threads} {threads}"


def _microseconds(ms: float | int | None) -> str:
    return "too few" if ms is None else f"{ms * 1e3:,.1f}" if ms < 0.1 else f"{ms * 1e3:,.0f}"


def _of(results: Iterable[Result], scenario: str) -> list[Result]:
    return [result for result in results if result.run.scenario == scenario]


def _model_sentences(results: Sequence[Result]) -> list[str]:
    sentences = []
    for (model, execution), mine in _by_candidate(results).items():
        parts = []
        offline = _of(mine, "offline")
        if offline:
            best = max(offline, key=lambda result: result.flows_per_s.median)
            parts.append(
                f"{best.flows_per_s.median:,.0f} flows a second in batches of {best.run.batch}"
            )
        for result in _of(mine, "single-stream"):
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


def _pipeline_sentences(results: Sequence[Result]) -> list[str]:
    sentences = []
    for result in _of(results, "pipeline"):
        if result.packets_per_s is None or result.split_ms is None:
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
        groups.setdefault(_key(result), []).append(result)
    return groups


def _alike(results: Sequence[Result]) -> list[list[Result]]:
    """Results under the same conditions: one flow at a time, and the largest batch."""
    offline = _of(results, "offline")
    largest = max((result.run.batch for result in offline), default=0)
    return [
        _of(results, "single-stream"),
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
