"""Several seeds: one division, mean and spread, the median kept, finished runs resumed."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from idskit.errors import RunError
from idskit.models.saved_run import load_run
from idskit.training import seeds as seeds_module
from idskit.training.evaluation.evaluate import evaluate
from idskit.training.seeds import kept_seed, train_seeds
from idskit.training.settings import TrainingSettings
from idskit.training.views.training_tables import show_metrics

SETTINGS = TrainingSettings(dataset="nsl-kdd", width=8, epochs=1, batch=64, threads=1, seed=3)


@pytest.fixture(scope="module")
def three(
    nsl_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    output = tmp_path_factory.mktemp("seeds") / "run"
    return output, train_seeds(SETTINGS, 3, data=nsl_folder, output=output)


def test_the_median_loss_is_kept_and_of_two_the_lower():
    assert kept_seed({4: 0.3, 5: 0.1, 6: 0.2}, "median") == 6
    assert kept_seed({4: 0.3, 5: 0.1}, "median") == 5


def test_the_best_is_kept_where_it_is_asked_for(three: tuple[Path, dict[str, Any]], nsl_folder):
    assert kept_seed({4: 0.3, 5: 0.1, 6: 0.2}, "best") == 5
    output, before = three
    again = {"data": nsl_folder, "output": output, "resume": True}
    best = train_seeds(SETTINGS, 3, keep="best", **again)
    losses = {}
    for seed in (3, 4, 5):
        history = json.loads((output / f"seed-{seed}" / "metrics.json").read_text())["history"]
        losses[seed] = min(epoch["validation_loss"] for epoch in history)
    assert losses[best["seeds"]["kept"]] == min(losses.values())
    assert train_seeds(SETTINGS, 3, **again) == before


def test_what_to_keep_is_one_of_two(nsl_folder, tmp_path):
    with pytest.raises(RunError, match="keep 'last' was asked for, but the choices are median"):
        train_seeds(SETTINGS, 3, data=nsl_folder, output=tmp_path, keep="last")  # type: ignore[arg-type]


def test_spread_is_that_of_the_runs(three: tuple[Path, dict[str, Any]]):
    output, document = three
    values = [
        json.loads((output / f"seed-{seed}" / "metrics.json").read_text())["test"]["roc_auc"]
        for seed in (3, 4, 5)
    ]
    found = document["seeds"]["network"]["roc_auc"]
    assert found["values"] == values
    assert found["mean"] == pytest.approx(statistics.mean(values))
    assert found["std"] == pytest.approx(statistics.stdev(values))
    assert (found["min"], found["max"]) == (min(values), max(values))


def test_the_folder_is_the_run_of_the_kept_seed(three: tuple[Path, dict[str, Any]]):
    output, document = three
    kept = output / f"seed-{document['seeds']['kept']}"
    for name in ("run.json", "model.safetensors", "rows.safetensors", "roc.svg"):
        assert (output / name).read_bytes() == (kept / name).read_bytes()
    assert json.loads((output / "metrics.json").read_text()) == document


def test_every_seed_is_tested_on_the_rows_of_one_division(
    three: tuple[Path, dict[str, Any]], nsl_folder: Path
):
    output, _ = three
    held = [load_run(output / f"seed-{seed}").held.flows.shape for seed in (3, 4, 5)]
    settings = [load_run(output / f"seed-{seed}").facts["settings"] for seed in (3, 4, 5)]
    assert len(set(held)) == 1
    assert [s["split_seed"] for s in settings] == [3, 3, 3]
    assert [s["seed"] for s in settings] == [3, 4, 5]
    metrics = json.loads((output / "seed-5" / "metrics.json").read_text())
    assert evaluate(output / "seed-5", "nsl-kdd", data=nsl_folder)["test"] == metrics["test"]


def test_finished_seeds_are_not_trained_again(
    three: tuple[Path, dict[str, Any]], nsl_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    output, document = three
    monkeypatch.setattr(seeds_module, "train_on", lambda *_, **__: pytest.fail("trained again"))
    assert train_seeds(SETTINGS, 3, data=nsl_folder, output=output, resume=True) == document


def test_resuming_with_other_settings_is_refused(
    three: tuple[Path, dict[str, Any]], nsl_folder: Path
):
    other = replace(SETTINGS, contrast=0.25)
    with pytest.raises(RunError, match=r"contrast is 0\.25 and was 0\.0"):
        train_seeds(other, 3, data=nsl_folder, output=three[0], resume=True)


def test_the_spread_is_shown(three: tuple[Path, dict[str, Any]]):
    text = StringIO()
    show_metrics(three[1], Console(file=text, width=120))
    found = three[1]["seeds"]["network"]["roc_auc"]
    assert f"{found['mean']:.4f} ± {found['std']:.4f}".replace("0.", ".") in text.getvalue()


def test_no_seed_is_refused(nsl_folder: Path, tmp_path: Path):
    with pytest.raises(RunError, match="0 seeds were asked for"):
        train_seeds(SETTINGS, 0, data=nsl_folder, output=tmp_path)


def test_a_last_seed_out_of_range_is_refused_before_the_first_is_trained(
    nsl_folder: Path, tmp_path: Path
):
    last = replace(SETTINGS, seed=2**32 - 2)
    with pytest.raises(RunError, match="seed is 4294967296: choose 0 to 4,294,967,295"):
        train_seeds(last, 3, data=nsl_folder, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
