"""The steps of a GPU's inference, on the CPU: onnxruntime binds buffers there in the same way."""

from __future__ import annotations

import json
from functools import partial
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import onnxruntime
import pytest

from idskit.bench import backends, gpu
from idskit.bench import run_bench as run
from idskit.bench.backends import open_candidate
from idskit.bench.gpu import (
    Bound,
    Replayed,
    Steps,
    describe_placement,
    measure_steps,
    open_graph_session,
    placement,
)
from idskit.bench.measure import Plan
from idskit.bench.result import Report
from idskit.bench.run_bench import bench
from idskit.detect.session import PROVIDERS, open_session
from idskit.errors import DeviceError
from idskit.modelfile.model_file import INPUT, OUTPUT

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


@pytest.fixture
def session(make_model):
    path = make_model()
    return open_session(path.read_bytes(), path, threads=1)


def rows(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(5, 3)).astype(np.float32)


def test_bound_buffers_give_the_sessions_answers(session) -> None:
    bound = Bound(session, rows(0), 3, memory="cpu")
    for seed in (1, 2):
        bound.put(rows(seed))
        bound.enqueue()
        bound.wait()
        expected = session.run([OUTPUT], {INPUT: rows(seed)})[0]
        np.testing.assert_array_equal(bound.get(), expected)


def test_replayed_inference_keeps_buffers_for_each_number_of_rows(session) -> None:
    replayed = Replayed(session, 3, memory="cpu")
    for seed, count in ((1, 5), (2, 2), (3, 5)):
        some = rows(seed)[:count]
        expected = session.run([OUTPUT], {INPUT: some})[0]
        np.testing.assert_array_equal(replayed(some), expected)
    assert replayed.bound(rows(0)) is replayed.bound(rows(4))
    assert replayed.bound(rows(0)) is not replayed.bound(rows(0)[:2])


def test_every_number_of_rows_has_a_graph_of_its_own(session, monkeypatch) -> None:
    entries = []

    class Options:
        def add_run_config_entry(self, key: str, value: str) -> None:
            entries.append((key, value))

    monkeypatch.setattr(onnxruntime, "RunOptions", Options)
    replayed = Replayed(session, 3, memory="cpu")
    replayed.bound(rows(0)), replayed.bound(rows(0)[:2])
    assert [value for key, value in entries if key == "gpu_graph_id"] == ["5", "2"]


def test_a_graph_session_is_opened_on_cuda_with_graphs_enabled(monkeypatch) -> None:
    asked = []
    loaded = SimpleNamespace(get_providers=lambda: [CUDA])

    def open_(_content: bytes, _options: object, providers: object) -> object:
        asked.append(providers)
        return loaded

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA])
    monkeypatch.setattr(onnxruntime, "InferenceSession", open_)
    assert open_graph_session(b"") is loaded
    assert asked == [[(CUDA, {"enable_cuda_graph": "1"})]]


def test_a_candidate_with_a_cuda_graph_goes_through_bound_buffers(
    make_model, session, monkeypatch
) -> None:
    """The whole way of --device cuda --cuda-graph, with the CPU in CUDA's place."""
    detector = backends.Detector.from_file
    monkeypatch.setattr(
        backends.Detector, "from_file", lambda *a, **k: detector(*a, **(k | {"device": "cpu"}))
    )
    monkeypatch.setattr(backends, "open_graph_session", lambda *_, **__: session)
    on_cpu = partial(Replayed, memory="cpu")
    monkeypatch.setattr(backends, "Replayed", on_cpu)
    candidate = open_candidate(make_model(), device="cuda", threads=1, cuda_graph=True)
    assert candidate.execution.backend == "onnxruntime, CUDA graph"
    expected = session.run([OUTPUT], {INPUT: rows(1)})[0]
    np.testing.assert_array_equal(candidate.infer(rows(1)), expected)
    assert candidate.steps(rows(1)).rows == 5


class Recorder:
    """Stands for a bound session; writes down what is called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def put(self, _rows: np.ndarray) -> None:
        self.calls.append("put")

    def enqueue(self) -> None:
        self.calls.append("enqueue")

    def wait(self) -> None:
        self.calls.append("wait")

    def get(self) -> None:
        self.calls.append("get")


def test_every_call_goes_through_all_steps_in_order() -> None:
    recorder = Recorder()
    steps = measure_steps(recorder, rows(0), repeats=2)
    assert recorder.calls == ["put", "enqueue", "wait", "get"] * (gpu.WARMUP + 2)
    assert steps.rows == 5
    assert min(steps.copy_in_ms, steps.enqueue_ms, steps.wait_ms, steps.copy_out_ms) >= 0


@pytest.mark.parametrize(("enqueue_ms", "limited"), [(0.95, True), (0.5, False)])
def test_a_gpu_that_waits_for_the_processor_is_said(enqueue_ms, limited) -> None:
    steps = Steps(
        rows=8, copy_in_ms=0.01, enqueue_ms=enqueue_ms, wait_ms=1 - enqueue_ms, copy_out_ms=0.02
    )
    sentences = steps.sentences()
    assert "0.010 ms copy in, 1.000 ms compute, 0.020 ms copy out" in sentences[0]
    assert [s.startswith("host-bound") for s in sentences[1:]] == ([True] if limited else [])


def test_on_the_cpu_all_nodes_run_there(make_model) -> None:
    nodes = placement(make_model().read_bytes(), CPU, rows(0))
    assert set(nodes) == {CPU}
    assert nodes[CPU] >= 2  # a product and a softmax


def test_nodes_that_were_left_to_the_cpu_are_counted() -> None:
    assert describe_placement({CUDA: 3}) == CUDA
    assert describe_placement({CUDA: 3, CPU: 1}) == f"{CUDA} (3 of 4 nodes), {CPU} (1 of 4 nodes)"


def test_a_cuda_graph_without_cuda_says_what_to_install() -> None:
    with pytest.raises(DeviceError, match="pip install onnxruntime-gpu"):
        open_graph_session(b"")


def test_a_cuda_graph_that_did_not_load_is_an_error(monkeypatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA])
    fallen_back = SimpleNamespace(get_providers=lambda: [CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: fallen_back)
    with pytest.raises(DeviceError, match="did not load: idskit doctor"):
        open_graph_session(b"")


def test_a_cuda_graph_that_the_model_does_not_allow_says_why(monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("not all nodes\nare partitioned to the CUDA EP")

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA])
    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with pytest.raises(DeviceError, match="not all nodes are partitioned"):
        open_graph_session(b"")


def test_a_candidate_on_the_cpu_has_no_steps_and_its_plain_provider(make_model) -> None:
    candidate = open_candidate(make_model(), threads=1)
    assert candidate.steps is None
    assert candidate.execution.provider_used == CPU


def test_a_whole_benchmark_on_a_gpu(make_model, tmp_path, monkeypatch) -> None:
    """With the CPU in CUDA's place: result file, its schema, and the table of steps."""
    monkeypatch.setitem(PROVIDERS, "cuda", CPU)
    monkeypatch.setattr(run, "QUICK", Plan(rounds=2, round_s=0.0, warmup_s=0.0))
    monkeypatch.setattr(backends, "Bound", lambda *a, memory: Bound(*a, memory="cpu"))
    monkeypatch.setattr(backends, "Replayed", partial(Replayed, memory="cpu"))
    plain = lambda content, threads: open_session(content, Path("x"), threads=threads)  # noqa: E731
    monkeypatch.setattr(backends, "open_graph_session", plain)
    report = bench(
        [make_model()],
        scenario=["single-stream", "offline"],
        device="cuda",
        cuda_graph=True,
        batch=8,
        quick=True,
        json=tmp_path / "gpu.json",
        markdown=tmp_path / "gpu.md",
    )
    measured = {(r.run.scenario, r.execution.backend, r.gpu_steps.rows) for r in report.results}
    assert measured == {
        (scenario, f"onnxruntime{graph}", rows)
        for scenario, rows in (("single-stream", 1), ("offline", 8))
        for graph in ("", ", CUDA graph")
    }
    assert Report.load(tmp_path / "gpu.json").results == report.results
    published = json.loads((files("idskit.bench") / "result.schema.json").read_text())
    jsonschema.validate(json.loads((tmp_path / "gpu.json").read_text()), published)
    assert (
        "| model | batch | copy in | compute | copy out | host |"
        in (tmp_path / "gpu.md").read_text()
    )
