"""Check rows: repeats, records on both sides of a split, conflicting and absent labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from idskit.audit.audited_table import DIGITS, AuditTable, Column
from idskit.report.finding import Finding, Severity, listed

# Numbers are equal within this share of themselves plus of the median of their column.
NOISE = 2e-4
NEAR_ROWS = 20_000
MOST_CANDIDATES = 200  # most rows of a similar pivot that a row is compared with
LEAST_FINE, FINE_SHARE = 2, 0.5  # columns, and values per row, so that rows do not match by chance
Floats = NDArray[np.float64]
# Share of test rows that are also training rows: so much of the accuracy may be memory.
LEAKING_SHARE, TRIFLING_SHARE = 0.05, 0.001
WARNING_SHARE = 0.01  # share of repeated or conflicting rows


def across_split(train: AuditTable, test: AuditTable, seed: int) -> Iterator[Finding]:
    """Find test rows whose record also occurs in training."""
    exact = float(np.isin(test.exact, train.exact).mean())
    rounded = float(np.isin(test.rounded, train.rounded).mean())
    near = near_repeats(test, train, seed)
    if not max(exact, rounded, near):
        return
    worst = max(exact, rounded, near if near >= WARNING_SHARE else 0.0)  # less may be chance
    apart = _captures_apart(train, test)
    yield Finding(
        check="duplicates-across-split",
        severity="note" if apart else _split_severity(worst),
        columns=(),
        evidence=f"{_count(exact, test)} test rows are also training rows, {_count(rounded, test)} "
        f"after rounding to {DIGITS} digits{_near_words(near, rounded)}{_without(train)}",
        meaning="captures are on one side each, so these are different flows that look the same"
        if apart
        else f"up to {100 * worst:.1f} points of any accuracy may be memory",
        advice="report results with and without them"
        if apart
        else "remove repeated rows before splitting (protocol honest)",
        numbers={"exact_share": exact, "rounded_share": rounded, "near_share": near},
    )


def repeats(train: AuditTable, test: AuditTable | None, seed: int) -> Iterator[Finding]:
    """Find rows that repeat another row of the same table."""
    exact = 1 - len(np.unique(train.exact)) / len(train)
    rounded = 1 - len(np.unique(train.rounded)) / len(train)
    near = near_repeats(train, None, seed) / 2  # of two rows near each other, one is a repeat
    if not max(exact, rounded, near):
        return
    grave = test is None and max(exact, rounded, near) >= WARNING_SHARE
    yield Finding(
        check="repeated-rows",
        severity="warning" if grave else "note",
        columns=(),
        evidence=f"{_count(exact, train)} rows repeat another, {_count(rounded, train)} after "
        f"rounding to {DIGITS} digits{_near_words(near, rounded)}{_without(train)}",
        meaning="a random split would put the same record on both sides"
        if test is None
        else "repeated rows weigh more in training",
        advice="remove repeated rows before splitting",
        numbers={"exact_share": exact, "rounded_share": rounded, "near_share": near},
    )


def label_conflicts(table: AuditTable) -> Iterator[Finding]:
    """Find records that occur with several labels."""
    for label in table.labels:
        rows = _conflicting(table.exact, label.codes)
        if not rows.any():
            continue
        share = float(rows.mean())
        yield Finding(
            check="label-conflict",
            severity="warning" if share >= WARNING_SHARE else "note",
            columns=(label.name,),
            evidence=f"{rows.sum():,} rows ({100 * share:.2f} %) of {table.name} have the features "
            f"of another row with another {label.name!r}",
            meaning="no classifier on these features can get all of them right",
            advice="find out whether labels are wrong or features too coarse",
            numbers={"share": share},
        )


def absent_classes(train: AuditTable, test: AuditTable) -> Iterator[Finding]:
    """Find labels that only test rows have."""
    known = {label.name: label for label in train.labels}
    for label in test.labels:
        new = sorted(set(label.names) - set(known[label.name].names))
        if not new:
            continue
        share = float(np.isin(np.array(label.names)[label.codes], new).mean())
        yield Finding(
            check="absent-class",
            severity="warning",
            columns=(label.name,),
            evidence=f"{len(new)} of {len(label.names)} test labels, {100 * share:.1f} % of the "
            f"test rows: {listed(new)}",
            meaning="they never occur in training, so a classifier cannot name them",
            advice="report them apart: they measure how new attacks are met",
            numbers={"classes": len(new), "share": share},
        )


def _captures_apart(train: AuditTable, test: AuditTable) -> bool:
    """Return whether rows have captures and none of them is on both sides."""
    if train.captures is None or test.captures is None:
        return False
    return not set(train.captures.names) & set(test.captures.names)


def _split_severity(share: float) -> Severity:
    if share >= LEAKING_SHARE:
        return "leak"
    return "warning" if share >= TRIFLING_SHARE else "note"


def _conflicting(records: NDArray[np.uint64], labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which rows share their record with a row of another label."""
    _, record = np.unique(records, return_inverse=True)
    size = int(labels.max()) + 1
    pairs = np.unique(record * size + labels)
    return np.asarray(np.bincount(pairs // size)[record] > 1)


def _count(share: float, table: AuditTable) -> str:
    return f"{round(share * len(table)):,} of {len(table):,} ({100 * share:.2f} %)"


def _near_words(near: float, rounded: float) -> str:
    if near <= rounded:
        return ""
    return f", about {100 * near:.1f} % but for noise of up to {100 * NOISE:g} %"


def _without(table: AuditTable) -> str:
    return f", compared without {listed(table.unhashed, 4)}" if table.unhashed else ""


# Rows that repeat another up to noise in their last digits, which no hash finds.


def near_repeats(table: AuditTable, others: AuditTable | None, seed: int) -> float:
    """Return the share of rows of ``table`` near a row of ``others`` or another of its own.

    Judged by up to ``NEAR_ROWS`` rows of each and the columns of numbers; 0 where too few columns
    are fine enough to tell rows apart.
    """
    known = table if others is None else others
    varying = {column.name for column in known.columns if column.distinct > 1}
    names = [
        column.name
        for column in table.columns
        if not column.texts and column.name in varying and column.name not in table.unhashed
    ]
    theirs, ours = _columns(known, names), _columns(table, names)
    fine = [place for place, column in enumerate(theirs) if _is_fine(column)]
    if len(fine) < LEAST_FINE:
        return 0.0
    pivot = max(fine, key=lambda place: theirs[place].distinct)
    drawn = np.random.default_rng(seed).permutation(len(known.sample))[:NEAR_ROWS]
    judged = drawn if others is None else _draw(len(table.sample), seed)
    base = _matrix(theirs, drawn)
    rows = base if others is None else _matrix(ours, judged)
    scale = np.array([_scale(column) for column in theirs])
    near = _near(rows, base, pivot, scale, itself=others is None)
    return float(near.mean())


def _draw(count: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(count)[:NEAR_ROWS]


def _columns(table: AuditTable, names: list[str]) -> list[Column]:
    by_name = {column.name: column for column in table.columns}
    return [by_name[name] for name in names]


def _is_fine(column: Column) -> bool:
    return column.distinct >= FINE_SHARE * len(column.values)


def _matrix(columns: list[Column], rows: NDArray[np.int64]) -> Floats:
    values = np.stack([column.values[rows] for column in columns], axis=1)
    return np.nan_to_num(values, nan=-1.0, posinf=np.inf, neginf=-np.inf)


def _scale(column: Column) -> float:
    """Return the median of the values that are not 0, compared with which noise is noise."""
    used = np.abs(column.values[np.isfinite(column.values) & (column.values != 0)])
    return float(np.median(used)) if len(used) else 0.0


def _near(
    rows: Floats, base: Floats, pivot: int, scale: Floats, *, itself: bool
) -> NDArray[np.bool_]:
    """Return which rows (n, columns) have a row of ``base`` near them, other than themselves."""
    order = np.argsort(base[:, pivot], kind="stable")
    places = base[order, pivot]
    middle = rows[:, pivot]
    reach = NOISE * (np.where(np.isfinite(middle), np.abs(middle), 0) + scale[pivot])
    first = np.searchsorted(places, middle - reach)
    end = np.searchsorted(places, middle + reach, side="right")
    end = np.minimum(end, first + MOST_CANDIDATES)
    near = np.zeros(len(rows), np.bool_)
    left = np.flatnonzero(first < end)
    for step in range(MOST_CANDIDATES):
        left = left[(first[left] + step < end[left]) & ~near[left]]
        if not len(left):
            break
        candidate = order[first[left] + step]
        same = _all_close(rows[left], base[candidate], scale)
        near[left] = same & (candidate != left) if itself else same
    return near


def _all_close(rows: Floats, others: Floats, scale: Floats) -> NDArray[np.bool_]:
    equal = rows == others  # infinities too
    with np.errstate(invalid="ignore"):
        close = np.abs(rows - others) <= NOISE * (np.abs(others) + scale)
    return np.asarray((equal | close).all(axis=1))
