"""Whether columns tell the repository of a capture, and whether the label follows it."""

from __future__ import annotations

import numpy as np
import pytest

from idskit.audit.checks.repository_probe import repositories_told
from idskit.data.dataset import Dataset, Part
from idskit.report.finding import Finding
from idskit.schema import Feature, Schema

LABS, UNITS, ROWS = 4, 6, 20
NAMES = ("ttl", "noise", "size")


def make(*, leak: float, attacks: bool = False, labs: int = LABS) -> Dataset:
    """Captures of labs, each a scenario; the first column is the lab's, ``leak`` deviations apart.

    Captures of the last two labs are attacks, or every other one is.
    """
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(labs * UNITS), ROWS)
    lab = groups // UNITS
    rows = rng.normal(size=(len(groups), len(NAMES)))
    rows[:, 0] += leak * lab
    labels = (lab >= labs // 2) if attacks else groups % 2 == 1
    part = Part(
        rows=rows.astype(np.float32),
        labels=labels.astype(np.int64),
        weights=np.ones(len(rows), np.float32),
        groups=groups,
    )
    return Dataset(
        name="captures",
        protocol="honest",
        schema=Schema(name="toy", features=tuple(Feature(name=n, unit="") for n in NAMES)),
        classes=("benign", "attack"),
        groups=tuple(f"capture {i}" for i in range(labs * UNITS)),
        train=part.take(groups % 3 == 0),
        validation=part.take(groups % 3 == 1),
        test=part.take(groups % 3 == 2),
        notes=(),
        sha256={},
        repositories=tuple(f"lab {i // UNITS}" for i in range(labs * UNITS)),
        units=tuple(f"scene {i}" for i in range(labs * UNITS)),
    )


def findings(dataset: Dataset) -> dict[str, Finding]:
    return {finding.check: finding for finding in repositories_told(dataset, seed=0)}


def test_a_column_that_tells_the_lab_is_named_first():
    found = findings(make(leak=8))["repository"]
    assert found.severity == "warning"
    assert found.columns[0] == "ttl"
    assert found.numbers["ttl"] > 0.95
    assert found.numbers["noise"] < found.numbers["shuffled_alone"] + 0.1
    assert found.numbers["together"] > 0.9


def test_columns_that_tell_nothing_stay_near_chance():
    found = findings(make(leak=0))["repository"]
    assert found.numbers["together"] == pytest.approx(1 / LABS, abs=0.15)
    assert found.numbers["ttl"] == pytest.approx(1 / LABS, abs=0.15)


def test_the_label_follows_the_lab_where_each_has_one_of_them():
    found = findings(make(leak=0, attacks=True))["repository-label"]
    assert found.severity == "warning"
    assert found.numbers["roc_auc"] == 1
    assert "'lab 2'" in found.evidence


def test_the_label_does_not_follow_the_lab_where_each_has_both():
    found = findings(make(leak=8))["repository-label"]
    assert found.severity == "note"
    assert found.numbers["roc_auc"] < 0.6


def test_one_repository_cannot_be_told_from_others():
    found = findings(make(leak=0, labs=1))["repository"]
    assert found.severity == "note"
    assert "1 repositories" in found.evidence


def test_tables_have_no_repositories():
    dataset = make(leak=0)
    assert not list(repositories_told(Dataset(**{**vars(dataset), "repositories": ()}), seed=0))
