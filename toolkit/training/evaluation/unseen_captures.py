"""Judge captures of networks that a model never saw, capture by capture.

A person does not read flows: of a capture of an attack, what counts is whether anything is raised,
and of a benign one whether nothing is. A repository of captures is one lab, and models recognise
labs, so intervals are drawn over repositories and every rate is shown for each of them. Background
flows of an attack capture count for nothing, and what nobody can call benign or an attack (a matter
of policy, unsure, not visible) is shown apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.data.capture_labels import BENIGN, Capture
from idskit.data.labelled_captures import LabelledFlows, read_capture
from idskit.errors import DataError
from idskit.incidents.evidence import log_odds, nats_of
from idskit.incidents.sequential.nats import OPENS
from idskit.incidents.sequential.sequential_tests import with_tested_columns
from idskit.incidents.tracker import IncidentTracker
from idskit.metrics import area_under, attack_score, exact_interval, roc_curve
from idskit.schema import Schema

BENIGN_RATES = (0.01, 0.02, 0.05)  # of benign captures that may be flagged
RESAMPLES = 1_000  # draws of the bootstrap over repositories
_CONFIDENCE = 95.0  # per cent
_LISTED = BENIGN_RATES[-1]  # the rate at which kinds of attacks are listed
NOTHING = -1e3  # nats that a capture without flows has
UNSEEN = "not said"  # where an attack shows, if nobody said

Probabilities = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A model as it judges captures.

    Attributes:
        schema: columns that it reads.
        classes: the first is the benign one.
        probabilities: of raw features (n, columns), (n, classes).
        threshold: a flow is flagged when its attack score reaches it.
    """

    schema: Schema
    classes: Sequence[str]
    probabilities: Probabilities
    threshold: float

    @cached_property
    def flow_schema(self) -> Schema:
        """Columns of the flows: the model's, then those that only tests of incidents read."""
        return with_tested_columns(self.schema)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a model says of one capture: how many flows it has, and how suspicious they are.

    Only flows of the attack count in an attack capture.
    """

    capture: str
    repository: str
    category: str  # BENIGN[0] or a kind of attack
    flows: int
    flagged: int  # flows that reach the threshold
    score: float  # of the most suspicious flow; 0 where there is none
    group: str = ""
    where: str = ""  # what shows the attack to a reader: payload, host, flow, none
    probe: str = ""  # why the capture counts as neither benign nor attack; empty where it counts
    incidents: int = 0  # that its flows open
    by_tests: int = 0  # that sequential tests open without the model
    # Most nats of a case; where there is none, what the best flow has above the threshold.
    evidence: float = NOTHING

    @property
    def is_attack(self) -> bool:
        """Whether the capture is one of an attack."""
        return self.category != BENIGN[0]


def judge(captures: Iterable[Capture], by: Judge) -> tuple[list[Judged], list[LabelledFlows]]:
    """Judge every flow of every capture; return what is said of them, and their labels.

    Raises:
        CaptureError: a file is not a capture.
        DataError: a file of flow labels cannot be read.
    """
    read = [read_capture(capture, by.flow_schema) for capture in captures]
    return [judged(flows, by) for flows in read], read


def judged(read: LabelledFlows, by: Judge) -> Judged:
    """Return what a model says of the flows of a capture, and the incidents that they open."""
    counted = np.ones(len(read.rows), np.bool_)
    if not read.is_probe:
        counted = read.attack_flows() if read.is_attack else read.families == BENIGN[0]
    rows, review = read.rows[counted], read.capture.review
    own = rows[:, : len(by.schema)]
    probabilities = by.probabilities(own) if len(rows) else np.empty((0, len(by.classes)), "f4")
    found = attack_score(probabilities)
    incidents, evidence = _tracked(read, counted, probabilities, by)
    by_tests, _ = _tracked(read, counted, _all_benign(probabilities), by)
    above = float((log_odds(probabilities) - nats_of(by.threshold)).max(initial=NOTHING))
    return Judged(
        capture=read.capture.name,
        repository=read.capture.repository,
        category=_category(read),
        flows=len(found),
        flagged=int((found >= by.threshold).sum()),
        score=float(found.max(initial=0.0)),
        group=read.capture.group,
        where=review.where if review is not None and read.is_attack else "",
        probe=read.labelled_by if read.is_probe else "",
        incidents=incidents,
        by_tests=by_tests,
        evidence=evidence or min(above, 0.0),
    )


def _tracked(
    read: LabelledFlows,
    counted: NDArray[np.bool_],
    probabilities: NDArray[np.float32],
    by: Judge,
) -> tuple[int, float]:
    """Return the incidents that flows open, with claims of addresses, and the most evidence."""
    tracker = IncidentTracker(by.flow_schema, by.classes, by.threshold)
    tracker.observe_claims(read.claims)
    rows = read.rows[counted].astype(np.float64)
    found = tracker.observe_flows(read.records[counted], rows, probabilities)
    opened = sum(incident.type == "new" for incident in found)
    return opened, max(tracker.strongest, OPENS if opened else 0.0)


def _all_benign(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities of a model that suspects nothing."""
    return np.eye(1, probabilities.shape[1], dtype=np.float32).repeat(len(probabilities), axis=0)


def _category(read: LabelledFlows) -> str:
    """Return the kind of attack as it was read or published, or of flows their family."""
    if not read.is_attack:
        return BENIGN[0]
    review, published = read.capture.review, read.capture.category
    if review is not None and review.kind:
        return review.kind
    if published not in (None, *BENIGN):
        return str(published)
    families = np.unique(read.families[read.attack_flows()])
    return "+".join(map(str, families)) or "attack"


def report(found: Sequence[Judged], *, seed: int = 0) -> dict[str, Any]:
    """Sum up judged captures, ready for JSON.

    Returns:
        captures (benign and attack: how many, how many raised, share and its exact 95 % interval),
        incidents (the same of captures with an incident, of those that have one without the model,
        by sequential tests alone, and of the attacks that flow scores find when as many benign
        captures are flagged; and the next three, of captures ranked by the evidence of incidents),
        flows (benign ones: how many, flagged, share, interval), roc_auc over captures with its
        interval over repositories, found_at (attack captures found when so many benign captures
        are flagged, with intervals), categories, repositories and where (captures, raised; of
        attacks also how many are found at the last of these rates), probes (captures that count as
        neither, by the reason), and wrong (the captures that are judged wrongly, most surprising
        first).

    Raises:
        DataError: no attack or no benign capture.
    """
    judged = [item for item in found if not item.probe]
    attack = np.array([item.is_attack for item in judged], np.bool_)
    if attack.all() or not attack.any():
        raise DataError(
            f"{len(judged)} captures were judged, but they are all "
            f"{'attacks' if len(attack) and attack.all() else 'benign'}: to measure a detector, "
            "give captures of both kinds"
        )
    score = np.array([item.score for item in judged])
    evidence = np.array([item.evidence for item in judged])
    level = level_at(score[~attack], _LISTED)
    benign, attacks = ([i for i in judged if i.is_attack == kind] for kind in (False, True))
    return {
        "captures": {"benign": _raised(benign), "attack": _raised(attacks)},
        "incidents": {
            **_with_incidents(benign, attacks),
            **_ranked(judged, attack, evidence, seed),
        },
        "benign_flows": share(sum(i.flagged for i in benign), sum(i.flows for i in benign)),
        **_ranked(judged, attack, score, seed),
        "categories": _grouped(judged, lambda item: item.category, level),
        "repositories": _grouped(judged, lambda i: f"{i.repository} ({_kind(i)})", level),
        "where": _grouped(attacks, lambda item: item.where or UNSEEN, level),
        "probes": _grouped([i for i in found if i.probe], lambda item: item.probe, level),
        "wrong": [asdict(item) for item in _wrong(judged)],
    }


def _ranked(
    judged: Sequence[Judged], attack: NDArray[np.bool_], score: NDArray[np.float64], seed: int
) -> dict[str, Any]:
    """Return how well a score ranks attack captures above benign ones."""
    levels = {rate: level_at(score[~attack], rate) for rate in BENIGN_RATES}
    return {
        "roc_auc": area_under(roc_curve(attack, score)),
        "roc_auc_interval": _auc_interval(judged, attack, score, seed),
        "found_at": {
            f"{rate:g}": share(int((score[attack] > least).sum()), int(attack.sum()))
            for rate, least in levels.items()
        },
    }


def level_at(benign: NDArray[np.float64], rate: float) -> float:
    """Return the score above which at most ``rate`` of the benign captures are, all at 1."""
    place = int(rate * len(benign) + 1e-9)
    return float(np.sort(benign)[::-1][place]) if place < len(benign) else -np.inf


def share(hits: int, of: int) -> dict[str, Any]:
    """Return a share with its exact 95 % interval."""
    return {
        "of": of,
        "raised": hits,
        "share": hits / of if of else None,
        "interval": exact_interval(hits, of) if of else None,
    }


def _raised(items: Sequence[Judged]) -> dict[str, Any]:
    return share(sum(item.flagged > 0 for item in items), len(items))


def _with_incidents(benign: Sequence[Judged], attacks: Sequence[Judged]) -> dict[str, Any]:
    false, found = ([i.incidents > 0 for i in items] for items in (benign, attacks))
    level = level_at(np.array([i.score for i in benign]), sum(false) / len(false))
    by_flows = sum(item.score > level for item in attacks)
    return {
        "benign": share(sum(false), len(false)),
        "attack": share(sum(found), len(found)),
        "benign_by_tests": share(sum(i.by_tests > 0 for i in benign), len(benign)),
        "attack_by_tests": share(sum(i.by_tests > 0 for i in attacks), len(attacks)),
        "attack_by_flows": share(by_flows, len(attacks)),
    }


def _kind(item: Judged) -> str:
    return "attack" if item.is_attack else BENIGN[0]


def _grouped(
    judged: Sequence[Judged], name: Callable[[Judged], str], level: float
) -> Mapping[str, Any]:
    """Captures, those with anything raised and those above a level, by name."""
    names = sorted({name(item) for item in judged})
    members = {key: [item for item in judged if name(item) == key] for key in names}
    return {
        key: {**_raised(items), "found": sum(item.score > level for item in items)}
        for key, items in members.items()
    }


def _wrong(judged: Sequence[Judged]) -> list[Judged]:
    """Benign captures with something raised and attacks with nothing, furthest off first."""
    wrong = [item for item in judged if (item.flagged > 0) != item.is_attack]
    return sorted(wrong, key=lambda item: item.score if item.is_attack else -item.score)


def _auc_interval(
    judged: Sequence[Judged], attack: NDArray[np.bool_], score: NDArray[np.float64], seed: int
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
