"""Tree ensembles on the raw columns, as members of a comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from sklearn.ensemble import RandomForestClassifier

from idskit.data.dataset import Dataset
from idskit.files.output import write_whole
from idskit.training.members.lightgbm_baseline import fit_lightgbm

TreeModel = Literal["lightgbm", "random-forest"]
TREE_MODELS: tuple[TreeModel, ...] = ("lightgbm", "random-forest")
FOREST_TREES = 100  # scikit-learn's default
TREE_ARRAYS = ("children_left", "children_right", "feature", "threshold", "value")

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Fitted trees."""

    predict: Predict  # raw rows (n, features) to probabilities (n, classes), on one thread
    nodes: int  # splits and leaves
    file: str  # name of the file that holds them
    content: bytes

    def save(self, folder: Path) -> None:
        """Write the trees into ``folder``."""
        write_whole(folder / self.file, lambda path: path.write_bytes(self.content))


def fit_trees(name: TreeModel, dataset: Dataset, *, seed: int, threads: int) -> Ensemble:
    """Fit trees on the raw training rows, nominal columns as their codes."""
    fit = _lightgbm if name == "lightgbm" else _random_forest
    return fit(dataset, seed, threads)


def _lightgbm(dataset: Dataset, seed: int, threads: int) -> Ensemble:
    model = fit_lightgbm(dataset, seed=seed, threads=threads)
    booster = model.booster_
    leaves = sum(tree["num_leaves"] for tree in booster.dump_model()["tree_info"])
    return Ensemble(
        predict=_one_thread(lambda rows: model.predict_proba(rows, num_threads=1)),
        nodes=2 * leaves - booster.num_trees(),
        file="lightgbm.txt",
        content=booster.model_to_string().encode(),
    )


def _random_forest(dataset: Dataset, seed: int, threads: int) -> Ensemble:
    model = RandomForestClassifier(FOREST_TREES, random_state=seed, n_jobs=threads)
    train = dataset.train
    model.fit(train.rows, train.labels, sample_weight=train.weights)
    model.set_params(n_jobs=1)
    trees = [estimator.tree_ for estimator in model.estimators_]
    return Ensemble(
        predict=_one_thread(model.predict_proba),
        nodes=sum(tree.node_count for tree in trees),
        file="random-forest.safetensors",
        content=save(_forest_arrays(trees)),
    )


def _one_thread(predict: Callable[[NDArray[np.float32]], Any]) -> Predict:
    return lambda rows: np.asarray(predict(rows), np.float32)


def _forest_arrays(trees: list[Any]) -> dict[str, NDArray[Any]]:
    """Return all trees end to end; ``nodes`` says where each ends. Thresholds have 64 bits."""
    joined = {name: np.concatenate([getattr(t, name) for t in trees]) for name in TREE_ARRAYS}
    narrow = {
        name: array.astype(np.int32 if array.dtype.kind == "i" else np.float32)
        for name, array in joined.items()
        if name != "threshold"  # rounding one could move a row to the other side
    }
    nodes = np.cumsum([tree.node_count for tree in trees]).astype(np.int64)
    return {**narrow, "threshold": joined["threshold"], "nodes": nodes}
