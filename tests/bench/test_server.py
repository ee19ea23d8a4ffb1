"""The server scenario: arrivals, the queue, and the search, against what theory says of each."""

from __future__ import annotations

import time

import numpy as np
import pytest

from idskit.bench.measure import Plan
from idskit.bench.scenarios import server_load as module
from idskit.bench.scenarios.inference import Settings
from idskit.bench.scenarios.server_load import (
    DESCENT,
    LOWEST_RATE,
    highest_rate,
    poisson_arrivals,
    serve,
    server,
)
from idskit.bench.subject import open_subject

ROWS = np.zeros((8, 1), np.float32)
PATIENT = 1e12


@pytest.mark.parametrize("capacity", [370.0, 1000.0, 1234.0])
@pytest.mark.parametrize("start", [20.0, 1000.0, 5000.0])
def test_the_search_finds_the_capacity(capacity, start) -> None:
    found = highest_rate(lambda rate: rate <= capacity, start)
    assert capacity / 1.05 <= found <= capacity


def test_the_search_ends_where_nothing_holds() -> None:
    tried = []
    assert highest_rate(tried.append, 10_000.0) == 0
    assert min(tried) == 10_000 / DESCENT
    assert highest_rate(tried.append, 1.0) == 0
    assert min(tried) == LOWEST_RATE  # slower arrivals are too few for a p99


def test_gaps_between_arrivals_are_exponential() -> None:
    stats = pytest.importorskip("scipy.stats")
    arrivals = poisson_arrivals(2000.0, 5.0, seed=1)
    gaps_s = np.diff(arrivals, prepend=0) / 1e9
    assert len(arrivals) == 10_000
    assert stats.kstest(gaps_s, "expon", args=(0, 1 / 2000)).pvalue > 0.01


def test_arrivals_are_the_same_for_a_seed() -> None:
    first, second, other = (poisson_arrivals(100.0, 1.0, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_flows_that_wait_are_judged_together() -> None:
    sizes = []
    serve(lambda rows: sizes.append(len(rows)), ROWS, np.zeros(10, np.int64), 4, PATIENT)
    assert sizes == [4, 4, 2]


def test_no_flow_is_judged_before_it_arrives() -> None:
    arrivals = np.array([0, 3_000_000, 6_000_000])
    start, moments = time.perf_counter_ns(), []

    def judge(rows: np.ndarray) -> None:
        moments.extend([time.perf_counter_ns() - start] * len(rows))

    serve(judge, ROWS, arrivals, 4, PATIENT)
    assert (np.array(moments) >= arrivals).all()


def test_waiting_in_the_queue_counts() -> None:
    waits = serve(lambda _: time.sleep(0.002), ROWS, np.zeros(3, np.int64), 1, PATIENT)
    assert waits.served
    assert (waits.ns >= np.array([2, 4, 6]) * 1_000_000).all()


def test_a_queue_that_only_grows_is_given_up() -> None:
    arrivals = np.arange(1000) * 100_000
    waits = serve(lambda _: time.sleep(0.002), ROWS, arrivals, 1, patience_ns=10_000_000)
    assert not waits.served
    assert len(waits.ns) < 1000
    assert waits.ns.max() > 10_000_000


@pytest.fixture
def settings() -> Settings:
    plan = Plan(rounds=1, round_s=0.0, warmup_s=0.0, probe_s=0.02, probe_bounds=2, searches=2)
    return Settings(plan=plan, batches=(1,), rss_start_mib=None, server_batch=16)


def test_the_result_holds_every_search_and_the_curve(make_model, settings) -> None:
    (result,) = server([open_subject(make_model())], settings)
    assert result.run.scenario == "server"
    assert len(result.flows_per_s.values) == 2
    held = {probe.rate_per_s for probe in result.server.probes if probe.met}
    assert set(result.flows_per_s.values) - {0.0} <= held
    rates = [probe.rate_per_s for probe in result.server.probes]
    assert rates == sorted(rates)


def test_a_bound_that_nothing_holds_is_said(make_model, settings, monkeypatch) -> None:
    monkeypatch.setattr(module, "BOUND_MS", 1e-6)
    (result,) = server([open_subject(make_model())], settings)
    assert result.flows_per_s.max == 0
    assert "no steady state: no rate keeps p99 within 1e-06 ms" in result.warnings[0]
