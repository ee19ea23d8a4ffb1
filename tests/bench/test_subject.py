"""The same weights in torch and in onnxruntime."""

from pathlib import Path

import numpy as np
import pytest

from idskit.bench import run_bench as run
from idskit.bench.bench_options import BenchOptions
from idskit.bench.measure import Plan
from idskit.bench.run_bench import bench
from idskit.bench.subject import open_subject
from idskit.detect.session import PROVIDERS
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
    (result,) = bench(
        BenchOptions(scenario=("single-stream",), threads=(1,), quick=True), [trained]
    ).results
    assert (result.model.name, result.model.opset) == ("tiny", None)
    assert (result.execution.backend, result.execution.provider_used) == ("torch eager", "cpu")


def test_its_answers_are_the_networks(trained) -> None:
    from idskit.models.saved_run import load_run

    subject = open_subject(trained, threads=1)
    with torch.inference_mode():
        expected = load_run(trained).network(torch.from_numpy(subject.sample)).numpy()
    np.testing.assert_array_equal(subject.infer(subject.sample), expected)


def test_a_run_is_measured_with_one_thread_count(trained) -> None:
    with pytest.raises(IdskitError, match="torch has one count per process"):
        bench(BenchOptions(scenario=("offline",), threads=(1, 2), quick=True), [trained])


def test_a_gpu_that_torch_does_not_see_is_an_error(trained, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="sees no GPU"):
        open_subject(trained, device="cuda")


def test_without_torch_the_extra_is_named(trained, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'idskit\[train\]'"):
        open_subject(trained)


def test_torch_has_no_tensorrt(trained) -> None:
    with pytest.raises(DeviceError, match="export the run"):
        open_subject(trained, device="tensorrt")


def test_cuda_is_a_plain_device(make_model, monkeypatch) -> None:
    """With the CPU in CUDA's place: nodes that a provider left to the CPU would be counted."""
    monkeypatch.setitem(PROVIDERS, "cuda", "CPUExecutionProvider")
    subject = open_subject(make_model(), device="cuda", threads=1)
    assert (subject.execution.provider_asked, subject.execution.backend) == ("cuda", "onnxruntime")
    assert subject.infer(subject.sample[:2]).shape == (2, 3)
