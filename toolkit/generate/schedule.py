"""Schedule of a capture: its flows as time goes on, and the packets that they plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from idskit.generate.endpoints import FLOW, NEITHER, Flows, Indices, Network, NewFlows
from idskit.generate.library import Library
from idskit.generate.mixes import Activity, Mix

_SLICE_PACKETS = 1 << 15  # expected in a slice of time; this is what bounds the memory
_S = 1_000_000  # in microseconds


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Planned packets: flow, script step and time.

    Attributes:
        flow: (n,) row of the traffic's flows.
        step: (n,) row of the library's steps.
        time_us: (n,) since the beginning of the capture.
    """

    flow: Indices
    step: Indices
    time_us: Indices

    def __getitem__(self, rows: slice | Indices) -> Plan:
        return Plan(flow=self.flow[rows], step=self.step[rows], time_us=self.time_us[rows])


def _in_order(plans: list[Plan]) -> Plan:
    """Return all packets by time; at the same time in the order given."""
    whole = Plan(
        flow=np.concatenate([plan.flow for plan in plans]),
        step=np.concatenate([plan.step for plan in plans]),
        time_us=np.concatenate([plan.time_us for plan in plans]),
    )
    return whole[np.argsort(whole.time_us, kind="stable")]


class Traffic:
    """The flows of a capture: standing ones first, then those that still go on.

    Attributes:
        flows: (n,) FLOW.
        activities: what the flows' ``activity`` counts.
    """

    def __init__(self, mix: Mix, library: Library, packets: int, seed: int) -> None:
        self._mix, self._library = mix, library
        self._rng = np.random.default_rng(seed)
        self._network = Network(lan=mix.lan, hosts=mix.hosts, rng=self._rng)
        self._whole_us = int(packets / mix.packets_per_s * _S) + 1
        self._slice_us = int(min(_SLICE_PACKETS, packets) / mix.packets_per_s * _S) + 1
        self._now_us = 0
        self._begun = [0] * len(mix.activities)
        self._expected = [
            activity.share * packets / library.mean_packets(number)
            for number, activity in enumerate(mix.activities)
        ]
        standing = [(a.clients or mix.hosts) * a.standing for a in mix.activities]
        self._standing = np.cumsum([0, *standing])
        self.activities = mix.activities
        self.flows: Flows = np.zeros(self._standing[-1], FLOW)
        nothing = np.zeros(0, np.int64)
        self._later = Plan(flow=nothing, step=nothing, time_us=nothing)

    def advance(self) -> Plan:
        """Plan the next slice of time: its packets in their order."""
        begin_us, end_us = self._now_us, self._now_us + self._slice_us
        plans = [self._later]
        for number in range(len(self.activities)):
            for a, b in self._times(number, begin_us, end_us):
                plans.append(self._conversations(number, a, b))
        whole = _in_order(plans)
        due = int(np.searchsorted(whole.time_us, end_us))
        self._now_us, self._later = end_us, whole[due:]
        return whole[:due]

    def settle(self, written: Plan) -> Flows:
        """Count the packets of ``written``; flows that ended with them are returned and gone."""
        flows = self.flows
        rows, first = np.unique(written.flow, return_index=True)
        fresh = flows["packets"][rows] == 0
        flows["start_us"][rows[fresh]] = written.time_us[first[fresh]]
        counts = np.bincount(written.flow, minlength=len(flows))
        flows["packets"] += counts
        flows["left"] -= counts
        stays = flows["left"] > 0
        stays[: self._standing[-1]] = True
        place, later = np.cumsum(stays) - 1, self._later
        self._later = Plan(flow=place[later.flow], step=later.step, time_us=later.time_us)
        self.flows = flows[stays]
        return flows[~stays]

    def _times(self, number: int, begin_us: int, end_us: int) -> list[tuple[int, int]]:
        """Return the parts of a slice in which an activity happens; one without an end goes on."""
        parts = []
        for fractions in self.activities[number].when:
            a, b = (int(fraction * self._whole_us) for fraction in fractions)
            a, b = max(a, begin_us), end_us if fractions[1] == 1 else min(b, end_us)
            if a < b:
                parts.append((a, b))
        return parts

    def _conversations(self, number: int, begin_us: int, end_us: int) -> Plan:
        """Return conversations of an activity that begin in a part of its time."""
        activity = self.activities[number]
        length = sum(b - a for a, b in activity.when) * self._whole_us
        expected = self._expected[number] * (end_us - begin_us) / length
        n = int(expected + self._rng.random())
        groups = self._rng.integers(0, n // activity.burst + 1, n)
        start_us = self._starts(activity, groups, begin_us, end_us)
        clients = self._rng.integers(0, activity.clients or self._mix.hosts, n + 1)[groups]
        flow = self._flows(number, clients)
        script = self._scripts(number, n)
        self._begun[number] += n
        return self._packets(flow, script, start_us)

    def _starts(self, activity: Activity, groups: Indices, begin_us: int, end_us: int) -> Indices:
        """Attacks keep an even pace; other conversations come when they come, some in bursts."""
        n, length_us = len(groups), end_us - begin_us
        if activity.attack:
            after_us = (np.arange(n) + self._rng.random(n)) * (length_us / max(n, 1))
        else:
            centre_us = self._rng.random(n + 1)[groups] * length_us
            after_us = centre_us + self._rng.exponential(200_000, n) * (activity.burst > 1)
        return begin_us + np.floor(after_us).astype(np.int64)

    def _flows(self, number: int, clients: Indices) -> Indices:
        """Return rows of ``flows`` for new conversations."""
        activity, n = self.activities[number], len(clients)
        fresh = self._fresh(number, clients)
        if not activity.standing:
            self.flows = np.concatenate([self.flows, fresh])
            return np.arange(len(self.flows) - n, len(self.flows))
        rows: Indices = self._standing[number] + clients
        unknown = self.flows["protocol"][rows] == 0
        self.flows[rows[unknown]] = fresh[unknown]
        return rows

    def _fresh(self, number: int, clients: Indices) -> Flows:
        flows, rng, n = np.zeros(len(clients), FLOW), self._rng, len(clients)
        for name in ("client_isn", "server_isn", "client_clock", "server_clock"):
            flows[name] = rng.integers(0, 1 << 32, n)
        for name in ("client_id", "server_id", "noise"):
            flows[name] = rng.integers(0, 1 << 16, n)
        flows["far"] = NEITHER
        flows["protocol"], flows["activity"] = self._library.protocol[number], number
        new = NewFlows(
            network=self._network, rows=flows, clients=clients, first=self._begun[number]
        )
        self.activities[number].ends(new)
        return flows

    def _scripts(self, number: int, n: int) -> Indices:
        """Choose each script once, and then any."""
        begin, end = self._library.begin[number : number + 2]
        turn = begin + self._begun[number] + np.arange(n)
        return np.where(turn < end, turn, self._rng.integers(begin, end, n))

    def _packets(self, flow: Indices, script: Indices, start_us: Indices) -> Plan:
        """Let ``flow`` play ``script`` from ``start_us`` on."""
        length = self._library.length[script]
        first = np.cumsum(length) - length
        within = np.arange(length.sum()) - np.repeat(first, length)
        rows = np.repeat(flow, length)
        step = np.repeat(self._library.first[script], length) + within
        np.add.at(self.flows["left"], flow, length)
        passed = np.cumsum(np.where(within == 0, 0, self._gaps(rows, step)))
        time_us = passed + np.repeat(start_us - passed[first], length)
        return Plan(flow=rows, step=step, time_us=time_us)

    def _gaps(self, rows: Indices, step: Indices) -> Indices:
        """Return the time since the step before: the script's, a path's delay, jitter."""
        flows, steps, rng, n = self.flows[rows], self._library.steps[step], self._rng, len(rows)
        way_us = np.where(
            steps["side"] == flows["far"],
            flows["rtt_us"] * rng.lognormal(0.02, 0.1, n),
            250 * rng.lognormal(0, 0.6, n),
        )
        wait_us = steps["wait_us"] * rng.lognormal(0, 0.15, n)
        gaps_us = 1 + wait_us + steps["turn"] * way_us + rng.exponential(12, n)
        gaps: Indices = np.floor(gaps_us).astype(np.int64)
        return gaps
