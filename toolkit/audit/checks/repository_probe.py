"""Can captures be told apart by the lab that recorded them, and does the label follow the lab?

A model that recognises labs needs no attack: in each repository of captures most are of one label.
So small trees try to name the repository of benign flows, from every column alone and from all of
them, on scenarios that they did not see. What they reach is compared with the same trees on
repositories that were drawn anew for every scenario.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.tree import DecisionTreeClassifier

from idskit.data.dataset import Dataset, join
from idskit.metrics import area_under, roc_curve
from idskit.report.finding import Finding, Severity, listed

ROWS_PER_UNIT, ROWS_PER_REPOSITORY = 100, 1_000  # benign rows, drawn at random
LEAST_UNITS, LEAST_ROWS = 2, 30  # of a repository, for half of it to be judged
SHUFFLES = 3  # of the repositories over the scenarios
LEAVES, TREES, LEAST_LEAF = 64, 60, 3
FOLLOWS = 0.6  # area under the curve of the repositories' shares of attacks, for a warning
SHOWN = 15  # columns in the evidence


@dataclass(frozen=True, kw_only=True)
class _Flows:
    """Benign flows of repositories of several scenarios."""

    rows: NDArray[np.float32]  # (n, features)
    repositories: NDArray[np.int64]  # (n,)
    units: NDArray[np.int64]  # (n,) scenarios
    judged: NDArray[np.bool_]  # (n,) of scenarios that the trees do not see

    @property
    def count(self) -> int:
        """Return how many repositories there are."""
        return len(np.unique(self.repositories))


def repositories_told(dataset: Dataset, seed: int) -> Iterator[Finding]:
    """Yield whether columns tell the repository of benign flows, and whether the label follows it.

    Only data sets of captures state repositories; of others nothing is yielded.
    """
    if not dataset.repositories:
        return
    rng = np.random.default_rng(seed)
    flows = _benign_flows(dataset, rng)
    if flows is None:
        yield _too_few(dataset)
    else:
        yield _told(dataset.schema.names, flows, rng)
    follows = _label_by_repository(dataset)
    if follows is not None:
        yield follows


def _benign_flows(dataset: Dataset, rng: np.random.Generator) -> _Flows | None:
    """Draw benign flows; None unless two repositories have enough."""
    part = join([dataset.train, dataset.validation, dataset.test])
    part = part.take(part.labels == 0)
    repositories = np.unique(dataset.repositories, return_inverse=True)[1][part.groups]
    units = np.unique(dataset.units, return_inverse=True)[1][part.groups]
    order = rng.permutation(len(part))
    order = order[_first_of(units[order], ROWS_PER_UNIT)]
    order = order[_first_of(repositories[order], ROWS_PER_REPOSITORY)]
    chosen = [
        order[repositories[order] == one]
        for one in np.unique(repositories)
        if _is_enough(units[order[repositories[order] == one]])
    ]
    if len(chosen) < 2:
        return None
    kept = np.concatenate(chosen)
    judged = np.concatenate([_half(units[rows], rng) for rows in chosen])
    return _Flows(
        rows=part.rows[kept], repositories=repositories[kept], units=units[kept], judged=judged
    )


def _first_of(members: NDArray[np.int64], most: int) -> NDArray[np.bool_]:
    """Mark the first ``most`` rows of each member."""
    order = np.argsort(members, kind="stable")
    starts = np.flatnonzero(np.diff(members[order], prepend=-1))
    place = np.arange(len(members)) - np.repeat(starts, np.diff(np.append(starts, len(members))))
    marked = np.zeros(len(members), np.bool_)
    marked[order[place < most]] = True
    return marked


def _is_enough(units: NDArray[np.int64]) -> bool:
    return len(units) >= LEAST_ROWS and len(np.unique(units)) >= LEAST_UNITS


def _half(units: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Mark the rows of about half of the scenarios."""
    order = rng.permutation(np.unique(units))
    return np.isin(units, order[: len(order) // 2])


def _told(names: tuple[str, ...], flows: _Flows, rng: np.random.Generator) -> Finding:
    """Compare every column, and all together, with repositories drawn anew."""
    together = _recall(flows, None)
    shuffled = [_shuffled(flows, rng) for _ in range(SHUFFLES)]
    by_chance = max(_recall(drawn, None) for drawn in shuffled)
    alone = {name: _recall(flows, column) for column, name in enumerate(names)}
    bound = max(_recall(drawn, column) for drawn in shuffled for column in range(len(names)))
    telling = sorted((n for n in names if alone[n] > bound), key=lambda n: -alone[n])
    shown = ", ".join(f"{name} {alone[name]:.0%}" for name in telling[:SHOWN])
    severity: Severity = "warning" if telling or together > by_chance else "note"
    return Finding(
        check="repository",
        severity=severity,
        columns=tuple(telling),
        evidence=f"of {flows.count} repositories that of a benign flow of an unseen scenario is "
        f"named right in {together:.0%} by all columns (mean over repositories; chance "
        f"{1 / flows.count:.0%}, shuffled up to {by_chance:.0%}); by one column alone "
        f"{shown or 'by none'} (shuffled up to {bound:.0%})",
        meaning="a model can recognise the lab by them instead of the attack"
        if telling
        else "no column tells the lab by itself",
        advice="leave out columns that describe a lab and no attack, and judge with whole "
        "repositories left out (idskit train captures --leave-out repositories)",
        numbers={"together": together, "shuffled": by_chance, "shuffled_alone": bound, **alone},
    )


def _shuffled(flows: _Flows, rng: np.random.Generator) -> _Flows:
    """Give each scenario the repository of another, on either side apart."""
    units, place = np.unique(flows.units, return_inverse=True)
    first = np.array([np.flatnonzero(flows.units == unit)[0] for unit in units])
    repositories = flows.repositories[first]
    for side in (True, False):
        members = np.flatnonzero(flows.judged[first] == side)
        repositories[members] = repositories[rng.permutation(members)]
    return replace(flows, repositories=repositories[place])


def _recall(flows: _Flows, column: int | None) -> float:
    """Return the mean recall over repositories of trees on one column, or on all."""
    rows = flows.rows if column is None else flows.rows[:, [column]]
    trees = (
        ExtraTreesClassifier(
            TREES, min_samples_leaf=LEAST_LEAF, class_weight="balanced", random_state=0
        )
        if column is None
        else DecisionTreeClassifier(
            max_leaf_nodes=LEAVES,
            min_samples_leaf=LEAST_LEAF,
            class_weight="balanced",
            random_state=0,
        )
    )
    trees.fit(rows[~flows.judged], flows.repositories[~flows.judged])
    true = flows.repositories[flows.judged]
    right = trees.predict(rows[flows.judged]) == true
    return float(np.mean([right[true == one].mean() for one in np.unique(true)]))


def _label_by_repository(dataset: Dataset) -> Finding | None:
    """Rank captures by the share of attacks in their repository, each without itself."""
    part = join([dataset.train, dataset.validation, dataset.test])
    groups = np.unique(part.groups)
    attack = np.array([bool((part.labels[part.groups == group] > 0).any()) for group in groups])
    repository = np.unique(dataset.repositories, return_inverse=True)[1][groups]
    captures, attacks = np.bincount(repository), np.bincount(repository, attack)
    others = captures[repository] - 1
    if attack.all() or not attack.any() or not others.any():
        return None
    share = (attacks[repository] - attack) / np.maximum(others, 1)
    area = area_under(roc_curve(attack[others > 0], share[others > 0]))
    names = np.unique(dataset.repositories)
    one_sided = [str(name) for name, a, n in zip(names, attacks, captures, strict=True) if a == n]
    severity: Severity = "warning" if area >= FOLLOWS else "note"
    return Finding(
        check="repository-label",
        severity=severity,
        columns=(),
        evidence=f"the share of attacks among the other captures of its repository ranks a capture "
        f"with ROC AUC {area:.3f}; only attacks are in {listed(one_sided) or 'none'}",
        meaning="who knows the lab knows the label"
        if area >= FOLLOWS
        else "the label does not follow the lab",
        advice="take benign captures and attacks from each lab, and judge with whole repositories "
        "left out",
        numbers={"roc_auc": area},
    )


def _too_few(dataset: Dataset) -> Finding:
    return Finding(
        check="repository",
        severity="note",
        columns=(),
        evidence=f"{len(set(dataset.repositories))} repositories, of which fewer than two have "
        f"{LEAST_UNITS} scenarios and {LEAST_ROWS} benign flows",
        meaning="whether a model can recognise the lab was not tried",
        advice="give captures of more repositories (--data, repeatable)",
    )
