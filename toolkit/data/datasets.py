"""Data sets by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idskit.data import labelled_captures as captures
from idskit.data import user_table as own_table
from idskit.data.dataset import (
    NONFINITE,
    OWN,
    Dataset,
    Labels,
    MoreRows,
    Protocol,
    Reading,
    Request,
)
from idskit.data.families import CLASSES
from idskit.data.published import cicids2017, iotid20, load_published, nsl_kdd
from idskit.data.published import ciciot2023_tables as ciciot2023
from idskit.data.unlabelled import read_unlabelled
from idskit.errors import DataError

PUBLISHERS = {p.PUBLISHER.name: p.PUBLISHER for p in (ciciot2023, cicids2017, iotid20)}


@dataclass(frozen=True, kw_only=True)
class Offer:
    """Protocols and labels of a data set; the first of each is the default."""

    protocols: tuple[Protocol, ...]
    labels: tuple[Labels, ...]


OFFERS = {
    "nsl-kdd": Offer(protocols=("official", "honest", "paper"), labels=tuple(nsl_kdd.CLASSES)),
    **{
        name: Offer(protocols=("honest", "paper"), labels=tuple(found.classes))
        for name, found in PUBLISHERS.items()
    },
    "captures": Offer(protocols=("honest", "official"), labels=tuple(CLASSES)),
    own_table.NAME: Offer(protocols=("honest", "paper"), labels=("binary", "attack")),
}
DATASETS = tuple(OFFERS)


def located(dataset: str, data: Sequence[Path]) -> tuple[str, Path | Sequence[Path]]:
    """Return the name and the files of what was asked for: a data set by name, or a table's path.

    Raises:
        DataError: a name without its folder, a table with one, neither, or several folders of
            what is no captures.
    """
    if data and not (dataset not in OFFERS and Path(dataset).exists()):
        if len(data) > 1 and dataset != "captures":
            raise DataError(
                f"{dataset} was asked for from {len(data)} folders, but only captures are read "
                "from several: give one --data"
            )
        return dataset, data if len(data) > 1 else data[0]
    if data:
        raise DataError(
            f"{dataset} is a table of your own, and --data {data[0]} was given as well: leave out "
            "one"
        )
    if dataset in OFFERS:
        raise DataError(
            f"{dataset} was asked for without its files: name their folder with --data, or give "
            "the path of a table alone"
        )
    if not Path(dataset).exists():
        raise DataError(
            f"{dataset} is no data set by name ({', '.join(DATASETS)}), and there is no such file "
            "or folder: check the path, or name a data set and its folder (--data)"
        )
    return own_table.NAME, Path(dataset)


def load(
    dataset: str,
    data: Path | Sequence[Path],
    *,
    protocol: Protocol,
    labels: Labels,
    seed: int,
    generated: int = 0,
    reading: Reading | None = None,
) -> Dataset:
    """Read data set ``dataset`` from ``data`` and divide it.

    Args:
        dataset: one of ``DATASETS``.
        data: folder with the publisher's files, or folders with labelled captures, or a table.
        protocol: ``official`` (the publisher's split), ``honest`` (without duplicates, split by
            capture, file or time where the data allow) or ``paper`` (the published procedure with
            its leaks).
        labels: ``binary``, ``family``, ``family10`` or ``attack``.
        seed: of every random draw; the same seed gives the same parts.
        generated: captures from the project's own generator, added to ``captures``.
        reading: how tables are read: columns, rows, NaN and infinity.

    Raises:
        DataError: an unknown name, or files that cannot be used.
    """
    reading = reading or Reading()
    _check(dataset, data, protocol, labels, reading)
    if dataset == "captures":
        return captures.load(
            data,
            protocol=protocol,
            labels=labels,
            seed=seed,
            generated=generated,
            schema=captures.SCHEMAS[0] if reading.schema == OWN else reading.schema,
        )
    data = _only(data)
    request = Request(protocol=protocol, labels=labels, seed=seed, reading=reading)
    if dataset in PUBLISHERS:
        return load_published.load(PUBLISHERS[dataset], data, request)
    if dataset == own_table.NAME:
        return own_table.load(data, request)
    return nsl_kdd.load(data, protocol=protocol, labels=labels, seed=seed, schema=reading.schema)


def _only(data: Path | Sequence[Path]) -> Path:
    """Return the one folder or table of a data set that has one."""
    return data if isinstance(data, Path) else data[0]


def load_more(
    dataset: Dataset, files: Sequence[Path], *, labels: Labels, reading: Reading
) -> MoreRows:
    """Read rows to train on next to ``dataset``, whose labels may be coarser than ``labels``.

    Args:
        dataset: what ``load`` gave.
        files: further tables of the same publisher, or folders of them.
        labels: as ``load`` had them.
        reading: as ``load`` had it.

    Raises:
        DataError: files that cannot be used, or a data set that is no publisher's tables.
    """
    if dataset.name not in PUBLISHERS:
        raise DataError(
            f"more rows were given for {dataset.name}, but only tables of {', '.join(PUBLISHERS)} "
            "take them: leave them out"
        )
    request = Request(protocol=dataset.protocol, labels=labels, seed=0, reading=reading)
    return load_published.load_more(PUBLISHERS[dataset.name], files, dataset, request)


def load_unlabelled(dataset: Dataset, files: Sequence[Path]) -> NDArray[np.float32]:
    """Read rows (n, features) of tables without labels that have the columns of ``dataset``.

    Raises:
        DataError: files that cannot be used.
    """
    known = PUBLISHERS.get(dataset.name)
    return read_unlabelled(files, dataset.schema, known.spellings if known else {})


def _check(
    dataset: str,
    data: Path | Sequence[Path],
    protocol: Protocol,
    labels: Labels,
    reading: Reading,
) -> None:
    if dataset not in OFFERS:
        raise DataError(f"data set {dataset!r} was asked for, but there are {', '.join(DATASETS)}")
    offer = OFFERS[dataset]
    if protocol not in offer.protocols:
        raise DataError(
            f"protocol {protocol!r} was asked for, but {dataset} has {', '.join(offer.protocols)}"
        )
    if labels not in offer.labels:
        raise DataError(
            f"labels {labels!r} were asked for, but {dataset} has {', '.join(offer.labels)}"
        )
    if reading.nonfinite not in NONFINITE:
        raise DataError(
            f"nonfinite {reading.nonfinite!r} was asked for, but what can be left out is "
            f"{' or '.join(NONFINITE)}"
        )
    if dataset in PUBLISHERS or dataset == own_table.NAME:
        return
    if reading.rows:
        raise DataError(f"rows {reading.rows} was asked for, but {dataset} is always read whole")
    if dataset == "captures" and reading.schema not in (OWN, *captures.SCHEMAS):
        raise DataError(
            f"schema {reading.schema!r} was asked for, but captures are read with "
            f"{', '.join(captures.SCHEMAS)}"
        )
    for folder in [data] if isinstance(data, Path) else data:
        if not folder.is_dir():
            raise DataError(f"{dataset} was asked for from {folder}, which is not a folder")
