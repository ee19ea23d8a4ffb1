"""Run the audit: every check on the tables given, and one report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from idskit.audit.audit_report import AuditReport
from idskit.audit.audited_table import AuditTable
from idskit.audit.checks.column_leaks import capture_constants, constants, identifiers, label_codes
from idskit.audit.checks.column_pairs import joint_labels
from idskit.audit.checks.leak_probe import linear_labels
from idskit.audit.checks.permuted_labels import PermutedRun, not_at_chance, permuted_run
from idskit.audit.checks.repository_probe import repositories_told
from idskit.audit.checks.split_leaks import absent_classes, across_split, label_conflicts, repeats
from idskit.audit.gather_tables import MOST_ROWS, ReadOptions, dataset_tables, read_tables
from idskit.data.dataset import Labels, Protocol
from idskit.data.datasets import OFFERS, load
from idskit.errors import DataError, GateRefused
from idskit.report.finding import SEVERITIES, Finding


def audit_tables(
    tables: Sequence[Path],
    *,
    test: Sequence[Path] = (),
    labels: Sequence[str] = (),
    permute: bool = False,
    most_rows: int = MOST_ROWS,
    seed: int = 0,
) -> AuditReport:
    """Find leaks and faults in labelled tables.

    Args:
        tables: CSV (plain or gzip) or Parquet. Tables with the same columns are stacked, one
            capture each; with other columns and equally many rows they are put side by side.
        test: the test rows, in the same columns.
        labels: label columns; found by their usual names if none are given.
        permute: also train a probe on permuted labels.
        most_rows: rows of a table whose columns are looked at, drawn at random.
        seed: of every draw.

    Raises:
        DataError: tables that cannot be read or do not fit together, or without a label.
    """
    _require_files(tables)
    options = ReadOptions(labels=tuple(labels), most_rows=most_rows, seed=seed)
    train = read_tables(list(tables), options)
    judged = None
    if test:
        options = ReadOptions(labels=_names(train), most_rows=most_rows, seed=seed)
        judged = read_tables(list(test), options, train)
        _require_same_columns(train, judged)
    return _report(train, judged, permute=permute, seed=seed)


def audit_dataset(
    dataset: str,
    data: Path | Sequence[Path],
    *,
    protocol: str | None = None,
    labels: str = "binary",
    permute: bool = False,
    most_rows: int = MOST_ROWS,
    seed: int = 0,
) -> AuditReport:
    """Audit a data set known by name, as a protocol divides it (default: its first protocol).

    Raises:
        DataError: an unknown name, or files that cannot be used.
    """
    if dataset not in OFFERS:
        raise DataError(f"{dataset} is no data set by name: there are {', '.join(OFFERS)}")
    protocol = protocol or OFFERS[dataset].protocols[0]
    loaded = load(
        dataset, data, protocol=cast("Protocol", protocol), labels=cast("Labels", labels), seed=seed
    )
    train, test = dataset_tables(loaded, ReadOptions(most_rows=most_rows, seed=seed))
    told = tuple(repositories_told(loaded, seed))
    return _report(train, test, permute=permute, seed=seed, notes=loaded.notes, more=told)


def require_clean(report: AuditReport) -> None:
    """Refuse a report with a leak.

    Raises:
        GateRefused: there is a leak.
    """
    leaks = [finding for finding in report.findings if finding.severity == "leak"]
    if leaks:
        kinds = ", ".join(dict.fromkeys(finding.check for finding in leaks))
        raise GateRefused(
            f"{len(leaks)} leak{'s' * (len(leaks) > 1)} found in {report.train} ({kinds}): results "
            "on this table mean nothing until they are removed"
        )


def _report(
    train: AuditTable,
    test: AuditTable | None,
    *,
    permute: bool,
    seed: int,
    notes: tuple[str, ...] = (),
    more: tuple[Finding, ...] = (),
) -> AuditReport:
    run = permuted_run(train, test, seed) if permute else None
    findings = [*_findings(train, test, run, seed), *more]
    found = sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
    return AuditReport(
        train=train.name,
        rows=len(train),
        rows_looked_at=len(train.sample),
        columns=len(train.columns),
        labels=_names(train),
        test=None if test is None else test.name,
        test_rows=None if test is None else len(test),
        seed=seed,
        findings=tuple(found),
        permuted=run,
        notes=(*notes, *train.notes, *(() if test is None else test.notes)),
    )


def _findings(
    train: AuditTable, test: AuditTable | None, run: PermutedRun | None, seed: int
) -> Iterator[Finding]:
    yield from linear_labels(train, seed)
    yield from joint_labels(train, seed)
    yield from label_codes(train)
    yield from identifiers(train)
    yield from capture_constants(train)
    yield from constants(train)
    if test is not None:
        yield from across_split(train, test, seed)
        yield from absent_classes(train, test)
        yield from label_conflicts(test)
    yield from label_conflicts(train)
    yield from repeats(train, test, seed)
    if run is not None and not run.at_chance:
        yield not_at_chance(run)


def _require_files(tables: Sequence[Path]) -> None:
    for path in tables:
        if str(path) in OFFERS and not path.exists():
            raise DataError(f"{path} is a data set by name: name its folder with --data")


def _names(table: AuditTable) -> tuple[str, ...]:
    return tuple(label.name for label in table.labels)


def _require_same_columns(train: AuditTable, test: AuditTable) -> None:
    ours, theirs = ({column.name for column in table.columns} for table in (train, test))
    if ours != theirs:
        differing = ", ".join(sorted(ours ^ theirs)[:6])
        raise DataError(
            f"{train.name} and the test table {test.name} do not have the same columns "
            f"({differing}): give tables of one format"
        )
