"""Labelled captures to a data set of flows, through the project's own flow engine.

    folder ──> labelled captures ──> flows and features ──> sides by capture ──> rows

A capture is labelled as a whole, by a line of labels.csv or by the name of its folder, or flow by
flow, by a file ``<stem>.labels.csv`` next to it as ``idskit generate`` writes it. Rows are divided
by capture and never by row: flows of one capture resemble each other far more than those of
another.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from idskit.data.capture_labels import Capture, FlowLabels, find_captures
from idskit.data.dataset import Dataset, Labels, Part, Protocol, check_dataset, join
from idskit.generate import generate
from idskit.profiles.flow_reader import open_flows
from idskit.schemas.catalog import schema_named

SCHEMAS = ("gateway", "packets", "gateway-packets")  # the first by default
BENIGN = "benign"
# Attack families and the words in a category that put it there; the first that fits counts.
FAMILIES = {
    "web": ("web", "xss", "sql", "exploit"),
    "amplification": ("amplification", "reflection"),
    "brute-force": ("brute", "guess", "password"),
    "malware": ("malware", "c2", "exfiltration", "botnet", "trojan"),
    "flood": ("flood", "dos"),
    "scan": ("scan", "sweep", "probe", "recon"),
}
BELOW_IP = "arp"  # attacks of categories with this word leave nothing in IP flows
UNKNOWN = "unknown"  # an attack of a category that fits no family
CLASSES: dict[Labels, tuple[str, ...]] = {
    "binary": (BENIGN, "attack"),
    "family": (BENIGN, *FAMILIES),
}
# One family of one capture gives at most this many rows, drawn at random, and at most this much
# weight, in ordinary rows: a flood of 37,000 equal flows must not drown twenty web attacks.
MOST_ROWS, MOST_WEIGHT = 2_000, 300.0
TEST_FRACTION, VALIDATION_FRACTION = 0.25, 0.25
GENERATED_PACKETS, GENERATED_MIX = 20_000, "home"
# Generated captures are seeded from here on, away from the seeds that people pick for samples.
GENERATED_SEED = 1_000_000
BATCH = 8192


@dataclass(frozen=True, kw_only=True)
class Flows:
    """Flows of one capture that share a family."""

    capture: str
    unit: str  # captures of one unit stay on one side
    stratum: str  # units are divided in proportion within a stratum
    family: str
    rows: NDArray[np.float32]  # (n, features)

    @property
    def group(self) -> str:
        """Return the name in reports."""
        return self.capture if self.stratum == self.family else f"{self.capture} ({self.family})"


def load(
    data: Path,
    *,
    protocol: Protocol,
    labels: Labels,
    seed: int,
    generated: int = 0,
    schema: str = SCHEMAS[0],
) -> Dataset:
    """Extract the flows of every labelled capture in ``data`` and divide them by capture.

    Args:
        data: a folder of captures with a labels.csv in it or in its parent (columns file, label,
            category), or with a folder for each class, or with a ``<stem>.labels.csv`` next to
            each capture.
        protocol: ``honest``, or ``official``, which is the same: there is no publisher's split.
        labels: two classes, or benign and the families of attacks.
        seed: of the split and of the rows drawn from large captures.
        generated: captures written by ``idskit.generate`` that are added.
        schema: one of ``SCHEMAS``: which columns of the flows.

    Raises:
        DataError: no labelled captures, a capture without label, or too few captures to divide.
        CaptureError: a file that is not a capture.
    """
    captures = find_captures(data)
    above, below = _apart(captures)
    flows, sha256 = [], {}
    for capture in above:
        sha256[capture.name] = hashlib.sha256(capture.path.read_bytes()).hexdigest()
        flows += read_flows(capture, schema)
    flows += _generated(generated, seed, schema)
    notes = _notes(flows, below, labels, generated)
    rng = np.random.default_rng(seed)
    sides = divide(flows, rng)
    parts = [_part(flows, sides, side, labels, rng) for side in ("train", "validation", "test")]
    return check_dataset(
        Dataset(
            name="captures",
            protocol=protocol,
            schema=schema_named(schema),
            classes=CLASSES[labels],
            groups=_groups(flows),
            train=parts[0],
            validation=parts[1],
            test=parts[2],
            notes=(*notes, *_untested(flows, sides)),
            sha256=sha256,
        )
    )


def family_of(category: str) -> str:
    """Return the family of a category: benign, one of FAMILIES, or UNKNOWN."""
    if category in (BENIGN, "normal"):
        return BENIGN
    fitting = (f for f, words in FAMILIES.items() if any(word in category for word in words))
    return next(fitting, UNKNOWN)


def read_flows(capture: Capture, schema: str = SCHEMAS[0]) -> list[Flows]:
    """Return the flows of one capture by family, without those that its label file lacks.

    Raises:
        CaptureError: not a capture.
        DataError: a label file that cannot be read.
    """
    with open_flows(capture.path, schema) as reader:
        batches = list(reader.batches(BATCH))
    if not batches:
        return []
    records = np.concatenate([batch.flows for batch in batches])
    rows = np.concatenate([batch.features for batch in batches]).astype(np.float32)
    if capture.category is not None:
        families = np.full(len(rows), family_of(capture.category))
    else:
        categories = FlowLabels.read(capture.labels).categories(records)
        families = np.array([family_of(category) if category else "" for category in categories])
    whole = capture.category is not None
    return [
        Flows(
            capture=capture.name,
            unit=_unit(capture.name),
            stratum=str(family) if whole else "labelled by flow",
            family=str(family),
            rows=rows[families == family],
        )
        for family in np.unique(families[families != ""])
    ]


def _apart(captures: Iterable[Capture]) -> tuple[list[Capture], list[Capture]]:
    """Return captures to read, and those of attacks below IP."""
    below = [c for c in captures if c.category is not None and BELOW_IP in _words(c.category)]
    return [c for c in captures if c not in below], below


def _words(category: str) -> list[str]:
    return re.split(r"[^a-z0-9]+", category.lower())


def _unit(name: str) -> str:
    """Return what a capture shows: IoT SENTINEL took several per device, numbered "_Setup-A-1".

    Devices of one model (EdnetCam1, EdnetCam2) are one unit too.
    """
    device, setup, _ = Path(name).name.partition("_Setup-")
    return device.rstrip("0123456789") if setup else name


def _generated(count: int, seed: int, schema: str) -> list[Flows]:
    """Return the flows of ``count`` generated captures."""
    flows: list[Flows] = []
    with TemporaryDirectory() as folder:
        for number in range(count):
            path = Path(folder) / f"generated-{number}.pcap"
            capture_seed = GENERATED_SEED + 1000 * seed + number
            made = generate(path, packets=GENERATED_PACKETS, mix=GENERATED_MIX, seed=capture_seed)
            capture = Capture(path=path, name=path.name, category=None, labels=made.labels)
            flows += read_flows(capture, schema)
    return flows


def divide(flows: list[Flows], rng: np.random.Generator) -> dict[str, str]:
    """Return the side of every unit: train, validation or test.

    A stratum of one unit is trained on, of two also tested, of three or more also validated.
    """
    sides: dict[str, str] = {}
    strata = {item.unit: item.stratum for item in flows}
    for stratum in sorted(set(strata.values())):
        units = sorted(unit for unit, unit_stratum in strata.items() if unit_stratum == stratum)
        order = [units[i] for i in rng.permutation(len(units))]
        test = max(round(TEST_FRACTION * len(order)), int(len(order) > 1))
        validation = max(round(VALIDATION_FRACTION * len(order)), int(len(order) > 2))
        for position, unit in enumerate(order):
            if position < test:
                sides[unit] = "test"
            else:
                sides[unit] = "validation" if position < test + validation else "train"
    return sides


def _part(
    flows: list[Flows], sides: dict[str, str], side: str, labels: Labels, rng: np.random.Generator
) -> Part:
    """Return the rows of one side, at most ``MOST_ROWS`` per capture and family."""
    groups = _groups(flows)
    chosen = [item for item in flows if sides[item.unit] == side]
    parts = [_capped(item, labels, groups.index(item.group), rng) for item in chosen]
    columns = flows[0].rows.shape[1] if flows else 0
    empty = _empty(columns)
    return join([empty, *(part.take(part.labels >= 0) for part in parts)])


def _capped(item: Flows, labels: Labels, group: int, rng: np.random.Generator) -> Part:
    rows = item.rows[np.sort(rng.permutation(len(item.rows))[:MOST_ROWS])]
    return Part(
        rows=rows,
        labels=np.full(len(rows), class_index(item.family, labels)),
        weights=np.full(len(rows), min(MOST_WEIGHT / len(rows), 1), np.float32),
        groups=np.full(len(rows), group),
    )


def _empty(columns: int) -> Part:
    none = np.empty(0, np.int64)
    return Part(
        rows=np.empty((0, columns), np.float32),
        labels=none,
        weights=np.empty(0, np.float32),
        groups=none,
    )


def class_index(family: str, labels: Labels) -> int:
    """Return the class of a family; -1 for an unknown one among families."""
    if family == BENIGN:
        return 0
    if labels == "binary":
        return 1
    return -1 if family == UNKNOWN else CLASSES[labels].index(family)


def _groups(flows: list[Flows]) -> tuple[str, ...]:
    return tuple(sorted({item.group for item in flows}))


def _notes(flows: list[Flows], below: list[Capture], labels: Labels, generated: int) -> list[str]:
    counts = Counter(item.family for item in flows)
    notes = [
        "divided by capture; a capture counts for at most "
        f"{MOST_WEIGHT:g} rows of one family, {MOST_ROWS} are drawn"
    ]
    if generated:
        notes.append(f"{generated} captures were generated (mix {GENERATED_MIX})")
    if below:
        names = ", ".join(f"{capture.name} ({capture.category})" for capture in below)
        notes.append(f"left out, attacks that leave nothing in IP flows: {names}")
    if counts[UNKNOWN]:
        fate = "counted as attack" if labels == "binary" else "left out"
        names = ", ".join(item.capture for item in flows if item.family == UNKNOWN)
        notes.append(f"category of no known family, {fate}: {names}")
    return notes


def _untested(flows: list[Flows], sides: dict[str, str]) -> list[str]:
    """Return notes on families of which a side has no capture."""
    notes = []
    for side in ("train", "validation", "test"):
        present = {item.family for item in flows if sides[item.unit] == side}
        absent = sorted({item.family for item in flows} - present)
        if absent:
            notes.append(f"no {side} capture of: {', '.join(absent)}")
    return notes
