"""The data sets by name."""

from __future__ import annotations

from pathlib import Path

from idskit.data import captures, nsl_kdd
from idskit.data.parts import LABELS, PROTOCOLS, Dataset, Labels, Protocol
from idskit.errors import DataError

DATASETS = ("nsl-kdd", "captures")


def load(
    dataset: str,
    data: Path,
    *,
    protocol: Protocol,
    labels: Labels,
    seed: int,
    generated: int = 0,
) -> Dataset:
    """Read data set ``dataset`` from folder ``data`` and divide it.

    Args:
        dataset: one of ``DATASETS``.
        data: folder with the publisher's files, or with labelled captures.
        protocol: ``official`` (the publisher's split), ``honest`` (without duplicates, split by
            capture where there are captures) or ``paper`` (the published procedure with its leaks).
        labels: ``binary`` or ``family``.
        seed: of every random draw; the same seed gives the same parts.
        generated: captures from the project's own generator, added to ``captures``.

    Raises:
        DataError: an unknown name, or files that cannot be used.
    """
    for value, known, what in (
        (dataset, DATASETS, "data set"),
        (protocol, PROTOCOLS, "protocol"),
        (labels, LABELS, "kind of labels"),
    ):
        if value not in known:
            raise DataError(f"{what} {value!r} was asked for, but there are {', '.join(known)}")
    if not data.is_dir():
        raise DataError(f"{dataset} was asked for from {data}, which is not a folder")
    if dataset == "nsl-kdd":
        return nsl_kdd.load(data, protocol=protocol, labels=labels, seed=seed)
    return captures.load(data, protocol=protocol, labels=labels, seed=seed, generated=generated)
