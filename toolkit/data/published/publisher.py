"""Published tables to a data set: what all publishers' files have in common.

A ``Publisher`` says how columns and labels are spelled and what labels mean; ``load`` finds the
files, agrees on their columns, reads them into one matrix and divides it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idskit.data.dataset import (
    OWN,
    Dataset,
    Labels,
    MoreRows,
    Part,
    Request,
    check_dataset,
    join,
)
from idskit.data.divide import first_occurrence, seen_in
from idskit.data.published.finite_rows import finite
from idskit.data.published.label_meanings import BENIGN, Meaning, column_key
from idskit.data.split_protocols import PAPER_NOTES, Parts, divide_honest, divide_paper
from idskit.errors import DataError
from idskit.schema import Feature, Schema
from idskit.schemas.catalog import schema_named
from idskit.tables.label_column import label_key
from idskit.tables.matrix import MISSING, Source, Table, read_tables, table_files, words_of
from idskit.tables.pieces import header_of

# Columns that say whose flow a row is, or where it stood in a file, and so give the capture away.
IDENTITY = frozenset(
    (
        *("", "unnamed: 0", "index", "row", "id", "flow id", "timestamp", "start us", "end us"),
        *("src ip", "source ip", "src port", "source port"),
        *("dst ip", "destination ip", "dst port", "destination port"),
    )
)
MOMENT = "timestamp"
UNTOLD = "left out, labels that do not tell the"  # begins the note on files that are not read


@dataclass(frozen=True, kw_only=True)
class Version:
    """A set of columns that a publisher gave out."""

    features: tuple[Feature, ...]
    # Profiles that compute them, and for each why which of them are not what the profile computes.
    profiles: Mapping[str, Mapping[str, tuple[str, ...]]]
    # By profile and column: what the profile has where the tables have NaN or infinity.
    undefined: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Publisher:
    """How a data set is spelled."""

    name: str
    versions: tuple[Version, ...]
    spellings: Mapping[str, str]  # column keys to feature names, where they differ
    label_columns: tuple[str, ...]  # keys, the finest first; all of them are no features
    classes: Mapping[Labels, tuple[str, ...]]  # by kind, the benign one first
    meanings: Mapping[str, Meaning]  # by label key
    notes: tuple[str, ...]  # what a reader of any number has to know
    profile_note: str  # of a model for packets, with the profile's name in it


@dataclass(frozen=True, kw_only=True)
class _File:
    """A table and what was recognised in it."""

    path: Path
    header: tuple[str, ...]
    version: Version
    places: Mapping[str, int]  # of features
    label: int | None
    label_text: str
    moment: int | None
    strange: tuple[str, ...]  # columns that are not the publisher's


def load(publisher: Publisher, data: Path, request: Request) -> Dataset:
    """Read the tables in ``data`` and divide their rows.

    Args:
        publisher: whose tables they are.
        data: a folder of tables, or one table: .csv, .csv.gz or .parquet.
        request: files whose labels do not tell the kind of classes asked for are left out, aloud.

    Raises:
        DataError: a file that cannot be read or is not the publisher's, or rows that cannot be
            trained on.
    """
    files, left_out = _files(publisher, data, request.labels)
    schema, notes = _schema(publisher, files, request.reading.schema)
    sources = [_source(file, schema, request.reading.schema) for file in files]
    table = read_requested(sources, request)
    return labelled_dataset(
        publisher.name,
        table,
        schema,
        [_meaning(publisher, name) for name in table.names],
        publisher.classes[request.labels],
        units=_units(table, [file.label is None for file in files]),
        request=request,
        notes=(*publisher.notes, *left_out, *notes),
    )


def load_more(
    publisher: Publisher, files: Sequence[Path], dataset: Dataset, request: Request
) -> MoreRows:
    """Read rows to train on beside those of ``dataset``, whose labels may be coarser than asked.

    A class is possible where a label of it says nothing that the row's own label contradicts: the
    attacks of a family, if that is all the row's label tells.

    Args:
        publisher: whose tables they are.
        files: tables of the version that ``dataset`` is of, or folders of them.
        dataset: divided already; rows that occur in it are left out.
        request: as it was loaded with.

    Raises:
        DataError: a file that cannot be read, is not the publisher's, or lacks a column; or no row
            that can be of a class of ``dataset``.
    """
    tables = [path for given in files for path in table_files(given)]
    found = [_recognise(publisher, path, header_of(path)) for path in tables]
    for file in found:
        _require_columns(file, dataset)
    sources = [_source(file, dataset.schema, request.reading.schema) for file in found]
    table = read_tables(sources, finite=True)
    told = [_meaning(publisher, name) for name in table.names]
    possible = np.array(
        [_possible(publisher, one, dataset.classes, request.labels) for one in told]
    )
    of_row = possible[table.labels]
    kept, note = _new_rows(table.rows, of_row, dataset)
    _, _, incomplete = finite(table, dataset.schema, removable=False)
    notes = (f"more rows to train on, of {', '.join(table.sha256)}: {note}", *incomplete)
    return MoreRows(rows=table.rows[kept], possible=of_row[kept], notes=notes)


def _require_columns(file: _File, dataset: Dataset) -> None:
    used = [dataset.schema.names[column] for column in np.flatnonzero(dataset.train.rows.any(0))]
    missing = [name for name in used if name not in file.places]
    if missing:
        raise DataError(
            f"{file.path} was given as more rows of {dataset.name}, but it lacks {len(missing)} of "
            f"the {len(used)} columns in use ({', '.join(missing[:5])}, ...): give a file of the "
            "same version"
        )


def _possible(
    publisher: Publisher, told: Meaning, classes: Sequence[str], labels: Labels
) -> list[bool]:
    """Which of ``classes`` a row may be of whose label tells that."""
    agreeing = [
        meaning.get(labels)
        for meaning in publisher.meanings.values()
        if all(meaning.get(kind, name) == name for kind, name in told.items())
    ]
    return [name in agreeing for name in classes]


def _new_rows(
    rows: NDArray[np.float32], possible: NDArray[np.bool_], dataset: Dataset
) -> tuple[NDArray[np.bool_], str]:
    """Which rows the data set has a class for and does not have itself, and what was left out."""
    own = join([dataset.train, dataset.validation, dataset.test])
    left_out = {
        "of classes that the data lack": ~possible.any(axis=1),
        "that the data have themselves": seen_in(rows, own.rows),
        "that repeat another": first_occurrence(rows) != np.arange(len(rows)),
    }
    kept = ~np.any(list(left_out.values()), axis=0)
    counts = ", ".join(f"{mask.sum():,} {why}" for why, mask in left_out.items())
    if not kept.any():
        raise DataError(
            f"more rows of {dataset.name} were given, but none of the {len(rows):,} is new "
            f"({counts}): leave them out, or give other files"
        )
    return kept, f"{kept.sum():,} rows; left out: {counts}"


def read_requested(sources: Sequence[Source], request: Request) -> Table:
    """Read ``sources`` as the request says."""
    reading = request.reading
    finite = reading.nonfinite == "rows"
    return read_tables(sources, finite=finite, most=reading.rows, seed=request.seed)


def _files(publisher: Publisher, data: Path, labels: Labels) -> tuple[list[_File], list[str]]:
    """The tables whose labels tell the classes of this kind."""
    files = [_recognise(publisher, path, header_of(path)) for path in table_files(data)]
    if labels == "binary":  # which every label tells
        return files, []
    told = [_kinds(publisher, file) for file in files]
    used = [file for file, kinds in zip(files, told, strict=True) if labels in kinds]
    if not used:
        kinds = ", ".join(k for k in publisher.classes if any(k in kinds for kinds in told))
        raise DataError(
            f"{labels} labels of {publisher.name} were asked for, but those in {data} only tell "
            f"{kinds}: ask for these, or give other files"
        )
    names = ", ".join(file.path.name for file in files if file not in used)
    return used, [f"{UNTOLD} {labels}: {names}"] if names else []


def _kinds(publisher: Publisher, file: _File) -> set[Labels]:
    """Kinds of classes that all labels of a file tell."""
    texts = [file.label_text]
    if file.label is not None:
        texts = words_of(file.path, file.header, file.label)
    meanings = (_meaning(publisher, text) for text in texts)
    return set.intersection(*map(set, meanings)) if texts else set()


def _recognise(publisher: Publisher, path: Path, header: tuple[str, ...]) -> _File:
    keys = [column_key(name) for name in header]
    label = next((keys.index(key) for key in publisher.label_columns if key in keys), None)
    text = "" if label is not None else _class_of_file(publisher, path, header)
    found = ((v, places_of(v.features, publisher.spellings, keys)) for v in publisher.versions)
    best, places = max(found, key=lambda version: len(version[1]))
    if not places:
        names = ", ".join(feature.name for feature in best.features[:3])
        raise DataError(
            f"{path} was given as a table of {publisher.name}, but it has none of its columns "
            f"({names}, ...): give the publisher's files, or train on it as a table of your own "
            "(idskit train table)"
        )
    known = {*IDENTITY, *publisher.label_columns}
    known |= {keys[place] for place in places.values()}
    return _File(
        path=path,
        header=header,
        version=best,
        places=places,
        label=label,
        label_text=text,
        moment=keys.index(MOMENT) if MOMENT in keys else None,
        strange=tuple(n for n, key in zip(header, keys, strict=True) if key not in known),
    )


def places_of(
    features: Sequence[Feature], spellings: Mapping[str, str], keys: Sequence[str]
) -> dict[str, int]:
    """Place of each feature among a file's columns; of a column that occurs twice, the first.

    Args:
        features: to find.
        spellings: column keys to feature names, where they differ.
        keys: of the file's columns.
    """
    names = {column_key(feature.name): feature.name for feature in features}
    places: dict[str, int] = {}
    for place, key in enumerate(keys):
        spelled = spellings.get(key)
        name = spelled if spelled in names.values() else names.get(key)
        if name is not None:
            places.setdefault(name, place)
    return places


def _class_of_file(publisher: Publisher, path: Path, header: tuple[str, ...]) -> str:
    """The class in the name of a file without labels: "DDoS-ICMP_Flood12.pcap.csv"."""
    stem = re.split(r"\.(?:pcap|csv|parquet)", path.name, flags=re.IGNORECASE)[0]
    name = re.sub(r"\d+$", "", stem)
    if label_key(name) in publisher.meanings:
        return name
    raise DataError(
        f"{path} has no label: none of its columns ({', '.join(header)}) is a label of "
        f"{publisher.name}, and its name {name!r} is no class: add a column {'Label'!r}, or name "
        "the file after its class"
    )


def _meaning(publisher: Publisher, text: str) -> Meaning:
    meaning = publisher.meanings.get(label_key(text))
    if meaning is None:
        known = sorted({m.get("attack", m.get("family", "")) for m in publisher.meanings.values()})
        raise DataError(
            f"label {text!r} is none of {publisher.name} ({', '.join(filter(None, known))}): "
            "correct it, or train on the file as a table of your own (idskit train table)"
        )
    return meaning


def _schema(publisher: Publisher, files: Sequence[_File], name: str) -> tuple[Schema, list[str]]:
    """Columns that all files have, or those of a profile, and what to know about them."""
    version = files[0].version
    for file in files:
        if file.version is not version:
            raise DataError(
                f"{files[0].path.name} and {file.path.name} are of two versions of "
                f"{publisher.name}, whose columns mean different things: give the files of one"
            )
    common = set.intersection(*(set(file.places) for file in files))
    if not common:
        raise DataError(f"the tables of {publisher.name} share no column: give fewer files")
    notes = _left_out(files, common)
    if name == OWN:
        present = tuple(feature for feature in version.features if feature.name in common)
        return Schema(name=publisher.name, features=present), notes
    schema, more = _profile_schema(publisher.name, version, name, common)
    return schema, [*notes, *more, publisher.profile_note.format(name)]


def _left_out(files: Sequence[_File], common: set[str]) -> list[str]:
    """Notes on columns that are not read."""
    some = {column for file in files for column in file.places} - common
    strange = {column for file in files for column in file.strange}
    reasons = {"that only some files have": some, "that are not the publisher's": strange}
    return [
        f"left out, columns {reason}: {', '.join(sorted(columns))}"
        for reason, columns in reasons.items()
        if columns
    ]


def _profile_schema(
    dataset: str, version: Version, name: str, columns: set[str]
) -> tuple[Schema, list[str]]:
    """The schema of a profile, and notes on which of its columns are left empty, and why.

    Raises:
        DataError: the profile does not compute the columns of this data set.
    """
    if name not in version.profiles:
        choices = ", ".join((OWN, *version.profiles))
        raise DataError(
            f"schema {name!r} was asked for, but the columns of {dataset} can only be those of "
            f"{choices}"
        )
    schema = schema_named(name)
    notes = [
        f"left out of {name}, {reason}: {', '.join(left)}"
        for reason, left in version.profiles[name].items()
    ]
    otherwise = {column for left in version.profiles[name].values() for column in left}
    absent = [n for n in schema.names if n not in columns and n not in otherwise]
    if absent:
        notes.append(f"left out of {name}, columns that the data do not have: {', '.join(absent)}")
    return schema, notes


def _source(file: _File, schema: Schema, profile: str) -> Source:
    reasons = {} if profile == OWN else file.version.profiles[profile]
    otherwise = {column for left in reasons.values() for column in left}
    undefined = file.version.undefined.get(profile, {})
    return Source(
        path=file.path,
        header=file.header,
        positions=tuple(
            None if name in otherwise else file.places.get(name) for name in schema.names
        ),
        label=file.label,
        label_text=file.label_text,
        moment=file.moment,
        undefined={schema.names.index(name): value for name, value in undefined.items()},
    )


def _units(table: Table, of_one_class: list[bool]) -> NDArray[np.int64]:
    """What was recorded together: rows of a minute, or of one of a class's files."""
    moments = table.moments.astype(np.int64)
    by_file = np.array(of_one_class)[table.files]
    return np.where(
        moments != MISSING,
        moments + len(of_one_class),
        np.where(by_file, table.files, -1),
    )


def labelled_dataset(
    name: str,
    table: Table,
    schema: Schema,
    meanings: Sequence[Meaning],
    classes: Sequence[str],
    *,
    units: NDArray[np.int64],
    request: Request,
    notes: Sequence[str],
) -> Dataset:
    """Give rows their classes and divide them.

    Args:
        name: of the data set.
        table: the rows, with the columns of ``schema``.
        schema: of the rows.
        meanings: of each of ``table.names``.
        classes: of this kind, the benign one first; those without rows are left out.
        units: (n,) what was recorded together, -1 where nobody knows.
        request: protocol, kind of the classes, seed.
        notes: on what came before.

    Raises:
        DataError: one class only, or a class of one row.
        SchemaError: NaN or infinity is left.
    """
    table, schema, found = finite(table, schema, removable=request.reading.schema == OWN)
    kept = _present(table, meanings, classes, request.labels)
    if len(kept) < 2 or BENIGN not in kept:
        raise _too_few(name, kept, table, notes)
    groups = tuple(sorted({_group(meaning) for meaning in meanings}))
    part = _part(table, meanings, kept, groups, request.labels)
    parts, divided = _divide(part, units, groups, request)
    return check_dataset(
        Dataset(
            name=name,
            protocol=request.protocol,
            schema=schema,
            classes=kept,
            groups=groups,
            train=parts[0],
            validation=parts[1],
            test=parts[2],
            notes=(*notes, *found, *divided),
            sha256=table.sha256,
        )
    )


def _present(
    table: Table, meanings: Sequence[Meaning], classes: Sequence[str], labels: Labels
) -> tuple[str, ...]:
    """The classes that have rows."""
    seen = {meanings[code][labels] for code in np.unique(table.labels)}
    return tuple(kind for kind in classes if kind in seen)


def _too_few(name: str, kept: Sequence[str], table: Table, notes: Sequence[str]) -> DataError:
    """The error of rows without the benign class, or without another."""
    found = f"only rows of class {kept[0]}" if len(kept) == 1 else f"no {BENIGN} rows"
    files = ", ".join(list(table.sha256)[:3]) + (", ..." if len(table.sha256) > 3 else "")
    unused = "".join(f"; {note}" for note in notes if note.startswith(UNTOLD))
    return DataError(
        f"{name} has {found} ({len(table.rows)} rows of {files}{unused}): benign rows and rows of "
        "at least one attack are needed"
    )


def _part(
    table: Table,
    meanings: Sequence[Meaning],
    classes: tuple[str, ...],
    groups: tuple[str, ...],
    labels: Labels,
) -> Part:
    """All rows, each with the class and the group that its label means."""
    class_of = {name: code for code, name in enumerate(classes)}
    codes = np.array([class_of.get(meaning[labels], -1) for meaning in meanings])
    named = np.array([groups.index(_group(meaning)) for meaning in meanings])
    return Part(
        rows=table.rows,
        labels=codes[table.labels],
        weights=np.ones(len(table.rows), np.float32),
        groups=named[table.labels],
    )


def _divide(
    part: Part, units: NDArray[np.int64], groups: tuple[str, ...], request: Request
) -> tuple[Parts, Sequence[str]]:
    if request.protocol == "paper":
        return divide_paper(part, request.seed), PAPER_NOTES
    return divide_honest(part, units, groups, request.seed)


def _group(meaning: Meaning) -> str:
    """The finest that a label tells."""
    kinds: tuple[Labels, ...] = ("attack", "family10", "family", "binary")
    return next(meaning[kind] for kind in kinds if kind in meaning)
