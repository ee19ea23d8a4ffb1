"""Labelled captures to a data set of flows, through the project's own flow engine.

    folders ──> labelled captures ──> flows and features ──> sides by group ──> rows

A capture is labelled as a whole, by a line of labels.csv or by the name of its folder; or flow by
flow, by a file ``<stem>.labels.csv`` next to it as ``idskit generate`` and ``idskit lab`` write it,
or by a review of its packets (``reviews``). Rows are divided by group of captures and never by row:
flows of one scenario resemble each other far more than those of another.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from idskit.attack_families import BENIGN, UNKNOWN, family_of
from idskit.data import reviews
from idskit.data.capture_labels import Capture, FlowLabels, find_captures
from idskit.data.dataset import Dataset, Labels, Part, Protocol, check_dataset, join
from idskit.data.families import CLASSES, class_index
from idskit.data.reviews import Review
from idskit.decode.address_claims import CLAIM
from idskit.flow import FLOW
from idskit.flow_input import VERDICT_AT_S, FlowInput
from idskit.generate import generate
from idskit.profiles.flow_reader import open_input
from idskit.schema import Schema
from idskit.schemas.catalog import learned

SCHEMAS = ("gateway", "packets", "gateway-packets")  # the first by default
DIVISION = 3  # of the rule by which captures are divided; a run records it
BELOW_IP = "arp"  # attacks of categories with this word leave nothing in IP flows
# One family of one capture gives at most this many rows, drawn at random: a flood of 37,000 equal
# flows must not drown twenty web attacks.
MOST_ROWS = 400
TEST_FRACTION, VALIDATION_FRACTION = 0.15, 0.15
LEAST_REPOSITORIES = 6  # from which on whole ones choose thresholds
SIDES = ("train", "validation", "test")
GENERATED_PACKETS, GENERATED_MIX = 20_000, "home"
GENERATED = "generated"  # the repository of the project's own captures
# Generated captures are seeded from here on, away from the seeds that people pick for samples.
GENERATED_SEED = 1_000_000
BATCH = 8192
MIXED = "several families"  # the stratum of such a group
BY_CAPTURE, BY_FLOW, BELOW = "capture", "flow", "below IP"  # what labels the flows of a capture


@dataclass(frozen=True, kw_only=True)
class LabelledFlows:
    """The flows of one capture, each with its family."""

    capture: Capture
    rows: NDArray[np.float32]  # (n, features)
    families: NDArray[np.str_]  # (n,) empty where a flow is neither benign nor of the attack
    labelled_by: str  # the capture, the flow, a filter, addresses; or why there is no label
    sha256: str  # of the file; empty of a generated one
    records: NDArray[np.void]  # (n,) FLOW
    claims: NDArray[np.void]  # (m,) CLAIM: what frames say of addresses by ARP

    @property
    def is_attack(self) -> bool:
        """Return whether an attack is in the capture, though perhaps in none of its flows."""
        if self.capture.review is not None:
            return self.capture.review.verdict == reviews.ATTACK
        if self.capture.category is not None:
            return family_of(self.capture.category) != BENIGN
        return bool(self.attack_flows().any())

    @property
    def is_probe(self) -> bool:
        """Return whether nobody can say that a verdict on the capture is right, or wrong."""
        return self.labelled_by in (*reviews.PROBES, reviews.NOT_LOCATED)

    def attack_flows(self) -> NDArray[np.bool_]:
        """Return which flows are of an attack."""
        return np.asarray((self.families != BENIGN) & (self.families != ""))

    def by_family(self) -> list[Flows]:
        """Return the labelled flows, apart by family."""
        found = [str(family) for family in np.unique(self.families[self.families != ""])]
        attacks = [family for family in found if family != BENIGN]
        stratum = MIXED if len(attacks) > 1 else (attacks or [BENIGN])[0]
        return [
            Flows(
                capture=self.capture.name,
                unit=self.capture.group or self.capture.name,
                stratum=stratum,
                family=family,
                rows=self.rows[self.families == family],
                repository=self.capture.repository,
            )
            for family in found
        ]


@dataclass(frozen=True, kw_only=True)
class Flows:
    """Flows of one capture that share a family."""

    capture: str
    unit: str  # captures of one unit stay on one side
    stratum: str  # units are divided in proportion within a stratum
    family: str
    rows: NDArray[np.float32]  # (n, features)
    repository: str = ""

    @property
    def group(self) -> str:
        """Return the name in reports."""
        return self.capture if self.stratum == self.family else f"{self.capture} ({self.family})"


def load(
    data: Path | Sequence[Path],
    *,
    protocol: Protocol,
    labels: Labels,
    seed: int,
    generated: int = 0,
    schema: str = SCHEMAS[0],
) -> Dataset:
    """Extract the flows of every labelled capture in ``data`` and divide them by group.

    Args:
        data: folders of captures, each with a labels.csv in it or in its parent (columns file,
            label, category; perhaps source_repository and group; perhaps a reviewed.csv next to or
            above it), or with a folder for each class, or with a ``<stem>.labels.csv`` next to each
            capture.
        protocol: ``honest``, or ``official``, which is the same: there is no publisher's split.
        labels: two classes, or benign and the families of attacks.
        seed: of the split and of the rows drawn from large captures.
        generated: captures written by ``idskit.generate`` that are added.
        schema: one of ``SCHEMAS``: which columns of the flows.

    Raises:
        DataError: no labelled captures, a capture without label, or too few captures to divide.
        CaptureError: a file that is not a capture.
    """
    read = [read_capture(capture, schema) for capture in find_captures(data)]
    read += generated_flows(generated, seed, schema)
    rng = np.random.default_rng(seed)
    sides = divide([flows for item in read for flows in item.by_family()], rng)
    notes = _notes(read, labels, generated)
    dataset = assemble(read, sides, protocol=protocol, labels=labels, schema=schema, rng=rng)
    return check_dataset(replace(dataset, notes=(*notes, *dataset.notes)))


def assemble(
    read: Sequence[LabelledFlows],
    sides: Mapping[str, str],
    *,
    protocol: Protocol,
    labels: Labels,
    schema: str,
    rng: np.random.Generator,
) -> Dataset:
    """Return the data set of captures whose units have the ``sides`` given, drawn by ``rng``.

    Columns behind those of ``learned(schema)``, which only tests of incidents read, are left out.
    """
    columns = learned(schema)
    flows = [part for item in read for part in item.by_family()]
    groups = _groups(flows)
    of_group = {part.group: part for part in flows}
    repositories = [of_group[group].repository for group in groups]
    labs = np.unique(repositories, return_inverse=True)[1]
    train, validation, test = (
        weigh(_part(flows, sides, side, labels, len(columns), rng), labs) for side in SIDES
    )
    return Dataset(
        name="captures",
        protocol=protocol,
        schema=columns,
        classes=CLASSES[labels],
        groups=groups,
        train=train,
        validation=validation,
        test=test,
        notes=tuple(_untested(flows, sides)),
        sha256={item.capture.name: item.sha256 for item in read if item.sha256},
        repositories=tuple(of_group[group].repository for group in groups),
        units=tuple(of_group[group].unit for group in groups),
    )


def read_flows(capture: Capture, schema: str = SCHEMAS[0]) -> list[Flows]:
    """Return the flows of one capture by family, without those that have no label.

    Raises:
        CaptureError: not a capture.
        DataError: a label file that cannot be read.
    """
    return read_capture(capture, schema).by_family()


def read_capture(capture: Capture, schema: str | Schema = SCHEMAS[0]) -> LabelledFlows:
    """Return all flows of one capture with their families, as they are when they are judged.

    A schema's name stands for the columns of it that models learn from.

    Raises:
        CaptureError: not a capture.
        DataError: a label file that cannot be read.
    """
    wanted = learned(schema) if isinstance(schema, str) else schema
    if is_below_ip(capture):
        return LabelledFlows(
            capture=capture,
            rows=np.empty((0, len(wanted)), np.float32),
            families=np.empty(0, np.str_),
            labelled_by=BELOW,
            sha256="",
            records=np.empty(0, FLOW),
            claims=np.empty(0, CLAIM),
        )
    given = FlowInput(capture=(capture.path,))
    claims = [np.empty(0, CLAIM)]
    with open_input(given, wanted, verdict_at_s=VERDICT_AT_S) as reader:
        reader.on_claims = claims.append
        batches = list(reader.batches(BATCH))
    records = np.concatenate([np.empty(0, FLOW), *(batch.flows for batch in batches)])
    rows = np.concatenate([np.empty((0, len(wanted))), *(batch.features for batch in batches)])
    families, labelled_by = _label(capture, records)
    return LabelledFlows(
        capture=capture,
        rows=rows.astype(np.float32),
        families=families,
        labelled_by=labelled_by,
        sha256=hashlib.sha256(capture.path.read_bytes()).hexdigest(),
        records=records,
        claims=np.concatenate(claims),
    )


def is_below_ip(capture: Capture) -> bool:
    """Return whether a capture is published as of an attack that no IP flow shows."""
    category = capture.category or ""
    return capture.review is None and BELOW_IP in re.split(r"[^a-z0-9]+", category)


def _label(capture: Capture, records: NDArray[np.void]) -> tuple[NDArray[np.str_], str]:
    """Return the family of each flow, empty where it has none, and what tells it."""
    if capture.category is None:
        categories = FlowLabels.read(capture.labels).categories(records)
        found = [family_of(category) if category else "" for category in categories]
        return np.array(found, np.str_), BY_FLOW
    if capture.review is not None:
        return _reviewed(capture.review, capture.category, records)
    return np.full(len(records), family_of(capture.category)), BY_CAPTURE


def _reviewed(
    review: Review, category: str, records: NDArray[np.void]
) -> tuple[NDArray[np.str_], str]:
    """Label flows by what reading the capture gave; background flows of an attack get no label."""
    if review.verdict == reviews.BENIGN:
        return np.full(len(records), BENIGN), BY_CAPTURE
    if review.verdict in reviews.PROBES:
        return np.full(len(records), ""), review.verdict
    published = UNKNOWN if family_of(category) == BENIGN else family_of(category)
    family = family_of(review.kind) if review.kind else published
    attack, labelled_by = review.attack_flows(records)
    return np.where(attack, family, ""), labelled_by


def generated_flows(count: int, seed: int, schema: str | Schema) -> list[LabelledFlows]:
    """Return the flows of ``count`` generated captures, as ``read_capture`` reads them."""
    found = []
    with TemporaryDirectory() as folder:
        for number in range(count):
            path = Path(folder) / f"generated-{number}.pcap"
            capture_seed = GENERATED_SEED + 1000 * seed + number
            made = generate(path, packets=GENERATED_PACKETS, mix=GENERATED_MIX, seed=capture_seed)
            capture = Capture(
                path=path,
                name=path.name,
                category=None,
                labels=made.labels,
                repository=GENERATED,
            )
            found.append(replace(read_capture(capture, schema), sha256=""))
    return found


def divide(flows: list[Flows], rng: np.random.Generator) -> dict[str, str]:
    """Return the side of every unit: train, validation or test.

    Whole repositories choose thresholds, where there are enough of them. The others, or all, are
    divided by unit: a stratum of one unit is trained on, of two also tested, of three or more also
    validated.
    """
    sides: dict[str, str] = {}
    strata = _strata(flows)
    chosen = _validating(flows, rng)
    for stratum in sorted(set(strata.values())):
        units = sorted(unit for unit, unit_stratum in strata.items() if unit_stratum == stratum)
        order = [units[i] for i in rng.permutation(len(units)) if units[i] not in chosen]
        test = max(round(TEST_FRACTION * len(order)), int(len(order) > 1))
        validation = max(round(VALIDATION_FRACTION * len(order)), int(len(order) > 2))
        validation = 0 if chosen else validation
        for position, unit in enumerate(order):
            if position < test:
                sides[unit] = "test"
            else:
                sides[unit] = "validation" if position < test + validation else "train"
    return sides | dict.fromkeys(chosen, "validation")


def _validating(flows: list[Flows], rng: np.random.Generator) -> frozenset[str]:
    """Return the units of repositories that choose thresholds; none where there are too few.

    They are drawn among those with both benign units and attacks, until they hold a share
    ``VALIDATION_FRACTION`` of all benign units; one that holds more than twice that is trained on.
    Every family stays among those that are trained on.
    """
    of: dict[str, set[str]] = defaultdict(set)
    benign: dict[str, set[str]] = defaultdict(set)
    attacks: dict[str, set[str]] = defaultdict(set)
    for item in flows:
        of[item.repository].add(item.unit)
        (benign if item.family == BENIGN else attacks)[item.repository].add(item.unit)
    wanted = VALIDATION_FRACTION * len(set().union(*benign.values()))
    fitting = sorted(name for name in of if attacks[name] and 0 < len(benign[name]) <= 2 * wanted)
    if len(of) < LEAST_REPOSITORIES or not fitting:
        return frozenset()
    chosen: set[str] = set()
    reached = 0
    for position in rng.permutation(len(fitting)):
        name = fitting[position]
        if reached >= wanted:
            break
        chosen |= of[name]
        reached += len(benign[name])
    left = {item.family for item in flows if item.unit not in chosen}
    return frozenset(chosen) if left == {item.family for item in flows} else frozenset()


def _strata(flows: list[Flows]) -> dict[str, str]:
    """Return the stratum of every unit: that of its attack, where it has one."""
    strata: dict[str, str] = {}
    for item in sorted(flows, key=lambda item: item.stratum):
        if strata.setdefault(item.unit, item.stratum) == BENIGN:
            strata[item.unit] = item.stratum
    return strata


def _part(
    flows: list[Flows],
    sides: Mapping[str, str],
    side: str,
    labels: Labels,
    columns: int,
    rng: np.random.Generator,
) -> Part:
    """Return the first columns of one side's rows, at most ``MOST_ROWS`` a capture and family."""
    groups = _groups(flows)
    chosen = [
        replace(item, rows=item.rows[:, :columns]) for item in flows if sides.get(item.unit) == side
    ]
    parts = [_capped(item, labels, groups.index(item.group), rng) for item in chosen]
    return join([_empty(columns), *(part.take(part.labels >= 0) for part in parts)])


def _capped(item: Flows, labels: Labels, group: int, rng: np.random.Generator) -> Part:
    rows = item.rows[np.sort(rng.permutation(len(item.rows))[:MOST_ROWS])]
    return Part(
        rows=rows,
        labels=np.full(len(rows), class_index(item.family, labels)),
        weights=np.ones(len(rows), np.float32),
        groups=np.full(len(rows), group),
    )


def weigh(part: Part, repositories: NDArray[np.int64]) -> Part:
    """Let large captures and repositories count by the square root of their size.

    Of two captures one with a hundred times the flows tells ten times as much, and so for
    repositories, apart for benign rows and attacks, which count the same in all.

    Args:
        part: rows of captures.
        repositories: (groups,) the number of the repository that each group of rows is of.
    """
    if not len(part):
        return part
    attack = (part.labels > 0).astype(np.int64)
    weights = 1 / np.sqrt(_totals(2 * part.groups + attack, np.ones(len(part))))
    weights /= np.sqrt(_totals(2 * repositories[part.groups] + attack, weights))
    weights /= _totals(attack, weights)
    return replace(part, weights=(weights / weights.mean()).astype(np.float32))


def _totals(keys: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of the weights of the rows that share each row's key."""
    return np.asarray(np.bincount(keys, weights=weights)[keys], np.float64)


def _empty(columns: int) -> Part:
    none = np.empty(0, np.int64)
    return Part(
        rows=np.empty((0, columns), np.float32),
        labels=none,
        weights=np.empty(0, np.float32),
        groups=none,
    )


def _groups(flows: list[Flows]) -> tuple[str, ...]:
    return tuple(sorted({item.group for item in flows}))


def _notes(read: list[LabelledFlows], labels: Labels, generated: int) -> list[str]:
    notes = [
        f"divided by group of captures; {MOST_ROWS} rows of one family of a capture are drawn, and "
        "captures and repositories count by the square root of their size"
    ]
    if generated:
        notes.append(f"{generated} captures were generated (mix {GENERATED_MIX})")
    notes += how_labelled(read)
    below = [item.capture for item in read if item.labelled_by == BELOW]
    if below:
        names = ", ".join(f"{capture.name} ({capture.category})" for capture in below)
        notes.append(f"left out, attacks that leave nothing in IP flows: {names}")
    unknown = [item.capture.name for item in read if (item.families == UNKNOWN).any()]
    if unknown:
        fate = "counted as attack" if labels == "binary" else "left out"
        notes.append(f"category of no known family, {fate}: {', '.join(unknown)}")
    return notes


def how_labelled(read: Iterable[LabelledFlows]) -> list[str]:
    """Return a note on what reviewed captures were labelled by; none if there is no review."""
    reviewed = [item for item in read if item.capture.review is not None]
    counts = Counter(item.labelled_by for item in reviewed)
    if not reviewed:
        return []
    kept = (BY_CAPTURE, reviews.BY_FILTER, reviews.BY_ADDRESSES)
    out = ", ".join(f"{name} {counts[name]}" for name in sorted(counts.keys() - set(kept)))
    return [
        f"reviewed captures: {counts[BY_CAPTURE]} benign, attack flows selected by filter in "
        f"{counts[reviews.BY_FILTER]} and by addresses in {counts[reviews.BY_ADDRESSES]}; left "
        f"out: {out or 'none'}"
    ]


def _untested(flows: list[Flows], sides: Mapping[str, str]) -> list[str]:
    """Return notes on families of which a side has no capture."""
    notes = []
    for side in SIDES:
        present = {item.family for item in flows if sides.get(item.unit) == side}
        absent = sorted({item.family for item in flows} - present)
        if absent:
            notes.append(f"no {side} capture of: {', '.join(absent)}")
    return notes
