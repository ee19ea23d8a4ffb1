"""LightGBM's trees, fitted as the settings say, and as the arrays that ``Trees`` computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np
import torch
from numpy.typing import NDArray

from idskit.data.dataset import Dataset
from idskit.models.members.derived_columns import Derived, Pairs
from idskit.models.members.trees import TreeArrays
from idskit.training.members.cautious_trees import fit_cautious, fit_families
from idskit.training.members.lightgbm_baseline import fit_lightgbm
from idskit.training.settings import ResolvedSettings

Node = Mapping[str, Any]


def fit_trees(dataset: Dataset, settings: ResolvedSettings, pairs: Pairs) -> TreeArrays:
    """Fit the member that ``settings.trees`` names to the training rows."""
    if settings.trees == "cascade":
        return fit_cascade(dataset, settings)
    return average_of([tree_arrays(model) for model in fit_boosted(dataset, settings, pairs)])


def fit_boosted(
    dataset: Dataset, settings: ResolvedSettings, pairs: Pairs
) -> list[lightgbm.LGBMClassifier]:
    """Fit one ensemble to the training rows and derived columns, or the two of a committee."""
    train = replace(dataset.train, rows=with_pairs(dataset.train.rows, pairs))
    return [
        fit_lightgbm(
            replace(dataset, train=train),
            seed=settings.seed,
            threads=settings.threads,
            random_thresholds=at_random,
        )
        for at_random in ((False, True) if settings.trees == "committee" else (False,))
    ]


def with_pairs(rows: NDArray[np.float32], pairs: Pairs) -> NDArray[np.float32]:
    """Raw rows (n, features) with the derived columns behind them."""
    derived: NDArray[np.float32] = Derived.of(pairs)(torch.from_numpy(rows)).numpy()
    return derived


def tree_arrays(model: lightgbm.LGBMClassifier) -> TreeArrays:
    """Return the fitted trees of ``model``, which saw every class.

    LightGBM compares in float64; a threshold becomes the largest float32 that is not above it, and
    then float32 rows take the same side.
    """
    description = model.booster_.dump_model()
    outputs = description["num_tree_per_iteration"]
    nodes: list[_Flat] = []
    roots, depths = [], []
    for tree in description["tree_info"]:
        roots.append(len(nodes))
        depths.append(_flatten(tree["tree_structure"], nodes))
    order = np.arange(len(roots))
    return TreeArrays(
        feature=np.array([node[0] for node in nodes], np.int64),
        threshold=_not_above(np.array([node[1] for node in nodes], np.float64)),
        left=np.array([node[2] for node in nodes], np.int64),
        right=np.array([node[3] for node in nodes], np.int64),
        value=np.array([node[4] for node in nodes], np.float32),
        root=np.array(roots, np.int64),
        # Of two classes there is one logit, that of the second.
        output=order % outputs if outputs > 1 else np.ones_like(order),
        depth=max(depths),
    )


def average_of(members: Sequence[TreeArrays]) -> TreeArrays:
    """Return one ensemble whose logits are the mean of those of ``members``."""
    share = np.float32(len(members))
    return joined([replace(member, value=member.value / share) for member in members])


def joined(members: Sequence[TreeArrays]) -> TreeArrays:
    """Return one ensemble whose logits are the sum of those of ``members``."""
    starts = np.cumsum([0, *(len(member.feature) for member in members)])
    placed = list(zip(members, starts, strict=False))
    return TreeArrays(
        feature=np.concatenate([member.feature for member in members]),
        threshold=np.concatenate([member.threshold for member in members]),
        left=np.concatenate([member.left + start for member, start in placed]),
        right=np.concatenate([member.right + start for member, start in placed]),
        value=np.concatenate([member.value for member in members]),
        root=np.concatenate([member.root + start for member, start in placed]),
        output=np.concatenate([member.output for member in members]),
        depth=max(member.depth for member in members),
    )


def fit_cascade(dataset: Dataset, settings: ResolvedSettings) -> TreeArrays:
    """Fit trees that tell attacks from benign rows, and trees that tell families of attacks apart.

    Their sums are the log-odds of an attack, then a logit for each family.
    """
    known = {"seed": settings.seed, "threads": settings.threads}
    attack = tree_arrays(fit_cautious(dataset, **known))
    members = [replace(attack, output=np.zeros_like(attack.output))]
    if len(dataset.classes) > 2:
        families = tree_arrays(fit_families(dataset, **known))
        members.append(replace(families, output=families.output + 1))
    return replace(joined(members), is_cascade=True)


_Flat = tuple[int, float, int, int, float]  # feature, threshold, left, right, value


def _flatten(node: Node, nodes: list[_Flat]) -> int:
    """Append ``node`` and all below it; returns the depth below it."""
    place = len(nodes)
    if "split_feature" not in node:
        nodes.append((0, 0.0, place, place, float(node["leaf_value"])))
        return 0
    nodes.append((0, 0.0, 0, 0, 0.0))
    left = len(nodes)
    depth = _flatten(node["left_child"], nodes)
    right = len(nodes)
    depth = max(depth, _flatten(node["right_child"], nodes))
    nodes[place] = (int(node["split_feature"]), float(node["threshold"]), left, right, 0.0)
    return depth + 1


def _not_above(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    nearest = threshold.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest > threshold, below, nearest)
