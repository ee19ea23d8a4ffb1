"""A user's CSV or Parquet table with a label column to a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from idskit.data.dataset import OWN, Dataset, Reading, Request
from idskit.data.published.label_meanings import ATTACK, BENIGN, Meaning, column_key
from idskit.data.published.labelled_rows import labelled_dataset, read_requested
from idskit.data.published.publisher import IDENTITY
from idskit.errors import DataError
from idskit.schema import Feature, Schema
from idskit.schemas.catalog import schema_named
from idskit.tables.column_kinds import Kinds, kinds_of, too_various
from idskit.tables.label_column import benign_labels, label_column, label_columns
from idskit.tables.matrix import Source, Table, table_files
from idskit.tables.pieces import header_of

NAME = "table"


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """Which columns of the tables are read."""

    names: tuple[str, ...]
    texts: frozenset[str]
    label: str
    notes: tuple[str, ...]  # on the others


def load(data: Path, request: Request) -> Dataset:
    """Read the table, or the tables of one header, in ``data`` and divide their rows.

    Columns of text become categories; columns that say whose flow a row is, other label columns and
    those without a value are left out, by name.

    Args:
        data: a table, or a folder of tables.
        request: labels ``attack`` make every label a class; a schema other than own takes the
            columns of that profile, by name.

    Raises:
        DataError: no label column (those found are named), no benign label, or data that cannot be
            read or trained on.
    """
    paths = table_files(data)
    headers = [header_of(path) for path in paths]
    choice = _choice(paths, headers, request.reading)
    sources = [_source(path, header, choice) for path, header in zip(paths, headers, strict=True)]
    table = read_requested(sources, request)
    schema = _schema(paths[0], table, choice, request.reading.schema)
    to_codes(table, schema)
    benign = _benign(paths[0], table, choice.label, request.reading)
    meanings = [_meaning(text, benign) for text in table.names]
    attacks = sorted({m["attack"] for m in meanings if m["attack"] != BENIGN})
    return labelled_dataset(
        NAME,
        table,
        schema,
        meanings,
        (BENIGN, *attacks) if request.labels == "attack" else (BENIGN, ATTACK),
        units=np.full(len(table.rows), -1, np.int64),
        request=request,
        notes=[*choice.notes, *(f"label {text!r} is taken for benign" for text in sorted(benign))],
    )


def _choice(paths: Sequence[Path], headers: Sequence[tuple[str, ...]], reading: Reading) -> _Choice:
    """Choose the label and the columns to read."""
    label = label_column(paths[0], headers[0], reading.label_column)
    _require_unique(paths[0], headers[0])
    kinds = kinds_of(paths, headers)
    if not kinds.rows:
        raise DataError(f"{paths[0]} holds no labelled row: a table with rows is needed")
    if reading.schema != OWN:
        names = _profile_columns(paths[0], headers[0], reading.schema)
        return _Choice(names=names, texts=kinds.texts, label=label, notes=())
    left = _left_out(headers[0], label, kinds)
    names = tuple(n for n in headers[0] if n != label and n not in {*chain(*left.values())})
    notes = [f"left out, {why}: {_spelled(columns)}" for why, columns in left.items() if columns]
    if not names:
        raise DataError(
            f"{paths[0]} has no column other than its label that can be learned from"
            + "".join(f"; {note}" for note in notes)
        )
    return _Choice(names=names, texts=kinds.texts, label=label, notes=tuple(notes))


def _left_out(header: Sequence[str], label: str, kinds: Kinds) -> dict[str, list[str]]:
    """Return the columns that are no features, by reason."""
    reasons = {
        "columns that identify a flow, or number the rows": {
            *(name for name in header if column_key(name) in IDENTITY),
            *kinds.indexes,
        },
        "other label columns": set(label_columns(header)),
        "columns without a value": set(kinds.empty),
        "columns of text of which nearly every row has its own": set(kinds.various),
    }
    taken = {label}
    found = {}
    for why, names in reasons.items():
        found[why] = [name for name in header if name in names - taken]
        taken |= names
    return found


def _spelled(names: Sequence[str]) -> str:
    return ", ".join(name or "(no name)" for name in names)


def _profile_columns(path: Path, header: Sequence[str], profile: str) -> tuple[str, ...]:
    names = schema_named(profile).names
    missing = [name for name in names if name not in header]
    if missing:
        raise DataError(
            f"{path} lacks {len(missing)} of the {len(names)} columns of schema "
            f"{profile} ({', '.join(missing[:5])}, ...): it has {', '.join(header[:10])}, ..."
        )
    return names


def _require_unique(path: Path, header: Sequence[str]) -> None:
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise DataError(
            f"{path} has more than one column {', '.join(map(repr, repeated))}: rename or remove "
            "the others"
        )


def _source(path: Path, header: tuple[str, ...], choice: _Choice) -> Source:
    _require_unique(path, header)
    missing = [name for name in (choice.label, *choice.names) if name not in header]
    if missing:
        raise DataError(
            f"{path} lacks the column {missing[0]!r} that the other tables have: tables of one "
            f"folder need the same columns, it has {', '.join(map(repr, header))}"
        )
    return Source(
        path=path,
        header=header,
        positions=tuple(header.index(name) for name in choice.names),
        texts=frozenset(c for c, name in enumerate(choice.names) if name in choice.texts),
        label=header.index(choice.label),
    )


def _schema(path: Path, table: Table, choice: _Choice, profile: str) -> Schema:
    """Return the profile's schema, or one whose text columns have the categories seen, sorted."""
    if profile != OWN:
        return schema_named(profile)
    for column, texts in table.texts.items():
        if too_various(len(texts), table.seen):
            raise DataError(
                f"{path}, column {choice.names[column]!r} holds {len(texts):,} different texts in "
                f"{table.seen:,} rows, which are no categories: remove the column"
            )
    features = (
        Feature(
            name=name,
            unit="category" if column in table.texts else "1",
            categories=tuple(sorted(table.texts.get(column, ()))),
        )
        for column, name in enumerate(choice.names)
    )
    return Schema(name=NAME, features=tuple(features))


def to_codes(table: Table, schema: Schema) -> None:
    """Put the codes of the categories of ``schema`` in place of texts, -1 for one it lacks."""
    for column, texts in table.texts.items():
        code_of = {text: code for code, text in enumerate(schema.features[column].categories)}
        lookup = np.array([*(code_of.get(text, -1) for text in texts), -1], np.float32)
        table.rows[:, column] = lookup[table.rows[:, column].astype(np.int64)]


def _benign(path: Path, table: Table, label: str, reading: Reading) -> frozenset[str]:
    counts: Mapping[str, int] = dict(
        zip(
            table.names,
            np.bincount(table.labels, minlength=len(table.names)).tolist(),
            strict=True,
        )
    )
    return benign_labels(str(path), label, counts, reading.benign_labels)


def _meaning(text: str, benign: frozenset[str]) -> Meaning:
    is_benign = text in benign
    return {"binary": BENIGN if is_benign else ATTACK, "attack": BENIGN if is_benign else text}
