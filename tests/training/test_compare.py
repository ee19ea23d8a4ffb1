"""Several models on the same rows: one table, one plot, and what is kept between runs."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.numpy import load_file

from idskit.cli import main
from idskit.data.dataset import Dataset
from idskit.data.published import nsl_kdd
from idskit.errors import DataError, RunError
from idskit.models.network import count_parameters
from idskit.models.saved_run import load_run
from idskit.training import train as train_module
from idskit.training.evaluation import compare_models as compare_module
from idskit.training.evaluation.compare_models import (
    ALL,
    BATCH,
    compare,
    flows_per_second,
    models_named,
)
from idskit.training.evaluation.comparison import COLUMNS, Comparison
from idskit.training.evaluation.comparison_forest import (
    TREE_ARRAYS,
    TREE_MODELS,
    TreeModel,
    fit_trees,
)
from idskit.training.members.network_member import NetworkMember
from idskit.training.settings import TrainingSettings

TINY = TrainingSettings(width=8, epochs=1, batch=64, threads=1)
NAMES = ("gru", "kernel", "lightgbm", "random-forest")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compared")


@pytest.fixture(scope="module")
def comparison(nsl_folder: Path, output: Path) -> Comparison:
    return compare(TINY, NAMES, data=nsl_folder, output=output)


def metrics_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def vote(arrays: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Walk every row down every saved tree and average the leaves."""
    starts = [0, *arrays["nodes"][:-1]]
    total = np.zeros((len(rows), arrays["value"].shape[-1]))
    for start in starts:
        for index, row in enumerate(rows):
            node = 0
            while arrays["children_left"][start + node] >= 0:
                at = start + node
                left = row[arrays["feature"][at]] <= arrays["threshold"][at]
                node = arrays["children_left" if left else "children_right"][at]
            leaf = arrays["value"][start + node, 0]
            total[index] += leaf / leaf.sum()
    return total / len(starts)


def test_every_model_asked_for_is_in_the_table_in_that_order(comparison: Comparison):
    assert tuple(member.name for member in comparison.members) == NAMES
    assert comparison.failed == {}


def test_measures_are_those_of_each_run(comparison: Comparison, output: Path):
    for member in comparison.members:
        test = metrics_of(output / member.name)["test"]
        assert member.macro_f1 == test["macro_f1"]
        assert member.roc_auc == test["roc_auc"]
        assert member.tpr_at_fpr == test["tpr_at_fpr"]
        assert member.flows_per_second > 0


def test_a_network_has_a_run_folder_and_its_size(comparison: Comparison, output: Path):
    member, run = comparison.members[0], load_run(output / "gru")
    assert member.parameters == count_parameters(run.network)
    assert member.bytes == (output / "gru" / "model.safetensors").stat().st_size
    assert member.frontend == "stft"


def test_outputs_are_written_and_agree(comparison: Comparison, output: Path):
    document = json.loads((output / "comparison.json").read_text())
    assert document == json.loads(json.dumps(comparison.to_json()))
    text = (output / "comparison.md").read_text()
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(NAMES)
    assert {line.count("|") for line in table} == {len(COLUMNS) + 1}
    assert (output / "comparison.svg").read_text().startswith("<svg")


def test_no_path_of_the_machine_is_written(comparison: Comparison, output: Path):
    assert str(output) not in (output / "comparison.json").read_text()
    for name in NAMES:
        assert str(output) not in (output / name / "member.json").read_text()


def test_saved_forest_votes_as_the_fitted_one(
    comparison: Comparison, output: Path, nsl_folder: Path
):
    arrays = load_file(output / "random-forest" / "random-forest.safetensors")
    dataset = nsl_kdd.load(nsl_folder, protocol="official", labels="binary", seed=0)
    forest = fit_trees("random-forest", dataset, seed=0, threads=1)
    rows = dataset.test.rows[::20]
    assert np.allclose(vote(arrays, rows), forest.predict(rows), atol=1e-5)
    assert forest.nodes == len(arrays["feature"]) == arrays["nodes"][-1]
    assert {name for name in arrays if name != "nodes"} == set(TREE_ARRAYS)


@pytest.mark.parametrize("name", TREE_MODELS)
def test_trees_learn_what_can_be_learned(toy: Dataset, name: TreeModel):
    ensemble = fit_trees(name, toy, seed=0, threads=1)
    assert (ensemble.predict(toy.test.rows).argmax(axis=1) == toy.test.labels).mean() > 0.9


def test_nodes_of_boosted_trees_are_splits_and_leaves(toy: Dataset):
    ensemble = fit_trees("lightgbm", toy, seed=0, threads=1)
    text = ensemble.content.decode()
    leaves = [int(line.split("=")[1]) for line in text.splitlines() if "num_leaves=" in line]
    assert ensemble.nodes == sum(2 * count - 1 for count in leaves)


def test_a_model_that_fails_is_named_and_the_others_go_on(
    nsl_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no room for trees")

    monkeypatch.setattr(compare_module, "fit_trees", fail)
    found = compare(TINY, ("lightgbm", "kernel"), data=nsl_folder, output=tmp_path)
    assert [member.name for member in found.members] == ["kernel"]
    assert found.failed == {"lightgbm": "MemoryError: no room for trees"}
    assert "- lightgbm failed: MemoryError" in (tmp_path / "comparison.md").read_text()


def test_nothing_but_failures_is_an_error(
    nsl_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise DataError("no trees today")

    monkeypatch.setattr(compare_module, "fit_trees", fail)
    with pytest.raises(RunError, match=r"none of the models .*lightgbm: no trees today"):
        compare(TINY, ("lightgbm",), data=nsl_folder, output=tmp_path)


def test_resuming_trains_only_what_is_not_finished(
    comparison: Comparison, nsl_folder: Path, output: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(compare_module, "train_on", pytest.fail)
    monkeypatch.setattr(compare_module, "fit_trees", pytest.fail)
    again = compare(TINY, NAMES, data=nsl_folder, output=output, resume=True)
    assert again == comparison


def test_a_killed_network_goes_on_from_its_checkpoint(
    comparison: Comparison,
    nsl_folder: Path,
    output: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "_predictions", interrupt)
        with pytest.raises(KeyboardInterrupt):
            compare(TINY, ("gru",), data=nsl_folder, output=tmp_path)
    assert {path.name for path in (tmp_path / "gru").iterdir()} == {"checkpoint.safetensors"}
    monkeypatch.setattr(NetworkMember, "run", pytest.fail)  # its only epoch is done
    compare(TINY, ("gru",), data=nsl_folder, output=tmp_path, resume=True)
    same = [folder / "gru" / "model.safetensors" for folder in (tmp_path, output)]
    assert same[0].read_bytes() == same[1].read_bytes()


def test_resuming_with_other_settings_names_those_that_differ(
    comparison: Comparison, nsl_folder: Path, output: Path
):
    with pytest.raises(RunError, match=r"seed is 3 and was 0"):
        compare(replace(TINY, seed=3), NAMES, data=nsl_folder, output=output, resume=True)


def test_a_damaged_member_is_refused_when_resuming(nsl_folder: Path, tmp_path: Path):
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel" / "member.json").write_text('{"identity": ')
    with pytest.raises(RunError, match=r"member\.json is damaged"):
        compare(TINY, ("kernel",), data=nsl_folder, output=tmp_path, resume=True)


def test_flows_per_second_is_that_of_the_median_call(monkeypatch: pytest.MonkeyPatch):
    durations = iter([9.0, 9.0, 9.0, *[0.5] * 29, 7.0])
    monkeypatch.setattr(compare_module, "_seconds", lambda call: (call(), next(durations))[1])
    shapes: set[tuple[int, ...]] = set()

    def predict(rows: np.ndarray) -> np.ndarray:
        shapes.add(rows.shape)
        return rows

    assert flows_per_second(predict, np.zeros((10, 4), np.float32)) == BATCH / 0.5
    assert shapes == {(BATCH, 4)}


def test_the_control_shuffles_and_the_network_itself_does_not(nsl_folder: Path, tmp_path: Path):
    compare(TINY, ("resnet18", "resnet18-shuffled"), data=nsl_folder, output=tmp_path)
    plain, control = (load_run(tmp_path / name) for name in ("resnet18", "resnet18-shuffled"))
    rows = plain.held.flows
    before, after = (run.network.preparation(torch.from_numpy(rows)) for run in (plain, control))
    assert not before.equal(after)
    assert before.sort(dim=1).values.equal(after.sort(dim=1).values)


def test_names_between_commas_and_all():
    assert models_named("all") == ALL
    assert models_named("gru, lightgbm,gru") == ("gru", "lightgbm")


def test_an_unknown_model_is_refused_with_the_choices():
    with pytest.raises(RunError, match="model 'vgg' was asked for, but the choices are all, resn"):
        models_named("gru,vgg")


def test_the_command_line_compares(
    nsl_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    flags = "--model kernel,random-forest --epochs 1 --threads 1"
    flags += " --set width=8 --set shuffle_columns=true"
    places = ["--data", str(nsl_folder), "-o", str(tmp_path), "--json", "-"]
    with pytest.raises(SystemExit) as done:
        main(["train", "nsl-kdd", *places, *flags.split()])
    assert done.value.code == 0
    document = json.loads(capsys.readouterr().out)
    assert [member["name"] for member in document["members"]] == ["kernel", "random-forest"]
    assert load_run(tmp_path / "kernel").facts["settings"]["shuffle_columns"] is True


def test_the_table_fits_eighty_characters(comparison: Comparison):
    console = Console(width=80, record=True, file=io.StringIO())
    wide = replace(comparison.members[0], flows_per_second=1_234_567, bytes=123_456_789)
    replace(comparison, members=(wide, *comparison.members[1:])).show(console)
    shown = console.export_text()
    assert "…" not in shown
    for text in ("random-forest", "123.46", "1,234,567"):
        assert text in shown
