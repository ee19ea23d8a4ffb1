"""The same weights in torch and in onnxruntime."""

from pathlib import Path

import numpy as np
import pytest

from idskit.bench import run_bench as run
from idskit.bench.backends import open_candidate
from idskit.bench.measure import Plan
from idskit.bench.run_bench import bench
from idskit.errors import DeviceError, IdskitError, MissingExtra
from idskit.schema import Feature, Schema

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The folder of a run whose network was never trained: enough to be measured."""
    from idskit.models.network import Network, NetworkSettings
    from idskit.models.preparation import fit_preparation
    from idskit.models.saved_run import LabelledRows, Run, save_run

    schema = Schema(name="forty", features=tuple(Feature(name=f"f{i}", unit="") for i in range(40)))
    flows = np.random.default_rng(0).normal(size=(64, 40)).astype(np.float32)

    def rows() -> LabelledRows:
        return LabelledRows(flows=flows.copy(), labels=np.arange(64) % 2)

    network = Network(fit_preparation(flows, schema), 2, NetworkSettings(width=8))
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    save_run(
        Run(
            network=network.eval(),
            schema=schema,
            classes=("benign", "attack"),
            threshold=0.5,
            facts={},
            calibration=rows(),
            held=rows(),
        ),
        folder,
    )
    return folder


def test_a_run_is_measured_in_eager_torch(trained, monkeypatch) -> None:
    monkeypatch.setattr(run, "QUICK", Plan(rounds=2, round_s=0.0, warmup_s=0.0))
    (result,) = bench([trained], scenario=["single-stream"], threads=[1], quick=True).results
    assert (result.model.name, result.model.opset) == ("tiny", None)
    assert (result.execution.backend, result.execution.provider_used) == ("torch eager", "cpu")


def test_its_answers_are_the_networks(trained) -> None:
    from idskit.models.saved_run import load_run

    candidate = open_candidate(trained, threads=1)
    with torch.inference_mode():
        expected = load_run(trained).network(torch.from_numpy(candidate.sample)).numpy()
    np.testing.assert_array_equal(candidate.infer(candidate.sample), expected)


def test_half_precision_gives_nearly_the_same_answers(trained) -> None:
    """On the CPU, where torch.autocast works in the same way as on a GPU."""
    full, half = (open_candidate(trained, threads=1, half=h) for h in (False, True))
    assert (half.model.precision, half.execution.backend) == ("fp16", "torch eager")
    rows = full.sample[:8]
    answers, others = full.infer(rows), half.infer(rows)
    assert others.dtype == np.float32
    np.testing.assert_allclose(others, answers, atol=0.01)
    assert (others != answers).any()


def test_compiled_torch_is_measured_beside_eager(trained, monkeypatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setattr(run, "QUICK", Plan(rounds=2, round_s=0.0, warmup_s=0.0))
    report = bench([trained], scenario=["single-stream"], threads=[1], compiled=True, quick=True)
    assert [r.execution.backend for r in report.results] == ["torch eager", "torch compiled"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"half": True}, "half precision is for GPUs, add --device cuda"),
        ({"cuda_graph": True}, "without an ONNX file"),
        ({"threads": [1, 2]}, "torch has one count a process"),
    ],
)
def test_ways_to_run_a_run_that_cannot_be_measured(trained, arguments, said) -> None:
    with pytest.raises(IdskitError, match=said):
        bench([trained], scenario=["offline"], quick=True, **arguments)


def test_a_gpu_that_torch_does_not_see_is_an_error(trained, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="sees no GPU"):
        open_candidate(trained, device="cuda")


def test_without_torch_the_extra_is_named(trained, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'idskit\[train\]'"):
        open_candidate(trained)


def test_compiled_torch_runs_one_program_for_all_batch_sizes(trained, monkeypatch) -> None:
    asked, sizes = [], []

    def compile_(function, **options):  # the real one takes a minute
        asked.append(options)

        def program(signal):
            sizes.append(len(signal))
            return function(signal)

        return program

    monkeypatch.setattr(torch, "compile", compile_)
    eager, compiled = (open_candidate(trained, threads=1, compiled=c) for c in (False, True))
    rows = eager.sample[:7]
    np.testing.assert_allclose(compiled.infer(rows), eager.infer(rows), atol=1e-6)
    assert asked == [{"dynamic": True, "fullgraph": True}]
    assert sizes == [1, 2, 7]
    assert compiled.execution.backend == "torch compiled"


def test_a_compiler_that_is_missing_is_an_error(trained, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("No working C++ compiler found\nin the path")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fail)
    with pytest.raises(DeviceError, match=r"No working C\+\+ compiler found\).*apt install g\+\+"):
        open_candidate(trained, compiled=True)


def test_torch_has_no_tensorrt(trained) -> None:
    with pytest.raises(DeviceError, match="export the run"):
        open_candidate(trained, device="tensorrt")


def test_onnx_files_are_not_for_torch_compile(make_model) -> None:
    with pytest.raises(IdskitError, match="name the folder of the run"):
        open_candidate(make_model(), compiled=True)
