"""The files of a publisher: their version, columns, label, and the schema that they share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from idskit.data.dataset import OWN, Labels
from idskit.data.published.label_meanings import column_key
from idskit.data.published.labelled_rows import UNSTATED
from idskit.data.published.publisher import IDENTITY, Publisher, Version, meaning_of, positions_of
from idskit.errors import DataError
from idskit.schema import Schema
from idskit.schemas.catalog import schema_named
from idskit.tables.label_column import label_key
from idskit.tables.matrix import Source, table_files, words_of
from idskit.tables.pieces import header_of

MOMENT = "timestamp"


@dataclass(frozen=True, kw_only=True)
class RecognisedFile:
    """A table whose columns and label are those of a publisher."""

    path: Path
    header: tuple[str, ...]
    version: Version
    positions: Mapping[str, int]  # of features
    label: int | None
    label_text: str
    moment: int | None
    unknown: tuple[str, ...]  # columns that are not the publisher's


def files_stating(
    publisher: Publisher, data: Path, labels: Labels
) -> tuple[list[RecognisedFile], list[str]]:
    """Return the tables whose labels state the classes of this kind, and notes on the others."""
    files = [recognise(publisher, path, header_of(path)) for path in table_files(data)]
    if labels == "binary":  # which every label states
        return files, []
    stated = [_kinds(publisher, file) for file in files]
    used = [file for file, kinds in zip(files, stated, strict=True) if labels in kinds]
    if not used:
        kinds = ", ".join(k for k in publisher.classes if any(k in kinds for kinds in stated))
        raise DataError(
            f"{labels} labels of {publisher.name} were asked for, but those in {data} only state "
            f"{kinds}: ask for these, or give other files"
        )
    names = ", ".join(file.path.name for file in files if file not in used)
    return used, [f"{UNSTATED} {labels}: {names}"] if names else []


def _kinds(publisher: Publisher, file: RecognisedFile) -> set[Labels]:
    """Return the kinds of classes that all labels of a file state."""
    texts = [file.label_text]
    if file.label is not None:
        texts = words_of(file.path, file.header, file.label)
    meanings = (meaning_of(publisher, text) for text in texts)
    return set.intersection(*map(set, meanings)) if texts else set()


def recognise(publisher: Publisher, path: Path, header: tuple[str, ...]) -> RecognisedFile:
    """Return what a table of the publisher has.

    Raises:
        DataError: it has none of the publisher's columns, or no label.
    """
    keys = [column_key(name) for name in header]
    label = next((keys.index(key) for key in publisher.label_columns if key in keys), None)
    text = "" if label is not None else _class_of_file(publisher, path, header)
    found = ((v, positions_of(v.features, publisher.spellings, keys)) for v in publisher.versions)
    best, positions = max(found, key=lambda version: len(version[1]))
    if not positions:
        names = ", ".join(feature.name for feature in best.features[:3])
        raise DataError(
            f"{path} was given as a table of {publisher.name}, but it has none of its columns "
            f"({names}, ...): give the publisher's files, or train on it as a table of your own "
            "(idskit train table)"
        )
    known = {*IDENTITY, *publisher.label_columns}
    known |= {keys[position] for position in positions.values()}
    return RecognisedFile(
        path=path,
        header=header,
        version=best,
        positions=positions,
        label=label,
        label_text=text,
        moment=keys.index(MOMENT) if MOMENT in keys else None,
        unknown=tuple(n for n, key in zip(header, keys, strict=True) if key not in known),
    )


def _class_of_file(publisher: Publisher, path: Path, header: tuple[str, ...]) -> str:
    """Return the class in the name of a file without labels: "DDoS-ICMP_Flood12.pcap.csv"."""
    stem = re.split(r"\.(?:pcap|csv|parquet)", path.name, flags=re.IGNORECASE)[0]
    name = re.sub(r"\d+$", "", stem)
    if label_key(name) in publisher.meanings:
        return name
    raise DataError(
        f"{path} has no label: none of its columns ({', '.join(header)}) is a label of "
        f"{publisher.name}, and its name {name!r} is no class: add a column {'Label'!r}, or name "
        "the file after its class"
    )


def common_schema(
    publisher: Publisher, files: Sequence[RecognisedFile], name: str
) -> tuple[Schema, list[str]]:
    """Return the columns that all files have, or those of a profile, and notes on them."""
    version = files[0].version
    for file in files:
        if file.version is not version:
            raise DataError(
                f"{files[0].path.name} and {file.path.name} are of two versions of "
                f"{publisher.name}, whose columns mean different things: give the files of one"
            )
    common = set.intersection(*(set(file.positions) for file in files))
    if not common:
        raise DataError(f"the tables of {publisher.name} share no column: give fewer files")
    notes = _left_out(files, common)
    if name == OWN:
        present = tuple(feature for feature in version.features if feature.name in common)
        return Schema(name=publisher.name, features=present), notes
    schema, more = _profile_schema(publisher.name, version, name, common)
    return schema, [*notes, *more, publisher.profile_note.format(name)]


def _left_out(files: Sequence[RecognisedFile], common: set[str]) -> list[str]:
    """Return notes on columns that are not read."""
    some = {column for file in files for column in file.positions} - common
    unknown = {column for file in files for column in file.unknown}
    reasons = {"that only some files have": some, "that are not the publisher's": unknown}
    return [
        f"left out, columns {reason}: {', '.join(sorted(columns))}"
        for reason, columns in reasons.items()
        if columns
    ]


def _profile_schema(
    dataset: str, version: Version, name: str, columns: set[str]
) -> tuple[Schema, list[str]]:
    """Return the schema of a profile, and notes on which of its columns are 0, and why.

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


def source_of(file: RecognisedFile, schema: Schema, profile: str) -> Source:
    """Return where a file has the columns of ``schema``; what a profile fills otherwise is 0."""
    reasons = {} if profile == OWN else file.version.profiles[profile]
    otherwise = {column for left in reasons.values() for column in left}
    undefined = file.version.undefined.get(profile, {})
    return Source(
        path=file.path,
        header=file.header,
        positions=tuple(
            None if name in otherwise else file.positions.get(name) for name in schema.names
        ),
        label=file.label,
        label_text=file.label_text,
        moment=file.moment,
        undefined={schema.names.index(name): value for name, value in undefined.items()},
    )
