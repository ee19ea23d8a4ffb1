"""Any CSV or Parquet table with a label column to a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from idskit.data.parts import OWN, Dataset, Reading, Request
from idskit.data.publisher import (
    ATTACK,
    BENIGN,
    IDENTITY,
    Meaning,
    column_key,
    label_key,
    labelled_dataset,
    read_requested,
)
from idskit.data.tables import Peek, Source, Table, is_number, peek, table_files
from idskit.errors import DataError
from idskit.flows.profiles import schema_named
from idskit.schema import Feature, Schema

NAME = "table"
BENIGN_LABELS = ("benign", "benigntraffic", "normal", "0")


def load(data: Path, request: Request) -> Dataset:
    """Read the table, or the tables of one header, in ``data`` and divide their rows.

    Columns of text become categories; columns that say whose flow a row is are left out, by name.

    Args:
        data: a table, or a folder of tables.
        request: labels ``attack`` make every label a class; a schema other than own takes the
            columns of that profile, by name.

    Raises:
        DataError: no label column (those found are named), no benign label, or data that cannot be
            read or trained on.
    """
    paths = table_files(data)
    looks = [peek(path) for path in paths]
    names, notes = _columns(paths[0], looks[0], request.reading)
    texts = _text_columns(looks, names)
    sources = [
        _source(path, look, names, texts, request.reading.label_column)
        for path, look in zip(paths, looks, strict=True)
    ]
    table = read_requested(sources, request)
    schema = _schema(table, names, request.reading.schema)
    to_codes(table, schema)
    meanings = [_meaning(text) for text in table.names]
    attacks = sorted({m["attack"] for m in meanings if m["attack"] != BENIGN})
    return labelled_dataset(
        NAME,
        table,
        schema,
        meanings,
        (BENIGN, *attacks) if request.labels == "attack" else (BENIGN, ATTACK),
        units=np.full(len(table.rows), -1, np.int64),
        request=request,
        notes=[*notes, *_benign_note(table)],
    )


def _columns(path: Path, look: Peek, reading: Reading) -> tuple[tuple[str, ...], list[str]]:
    """Names of the columns to read."""
    if reading.schema != OWN:
        names = schema_named(reading.schema).names
        missing = [name for name in names if name not in look.header]
        if missing:
            raise DataError(
                f"{path} lacks {len(missing)} of the {len(names)} columns of schema "
                f"{reading.schema} ({', '.join(missing[:5])}, ...): it has "
                f"{', '.join(look.header[:10])}, ..."
            )
        return names, []
    features = [name for name in look.header if name != reading.label_column]
    kept = tuple(name for name in features if column_key(name) not in IDENTITY)
    left = [name or "(no name)" for name in features if name not in kept]
    if not kept:
        raise DataError(f"{path} has no column beside its label that can be learned from")
    return kept, [f"left out, columns that identify a flow: {', '.join(left)}"] if left else []


def _text_columns(looks: Sequence[Peek], names: Sequence[str]) -> frozenset[int]:
    """Columns whose first value is text in some file."""
    found = set()
    for look in looks:
        for column, name in enumerate(names):
            values = look.values(look.header.index(name)) if name in look.header else []
            if values and not is_number(values[0]):
                found.add(column)
    return frozenset(found)


def _source(
    path: Path, look: Peek, names: Sequence[str], texts: frozenset[int], label: str
) -> Source:
    found = ", ".join(repr(name) for name in look.header)
    if label not in look.header:
        raise DataError(
            f"label column {label!r} was asked for, but {path} has the columns {found}: name the "
            "one that holds the classes with --label-column"
        )
    repeated = sorted({name for name in look.header if look.header.count(name) > 1})
    if repeated:
        raise DataError(
            f"{path} has more than one column {', '.join(map(repr, repeated))}: rename or remove "
            "the others"
        )
    missing = [name for name in names if name not in look.header]
    if missing:
        raise DataError(
            f"{path} lacks the column {missing[0]!r} that the other tables have: tables of one "
            f"folder need the same columns, it has {found}"
        )
    return Source(
        path=path,
        header=look.header,
        positions=tuple(look.header.index(name) for name in names),
        texts=texts,
        label=look.header.index(label),
    )


def _schema(table: Table, names: Sequence[str], profile: str) -> Schema:
    """That of the profile, or one whose text columns have the categories seen, sorted."""
    if profile != OWN:
        return schema_named(profile)
    features = (
        Feature(
            name=name,
            unit="category" if column in table.texts else "1",
            categories=tuple(sorted(table.texts.get(column, ()))),
        )
        for column, name in enumerate(names)
    )
    return Schema(name=NAME, features=tuple(features))


def to_codes(table: Table, schema: Schema) -> None:
    """Put the codes of the categories of ``schema`` in place of texts, -1 for one it lacks."""
    for column, texts in table.texts.items():
        code_of = {text: code for code, text in enumerate(schema.features[column].categories)}
        lookup = np.array([*(code_of.get(text, -1) for text in texts), -1], np.float32)
        table.rows[:, column] = lookup[table.rows[:, column].astype(np.int64)]


def _meaning(text: str) -> Meaning:
    benign = label_key(text) in BENIGN_LABELS
    return {"binary": BENIGN if benign else ATTACK, "attack": BENIGN if benign else text}


def _benign_note(table: Table) -> list[str]:
    benign = [text for text in table.names if label_key(text) in BENIGN_LABELS]
    return [f"label {text!r} is taken for benign" for text in benign]
