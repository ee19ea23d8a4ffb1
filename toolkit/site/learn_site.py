"""Learn a site from captures, interfaces or tables, as a file that detection reads.

Captures of short scenes, such as public ones, can be joined: each is shifted in time, so that it
begins on the hour after the one before it, and their hours are counted as one site's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from idskit.capture.capture_files import CaptureFiles, open_captures
from idskit.detect.detector import Detector
from idskit.detect.feature_table import read_flow_table
from idskit.errors import IdskitError
from idskit.flow import address_text
from idskit.flow_input import VERDICT_AT_S, FlowInput
from idskit.incidents.case import SILENCE_US
from idskit.incidents.sequential.nats import OPENS
from idskit.modelfile.signature import Signer
from idskit.options import option
from idskit.process.signals import finish_on_signals
from idskit.profiles.flow_reader import open_input
from idskit.profiles.reading_statistics import FlowStatistics
from idskit.report.text import shown
from idskit.site.case_peaks import HOUR_US
from idskit.site.device_normal import service_text
from idskit.site.incident_budget import (
    DEFAULT_BUDGET,
    LEAST_HOURS,
    MOST_RAISED,
)
from idskit.site.site_file import write_site
from idskit.site.site_learner import FIRST_US, SiteLearner
from idskit.site.site_normal import SiteNormal

if TYPE_CHECKING:
    from rich.console import Console

JOINED_FROM_HOUR = 490_896  # 2026-01-01, in hours since the epoch
LONGEST_JOINED_HOURS = 24 * 7
_SHOWN = 10  # cases that a summary lists


@dataclass(frozen=True, kw_only=True)
class LearnOptions:
    """What is learned, and who signs it."""

    join: bool = option(
        False, "Shift each capture in time to begin on the hour after the one before it"
    )
    anonymous: bool = option(
        False, "Keep no devices and addresses: only what other sites can use (see idskit budget)"
    )
    sign_key: Path | None = option(
        None, "Sign the site with this ed25519 private key (PEM), as FILE.sig", metavar="PEM"
    )


@dataclass(frozen=True, kw_only=True)
class JudgedFlows:
    """Flows with their features, and what the model says of them."""

    flows: NDArray[np.void]  # (n,) FLOW
    features: NDArray[np.float64]  # (n, d)
    probabilities: NDArray[np.float32]  # (n, classes)
    capture: str = ""  # where captures are joined: which it is of

    def shifted(self, by_us: int, serial: int) -> JudgedFlows:
        """Return the same at another time, with other serial numbers."""
        flows = self.flows.copy()
        flows["start_us"] += by_us
        flows["end_us"] += by_us
        flows["serial"] += serial
        return replace(self, flows=flows)


@dataclass(kw_only=True)
class ReadSoFar:
    """What was read; kept up to date while it is."""

    rows: int = 0
    captures: int = 0
    notes: list[str] = field(default_factory=list)

    def note(self, statistics: FlowStatistics) -> None:
        """Keep what was lost."""
        if statistics.dropped:
            self.notes.append(f"{statistics.dropped:,} frames were dropped by the kernel")
        for text in (statistics.truncated, statistics.not_read):
            if text:
                self.notes.append(f"not all of {statistics.source} was read: {text}")


@dataclass(frozen=True, kw_only=True)
class LearnedSite:
    """What a site was learned from, and what it can promise."""

    normal: SiteNormal
    output: Path
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain types."""
        openings = self.normal.openings(DEFAULT_BUDGET)
        return {
            "output": str(self.output),
            "hours": self.normal.hours,
            "flows": self.normal.flows,
            "devices": len(self.normal.devices),
            "left_out": dict(self.normal.left_out),
            "nats": openings.nats,
            "notes": [*self.notes, *openings.notes],
        }

    def show(self, console: Console) -> None:
        """Print the summary."""
        for line in self._lines():
            console.print(line, highlight=False)

    def _lines(self) -> Iterator[str]:
        normal = self.normal
        yield (
            f"[bold]{normal.flows:,} flows of {len(normal.devices):,} devices in {normal.hours:,} "
            f"hours[/bold] learned to {shown(self.output)}"
        )
        for reason, count in normal.left_out.items():
            yield f"not learned: {count:,} ({shown(reason)})"
        for note in (*self.notes, *normal.openings(DEFAULT_BUDGET).notes):
            yield f"[yellow]{shown(note)}[/yellow]"
        if normal.hours >= LEAST_HOURS:
            yield _promise(normal)
        yield from _accused(normal)


def learn(
    model: str | Path | None,
    given: FlowInput,
    output: Path,
    options: LearnOptions = LearnOptions(),
) -> LearnedSite:
    """Learn a site and write its file.

    Args:
        model: the ONNX file that will judge flows at the site; None for the shipped one.
        given: where flows come from. An interface is read until SIGINT, SIGTERM or SIGHUP.
        output: of the site.
        options: see ``LearnOptions``.

    Raises:
        CaptureError, SchemaError, ModelError: the input or the model cannot be used.
        IdskitError: there is nothing to learn, or the file cannot be written.
    """
    signer = None if options.sign_key is None else Signer.load(options.sign_key)
    detector = Detector.load(model)
    learner = learner_for(detector)
    so_far = ReadSoFar()
    for found in judged_flows(detector, given, so_far, join=options.join):
        learner.observe(found.flows, found.features, found.probabilities)
    normal = learner.finish()
    normal = normal.anonymous() if options.anonymous else normal
    write_site(normal, output, signer)
    return LearnedSite(normal=normal, output=output, notes=tuple(so_far.notes))


def learner_for(detector: Detector) -> SiteLearner:
    """Return a learner of what a detector says."""
    return SiteLearner(
        detector.schema, detector.card.classes, detector.threshold, model=detector.sha256
    )


def judged_flows(
    detector: Detector, given: FlowInput, so_far: ReadSoFar, *, join: bool = False
) -> Iterator[JudgedFlows]:
    """Yield flows and what a detector says of them.

    Args:
        detector: that judges.
        given: captures, interfaces or a table with addresses.
        so_far: is kept up to date.
        join: shift captures in time, one after the other.

    Raises:
        IdskitError: only captures can be joined, or the rows of a table belong to nobody.
    """
    if join:
        yield from _joined(detector, given, so_far)
    elif given.flows is not None:
        yield from _of_table(detector, Path(str(given.flows)), so_far)
    else:
        yield from _of_packets(detector, given, so_far)


def capture_paths(given: FlowInput) -> tuple[Path, ...]:
    """Return the files of the captures of an input, in the order of their first packets."""
    opened = open_captures([Path(source) for source in given.capture])
    paths = opened.paths if isinstance(opened, CaptureFiles) else (Path(given.capture[0]),)
    opened.close()
    return paths


def _of_packets(detector: Detector, given: FlowInput, so_far: ReadSoFar) -> Iterator[JudgedFlows]:
    with open_input(given, detector.schema, verdict_at_s=VERDICT_AT_S) as flows:
        with finish_on_signals(flows.stop) if flows.is_live else nullcontext():
            for batch in flows.batches():
                so_far.rows += len(batch)
                yield JudgedFlows(
                    flows=batch.flows,
                    features=batch.features,
                    probabilities=detector.flow_probabilities(batch),
                )
        so_far.captures += 1
        so_far.note(flows.statistics)


def _of_table(detector: Detector, path: Path, so_far: ReadSoFar) -> Iterator[JudgedFlows]:
    for rows in read_flow_table(path, detector.schema):
        if rows.flows is None or not rows.flows["ip_version"].all():
            raise IdskitError(
                f"{path} was given to learn from, but it does not say whose flows its rows are: "
                "give captures, or a table of idskit extract with addresses"
            )
        so_far.rows += len(rows.features)
        yield JudgedFlows(
            flows=rows.flows,
            features=rows.features,
            probabilities=detector.probabilities(rows.features),
        )


def _joined(detector: Detector, given: FlowInput, so_far: ReadSoFar) -> Iterator[JudgedFlows]:
    if not given.capture:
        raise IdskitError("only captures can be joined: give them with -r, or omit --join")
    hour, serial = JOINED_FROM_HOUR, 0
    for path in capture_paths(given):
        alone = replace(given, capture=(path,))
        found = [replace(one, capture=str(path)) for one in _of_packets(detector, alone, so_far)]
        first, last = _period(found)
        if last - first > LONGEST_JOINED_HOURS * HOUR_US:
            so_far.notes.append(f"{path} was not joined: its packets are of more than a week")
            continue
        for one in found:
            yield one.shifted(hour * HOUR_US - first, serial)
        hour += 1 + (last - first + SILENCE_US) // HOUR_US
        serial += 1 + sum(len(one.flows) for one in found) + _most_serial(found)


def _period(found: list[JudgedFlows]) -> tuple[int, int]:
    """Return the first and the last time of flows."""
    known = [one.flows for one in found if len(one.flows)]
    starts = [int(flows["start_us"].min()) for flows in known]
    ends = [int(flows["end_us"].max()) for flows in known]
    return min(starts, default=FIRST_US), max(ends, default=FIRST_US)


def _most_serial(found: list[JudgedFlows]) -> int:
    return max((int(one.flows["serial"].max()) for one in found if len(one.flows)), default=0)


def _promise(normal: SiteNormal) -> str:
    nats = normal.openings(DEFAULT_BUDGET).nats
    changed = {family: level for family, level in nats.items() if level != OPENS}
    if not changed:
        return f"incidents open at {OPENS:g} nats, as shipped: that keeps {DEFAULT_BUDGET.text}"
    levels = ", ".join(f"{shown(family)} {level:.3g}" for family, level in changed.items())
    return f"within {DEFAULT_BUDGET.text} incidents open at these nats: {levels}"


def _accused(normal: SiteNormal) -> Iterator[str]:
    """Say what looked like an attack and was not learned as normal."""
    strong = [peak for peak in normal.peaks if peak.nats >= OPENS]
    if not strong:
        return
    never = sum(peak.tested or peak.nats >= MOST_RAISED for peak in strong)
    yield (
        f"{len(strong):,} cases would have been incidents, {never:,} of them so much like attacks "
        "that no threshold rises because of them: look at each"
    )
    like = Counter((peak.family, peak.device, peak.service) for peak in strong)
    for (family, device, service), count in like.most_common(_SHOWN):
        yield shown(f"  {count:,} times {family}: {address_text(device)}, {service_text(*service)}")
