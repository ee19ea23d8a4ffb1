"""Probe linearly: can the label be computed from the features, to the last digits?

A classifier that is often right proves nothing. A label that least squares reconstructs on unseen
rows, with no error beyond rounding, was mixed into the features: as in the published IoTID20
arrays, whose PCA had the label among its inputs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from idskit.audit.audited_table import AuditTable, Classes, Column
from idskit.audit.checks.column_leaks import LEAST_LEAK_ROWS
from idskit.report.finding import Finding, listed

PROBE_ROWS = 20_000
# 1 - R^2 on unseen rows. Genuine classes would have to be 600 standard deviations apart for the
# first, 60 for the second (two equal classes of one normal feature: 1 - R^2 = 1 / (1 + d^2 / 4)).
EXACT, NEARLY = 1e-5, 1e-3
MOST_CLASSES, LEAST_CLASS = 200, 20
RANK_TOLERANCE = 1e-9  # share of the largest variance: indicators of all classes sum to 1
ROWS_PER_COLUMN = 3
CENTRAL_ROWS, CENTRAL_SPREAD = 0.95, 0.1  # share of all rows; share of their spread
NAMED_WEIGHT = 0.01  # share of the largest weight, from which columns are named

Floats = NDArray[np.float64]


def linear_labels(table: AuditTable, seed: int) -> Iterator[Finding]:
    """Find label columns that least squares reconstructs from the columns of numbers."""
    rows = np.random.default_rng(seed).permutation(len(table.sample))[:PROBE_ROWS]
    design, names = _design(table.columns, rows)
    half = len(rows) // 2
    if half < ROWS_PER_COLUMN * design.shape[1] or not names:
        yield _too_wide(table, len(rows), design.shape[1])
        return
    for label in table.labels:
        targets = _targets(label, table.sample[rows])
        weights = np.asarray(np.linalg.lstsq(design[:half], targets[:half])[0], np.float64)
        found = _best(targets, design[half:] @ weights, targets[:half] - design[:half] @ weights)
        if found is not None:
            missed, numbering = found
            columns = _carriers((weights @ numbering)[:-1], names)
            yield _finding(label, missed, columns, few=len(table) < LEAST_LEAK_ROWS)


def _best(targets: Floats, fitted: Floats, residuals: Floats) -> tuple[float, Floats] | None:
    """Return 1 - R² and the class numbering that is reconstructed best on unseen rows."""
    unseen = targets[-len(fitted) :]
    found = [
        (_unexplained(unseen @ numbering, fitted @ numbering), numbering)
        for numbering in _numberings(targets[: len(residuals)], residuals)
    ]
    best = min(found, key=lambda pair: pair[0], default=None)
    return best if best is not None and best[0] <= NEARLY else None


def _design(columns: tuple[Column, ...], rows: NDArray[np.int64]) -> tuple[Floats, list[str]]:
    """Return standardised features (n, p + 1), the last one 1, and the column of each."""
    numbers = [column for column in columns if not column.texts]
    made = [(column.name, part) for column in numbers for part in _parts(column, rows)]
    parts = [*(part for _, part in made), np.ones(len(rows))]
    return np.stack(parts, axis=1), [name for name, _ in made]


def _parts(column: Column, rows: NDArray[np.int64]) -> Iterator[Floats]:
    """Yield the standardised number, and an indicator of where it is missing."""
    values = column.values[rows]
    usable = np.isfinite(values)
    middle = values[usable].mean() if usable.any() else 0.0
    for part in (np.where(usable, values, middle), usable * 1.0):
        spread = part.std()
        if spread > 0 and np.isfinite(spread):
            yield (part - part.mean()) / spread


def _targets(label: Classes, rows: NDArray[np.int64]) -> Floats:
    """Return the commonest classes as 0 and 1, and the label as a number: (n, targets)."""
    codes = label.codes[rows]
    counts = np.bincount(codes, minlength=len(label.names))
    common = [c for c in np.argsort(-counts)[:MOST_CLASSES] if counts[c] >= LEAST_CLASS]
    targets = [(codes == code) * 1.0 for code in common]
    return np.stack([*targets, _numbers(label.names)[codes]], axis=1)


def _numbers(names: tuple[str, ...]) -> Floats:
    """Return labels that are numbers as such; others by alphabetical order, as encoders do."""
    try:
        return np.array(names, dtype=np.float64)
    except ValueError:
        return np.arange(len(names), dtype=np.float64)


def _numberings(targets: Floats, residuals: Floats) -> Iterator[Floats]:
    """Yield weights (targets,) of the sums of targets that are reconstructed best.

    They are the label as it is, and the canonical directions (H. Hotelling, 1936) that leave little
    variance and are more than a rare class.
    """
    yield np.eye(targets.shape[1])[-1]  # the label as it is
    spread, axes = np.linalg.eigh(_covariance(targets))
    used = spread > RANK_TOLERANCE * spread.max(initial=0)
    whitening = axes[:, used] / np.sqrt(spread[used])
    missed, directions = np.linalg.eigh(whitening.T @ _covariance(residuals) @ whitening)
    for direction in directions.T[missed <= NEARLY]:
        numbering = np.asarray(whitening @ direction, np.float64)
        if _is_broad(targets @ numbering):
            yield numbering


def _is_broad(number: Floats) -> bool:
    """Return whether a numbering separates most rows, and not one rare class from all others.

    A rare attack that one flag reveals is no leak: fragments that overlap are a teardrop.
    """
    distance = np.abs(number - np.median(number))
    central = number[distance <= np.quantile(distance, CENTRAL_ROWS)]
    return bool(central.std() >= CENTRAL_SPREAD * number.std())


def _covariance(values: Floats) -> Floats:
    """Return the covariance (k, k) of the columns of (n, k)."""
    centred = values - values.mean(axis=0)
    return np.asarray(centred.T @ centred / len(values), np.float64)


def _unexplained(target: Floats, fitted: Floats) -> float:
    """Return 1 - R²; 1 for a target that does not vary."""
    spread = float(target.var())
    return float(((target - fitted) ** 2).mean()) / spread if spread > 0 else 1.0


def _finding(label: Classes, missed: float, columns: tuple[str, ...], *, few: bool) -> Finding:
    exact = missed <= EXACT
    return Finding(
        check="linear-label",
        severity="leak" if exact and not few else "warning",
        columns=columns,
        evidence=f"least squares reconstructs {label.name!r}, with a number for each class, on "
        f"unseen rows: 1 - R² = {missed:.1e}",
        meaning="the label was mixed into these features, or one of them is the label"
        if exact
        else "the label is almost a linear function of these features",
        advice="compute the features again without the label among their inputs"
        if exact
        else "find out how they were made before believing any result",
        numbers={"unexplained": missed},
    )


def _carriers(weights: Floats, names: list[str]) -> tuple[str, ...]:
    """Return the columns that the sum uses, the heaviest first."""
    heavy = np.argsort(-np.abs(weights))
    used = [names[i] for i in heavy if abs(weights[i]) >= NAMED_WEIGHT * abs(weights[heavy[0]])]
    return tuple(dict.fromkeys(used))


def _too_wide(table: AuditTable, rows: int, columns: int) -> Finding:
    names = [column.name for column in table.columns]
    return Finding(
        check="linear-label",
        severity="note",
        columns=(),
        evidence=f"{rows} rows and {columns} columns ({listed(names, 3)})",
        meaning="too few rows for the linear probe, which was not made",
        advice=f"give at least {2 * ROWS_PER_COLUMN * columns} rows",
    )
