"""Find pairs of columns that reveal the label together, where neither does alone.

These are a ratio or product that is constant in every class but differs between them (as ``Tot
sum`` over ``AVG`` is CICIoT2023's ``Number``, also where that column was removed), and two codes
that are uninformative apart and determine the label together, such as a random number and its
exclusive or with the label.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from idskit.audit.audited_table import AuditTable, Classes, Column
from idskit.audit.checks.column_leaks import (
    CONSTANT_SHARE,
    LEAST_CLASS,
    LEAST_LEAK_ROWS,
    VARIED_SHARE,
)
from idskit.report.finding import Finding, Severity

PAIR_ROWS = 3_000
MOST_COLUMNS = 120  # columns of the most values, all pairs of which are examined
USED_SHARE = 0.95  # share of rows in which neither of a pair is 0 or missing
CLOSE = 1e-4  # difference of logarithms: constants equal to four digits
MOST_CODES, ROWS_PER_CELL = 50, 20  # most values of a code; least rows per pair of values
UNINFORMATIVE = 0.1  # share of the label that a code alone may explain

Floats = NDArray[np.float64]
Found = tuple[str, str, str, float]  # two columns, how they are joined, share of rows at constants


def joint_labels(table: AuditTable, seed: int) -> Iterator[Finding]:
    """Find pairs of columns that determine a label column, or the capture, only together."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(table.sample))[:PAIR_ROWS])
    kinds = (*table.labels, *([table.captures] if table.captures else []))
    reported: set[str] = set()
    for kind in kinds:
        codes = kind.codes[table.sample[rows]]
        ratios = [
            found for found in _ratios(table.columns, rows, codes) if found[0] not in reported
        ]
        if ratios:
            reported |= {name for first, second, *_ in ratios for name in (first, second)}
            yield _constant_ratio(ratios, kind, table)
    for label in table.labels:
        yield from _codes(table, label)


def _ratios(
    columns: tuple[Column, ...], rows: NDArray[np.int64], codes: NDArray[np.int32]
) -> list[Found]:
    """Return pairs whose ratio or product is a constant of the class, not of all rows."""
    numbers = [c for c in columns if not c.texts and c.distinct >= LEAST_CLASS]
    numbers = sorted(numbers, key=lambda c: -c.distinct)[:MOST_COLUMNS]
    if not numbers:
        return []
    values = np.stack([column.values[rows] for column in numbers], axis=1)
    usable = np.isfinite(values) & (values != 0)
    logs = np.log(np.abs(np.where(usable, values, 1.0)))
    members = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    members = [m for m in members if len(m) >= LEAST_CLASS]
    found: list[Found] = []
    for first in range(len(numbers) - 1):
        rest = slice(first + 1, None)
        both = usable[:, [first]] & usable[:, rest]
        for sign, how in ((-1.0, "over"), (1.0, "times")):
            joined = logs[:, rest] + sign * logs[:, [first]]
            for place, share in _constant_in_classes(joined, both, members):
                found.append((numbers[first + 1 + place].name, numbers[first].name, how, share))
    return found


def _constant_in_classes(
    joined: Floats, both: NDArray[np.bool_], members: list[NDArray[np.int64]]
) -> Iterator[tuple[int, float]]:
    """Yield columns of (m, k) that have one value in each class, not the same in all."""
    if len(members) < 2:
        return
    centres = np.stack([np.median(joined[rows], axis=0) for rows in members])  # (classes, k)
    at_own = [np.abs(joined[m] - c) < CLOSE for m, c in zip(members, centres, strict=True)]
    share = np.concatenate(at_own).mean(axis=0)
    counts = np.array([len(rows) for rows in members])
    candidates = (share >= CONSTANT_SHARE) & (both.mean(axis=0) >= USED_SHARE)
    for place in np.flatnonzero(candidates):
        commonest = max(
            counts[np.abs(centres[:, place] - centre) < CLOSE].sum() for centre in centres[:, place]
        )
        if commonest <= VARIED_SHARE * counts.sum():
            yield int(place), float(share[place])


def _constant_ratio(found: list[Found], kind: Classes, table: AuditTable) -> Finding:
    names = tuple(dict.fromkeys(name for first, second, *_ in found for name in (first, second)))
    first, second, how, share = found[0]
    return Finding(
        check="joint-constant",
        severity=_severity(table),
        columns=names,
        evidence=f"{first!r} {how} {second!r} is constant in every {kind.name!r} and differs "
        f"between them ({100 * share:.2f} % of rows; {len(found)} such pair"
        f"{'s' * (len(found) > 1)})",
        meaning="the constant was set by class or by capture and not by the traffic, and can be "
        "computed from these columns",
        advice="keep one column of each pair",
        numbers={"pairs": len(found), "share_within": share},
    )


def _codes(table: AuditTable, label: Classes) -> Iterator[Finding]:
    """Find codes that are uninformative apart and determine the label together."""
    labels = label.codes[table.sample]
    base = float(np.bincount(labels).max() / len(labels))
    if base > VARIED_SHARE:
        return
    uninformative: list[tuple[Column, NDArray[np.int64]]] = []
    for column in table.columns:
        if not 2 <= column.distinct <= MOST_CODES:
            continue
        codes = np.unique(column.values, return_inverse=True)[1].astype(np.int64)
        if _purity(codes, labels) - base <= UNINFORMATIVE * (1 - base):
            uninformative.append((column, codes))
    for place, (first, ours) in enumerate(uninformative):
        for second, theirs in uninformative[place + 1 :]:
            cells = (first.distinct + 1) * (second.distinct + 1)
            if len(labels) < ROWS_PER_CELL * cells:
                continue
            purity = _purity(ours * (int(theirs.max()) + 1) + theirs, labels)
            if purity >= CONSTANT_SHARE:
                yield _joint_code(first.name, second.name, label, purity, table)


def _purity(codes: NDArray[np.int64], labels: NDArray[np.int32]) -> float:
    """Return the share of rows with the commonest label of their code."""
    size = int(labels.max()) + 1
    counts = np.bincount(codes * size + labels, minlength=(int(codes.max()) + 1) * size)
    return float(counts.reshape(-1, size).max(axis=1).sum() / len(labels))


def _joint_code(
    first: str, second: str, label: Classes, purity: float, table: AuditTable
) -> Finding:
    return Finding(
        check="joint-code",
        severity=_severity(table),
        columns=(first, second),
        evidence=f"each pair of their values occurs with one {label.name!r} ({100 * purity:.2f} % "
        "of rows), and neither alone predicts it",
        meaning="the label was split over two columns",
        advice="remove one of them, and find out how they were made",
        numbers={"purity": purity},
    )


def _severity(table: AuditTable) -> Severity:
    return "leak" if len(table) >= LEAST_LEAK_ROWS else "warning"
