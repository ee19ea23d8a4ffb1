"""What the numbers of a benchmark say, in sentences."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from idskit.bench.backends import ModelFacts
from idskit.bench.candidates import (
    by_candidate,
    microseconds,
    number,
    of_scenario,
    speed,
    threads_in_words,
)
from idskit.bench.result import Paced, Result
from idskit.detect.detect_flows import MAX_WAIT_MS


def verdict(results: Sequence[Result]) -> tuple[str, ...]:
    """What the numbers say, in sentences."""
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
    for (model, execution), mine in by_candidate(results).items():
        parts = []
        offline = of_scenario(mine, "offline")
        if offline:
            best = max(offline, key=lambda result: result.flows_per_s.median)
            parts.append(
                f"{best.flows_per_s.median:,.0f} flows a second in batches of {best.run.batch}"
            )
        for result in of_scenario(mine, "single-stream"):
            middle, tail = result.latency_ms["p50"], result.latency_ms["p99"]
            parts.append(f"one flow in {microseconds(middle)} µs")
            if tail is not None:
                parts.append(f"99 of 100 within {microseconds(tail)} µs")
        if parts:
            threads = threads_in_words(execution.threads)
            who = f"{model.name} ({model.precision}, {execution.backend}, {threads})"
            sentences.append(f"{who}: {', '.join(parts)}.")
    return sentences


def _precision_sentences(results: Sequence[Result]) -> list[str]:
    """Whether fewer bits pay, where two precisions were measured alike in one backend."""
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
    says = "pays" if ratio > 1.05 else "costs more than it gains" if ratio < 0.95 else "is even"
    backend = small.execution.backend
    where = "here" if backend == "onnxruntime" else f"in {backend}"
    return (
        f"{small.model.precision} {says} {where}: {ratio:.2f} times the speed of fp32 "
        f"({_how(small)})."
    )


def _those(results: Sequence[Result], backend: str, precision: str) -> list[Result]:
    return [
        result
        for result in results
        if (result.execution.backend, result.model.precision) == (backend, precision)
    ]


def _thread_sentences(results: Sequence[Result]) -> list[str]:
    """What more threads bring, where a model was measured with several counts."""
    sentences = []
    for alike in _alike(results):
        groups: dict[tuple[ModelFacts, str], dict[int, Result]] = {}
        for result in alike:
            counts = groups.setdefault((result.model, result.execution.backend), {})
            counts[result.execution.threads] = result
        sentences += [
            f"{most} threads are {speed(counts[most]) / speed(counts[least]):.2f} times as fast as "
            f"{least} for {model.name} ({_how(counts[most])})."
            for (model, _), counts in groups.items()
            if (most := max(counts)) > (least := min(counts))
        ]
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
            f"{onnx.model.name} in onnxruntime runs at {speed(onnx) / speed(torch):.1f} times "
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
            f"{result.packets_per_s.median / shares['extract']:,.0f} packets a second; at most "
            f"{result.rss_mib.peak:,.0f} MiB of memory."
        )
    return sentences


def _paced_sentence(result: Result, paced: Paced) -> str:
    middle, tail = result.latency_ms["p50"], result.latency_ms["p99"]
    within = "" if tail is None else f", 99 of 100 within {tail:,.0f} ms"
    return (
        f"At {paced.rate_per_s:,.0f} packets a second, {result.model.name} gives its verdict "
        f"{number(middle, 0)} ms after a flow is old enough{within} (median of "
        f"{paced.verdicts:,} verdicts; flows wait up to {MAX_WAIT_MS:g} ms for others)."
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


def _doubt_sentences(results: Sequence[Result]) -> list[str]:
    doubted = [result for result in results if result.warnings]
    if not doubted:
        return ["All measurements are stable."]
    first = doubted[0]
    return [
        f"{len(doubted)} of {len(results)} measurements have warnings, first "
        f"{first.model.name}, {_how(first)}: {first.warnings[0]}."
    ]


def _alike(results: Sequence[Result]) -> list[list[Result]]:
    """Results under the same conditions: one flow at a time, and the largest batch."""
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
