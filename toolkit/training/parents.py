"""Earlier runs that teach the network (``--teacher RUN``).

They have to come from the same data, divided in the same way. A run of another division was fitted
to rows that this one keeps for validation and test, and would pass on what it knows of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from idskit.data import user_table as own_table
from idskit.data.dataset import Dataset
from idskit.errors import RunError
from idskit.models.saved_run import Run, load_run
from idskit.training.settings import ResolvedSettings

# The settings that decide which rows there are and on which side each is.
DIVISION = (
    *("dataset", "protocol", "labels", "schema", "rows", "nonfinite"),
    *("generated", "split_seed"),
)
OF_OWN_TABLES = ("label_column", "benign_labels")


def load_earlier(folder: Path, dataset: Dataset, settings: ResolvedSettings) -> Run:
    """Read the finished run in ``folder``, of the rows of ``dataset``.

    Raises:
        RunError: not a run, or one of other data, columns, classes or another division.
    """
    run = load_run(folder)
    was = run.facts.get("settings", {})
    names = (*DIVISION, *(OF_OWN_TABLES if settings.dataset == own_table.NAME else ()))
    differing = [
        f"{name} is {asked!r} and was {was.get(name)!r}"
        for name in names
        if (asked := settings.recorded()[name]) != was.get(name) and (asked or was.get(name))
    ]
    here = {"data files": dict(dataset.sha256), "columns": _columns(dataset)}
    there = {"data files": run.facts.get("sha256"), "columns": _columns(run)}
    differing += [f"its {name} were others" for name in here if here[name] != there[name]]
    if run.classes != dataset.classes:
        differing.append("its classes were others")
    if differing:
        raise RunError(
            f"{folder} was trained on other rows, and may know some that this run validates or "
            f"tests on: {'; '.join(differing)}; name a run of the same data, classes and division"
        )
    return run


def load_teachers(
    folders: Sequence[Path], dataset: Dataset, settings: ResolvedSettings
) -> list[Run]:
    """Read all runs to learn from.

    Raises:
        RunError: as ``load_earlier``.
    """
    return [load_earlier(folder, dataset, settings) for folder in folders]


def _columns(source: Dataset | Run) -> Any:
    return json.loads(source.schema.to_json())
