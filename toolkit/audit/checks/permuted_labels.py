"""Train on permuted labels: with labels drawn at random, a probe must be at chance on test rows.

Labels are permuted over records and not over rows: equal rows keep one label between them. A probe
that recalls training records then scores above chance exactly as far as they occur in the test rows
again. Every record is judged once, so the interval is the exact one of the rank test.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from idskit.audit.audited_table import AuditTable, Column
from idskit.errors import DataError
from idskit.metrics import area_under, roc_curve
from idskit.report.finding import Finding

MOST_TRAIN, MOST_TEST = 20_000, 10_000  # records
RANDOM_TEST = 0.3  # share of the rows, if no test table is given
REPEATS = 3
SIGMAS = 4.0  # half the chance interval: one false alarm in 16,000
# If a share c of the test records is recalled and the rest at chance, AUC is 1 - (1 - c)^2 / 2.
LEAKING_AUC = 0.55  # c = 0.05, as LEAKING_SHARE of repeated rows
TREES = 50


@dataclass(frozen=True, kw_only=True)
class PermutedRun:
    """AUC of a probe on permuted labels, and the interval of chance."""

    auc: float  # mean of the repeats
    chance_low: float
    chance_high: float
    train_records: int
    test_records: int
    split: str  # given, or random rows
    seed: int

    @property
    def at_chance(self) -> bool:
        """Return whether the AUC lies in the interval of chance or below."""
        return self.auc <= self.chance_high

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with the names of the fields."""
        return asdict(self) | {"at_chance": self.at_chance}


@dataclass(frozen=True, kw_only=True)
class _Side:
    """Distinct records of one side of the split."""

    records: NDArray[np.uint64]  # (r,) rising
    features: NDArray[np.float32]  # (r, columns)
    attack: NDArray[np.bool_]  # (r,) whether its label is another than the commonest

    def most(self, count: int) -> _Side:
        """Return the ``count`` records of lowest hashes: the same ones on both sides."""
        return _Side(
            records=self.records[:count],
            features=self.features[:count],
            attack=self.attack[:count],
        )


def permuted_run(train: AuditTable, test: AuditTable | None, seed: int) -> PermutedRun:
    """Train a probe on permuted labels and judge it on the test rows.

    The probe is extremely randomised trees without a limit of depth (P. Geurts et al., Machine
    Learning 63, 2006): they recall every training record. Without a test table, 30 % of the rows
    drawn at random are the test.

    Raises:
        DataError: one class only.
    """
    rng = np.random.default_rng(seed)
    known, judged = _sides(train, test, rng)
    aucs = [_permuted_auc(known, judged, rng) for _ in range(REPEATS)]
    positives = float(np.concatenate([known.attack, judged.attack]).mean())
    half = float(SIGMAS * _deviation(len(judged.records), positives) / np.sqrt(REPEATS))
    return PermutedRun(
        auc=float(np.mean(aucs)),
        chance_low=0.5 - half,
        chance_high=0.5 + half,
        train_records=len(known.records),
        test_records=len(judged.records),
        split="random rows" if test is None else "given",
        seed=seed,
    )


def not_at_chance(run: PermutedRun) -> Finding:
    """Return the finding of a run that is above chance."""
    given = run.split == "given"
    return Finding(
        check="permuted-labels",
        severity="leak" if given and run.auc >= LEAKING_AUC else "warning",
        columns=(),
        evidence=f"AUC {run.auc:.4f} on permuted labels, chance {run.chance_low:.4f} to "
        f"{run.chance_high:.4f} ({run.train_records:,} training and {run.test_records:,} test "
        "records)",
        meaning="a probe recognises single training records among the test rows"
        if given
        else "with a random split of these rows, a probe would recognise training records",
        advice="remove repeated rows before splitting",
        numbers={"auc": run.auc, "chance_high": run.chance_high},
    )


def _sides(
    train: AuditTable, test: AuditTable | None, rng: np.random.Generator
) -> tuple[_Side, _Side]:
    commonest = _commonest(train)
    if test is not None:
        sides = _side(train, commonest), _side(test, commonest)
    else:
        drawn = rng.random(len(train.sample)) < RANDOM_TEST
        sides = _side(train, commonest, ~drawn), _side(train, commonest, drawn)
    # One bound on the hash for both sides, so that a record on both is kept on both.
    bound = min(
        side.records[:most][-1] for side, most in zip(sides, (MOST_TRAIN, MOST_TEST), strict=True)
    )
    known, judged = (side.most(int((side.records <= bound).sum())) for side in sides)
    return known, judged


def _commonest(table: AuditTable) -> str:
    label = table.labels[0]
    counts = np.bincount(label.codes)
    if (counts > 0).sum() < 2:
        raise DataError(
            f"{table.name} holds one {label.name!r} only, {label.names[0]}: permuted labels need "
            "rows of two classes"
        )
    return label.names[int(counts.argmax())]


def _side(table: AuditTable, commonest: str, chosen: NDArray[np.bool_] | None = None) -> _Side:
    """Return the distinct records among the sampled rows."""
    rows = np.arange(len(table.sample)) if chosen is None else np.flatnonzero(chosen)
    records, first = np.unique(table.rounded[table.sample[rows]], return_index=True)
    rows = rows[first]
    columns = sorted((c.name, c) for c in table.columns if c.name not in table.unhashed)
    features = np.stack([_narrow(column)[rows] for _, column in columns], axis=1)
    label = table.labels[0]
    names = np.array(label.names)[label.codes[table.sample[rows]]]
    return _Side(records=records, features=features, attack=names != commonest)


def _narrow(column: Column) -> NDArray[np.float32]:
    """Return finite float32; a text is a number that is the same in every table."""
    values = column.values
    if column.texts:
        numbers = np.array([crc32(text.encode()) % 2**24 for text in column.texts], np.float64)
        values = np.append(numbers, np.nan)[np.nan_to_num(values, nan=-1).astype(np.int64)]
    most = np.finfo(np.float32).max
    return np.nan_to_num(np.clip(values, -most, most), nan=-1.0).astype(np.float32)


def _permuted_auc(known: _Side, judged: _Side, rng: np.random.Generator) -> float:
    from sklearn.ensemble import ExtraTreesClassifier

    records, first = np.unique(np.append(known.records, judged.records), return_index=True)
    labels = rng.permutation(np.append(known.attack, judged.attack)[first])
    probe = ExtraTreesClassifier(TREES, n_jobs=1, random_state=int(rng.integers(2**31)))
    probe.fit(known.features, labels[np.searchsorted(records, known.records)])
    score = np.asarray(probe.predict_proba(judged.features)[:, -1], np.float64)
    return area_under(roc_curve(labels[np.searchsorted(records, judged.records)], score))


def _deviation(rows: int, positives: float) -> float:
    """Return the standard deviation of the AUC of random scores (H. Mann, D. Whitney, 1947)."""
    attack, rest = max(rows * positives, 1.0), max(rows * (1 - positives), 1.0)
    return float(np.sqrt((rows + 1) / (12 * attack * rest)))
