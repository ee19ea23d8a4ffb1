"""Real processes: two that train together by gloo, one that is killed and taken up again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from idskit.cli import main
from idskit.data.dataset import Dataset
from idskit.errors import RunError
from idskit.models.saved_run import load_run
from idskit.training import distributed
from idskit.training.evaluation import compare_models as compare_module
from idskit.training.fit import fit
from idskit.training.settings import TrainingSettings

SMALL = [
    "--set",
    "width=8",
    "--set",
    "batch=64",
    "--threads",
    "1",
    "--set",
    "novelty=none",
    "--set",
    "contrast=0",
]
IDSKIT = ["-m", "idskit"]
TOGETHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


# The command, which stands still behind its first checkpoint until a signal comes.
WAITING = """
import sys, time
from idskit.training.members import network_member

save = network_member.save_checkpoint

def save_and_wait(*given):
    save(*given)
    time.sleep(1000)

network_member.save_checkpoint = save_and_wait
from idskit.cli import main
main(sys.argv[1:])
"""


def command(folder: Path, output: Path, *flags: str) -> list[str]:
    return ["train", "nsl-kdd", "--data", str(folder), "-o", str(output), *flags]


def trained(*arguments: str) -> None:
    """Run the command in this process."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 0


def done(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def together(nsl_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("together") / "run"
    found = done([*TOGETHER, *IDSKIT, *command(nsl_folder, output, *SMALL, "--epochs", "3")])
    assert found.returncode == 0, found.stderr
    assert found.stderr.count("run written to") == 1  # one of the two says so
    return output


def test_two_processes_write_one_run_that_has_learned(together: Path):
    document = json.loads((together / "metrics.json").read_text())
    assert document["training"]["processes"] == 2
    assert document["test"]["roc_auc"] > 0.9
    assert load_run(together).threshold == document["test"]["threshold"]


def test_two_processes_learn_nearly_what_one_does(together: Path, nsl_folder: Path, tmp_path: Path):
    """Batch norms see half batches and nothing else differs: losses stay close."""
    trained(*command(nsl_folder, tmp_path, *SMALL, "--epochs", "3"))
    one, two = (losses_of(folder) for folder in (tmp_path, together))
    assert two == pytest.approx(one, rel=0.3)
    assert two != one


def test_two_processes_that_are_stopped_resume_to_the_same_bits(
    together: Path, nsl_folder: Path, tmp_path: Path
):
    script, output = tmp_path / "waiting.py", tmp_path / "run"
    script.write_text(WAITING)
    arguments = command(nsl_folder, output, *SMALL, "--epochs", "3")
    stop_at_checkpoint([*TOGETHER, str(script), *arguments], output, signal.SIGTERM)
    assert not (output / "run.json").exists()
    found = done([*TOGETHER, *IDSKIT, *arguments, "--resume"])
    assert found.returncode == 0, found.stderr
    for name in ("model.safetensors", "run.json"):
        assert (output / name).read_bytes() == (together / name).read_bytes()


def stop_at_checkpoint(arguments: list[str], folder: Path, kind: signal.Signals) -> int:
    """Send a signal to a process that waits behind its first checkpoint; the exit status."""
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as process:
        while not (folder / "checkpoint.safetensors").is_file():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(kind)
        return process.wait()


def losses_of(folder: Path) -> list[float]:
    history = json.loads((folder / "metrics.json").read_text())["history"]
    return [epoch["train_loss"] for epoch in history]


GRADIENTS = """
import sys, torch
from torch import nn
from idskit.training import distributed

def step():  # what it makes is gone before the processes part, as in training
    torch.manual_seed(0)
    model = distributed.parallel(nn.Linear(4, 1))
    batch = torch.arange(10)
    rows = torch.randn(10, 4)
    mine = distributed.share(batch)
    loss = model(rows[mine]).square().mean() * len(mine) * distributed.processes() / len(batch)
    loss.backward()
    if distributed.rank() == 0:
        print([float(x) for x in next(model.parameters()).grad.flatten()])
    value = torch.tensor([float(distributed.rank() + 1)])
    distributed.average([value])
    assert value == 1.5, value
    assert distributed.agreed(torch.tensor([float(distributed.rank())])) == 0

with distributed.joined(torch.device("cpu")):
    step()
"""


def test_a_step_of_two_processes_is_that_of_the_whole_batch(tmp_path: Path):
    script = tmp_path / "gradients.py"
    script.write_text(GRADIENTS)
    found = done([*TOGETHER, str(script)])
    assert found.returncode == 0, found.stderr
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    model(torch.randn(10, 4)).square().mean().backward()
    expected = model.weight.grad.flatten().tolist()
    assert json.loads(found.stdout) == pytest.approx(expected, abs=1e-6)


SIX = [*SMALL, "--epochs", "6"]


@pytest.fixture(scope="module")
def whole(nsl_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "run"
    trained(*command(nsl_folder, output, *SIX))
    return output


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_resumes_to_the_same_bits(
    whole: Path, nsl_folder: Path, tmp_path: Path, kind: signal.Signals
):
    killed = tmp_path / "killed"
    arguments = command(nsl_folder, killed, *SIX)
    assert stop_at_checkpoint([sys.executable, "-c", WAITING, *arguments], killed, kind) == -kind
    assert not (killed / "run.json").exists()
    trained(*arguments, "--resume")
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, killed))
    assert first.keys() == second.keys()
    assert all(first[name].equal(second[name]) for name in first)
    assert (whole / "run.json").read_bytes() == (killed / "run.json").read_bytes()
    assert {path.name for path in killed.iterdir()} == {path.name for path in whole.iterdir()}


def test_a_comparison_in_several_processes_is_refused(
    nsl_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match="asked for in 2 processes, but models are compared in one"):
        compare_module.compare(TrainingSettings(), ("kernel",), data=nsl_folder, output=tmp_path)


def test_processes_that_do_not_find_each_other_are_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with (
        pytest.raises(RunError, match="2 processes were to train together"),
        distributed.joined(torch.device("cpu")),
    ):
        pass


def test_another_number_of_processes_does_not_resume(
    toy: Dataset, tiny: TrainingSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = replace(tiny, epochs=1)
    fit(toy, settings, folder=tmp_path)
    monkeypatch.setattr(distributed, "processes", lambda: 2)
    monkeypatch.setattr(distributed, "parallel", _itself)
    with pytest.raises(RunError, match="processes is 2 and was 1"):
        fit(toy, settings, folder=tmp_path, resume=True)


def _itself(module: Any) -> Any:
    return module
