"""A model trained on one data set, judged on another of the same schema."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from idskit.errors import DataError
from idskit.models.saved_run import load_run
from idskit.profiles import schema_named
from idskit.training.evaluation.evaluate import evaluate
from idskit.training.settings import TrainingSettings
from idskit.training.train import train

PROFILE = "cic-original"
NAMES = schema_named(PROFILE).names


def write_table(path: Path, labels: dict[str, int], *, seed: int, lines: int = 0) -> None:
    """Flows of a CICFlowMeter table; benign ones are longer. ``lines`` are repeated at the end."""
    rng = np.random.default_rng(seed)
    rows = [
        ",".join([*map(str, flow(rng, label in ("BENIGN", "Normal"))), label])
        for label, count in labels.items()
        for _ in range(count)
    ]
    path.write_text("\n".join([",".join([*NAMES, "Label"]), *rows, *rows[:lines]]) + "\n")


def flow(rng: np.random.Generator, benign: bool) -> list[int]:
    return rng.lognormal(6 if benign else 3, 1, len(NAMES)).astype(int).tolist()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cic")
    write_table(folder / "cic.csv", {"BENIGN": 200, "Bot": 100, "DDoS": 100}, seed=0)
    settings = TrainingSettings(
        dataset="cicids2017", schema=PROFILE, labels="family", width=8, epochs=4, batch=64
    )
    train(settings, data=folder / "cic.csv", output=folder / "run")
    return folder / "run"


def test_all_distinct_rows_are_judged_and_it_says_transfer(run: Path, tmp_path: Path):
    write_table(tmp_path / "iot.csv", {"Normal": 60, "Mirai": 40, "Scan": 20}, seed=1, lines=7)
    found = evaluate(run, "iotid20", data=tmp_path / "iot.csv")
    assert (found["transfer"], found["trained_on"]) == (True, "cicids2017")
    assert found["test"]["rows"] == 120
    assert np.array(found["test"]["confusion"]).sum(axis=1).tolist() == [60, 60]
    assert found["test"]["threshold"] == load_run(run).threshold
    assert found["notes"][0].startswith("transfer: trained on cicids2017, judged on all 120 disti")
    assert not any(group["trained_on"] for group in found["groups"].values())
    assert found["test"]["roc_auc"] > 0.9  # it is the same difference


def test_a_table_of_another_kind_is_judged_with_its_own_label_column(run: Path, tmp_path: Path):
    write_table(tmp_path / "own.csv", {"BENIGN": 30, "worm": 30}, seed=2)
    text = (tmp_path / "own.csv").read_text().replace("Label\n", "verdict\n", 1)
    (tmp_path / "own.csv").write_text(text)
    found = evaluate(run, "table", data=tmp_path / "own.csv", label_column="verdict")
    assert found["test"]["rows"] == 60


def test_its_own_data_set_is_no_transfer(run: Path):
    found = evaluate(run, "cicids2017", data=run.parent / "cic.csv")
    assert (found["transfer"], found["trained_on"]) == (False, "cicids2017")


def test_columns_that_are_not_shared_are_refused(run: Path):
    with pytest.raises(DataError, match="cic-original' was asked for, but the columns of ciciot2"):
        evaluate(run, "ciciot2023", data=ciciot_file(run.parent))


def ciciot_file(folder: Path) -> Path:
    from idskit.data.published.ciciot2023_tables import PUBLISHER

    names = PUBLISHER.versions[0].features
    path = folder / "ciciot.csv"
    rng = np.random.default_rng(3)
    rows = [
        ",".join([*(f"{v:.3f}" for v in rng.random(len(names))), label])
        for label in ("BENIGN", "DDOS-ICMP_FLOOD")
        for _ in range(20)
    ]
    path.write_text("\n".join([",".join([*(f.name for f in names), "Label"]), *rows]) + "\n")
    return path
