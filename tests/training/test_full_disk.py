"""A disk that fills up while a run is written: one sentence, and what was there stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.files.small_disk import disk_of

from idskit.cli import main
from idskit.errors import IdskitError
from idskit.models.saved_run import PARTIAL, Run, load_run, replacing
from idskit.training import train as train_module
from idskit.training.settings import TrainingSettings

FLAGS = "--set width=8 --epochs 1 --set batch=64 --threads 1 --set novelty=none --set contrast=0"


def train(folder: Path, output: Path, *more: str) -> object:
    """Run the command; its exit status."""
    places = ["--data", str(folder), "-o", str(output)]
    with pytest.raises(SystemExit) as ended:
        main(["train", "nsl-kdd", *places, *FLAGS.split(), *more])
    return ended.value.code


@pytest.fixture(scope="module")
def before(nsl_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("full") / "run"
    assert train(nsl_folder, output) == 0
    return output


@pytest.mark.parametrize("limit", [50_000, 1_000])
def test_an_earlier_run_survives(
    before: Path, nsl_folder: Path, limit: int, capsys: pytest.CaptureFixture[str]
):
    content = {path.name: path.read_bytes() for path in before.iterdir()}
    with disk_of(limit):
        assert train(nsl_folder, before, "--seed", "7") == 1
    [line] = capsys.readouterr().err.strip().splitlines()
    assert "cannot be written: File too large; nothing was left there" in line
    assert {path.name: path.read_bytes() for path in before.iterdir()} == content
    assert load_run(before).facts["settings"]["seed"] == 0


def test_an_earlier_run_survives_a_disk_that_fills_up_at_the_end(
    before: Path, nsl_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def write_half(run: Run, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise IdskitError("the disk is full")

    content = {path.name: path.read_bytes() for path in before.iterdir()}
    monkeypatch.setattr(train_module, "save_run", write_half)
    settings = TrainingSettings(width=8, epochs=1, batch=64, threads=1, novelty="none", seed=7)
    with pytest.raises(IdskitError, match="the disk is full"):
        train_module.train(settings, data=nsl_folder, output=before)
    left = {path.name: path.read_bytes() for path in before.iterdir()}
    left.pop("checkpoint.safetensors")  # to go on from
    assert left == content


def test_what_was_planted_under_the_temporary_name_is_left_alone(tmp_path: Path):
    run, victim = tmp_path / "run", tmp_path / "victim"
    for folder in (run, victim):
        folder.mkdir()
    (victim / "precious").touch()
    (run / PARTIAL).symlink_to(victim)
    (run / f"{PARTIAL}killed").mkdir()
    with replacing(run) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "run.json").touch()
    assert [path.name for path in victim.iterdir()] == ["precious"]
    assert sorted(path.name for path in run.iterdir()) == [PARTIAL, "run.json"]


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("nowhere/page.html", "nowhere does not exist; choose another place"),
        (".", "it is a folder; name a file"),
    ],
)
def test_a_page_that_has_no_place_is_refused_before_training(
    nsl_folder: Path,
    tmp_path: Path,
    place: str,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
):
    output = tmp_path / "run"
    assert train(nsl_folder, output, "--html", str(tmp_path / place)) == 1
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not output.exists()
