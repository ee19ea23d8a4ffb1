"""NSL-KDD: the publisher's text files, as they are, to labelled rows.

M. Tavallaee, E. Bagheri, W. Lu, A. Ghorbani, "A Detailed Analysis of the KDD CUP 99 Data Set",
CISDA 2009. A line has the 41 KDD'99 features, the attack's name and the difficulty, no header.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idskit.data.dataset import OWN, Dataset, Labels, Part, Protocol, check_dataset
from idskit.data.divide import first_occurrence, seen_in, stratified_distinct
from idskit.data.split_protocols import divide_paper
from idskit.errors import DataError
from idskit.schema import Feature, Schema
from idskit.schemas.catalog import schema_named
from idskit.schemas.kdd99_columns import BASIC, CONTENT, TRAFFIC
from idskit.tables.content import open_text
from idskit.tables.lines import PIECE_BYTES
from idskit.tables.matrix import sha256_of

SCHEMA = Schema(name="nsl-kdd", features=(*BASIC, *CONTENT, *TRAFFIC))
HEADER = (*SCHEMA.names, "attack", "difficulty")

BENIGN = "normal"
ANOMALY = "anomaly"  # any attack, in ARFF files
# The four attack families of the KDD'99 task, with the attacks that only the test file holds.
_FAMILIES = {
    "dos": "apache2 back land mailbomb neptune pod processtable smurf teardrop udpstorm worm",
    "probe": "ipsweep mscan nmap portsweep saint satan",
    "r2l": "ftp_write guess_passwd httptunnel imap multihop named phf sendmail snmpgetattack "
    "snmpguess spy warezclient warezmaster xlock xsnoop",
    "u2r": "buffer_overflow loadmodule perl ps rootkit sqlattack xterm",
}
FAMILIES = {family: tuple(attacks.split()) for family, attacks in _FAMILIES.items()}
FAMILY_OF = {attack: family for family, attacks in FAMILIES.items() for attack in attacks}
CLASSES: dict[Labels, tuple[str, ...]] = {
    "binary": ("benign", "attack"),
    "family": ("benign", *FAMILIES),
}

TRAIN_FILE, TEST_FILE = "KDDTrain+.txt", "KDDTest+.txt"
# What is read where the files above are not there; the output names it.
TRAIN_SUBSTITUTES = ("KDDTrain+_20Percent.txt", "KDDTrain+.arff", "KDDTrain+_20Percent.arff")
TEST_SUBSTITUTES = ("KDDTest+.arff", "KDDTest-21.txt", "KDDTest-21.arff")
VALIDATION_FRACTION = 0.15
# Profiles that compute its columns, and which columns they fill by other rules.
PROFILES = ("kdd99", "kdd99-100")
UNCOMPUTED = ("wrong_fragment",)
PROFILE_NOTE = (
    "{}: wrong_fragment is left out, which it does not compute; its src_bytes and dst_bytes are "
    "whole frames, those of the data payload"
)
PAPER_NOTES = (
    "leak, as published: the test rows are a random fifth of rows of the training file, drawn from "
    "the same attack runs as the training rows; KDDTest+ and its new attacks are not used",
    "leak, as published: classes were balanced by over- and under-sampling before the split, so "
    "repeated rows of small classes are on both sides",
    "as published: columns of more than 50 % zeros are left out",
    "not reproduced: scaling fitted on test rows, and the time index",
)


@dataclass(frozen=True, kw_only=True)
class Records:
    """The rows of one file."""

    name: str  # of the file, without .gz
    schema: Schema
    rows: NDArray[np.float32]  # (n, features), a nominal value as its code, -1 where not published
    attacks: NDArray[np.str_]  # (n,) as written in the file
    unlisted: Counter[str]  # nominal values that the schema does not list, as "column value"
    sha256: str  # of the file as stored


def load(
    data: Path, *, protocol: Protocol, labels: Labels, seed: int, schema: str = OWN
) -> Dataset:
    """Read the files in folder ``data`` and divide their rows.

    Args:
        data: folder with KDDTrain+.txt and KDDTest+.txt, plain or gzip.
        protocol: ``official`` keeps the publisher's split and draws the validation part from the
            training file; ``honest`` is the same after removing repeated rows, and test rows that
            are also in the training file; ``paper`` splits balanced rows of the training file at
            random.
        labels: two classes, or benign and the four attack families.
        seed: of every draw.
        schema: ``own``, all 41 columns, or one of ``PROFILES``, the 28 that packets give.

    Raises:
        DataError: a file is missing, or is not what it claims (row and column are named).
    """
    _require_schema(schema)
    train = _columns_of(read(find(data, TRAIN_FILE, TRAIN_SUBSTITUTES)), schema)
    if protocol == "paper":
        return check_dataset(_paper(train, labels, seed))
    test = _columns_of(read(find(data, TEST_FILE, TEST_SUBSTITUTES)), schema)
    _require_names(test, labels)
    return check_dataset(_official(train, test, protocol, labels, seed))


def _require_schema(name: str) -> None:
    if name not in (OWN, *PROFILES):
        raise DataError(
            f"schema {name!r} was asked for, but the columns of nsl-kdd can only be those of "
            f"{', '.join((OWN, *PROFILES))}"
        )


def _require_names(records: Records, labels: Labels) -> None:
    """Refuse families of ARFF files, which do not name attacks: only benign rows would be left."""
    if labels != "binary" and ANOMALY in records.attacks:
        raise DataError(
            f"{labels} labels were asked for, but {records.name} only states {BENIGN} and "
            f"{ANOMALY}: ask for --labels binary, or give the publisher's text file"
        )


def _columns_of(records: Records, name: str) -> Records:
    """Return the columns of a profile, those that it does not compute filled with 0."""
    if name == OWN:
        return records
    schema = schema_named(name)
    rows = records.rows[:, [SCHEMA.names.index(column) for column in schema.names]]
    rows[:, [schema.names.index(column) for column in UNCOMPUTED]] = 0
    return replace(records, schema=schema, rows=rows)


def _official(
    train: Records, test: Records, protocol: Protocol, labels: Labels, seed: int
) -> Dataset:
    notes = [*_notes(train, labels), *_notes(test, labels)]
    groups = tuple(np.unique(np.concatenate([train.attacks, test.attacks])).tolist())
    known, judged = _part(train, groups, labels), _part(test, groups, labels)
    if protocol == "honest":
        known, judged, removed = _without_duplicates(known, judged)
        notes += removed
    new = ~np.isin(judged.groups, known.groups)
    notes.append(
        f"{new.sum()} of {len(judged)} test rows are attacks absent from training "
        f"({len(np.unique(judged.groups[new]))} names)"
    )
    held = stratified_distinct(
        known.rows, known.groups, VALIDATION_FRACTION, np.random.default_rng(seed)
    )
    return Dataset(
        name="nsl-kdd",
        protocol=protocol,
        schema=train.schema,
        classes=CLASSES[labels],
        groups=groups,
        train=known.take(~held),
        validation=known.take(held),
        test=judged,
        notes=tuple(notes),
        sha256={train.name: train.sha256, test.name: test.sha256},
    )


def _paper(train: Records, labels: Labels, seed: int) -> Dataset:
    groups = tuple(np.unique(train.attacks).tolist())
    fitted, held, judged = divide_paper(_part(train, groups, labels), seed)
    return Dataset(
        name="nsl-kdd",
        protocol="paper",
        schema=train.schema,
        classes=CLASSES[labels],
        groups=groups,
        train=fitted,
        validation=held,
        test=judged,
        notes=(*PAPER_NOTES, *_notes(train, labels)),
        sha256={train.name: train.sha256},
    )


def _part(records: Records, groups: tuple[str, ...], labels: Labels) -> Part:
    """Return rows with their class; families leave out attacks of no published family."""
    label_of = {name: class_index(name, labels) for name in groups}
    group = np.searchsorted(np.array(groups), records.attacks)
    label = np.array([label_of[name] for name in groups], np.int64)[group]
    part = Part(
        rows=records.rows,
        labels=label,
        weights=np.ones(len(label), np.float32),
        groups=group.astype(np.int64),
    )
    return part.take(label >= 0)


def class_index(attack: str, labels: Labels) -> int:
    """Return the class of an attack's name; -1 for an unknown family."""
    if attack == BENIGN:
        return 0
    if labels == "binary":
        return 1
    family = FAMILY_OF.get(attack)
    return CLASSES[labels].index(family) if family else -1


def _without_duplicates(known: Part, judged: Part) -> tuple[Part, Part, list[str]]:
    once, judged_once = _distinct(known), _distinct(judged)
    fresh = judged_once.take(~seen_in(judged_once.rows, once.rows))
    notes = [
        f"removed {len(known) - len(once)} repeated training rows, "
        f"{len(judged) - len(judged_once)} repeated test rows and "
        f"{len(judged_once) - len(fresh)} test rows that are also in the training file"
    ]
    return once, fresh, notes


def _distinct(part: Part) -> Part:
    return part.take(first_occurrence(part.rows) == np.arange(len(part)))


def _notes(records: Records, labels: Labels) -> list[str]:
    name, notes = records.name, []
    if name not in (TRAIN_FILE, TEST_FILE):
        notes.append(f"{name} was read, as the folder has no {TRAIN_FILE} or {TEST_FILE} for it")
    if records.schema.name in PROFILES and name != TEST_FILE:
        notes.append(PROFILE_NOTE.format(records.schema.name))
    unknown = Counter(a for a in records.attacks.tolist() if a != BENIGN and a not in FAMILY_OF)
    if unknown:
        fate = "counted as attack" if labels == "binary" else "left out: their family is not known"
        listed = ", ".join(f"{attack} {count}" for attack, count in unknown.most_common())
        notes.append(f"{name}: attack names that the publisher does not list, {fate}: {listed}")
    if records.unlisted:
        listed = ", ".join(f"{value} {count}" for value, count in records.unlisted.most_common())
        notes.append(f"{name}: values coded as unknown: {listed}")
    return notes


def find(data: Path, name: str, substitutes: tuple[str, ...] = ()) -> Path:
    """Return the path of ``name``, plain or gzip, in folder ``data``, or of its first substitute.

    Raises:
        DataError: none is there.
    """
    for candidate in (name, *substitutes):
        for path in (data / candidate, data / f"{candidate}.gz"):
            if path.is_file():
                return path
    raise DataError(
        f"nsl-kdd was asked for from {data}, but there is neither {name} nor {name}.gz: give the "
        "folder of the publisher's text files with --data"
    )


def read(path: Path) -> Records:
    """Read one of the publisher's files, text or ARFF.

    ARFF files say ``ANOMALY`` in place of the attack's name.

    Raises:
        DataError: not text, not 43 columns, or a value that does not belong in its column.
    """
    lines = _columns(_lines(_text(path)), path)
    features = dict(zip(HEADER, lines, strict=True))
    unlisted: Counter[str] = Counter()
    matrix = np.empty((len(lines[0]), len(SCHEMA)), np.float32)
    for index, feature in enumerate(SCHEMA.features):
        values = features[feature.name]
        if feature.categories:
            matrix[:, index] = _codes(values, feature, path, unlisted)
        else:
            matrix[:, index] = _numbers(values, feature.name, path)
    _numbers(features["difficulty"], "difficulty", path)
    return Records(
        name=path.name.removesuffix(".gz"),
        schema=SCHEMA,
        rows=matrix,
        attacks=np.array(_attacks(features["attack"], path)),
        unlisted=unlisted,
        sha256=sha256_of(path),
    )


def _text(path: Path) -> str:
    """Return the text of a file, plain or packed, as far as tables grow."""
    with open_text(path) as text:
        content = b"".join(iter(lambda: text.read(PIECE_BYTES), b""))
    try:
        return content.decode("ascii")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} was given as an NSL-KDD text file, but byte {error.start} is not plain text: "
            f"give the publisher's {TRAIN_FILE} and {TEST_FILE}"
        ) from error


def _lines(text: str) -> list[str]:
    """Return the lines of data; those of ARFF files lack the difficulty, which becomes 0."""
    if not text.lstrip().lower().startswith("@relation"):
        return text.splitlines()
    _, _, data = text.partition("@data")
    return [f"{line.strip()},0" for line in data.splitlines() if line.strip()]


def _columns(lines: list[str], path: Path) -> list[tuple[str, ...]]:
    """Return the 43 columns, each (n,) strings."""
    rows = [line.split(",") for line in lines]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(HEADER):
            raise DataError(_width_message(row, number, path))
    if not rows:
        raise DataError(f"{path} holds no rows: give the publisher's {TRAIN_FILE}")
    return list(zip(*rows, strict=True))


def _width_message(row: list[str], number: int, path: Path) -> str:
    message = (
        f"{path} was given as an NSL-KDD text file of {len(HEADER)} columns (41 features, attack, "
        f"difficulty), but row {number} has {len(row)}"
    )
    if 1 < len(row) < len(HEADER):
        absent = ", ".join(HEADER[len(row) :])
        message += f", so {absent} would be missing"
    return message + ": give the publisher's file unaltered"


def _numbers(values: Iterable[str], column: str, path: Path) -> NDArray[np.float64]:
    values = tuple(values)
    try:
        numbers = np.array(values, dtype="U").astype(np.float64)
    except ValueError:
        row = next(i for i, value in enumerate(values) if not _is_number(value))
        raise _misplaced(path, row, column, values[row], "a number") from None
    beyond = np.flatnonzero(~(np.abs(numbers) <= np.finfo(np.float32).max))
    if len(beyond):
        raise _misplaced(path, int(beyond[0]), column, values[beyond[0]], "a finite number")
    return numbers


def _codes(
    values: Iterable[str], feature: Feature, path: Path, unlisted: Counter[str]
) -> NDArray[np.float32]:
    values = tuple(values)
    code_of = {category: code for code, category in enumerate(feature.categories)}
    for value, count in Counter(values).items():
        if value in code_of:
            continue
        if not value.strip() or _is_number(value):
            raise _misplaced(path, values.index(value), feature.name, value, "a name")
        unlisted[f"{feature.name} {value}"] += count
    return np.array([code_of.get(value, -1) for value in values], np.float32)


def _attacks(values: Iterable[str], path: Path) -> tuple[str, ...]:
    values = tuple(values)
    for value in sorted(set(values)):
        if not value.strip() or _is_number(value):
            raise _misplaced(path, values.index(value), "attack", value, "an attack's name")
    return values


def _misplaced(path: Path, row: int, column: str, value: str, due: str) -> DataError:
    return DataError(
        f"{path}, row {row + 1}, column {column!r}: {due} is due, but {value!r} was found: "
        "repair or remove that row"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
