"""Judge captures of networks that a model never saw, capture by capture.

A person does not read flows: of a capture of an attack, what counts is whether anything is raised,
and of a benign one whether nothing is. A repository of captures is one lab, and models recognise
labs, so intervals are drawn over repositories and every rate is shown for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.data.capture_labels import BENIGN, Capture
from idskit.errors import DataError
from idskit.metrics import area_under, detection_rate, exact_interval, roc_curve
from idskit.profiles.flow_reader import open_flows
from idskit.schema import Schema

BENIGN_RATES = (0.01, 0.02, 0.05)  # of benign captures that may be flagged
RESAMPLES = 1_000  # draws of the bootstrap over repositories
_BATCH = 8192
_CONFIDENCE = 95.0  # per cent

Scores = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a model says of one capture: how many flows it has, and how suspicious they are."""

    capture: str
    repository: str
    category: str  # BENIGN[0] or a kind of attack
    flows: int
    flagged: int  # flows that reach the threshold
    score: float  # of the most suspicious flow; 0 where there is none

    @property
    def is_attack(self) -> bool:
        """Whether the capture was published as one of an attack."""
        return self.category != BENIGN[0]


def judge(
    captures: Iterable[Capture], schema: Schema, scores: Scores, threshold: float
) -> list[Judged]:
    """Score every flow of every capture.

    Args:
        captures: labelled as a whole.
        schema: columns that the model reads.
        scores: attack scores (n,) of raw features (n, columns).
        threshold: a flow is flagged when its score reaches it.

    Raises:
        CaptureError: a file is not a capture.
    """
    return [_judged(capture, schema, scores, threshold) for capture in captures]


def _judged(capture: Capture, schema: Schema, scores: Scores, threshold: float) -> Judged:
    flows, flagged, highest = 0, 0, 0.0
    with open_flows(capture.path, schema) as reader:
        for batch in reader.batches(_BATCH):
            found = scores(batch.features)
            flows += len(batch)
            flagged += int((found >= threshold).sum())
            highest = max(highest, float(found.max()))
    return Judged(
        capture=capture.name,
        repository=capture.repository,
        category=capture.category or "",
        flows=flows,
        flagged=flagged,
        score=highest,
    )


def report(judged: list[Judged], *, seed: int = 0) -> dict[str, Any]:
    """Sum up judged captures, ready for JSON.

    Returns:
        captures (benign and attack: how many, how many raised, share and its exact 95 % interval),
        flows (benign ones: how many, flagged, share, interval), roc_auc over captures with its
        interval over repositories, found_at (attack captures found when so many benign captures
        are flagged), categories and repositories (captures, raised), and wrong (the captures that
        are judged wrongly, most surprising first).

    Raises:
        DataError: no attack or no benign capture.
    """
    attack = np.array([item.is_attack for item in judged], np.bool_)
    if attack.all() or not attack.any():
        raise DataError(
            f"{len(judged)} captures were judged, but they are all "
            f"{'attacks' if len(attack) and attack.all() else 'benign'}: to measure a detector, "
            "give captures of both kinds"
        )
    score = np.array([item.score for item in judged])
    curve = roc_curve(attack, score)
    benign = [item for item in judged if not item.is_attack]
    return {
        "captures": {
            "benign": _share(sum(item.flagged > 0 for item in benign), len(benign)),
            "attack": _share(
                sum(item.flagged > 0 for item in judged if item.is_attack), int(attack.sum())
            ),
        },
        "benign_flows": _share(sum(i.flagged for i in benign), sum(i.flows for i in benign)),
        "roc_auc": area_under(curve),
        "roc_auc_interval": _auc_interval(judged, attack, score, seed),
        "found_at": {f"{rate:g}": detection_rate(curve, rate) for rate in BENIGN_RATES},
        "categories": _grouped(judged, lambda item: item.category),
        "repositories": _grouped(judged, lambda item: f"{item.repository} ({_kind(item)})"),
        "wrong": [asdict(item) for item in _wrong(judged)],
    }


def _share(hits: int, of: int) -> dict[str, Any]:
    return {
        "of": of,
        "raised": hits,
        "share": hits / of if of else None,
        "interval": exact_interval(hits, of) if of else None,
    }


def _kind(item: Judged) -> str:
    return "attack" if item.is_attack else BENIGN[0]


def _grouped(judged: list[Judged], name: Callable[[Judged], str]) -> Mapping[str, Any]:
    """Captures and those with anything raised, by name."""
    names = sorted({name(item) for item in judged})
    members = {key: [item for item in judged if name(item) == key] for key in names}
    return {
        key: _share(sum(item.flagged > 0 for item in items), len(items))
        for key, items in members.items()
    }


def _wrong(judged: list[Judged]) -> list[Judged]:
    """Benign captures with something raised and attacks with nothing, furthest off first."""
    wrong = [item for item in judged if (item.flagged > 0) != item.is_attack]
    return sorted(wrong, key=lambda item: item.score if item.is_attack else -item.score)


def _auc_interval(
    judged: list[Judged], attack: NDArray[np.bool_], score: NDArray[np.float64], seed: int
) -> list[float] | None:
    """Bootstrap the AUC over repositories: captures of one lab are not independent.

    None where all are of one repository: nothing tells then how far others are from it.
    """
    names, repository = np.unique([item.repository for item in judged], return_inverse=True)
    if len(names) < 2:
        return None
    members = [np.flatnonzero(repository == number) for number in range(len(names))]
    rng, areas = np.random.default_rng(seed), []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([members[i] for i in rng.integers(len(names), size=len(names))])
        if attack[drawn].any() and not attack[drawn].all():
            areas.append(area_under(roc_curve(attack[drawn], score[drawn])))
    tail = (100 - _CONFIDENCE) / 2
    return [float(value) for value in np.percentile(areas, [tail, 100 - tail])]
