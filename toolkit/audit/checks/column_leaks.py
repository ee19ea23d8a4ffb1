"""Check single columns: row numbers, identifiers, constants, codes of the label."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from idskit.audit.audited_table import AuditTable, Classes, Column
from idskit.audit.identity import (
    counter_dispersion,
    identity_of_name,
    identity_of_values,
    repeats_missing,
)
from idskit.report.finding import Finding, Severity, listed

# Share of rows at the commonest value of their class. A few short windows at the end of a capture
# must not hide that CICIoT2023's Number was set by class (.9989 in both public samples).
CONSTANT_SHARE = 0.995
VARIED_SHARE = 0.95  # share of all rows at one value; above it, a column is nearly constant anyway
LEAST_LEAK_ROWS = 200  # with fewer rows, a column without exceptions may be a strong feature
LEAST_CODED = 5  # with fewer rows of a value, its one label may be chance
LEAST_CLASS = 20  # with fewer rows, a class or capture shows nothing about constants
# Kappa of neighbours' labels in the order of a column: 0 is chance, 1 determines the label.
LEAK_KAPPA = 0.1
# Along a time, labels come and go; along a measurement, each class has its range, or they mix.
FINE_SHARE, RUNS_PER_CLASS, IN_RUNS = 0.9, 3, 0.8
HIGH_CARDINALITY = 0.5  # distinct texts per row
SCALE_ROWS = 5_000
MOST_CROSSED = 20_000_000  # cells of a table of classes and values
PORTS = ("srcport", "sourceport", "dstport", "destinationport", "sport", "dport")


def identifiers(table: AuditTable) -> Iterator[Finding]:
    """Find row numbers, addresses, times and other columns that identify rows."""
    for column in (*table.columns, *table.indexes):
        finding = (
            _row_index(column, table)
            or _named(column, table)
            or _texts(column, table)
            or _counter(column, table)
            or _ordered(column, table)
            or _label_runs(column, table)
        )
        if finding:
            yield finding


def constants(table: AuditTable) -> Iterator[Finding]:
    """Find columns of one value."""
    names = tuple(column.name for column in table.columns if column.distinct <= 1)
    if names:
        yield Finding(
            check="constant",
            severity="note",
            columns=names,
            evidence=f"{len(names)} of {len(table.columns)} columns hold at most one value",
            meaning="they carry no information",
            advice="omit them",
            numbers={"columns": len(names)},
        )


def capture_constants(table: AuditTable) -> Iterator[Finding]:
    """Find columns that were set by class or by capture, and columns that carry their value."""
    kinds = (*table.labels, *([table.captures] if table.captures else []))
    found: list[Column] = []
    for column in table.columns:
        for kind in kinds:
            finding = _constant_within(column, kind, table)
            if finding:
                yield finding
                found.append(column)
                break
    for column in found:
        if not column.texts:
            yield from _scaled(column, table)


def label_codes(table: AuditTable) -> Iterator[Finding]:
    """Find columns whose values occur with one label each, and not because of an order."""
    for column in table.columns:
        for label in table.labels:
            finding = _code(column, label, table)
            if finding:
                yield finding
                break


def neighbour_kappa(values: NDArray[np.float64], labels: NDArray[np.int32]) -> float:
    """Return how far rows that are neighbours in the order of ``values`` share their label.

    It is Cohen's kappa of the labels of neighbours: 0 where the column is independent of the label,
    1 where it determines it. Rows of equal value are in random order.
    """
    shuffled = np.random.default_rng(0).permutation(len(values))
    ordered = labels[shuffled][np.argsort(values[shuffled], kind="stable")]
    agreement = float((ordered[1:] == ordered[:-1]).mean())
    chance = float(((np.bincount(labels) / len(labels)) ** 2).sum())
    return (agreement - chance) / (1 - chance) if chance < 1 else 0.0


def _row_index(column: Column, table: AuditTable) -> Finding | None:
    if column.texts:
        return None
    expected = repeats_missing(column.values)
    where = "in row order" if _is_monotone(column.values) else "in another order than the rows"
    if not expected:
        expected, where = _index_of_captures(column, table), "counted anew in every file"
    if not expected:
        return None
    kappa = _kappa(column, table)
    return Finding(
        check="row-index",
        severity=_severity(kappa),
        columns=(column.name,),
        evidence=f"{len(column.values):,} values without a repeat, where chance would have made "
        f"{expected:,.0f} ({where}); {_kappa_words(kappa)}",
        meaning="a row number or its affine image: it reveals the position of a row in the table, "
        "and so whatever the table is sorted by",
        advice="remove the column",
        numbers={"expected_repeats": expected, "label_kappa": kappa},
    )


def _index_of_captures(column: Column, table: AuditTable) -> float:
    """Return the repeats missing if every capture is numbered on its own; 0 if one is not."""
    if table.captures is None:
        return 0.0
    codes = table.captures.codes[table.sample]
    expected = [repeats_missing(column.values[codes == code]) for code in np.unique(codes)]
    return sum(expected) if all(expected) else 0.0


def _named(column: Column, table: AuditTable) -> Finding | None:
    what = identity_of_name(column.name) or identity_of_values(column.values, column.texts)
    if not what:
        return _port(column, table)
    kappa = _kappa(column, table)
    return Finding(
        check="identifier",
        severity=_severity(kappa),
        columns=(column.name,),
        evidence=f"{what}: {column.distinct:,} values in {len(column.values):,} rows; "
        f"{_kappa_words(kappa)}",
        meaning="it identifies the host, flow or time of a row, which holds in this capture only",
        advice="remove the column; use it to split by host or time",
        numbers={"distinct": column.distinct, "label_kappa": kappa},
    )


def _port(column: Column, table: AuditTable) -> Finding | None:
    if column.name.lower().replace(" ", "").replace("_", "") not in PORTS:
        return None
    kappa = _kappa(column, table)
    return Finding(
        check="port",
        severity="note",
        columns=(column.name,),
        evidence=f"{column.distinct:,} ports; {_kappa_words(kappa)}",
        meaning="attack scripts use few ports, so a port may stand for the script alone",
        advice="compare results without it",
        numbers={"distinct": column.distinct, "label_kappa": kappa},
    )


def _texts(column: Column, table: AuditTable) -> Finding | None:
    share = len(column.texts) / len(column.values)
    if share < HIGH_CARDINALITY:
        return None
    kappa = _kappa(column, table)
    return Finding(
        check="identifier",
        severity=_severity(kappa),
        columns=(column.name,),
        evidence=f"{len(column.texts):,} texts in {len(column.values):,} rows; "
        f"{_kappa_words(kappa)}",
        meaning="almost every row has its own text, which no other table repeats",
        advice="remove the column, or derive from it what describes the traffic",
        numbers={"distinct": len(column.texts), "label_kappa": kappa},
    )


def _counter(column: Column, table: AuditTable) -> Finding | None:
    dispersion = None if column.texts else counter_dispersion(column.values)
    if dispersion is None:
        return None
    kappa = _kappa(column, table)
    each = len(column.values) / column.distinct
    return Finding(
        check="row-index",
        severity=_severity(kappa),
        columns=(column.name,),
        evidence=f"{column.distinct:,} values, and each occurs in about {each:.3g} rows, more "
        f"evenly than chance (variance over mean {dispersion:.3f}); {_kappa_words(kappa)}",
        meaning="a counter of blocks of rows: it reveals the position of a row in the table",
        advice="remove the column",
        numbers={"dispersion": dispersion, "label_kappa": kappa},
    )


def _label_runs(column: Column, table: AuditTable) -> Finding | None:
    """Find labels in long runs along a column that is finer than its rows: a time."""
    if column.texts or column.distinct < FINE_SHARE * len(column.values):
        return None
    order = np.argsort(column.values, kind="stable")
    for label in table.labels:
        codes = label.codes[table.sample][order]
        lengths = np.diff(np.flatnonzero(np.diff(codes, prepend=-1, append=-1)))
        long = lengths[lengths >= LEAST_CLASS]
        classes = len(np.unique(codes))
        if len(long) >= RUNS_PER_CLASS * classes and long.sum() >= IN_RUNS * len(codes):
            return Finding(
                check="row-order",
                severity="leak",
                columns=(column.name,),
                evidence=f"in its order {100 * long.sum() / len(codes):.1f} % of rows are in "
                f"{len(long)} runs of {LEAST_CLASS} rows or more of one {label.name!r}; there are "
                f"{classes} of these",
                meaning="a time or a place in the capture: attacks come one after the other along "
                "it, and a measurement of traffic would not rise and fall with them",
                advice="remove it; split by it instead of at random",
                numbers={"runs": len(long), "share": float(long.sum() / len(codes))},
            )
    return None


def _ordered(column: Column, table: AuditTable) -> Finding | None:
    if column.texts or column.distinct < LEAST_CLASS or not _is_monotone(column.values):
        return None
    kappa = _kappa(column, table)
    return Finding(
        check="row-order",
        severity="warning",
        columns=(column.name,),
        evidence=f"{column.distinct:,} values, and none goes back from one row to the next; "
        f"{_kappa_words(kappa)}",
        meaning="a time or another column that the table is sorted by: it reveals a row's position",
        advice="remove it if it is a time; split by it instead of at random",
        numbers={"distinct": column.distinct, "label_kappa": kappa},
    )


def _is_monotone(values: NDArray[np.float64]) -> bool:
    if not np.isfinite(values).all():
        return False
    steps = np.diff(values)
    return bool((steps >= 0).all() or (steps <= 0).all())


def _kappa(column: Column, table: AuditTable) -> float:
    """Return the largest kappa of the label columns."""
    values = np.nan_to_num(column.values, nan=-1.0)
    return max(neighbour_kappa(values, label.codes[table.sample]) for label in table.labels)


def _kappa_words(kappa: float) -> str:
    return f"neighbours in its order share their label with kappa {kappa:.2f} (0 is chance)"


def _severity(kappa: float) -> Severity:
    return "leak" if kappa >= LEAK_KAPPA else "warning"


def _constant_within(column: Column, kind: Classes, table: AuditTable) -> Finding | None:
    """Find a column that is (nearly) constant in each class of ``kind``, but not over all."""
    counts = _crossed(column, kind.codes[table.sample])
    counts = counts[counts.sum(axis=1) >= LEAST_CLASS]
    rows = counts.sum()
    if len(counts) < 2 or column.distinct < 2 or not rows:
        return None
    within, over = counts.max(axis=1).sum() / rows, counts.sum(axis=0).max() / rows
    constants = np.unique(counts.argmax(axis=1))
    if within < CONSTANT_SHARE or over > VARIED_SHARE or len(constants) < 2:
        return None
    return Finding(
        check="capture-constant",
        severity="leak" if len(table) >= LEAST_LEAK_ROWS else "warning",
        columns=(column.name,),
        evidence=f"{100 * within:.2f} % of rows are at the commonest value of their {kind.name!r}, "
        f"{100 * over:.1f} % at the commonest of all; {len(counts)} classes, {len(constants)} "
        f"constants: {_constants(column, constants)}",
        meaning="it was set by class or by capture and not by the traffic, or is another label",
        advice="remove it, and what is computed from it",
        numbers={"share_within": float(within), "share_over_all": float(over)},
    )


def _crossed(column: Column, codes: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return rows (classes, values) by class and value; empty for columns of too many values."""
    _, value = np.unique(column.values, return_inverse=True)
    classes, values = int(codes.max()) + 1, int(value.max()) + 1
    if values > len(codes) / 5 or classes * values > MOST_CROSSED:
        return np.zeros((1, 1), np.int64)
    pair = codes.astype(np.int64) * values + value
    return np.bincount(pair, minlength=classes * values).reshape(classes, values)


def _constants(column: Column, positions: NDArray[np.int64]) -> str:
    values = np.unique(column.values)[positions]
    names = [column.texts[int(v)] if column.texts else f"{v:g}" for v in values if not np.isnan(v)]
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")


def _scaled(constant: Column, table: AuditTable) -> Iterator[Finding]:
    """Find columns that are another one times ``constant``, or shares with ``constant`` below."""
    rows = slice(None, None, -(-len(constant.values) // SCALE_ROWS))
    scale = constant.values[rows]
    numeric = {c.name: c.values[rows] for c in table.columns if not c.texts and c.distinct > 2}
    numeric.pop(constant.name, None)
    products = [name for name in numeric if _is_product(name, scale, numeric)]
    shares = [name for name, values in numeric.items() if _are_shares(values, scale)]
    for names, how in (
        (products, "another column times it"),
        (shares, "a multiple of one over it"),
    ):
        if names:
            yield Finding(
                check="scales-with-constant",
                severity="warning",
                columns=tuple(names),
                evidence=f"in 99 % of rows {how} ({listed([constant.name])})",
                meaning=f"{constant.name} was set by capture, and can be read from these columns: "
                "from the size of counts and sums, and from the steps of shares",
                advice="divide counts and sums by it; treat what depends on fine steps with doubt",
                numbers={"columns": len(names)},
            )


def _is_product(
    name: str, scale: NDArray[np.float64], numeric: dict[str, NDArray[np.float64]]
) -> bool:
    values = numeric[name]
    used = np.isfinite(values) & (values != 0)
    if used.mean() < 0.05 or _share_of(np.abs(values[used]) <= 1) > 0.5:
        return False
    return any(
        _share_of(np.isclose(other[used] * scale[used], values[used], rtol=1e-4)) > 0.99
        for other_name, other in numeric.items()
        if other_name != name
    )


def _are_shares(values: NDArray[np.float64], scale: NDArray[np.float64]) -> bool:
    used = np.isfinite(values) & (values != np.round(values))
    if used.mean() < 0.05:
        return False
    other = np.random.default_rng(0).permutation(scale)  # coarse columns are multiples of any
    fitting, control = (_are_whole(values[used] * by[used]) for by in (scale, other))
    return fitting > 0.99 and control < 0.95


def _are_whole(values: NDArray[np.float64]) -> float:
    """Return the share of the values that are whole numbers."""
    return _share_of(np.abs(values - np.round(values)) < 1e-3)


def _share_of(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if mask.size else 0.0


def _code(column: Column, label: Classes, table: AuditTable) -> Finding | None:
    """Find values with one label each, in more runs than labels: names, not magnitudes."""
    counts = _crossed(column, label.codes[table.sample])
    counts = counts[counts.sum(axis=1) > 0]
    if len(counts) < 2 or (counts.sum(axis=0) != counts.max(axis=0)).any():
        return None
    common = counts[:, counts.sum(axis=0) >= LEAST_CODED]
    runs = 1 + int((np.diff(common.argmax(axis=0)) != 0).sum()) if common.size else 0
    covered = common.sum() / counts.sum()
    if covered < VARIED_SHARE or not (column.texts or runs > len(counts)):
        return None
    return Finding(
        check="label-code",
        severity="leak" if len(table) >= LEAST_LEAK_ROWS else "warning",
        columns=(column.name,),
        evidence=f"each of its {column.distinct} values occurs with one {label.name!r} only",
        meaning="a finer label, or the label in another spelling",
        advice=f"remove it, or name it with --label in addition to {label.name}",
        numbers={"values": column.distinct},
    )
