"""Captures of folders with their labels: of the whole capture, or of every flow."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idskit.data.reviews import Review, find_reviews
from idskit.errors import DataError
from idskit.flow import address_number
from idskit.tables.cell_columns import named_rows

SUFFIXES = tuple(kind + zipped for kind in (".pcap", ".pcapng", ".cap") for zipped in ("", ".gz"))
LABELS_FILE, FLOW_LABELS = "labels.csv", ".labels.csv"
COLUMNS = ("file", "label", "category")
REPOSITORY, GROUP = "source_repository", "group"  # columns that labels.csv may have
LAB_FILE = "lab.json"  # in a folder that `idskit lab` wrote, next to NAME-LINK-SEED.pcap
FLOW_COLUMNS = (
    *("src_ip", "src_port", "dst_ip", "dst_port", "protocol", "start_us", "label", "category"),
)
BENIGN = ("benign", "normal")

Endpoint = tuple[int, int]  # address as 128 bits, IPv4 mapped; port
FlowKey = tuple[Endpoint, Endpoint, int]  # the lower endpoint first; IP protocol


@dataclass(frozen=True, kw_only=True)
class Capture:
    """A labelled capture: as a whole by ``category``, or flow by flow by the file ``labels``."""

    path: Path
    name: str  # below the data folder
    category: str | None
    labels: Path | None = None
    repository: str = ""  # who published it, or its folder where the table does not say: one lab
    group: str = ""  # the scenario that it shows: captures of one group stay on one side
    review: Review | None = None  # what reading it gave, where someone has


def find_captures(data: Path | Sequence[Path]) -> list[Capture]:
    """Return every labelled capture of one or several folders, by name.

    Where several are given, names begin with the name of the folder.

    Raises:
        DataError: a folder without one, two of one name, a capture without a label, or a
            repository without a name.
    """
    folders = [data] if isinstance(data, Path) else list(data)
    _require_apart(folders)
    found = []
    for folder in folders:
        prefix = f"{folder.resolve().name}/" if len(folders) > 1 else ""
        for capture in _of_folder(folder):
            name = prefix + capture.name
            group = _device(capture) or capture.group or name
            found.append(replace(capture, name=name, group=group))
    return sorted(found, key=lambda capture: capture.name)


def _require_apart(folders: Sequence[Path]) -> None:
    """Refuse folders whose captures could not be told apart."""
    places = [folder.resolve() for folder in folders]
    names = Counter(place.name for place in places)
    twice = next((name for name, count in names.items() if count > 1), None)
    if twice is not None:
        raise DataError(
            f"{names[twice]} folders called {twice} were given, so their captures would have the "
            "same names: rename one"
        )
    for inner in places:
        for outer in places:
            if outer in inner.parents:
                raise DataError(
                    f"{inner} was given, and so was {outer}, which holds it: give one of them"
                )


def _device(capture: Capture) -> str:
    """Return the device of a capture of IoT SENTINEL, which took several of each.

    They are numbered, as "Aria_Setup-A-1", in every copy. Devices of one model (EdnetCam1,
    EdnetCam2) are one too.
    """
    found = re.match(r"(?:iot-?sentinel_)?(.+?)[-_]Setup-[A-Z]-", Path(capture.name).name)
    return f"iotsentinel:{found[1].rstrip('0123456789')}" if found else ""


def _of_folder(data: Path) -> list[Capture]:
    """Return the captures of one folder.

    Raises:
        DataError: none, or one without a label.
    """
    files = sorted(p for p in data.rglob("*") if p.name.lower().endswith(SUFFIXES))
    by_flow = {p: _flow_labels(p) for p in files if _flow_labels(p).is_file()}
    found = [_by_flow(path, labels, data) for path, labels in by_flow.items()]
    table = _labels_file(data)
    if table is not None:
        found += _from_table(table, data)
    else:
        found += _from_folders([p for p in files if p not in by_flow], data)
    if not found:
        raise DataError(
            f"captures were asked for from {data}, but it holds no labelled capture "
            f"({', '.join(SUFFIXES[::2])}): give a folder with a {LABELS_FILE}, with a folder for "
            f"each class, or with captures that `idskit generate` or `idskit lab` wrote"
        )
    return found


def _by_flow(path: Path, labels: Path, data: Path) -> Capture:
    """Return a capture whose flows are labelled; one of the lab is of the group of its activity."""
    from_lab = re.fullmatch(r"(.+)-[a-z]+-\d+", path.stem)
    is_lab = from_lab and path.with_name(LAB_FILE).is_file()
    return Capture(
        path=path,
        name=_name(path, data),
        category=None,
        labels=labels,
        repository=data.resolve().name,
        group=f"{data.resolve().name}:{from_lab[1]}" if from_lab and is_lab else "",
    )


def _name(path: Path, data: Path) -> str:
    return path.relative_to(data).as_posix()


def _flow_labels(path: Path) -> Path:
    return path.with_name(path.stem + FLOW_LABELS)


def _labels_file(data: Path) -> Path | None:
    candidates = (data / LABELS_FILE, data.resolve().parent / LABELS_FILE)
    return next((file for file in candidates if file.is_file()), None)


def _from_table(table: Path, data: Path) -> Iterator[Capture]:
    """Yield the captures of ``data`` that labels.csv lists; it names files below its own folder."""
    inside, reviews = data.resolve(), find_reviews(table)
    for number, row in named_rows(table, COLUMNS, (REPOSITORY, GROUP)):
        path = table.parent.resolve() / row["file"]
        if not path.is_relative_to(inside):
            continue
        if not path.is_file():
            raise DataError(
                f"{table}, row {number} lists {row['file']}, which is not there: fetch it or "
                "remove the row"
            )
        yield Capture(
            path=path,
            name=_name(path, inside),
            category=_category(row),
            repository=_repository(row, table, number) or inside.name,
            group=row.get(GROUP, ""),
            review=reviews.get(path),
        )


def _repository(row: dict[str, str], table: Path, number: int) -> str | None:
    """Return who published a capture, without a remark in parentheses; None if no column says."""
    if REPOSITORY not in row:
        return None
    name = row[REPOSITORY].partition(" (")[0].strip()
    if not name:
        raise DataError(
            f"{table}, row {number} leaves {REPOSITORY} of {row['file']} empty: name the "
            "repository, or the folder that it was recorded in"
        )
    return name


def _from_folders(files: list[Path], data: Path) -> Iterator[Capture]:
    """Yield captures whose class is the name of their folder in ``data``."""
    for path in files:
        if path.parent == data:
            raise DataError(
                f"{path} has no label: list it in {data / LABELS_FILE} (columns file, label, "
                "category), or move it into a folder named after its class"
            )
        category = path.relative_to(data).parts[0].lower()
        name = _name(path, data)
        yield Capture(path=path, name=name, category=category, repository=data.resolve().name)


def _category(row: dict[str, str]) -> str:
    """Return benign or the kind of attack; benign traffic has categories too, such as dns."""
    if row["label"].lower() in BENIGN:
        return BENIGN[0]
    return (row["category"] or row["label"]).lower()


@dataclass(frozen=True, kw_only=True)
class FlowLabels:
    """True categories of the flows of a capture."""

    begun: dict[FlowKey, tuple[list[int], list[str]]]  # starts in us, rising, and categories

    @classmethod
    def read(cls, file: Path | None) -> FlowLabels:
        """Read a ``<stem>.labels.csv``.

        Raises:
            DataError: a missing column, or a value that is not what its column holds.
        """
        if file is None:
            raise DataError("a capture has neither a category nor a file of flow labels")
        entries: dict[FlowKey, list[tuple[int, str]]] = {}
        for number, row in named_rows(file, FLOW_COLUMNS):
            key, start = _parse(row, file, number)
            entries.setdefault(key, []).append((start, _category(row)))
        begun = {}
        for key, flows in entries.items():
            starts, categories = zip(*sorted(flows), strict=True)
            begun[key] = (list(starts), list(categories))
        return cls(begun=begun)

    def categories(self, records: NDArray[np.void]) -> list[str]:
        """Return the category of each FLOW record: of its addresses' last flow begun before it.

        Empty where the labels do not know the addresses.
        """
        return [self._of(record) for record in records]

    def _of(self, record: np.void) -> str:
        source = _endpoint(record, "src")
        key = _key(source, _endpoint(record, "dst"), int(record["protocol"]))
        starts, categories = self.begun.get(key, ([], []))
        position = bisect_right(starts, int(record["start_us"])) - 1
        return categories[max(position, 0)] if categories else ""


def _parse(row: dict[str, str], file: Path, number: int) -> tuple[FlowKey, int]:
    try:
        source = address_number(row["src_ip"]), int(row["src_port"])
        destination = address_number(row["dst_ip"]), int(row["dst_port"])
        return _key(source, destination, int(row["protocol"])), int(row["start_us"])
    except ValueError as error:
        raise DataError(f"{file}, row {number} is not a labelled flow: {error}") from error


def _endpoint(record: np.void, side: str) -> Endpoint:
    address = int(record[f"{side}_high"]) << 64 | int(record[f"{side}_low"])
    return address, int(record[f"{side}_port"])


def _key(source: Endpoint, destination: Endpoint, protocol: int) -> FlowKey:
    low, high = sorted((source, destination))
    return low, high, protocol
