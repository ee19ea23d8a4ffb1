"""Evidence: what a batch of judged flows says of hosts, flow by flow.

    probabilities ─> how far above the threshold a flow is ─┐
    columns ───────> sequential tests over a host's minutes ┴─> signs: who, whom, what, how strong

A sign has a weight in nats of log-odds. A flow that neither the model nor a test suspects gives no
sign, and costs a few vector operations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.attack_families import family_of
from idskit.incidents.family_facts import (
    FAMILY_FACTS,
    FlowEnds,
    ends_of,
    is_attacked_by_source,
    named_family,
)
from idskit.incidents.incident import SUSPECTED
from idskit.incidents.regular_contacts import TEST, Caller
from idskit.incidents.sequential.nats import OPENS
from idskit.incidents.sequential.sequential_tests import TESTS, Test
from idskit.local_network import go_to_groups
from idskit.packet import UDP
from idskit.schema import Schema

Floats = NDArray[np.float64]

# Nats above the threshold of a flow alert that all flows of a case together need for an incident.
# Flows of one device look alike, and what the model takes one for, it takes all for: they are no
# independent signs. In captures of the lab that it had not seen, a number of 2.2, by which one flow
# may open an incident, gave 26 false ones of 435 and found 372 attacks of 492; this one 12 and 368.
STRONG = 18.0
TRY = OPENS / 8  # nats of a flow of guessing, however near to the threshold: eight tries are enough
_LEAST = 1e-3  # nats of a flow at the threshold: it is counted and shown
# Nats below the threshold down to which a flow counts in an incident of its ends, although it is no
# alert: one attack has flows on both sides of it.
_COUNTED, LEAST_SIGN = 2.0, 1e-6
_STORM = 64  # packets to a group that are more than news
_EDGE = 1e-7  # smaller probabilities say no more: nats stay within 16.2 of 0
# What an incident shows of the flows it counts: the column, what it is called, its unit. Flows add
# up in the first ``SUMS`` of them, the largest counts in the others.
FACTS = (
    ("login_refusals", "refused logins", "logins"),
    ("dns_queries", "name queries", "queries"),
    ("src_10m_new_failed", "failed first contacts", "in 10 min"),
    ("src_10s_peers", "addresses contacted", "in 10 s"),
    ("src_10s_services", "services contacted", "in 10 s"),
    ("src_10s_flows", "flows of the source", "in 10 s"),
    ("dst_10s_flows", "flows to the target", "in 10 s"),
    ("pair_interval_mean", "interval of contacts", "us"),
)
SUMS = 2
# Fields of FLOW that a sign copies: reading them one by one from a record takes ten times as long.
_COPIED = ("slot", "serial", "end", "start_us", "end_us")


class FoundBy(NamedTuple):
    """What suspects a flow: a sequential test, or the model (``SUSPECTED``)."""

    name: str
    nats: float  # that it gives alone
    columns: tuple[tuple[str, float], ...]  # those that decide a test, with their values


class Sign(NamedTuple):
    """One flow that looks like an attack: who attacks whom, and how strongly it says so.

    Addresses are numbers of 128 bits, 0 where the flow has none.
    """

    family: str
    attacker: int
    target: int
    service: tuple[int, int]  # protocol and port of the target
    weight: float  # nats; ``OPENS`` of them open an incident
    score: float  # 1 - P(benign), or of a test 1 less its error rate
    test: str  # name of the sequential test that gave it; empty for the model
    once: bool  # whether further flows to the same service of the target say nothing more
    row: int  # in its batch
    facts: list[float]  # by FACTS
    found_by: tuple[FoundBy, ...]  # all that suspects the flow
    slot: int  # these five as in FLOW
    serial: int
    end: int
    start_us: int
    end_us: int
    flows: int = 1  # that it stands for: earlier calls of a device had no sign of their own
    place: int = 0  # what was asked: further flows that ask it say nothing more; 0 is unknown


class EvidenceReader:
    """Signs of batches of flows.

    Args:
        schema: of the batches' features.
        classes: of the model, the first is the benign one.
        threshold: score at which a flow alone raises an alert.
    """

    def __init__(self, schema: Schema, classes: Sequence[str], threshold: float) -> None:
        self._families = np.array([family_of(name) for name in classes])
        self._threshold = nats_of(threshold)
        position = {name: at for at, name in enumerate(schema.names)}
        self._facts = [position.get(column, -1) for column, *_ in FACTS]
        known = [test for test in TESTS if set(test.read) <= position.keys()]
        self._tests = [(test, [position[name] for name in test.columns]) for test in known]
        self._places = np.array([-1, *(position.get(test.place, -1) for test in known)])
        self._deciding = [
            (test.name, [(name, position[name]) for name in test.deciding if name in position])
            for test in known
        ]

    def signs(
        self, flows: NDArray[np.void], features: Floats, probabilities: NDArray[np.float32]
    ) -> list[Sign]:
        """Return the signs of (n,) flows with (n, d) features and (n, classes) probabilities.

        A flow that the model could not judge (NaN) has the signs of the tests alone.
        """
        weights = np.vstack(
            [
                self._model_weights(flows, probabilities),
                *(test.weigh(flows, features[:, columns]) for test, columns in self._tests),
            ]
        )
        chosen = np.flatnonzero((weights > 0).any(axis=0))
        if not len(chosen):
            return []
        best = weights[:, chosen].argmax(axis=0)
        signs = self._listed(
            flows,
            chosen,
            self._named(probabilities[chosen]),
            best,
            weights[best, chosen],
            1 - probabilities[chosen, 0],
            self._facts_of(features[chosen]),
        )
        found_by = self._found_by(weights[:, chosen], features[chosen])
        places = self._places_of(features[chosen], best).tolist()
        return [
            sign._replace(found_by=tuple(found), place=place)
            for sign, found, place in zip(signs, found_by, places, strict=True)
        ]

    def calls(
        self, flows: NDArray[np.void], features: Floats, regular: Mapping[int, Caller]
    ) -> list[Sign]:
        """Return the signs of new contacts at regular intervals, by the row of their latest flow.

        Each opens an incident: the first one after ten contacts or more.
        """
        rows = np.array(sorted(regular))
        copied = (flows[name][rows].tolist() for name in _COPIED)
        facts = self._facts_of(features[rows]).tolist()
        return [
            _call(ends, row, fact, regular[row], rest)
            for ends, row, fact, *rest in zip(
                ends_of(flows[rows]), rows.tolist(), facts, *copied, strict=True
            )
        ]

    def _found_by(self, weights: Floats, features: Floats) -> list[list[FoundBy]]:
        """Return all that suspects each of n flows, by the weights of the model and of each test.

        Args:
            weights: (1 + tests, n) nats, the model's first.
            features: (n, d).
        """
        found: list[list[FoundBy]] = [[] for _ in features]
        names = ((SUSPECTED, []), *self._deciding)
        for which, at in zip(*(places.tolist() for places in np.nonzero(weights > 0)), strict=True):
            name, columns = names[which]
            values = tuple((column, float(features[at, place])) for column, place in columns)
            found[at].append(FoundBy(name, float(weights[which, at]), values))
        return found

    def _model_weights(self, flows: NDArray[np.void], probabilities: NDArray[np.float32]) -> Floats:
        """Return the nats that the model gives each of n flows.

        A group of hosts is no victim of a flood: where many devices announce themselves at once,
        each says little. A flow that goes on may be a storm.
        """
        above = log_odds(probabilities) - self._threshold
        weights = np.nan_to_num(above, nan=-1.0) * (OPENS / STRONG)
        families = self._named(probabilities)
        tries = np.where(families == "guessing", TRY, 0.0)
        alike = np.where(above >= -_COUNTED, LEAST_SIGN, 0.0)
        found = np.where(weights >= 0, np.maximum(weights + tries, _LEAST), alike)
        announces = (flows["protocol"] == UDP) & (flows["fwd_packets"] < _STORM)
        announces &= go_to_groups(flows) & ((families == "flood") | (families == "amplification"))
        return np.where(announces, 0.0, found)

    def _named(self, probabilities: NDArray[np.float32]) -> NDArray[np.str_]:
        """Return the most probable family of attack of each flow."""
        best = 1 + np.nan_to_num(probabilities[:, 1:]).argmax(axis=1)
        return np.asarray(self._families[best])

    def _listed(
        self,
        flows: NDArray[np.void],
        chosen: NDArray[np.int64],
        families: NDArray[np.str_],
        best: NDArray[np.int64],
        weights: Floats,
        scores: NDArray[np.float32],
        facts: Floats,
    ) -> list[Sign]:
        tests = [None, *(test for test, _ in self._tests)]
        columns = (chosen, families, best, weights, scores, facts)
        copied = (flows[name][chosen] for name in _COPIED)
        return [
            _sign(ends, row, family, tests[which], weight, score, fact, rest)
            for ends, row, family, which, weight, score, fact, *rest in zip(
                ends_of(flows[chosen]),
                *(column.tolist() for column in (*columns, *copied)),
                strict=True,
            )
        ]

    def _places_of(self, features: Floats, best: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what each flow asked, by the column of the test that suspects it most."""
        columns = self._places[best]
        asked = features[np.arange(len(best)), columns]
        return np.where(columns >= 0, asked, 0).astype(np.int64)

    def _facts_of(self, features: Floats) -> Floats:
        found = np.zeros((len(features), len(FACTS)))
        for at, column in enumerate(self._facts):
            if column >= 0:
                found[:, at] = features[:, column]
        return found


def log_odds(probabilities: NDArray[np.floating[Any]], least: float = _EDGE) -> Floats:
    """Return the log-odds (n,) of an attack of any class, in nats; NaN of what is NaN.

    Both are taken from the small numbers themselves: 1 - P(benign) has lost them in float32.

    Args:
        probabilities: (n, classes), the first is of benign.
        least: a probability below it counts as this much.
    """
    benign = np.maximum(probabilities[:, 0].astype(np.float64), least)
    attack = np.maximum(probabilities[:, 1:].sum(axis=1, dtype=np.float64), least)
    return np.asarray(np.log(attack) - np.log(benign))


def nats_of(score: float) -> float:
    """Return the log-odds of a score, in nats, within the bounds of ``log_odds``."""
    return float(log_odds(np.array([[1 - score, score]]))[0])


def _sign(
    ends: FlowEnds,
    row: int,
    family: str,
    test: Test | None,
    weight: float,
    score: float,
    facts: list[float],
    copied: list[int],
) -> Sign:
    found = named_family(family, ends) if test is None else test.family
    attacker, target, port = ends.src, ends.dst, ends.dst_port
    if not is_attacked_by_source(found, ends):
        attacker, target = target, attacker
        if not FAMILY_FACTS[found].from_inside:
            port = ends.src_port  # else it is the service that the device was made to use
    return Sign(
        found,
        attacker,
        target,
        (ends.protocol, port),
        weight,
        score if test is None else 1 - math.exp(-weight),
        "" if test is None else test.name,
        test is not None and test.once,
        row,
        facts,
        (),
        *copied,
    )


def _call(ends: FlowEnds, row: int, facts: list[float], caller: Caller, copied: list[int]) -> Sign:
    """Return the sign of a flow by which a device calls somebody again, as a timer makes it."""
    attacker, target = ends.dst, ends.src
    service, score, once = (ends.protocol, ends.dst_port), 1 - math.exp(-OPENS), False
    slot, serial, end, start_us, end_us = copied
    return Sign(
        "malware", attacker, target, service, OPENS, score, TEST, once, row, facts,
        (FoundBy(TEST, OPENS, ()),),
        slot, serial, end, min(start_us, caller.times[0]), end_us, caller.take(),
    )  # fmt: skip
