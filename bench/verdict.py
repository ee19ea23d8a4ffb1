"""The verdict of a benchmark: what its numbers mean, in sentences."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from idskit.bench.grouping import (
    by_subject,
    microseconds,
    number,
    of_scenario,
    speed,
    thread_text,
)
from idskit.bench.result import Paced, Result
from idskit.bench.subject import ModelFacts
from idskit.detect.detect_flows import MAX_WAIT_MS

_CLEARLY = 1.05  # times as fast; below, precisions are called equally fast
_STEPS = {"extract": "extraction", "infer": "inference", "post": "writing alerts"}


def verdict(results: Sequence[Result]) -> tuple[str, ...]:
    """Return the verdict, the most important sentences first."""
    return (
        *_model_sentences(results),
        *_precision_sentences(results),
        *_thread_sentences(results),
        *_backend_sentences(results),
        *_server_sentences(results),
        *_pipeline_sentences(results),
        *_sustained_sentences(results),
        *_throttling_sentences(results),
        *_doubt_sentences(results),
    )


def _model_sentences(results: Sequence[Result]) -> list[str]:
    sentences = []
    for (model, execution), mine in by_subject(results).items():
        parts = []
        offline = of_scenario(mine, "offline")
        if offline:
            best = max(offline, key=lambda result: result.flows_per_s.median)
            parts.append(f"{best.flows_per_s.median:,.0f} flows/s in batches of {best.run.batch}")
        for result in of_scenario(mine, "single-stream"):
            middle, tail = result.latency_ms["p50"], result.latency_ms["p99"]
            bound = "" if tail is None else f" (99 % within {microseconds(tail)} µs)"
            parts.append(f"a single flow takes {microseconds(middle)} µs{bound}")
        if parts:
            threads = thread_text(execution.threads)
            who = f"{model.name} ({model.precision}, {execution.backend}, {threads})"
            sentences.append(f"{who}: {'; '.join(parts)}.")
    return sentences


def _precision_sentences(results: Sequence[Result]) -> list[str]:
    """Say whether fewer bits pay, if two precisions were measured alike in one backend."""
    return [
        _pays(small, fp32)
        for alike in _alike(results)
        for backend in dict.fromkeys(result.execution.backend for result in alike)
        for precision in ("int8", "fp16")
        if (small := _fastest(_those(alike, backend, precision)))
        and (fp32 := _fastest(_those(alike, backend, "fp32")))
    ]


def _pays(small: Result, fp32: Result) -> str:
    ratio = speed(small) / speed(fp32)
    precision, backend = small.model.precision, small.execution.backend
    where = "on this machine" if backend == "onnxruntime" else f"in {backend}"
    found = f"{ratio:.2f} times the speed of fp32 {where} ({_how(small)})"
    if ratio > _CLEARLY:
        return f"Use {precision}: it has {found}."
    if ratio < 1 / _CLEARLY:
        return f"Use fp32: {precision} has only {found}."
    return f"{precision} and fp32 are equally fast: {precision} has {found}."


def _those(results: Sequence[Result], backend: str, precision: str) -> list[Result]:
    return [
        result
        for result in results
        if (result.execution.backend, result.model.precision) == (backend, precision)
    ]


def _thread_sentences(results: Sequence[Result]) -> list[str]:
    """Say what more threads gain, if a model was measured with several counts."""
    sentences = []
    for alike in _alike(results):
        groups: dict[tuple[ModelFacts, str], dict[int, Result]] = {}
        for result in alike:
            counts = groups.setdefault((result.model, result.execution.backend), {})
            counts[result.execution.threads] = result
        sentences += [
            f"{model.name} is {speed(counts[most]) / speed(counts[least]):.2f} times as fast with "
            f"{thread_text(most)} as with {least} ({_how(counts[most])})."
            for (model, _), counts in groups.items()
            if (most := max(counts)) > (least := min(counts))
        ]
    return sentences


def _backend_sentences(results: Sequence[Result]) -> list[str]:
    """Compare onnxruntime with torch, if both were measured alike."""
    sentences = []
    for alike in _alike(results):
        onnx, torch = (
            _fastest(result for result in alike if result.execution.backend == backend)
            for backend in ("onnxruntime", "torch eager")
        )
        if onnx is None or torch is None:
            continue
        sentences.append(
            f"{onnx.model.name} in onnxruntime has {speed(onnx) / speed(torch):.1f} times the "
            f"speed of {torch.model.name} in torch ({_how(onnx)})."
        )
    return sentences


def _server_sentences(results: Sequence[Result]) -> list[str]:
    return [
        f"{result.model.name} keeps up with {result.flows_per_s.median:,.0f} flows/s that arrive "
        f"at random: 99 % are judged within {result.server.bound_ms:g} ms of their arrival."
        for result in of_scenario(results, "server")
        if result.server is not None and result.flows_per_s.median
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
            f"From packets to alerts, {result.model.name} reaches "
            f"{result.packets_per_s.median:,.0f} packets/s; {_STEPS[slowest]} limits it, with "
            f"{shares[slowest]:.0%} of the time. Extraction alone reaches "
            f"{result.packets_per_s.median / shares['extract']:,.0f} packets/s. The process held "
            f"at most {result.rss_mib.peak:,.0f} MiB."
        )
    return sentences


def _paced_sentence(result: Result, paced: Paced) -> str:
    middle, tail = result.latency_ms["p50"], result.latency_ms["p99"]
    within = "" if tail is None else f"; 99 % come within {tail:,.0f} ms"
    return (
        f"At {paced.rate_per_s:,.0f} packets/s, verdicts of {result.model.name} come "
        f"{number(middle, 0)} ms after a flow is old enough{within} (median of "
        f"{paced.verdicts:,}; a flow waits up to {MAX_WAIT_MS:g} ms to be judged with others)."
    )


def _sustained_sentences(results: Sequence[Result]) -> list[str]:
    sentences = []
    for result in of_scenario(results, "sustained"):
        if result.sustained is None:
            continue
        rates = [sample.flows_per_s for sample in result.sustained.samples]
        end = statistics.median(rates[-max(len(rates) // 4, 1) :])
        sentences.append(
            f"After {result.run.duration_s / 60:g} minutes of full load, {result.model.name} "
            f"judges {end:,.0f} flows/s: {result.sustained.drift:+.0%} from the start."
        )
    return sentences


def _throttling_sentences(results: Sequence[Result]) -> list[str]:
    if not any(result.throttled and result.throttled["now"] for result in results):
        return []
    return [
        "The machine slowed itself down while it was measured: cool it, or change its power "
        "supply, and measure again."
    ]


def _doubt_sentences(results: Sequence[Result]) -> list[str]:
    doubted = [result for result in results if result.warnings]
    if not doubted:
        return ["All measurements are stable."]
    first = doubted[0]
    return [
        f"{len(doubted)} of {len(results)} measurements have a warning. The first, "
        f"{first.model.name} in {_how(first)}: {first.warnings[0]}."
    ]


def _alike(results: Sequence[Result]) -> list[list[Result]]:
    """Group results under the same conditions: single flows, and the largest batch."""
    offline = of_scenario(results, "offline")
    largest = max((result.run.batch for result in offline), default=0)
    return [
        of_scenario(results, "single-stream"),
        [result for result in offline if result.run.batch == largest],
    ]


def _fastest(results: Iterable[Result]) -> Result | None:
    return max(results, key=speed, default=None)


def _how(result: Result) -> str:
    if result.run.scenario == "offline":
        return f"offline, batch {result.run.batch}"
    return result.run.scenario
