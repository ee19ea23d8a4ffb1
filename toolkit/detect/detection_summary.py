"""What a detection read, found and could not read, for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console

from idskit.alerts.summary import AttackSummary, attacks_section
from idskit.alerts.throttle import BURST, PER_SECOND
from idskit.incidents.incident import Incident
from idskit.incidents.incident_table import counted, incidents_section
from idskit.report.section import show_sections
from idskit.report.text import shown


@dataclass(frozen=True, kw_only=True)
class DetectionSummary:
    """What a detection read, found, and could not read."""

    source: str
    model: str
    threshold: float
    flows: int
    packets: int | None  # None for a table
    incidents: tuple[Incident, ...] = ()  # as they ended
    attacks: tuple[AttackSummary, ...] = ()  # alerts: worst severity first, then most of them
    skipped: Mapping[str, int] = field(default_factory=dict)  # packets not decoded, by reason
    truncated: str = ""  # why reading ended early, or empty
    seconds: float = 0.0
    output: str = "the output"  # what the lines were written to
    lines_written: int = 0
    lines_withheld: Mapping[str, int] = field(
        default_factory=dict
    )  # by label: withheld by the throttle
    lines_lost: int = 0  # they could not be written
    dropped: int = 0  # frames that the kernel dropped before they could be read
    repeated: int = 0  # flows whose end would have raised another alert, which is omitted
    unjudged: int = 0  # flows with an infinite or undefined feature
    not_read: str = ""  # files in the folders given that are no captures
    lost: str = ""  # why alerts were not written, or empty

    @property
    def alerts(self) -> int:
        """Return the number of alerts of all labels."""
        return sum(attack.alerts for attack in self.attacks)

    def show(self, console: Console) -> None:
        """Print the summary."""
        console.print(self._headline(), highlight=False)
        if self.incidents:
            show_sections([incidents_section(self.incidents)], console)
        if self.attacks:
            show_sections([attacks_section(self.attacks)], console)
        for line in self._notes():
            console.print(line, highlight=False)

    def _headline(self) -> str:
        read = f"{self.flows:,} flows"
        if self.packets is not None:
            read = f"{self.packets:,} packets in {read}"
        found = counted(len(self.incidents), "incident")
        if self.alerts:
            found += f", {counted(self.alerts, 'alert')}"
        return (
            f"[bold]{found}[/bold]: {read} of {shown(self.source)}, {self.seconds:.1f} s, model "
            f"{shown(self.model)}, threshold {self.threshold:g}"
        )

    def _notes(self) -> list[str]:
        notes = self._output_notes()
        if self.repeated:
            notes.append(
                f"{self.repeated:,} flows with an alert still looked like an attack when they ended"
            )
        if self.unjudged:
            notes.append(
                f"[yellow]{self.unjudged:,} flows were not judged[/yellow]: the tool that their "
                "schema imitates leaves one of their features infinite or undefined"
            )
        lost = {reason: n for reason, n in self.skipped.items() if reason != "reassembled"}
        if lost:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in lost.items())
            notes.append(f"packets not decoded: {reasons}")
        if "reassembled" in self.skipped:
            count = self.skipped["reassembled"]
            notes.append(f"{count:,} frames were later fragments: a fragmented packet counts once")
        if self.dropped:
            notes.append(
                f"[yellow]{self.dropped:,} frames were dropped by the kernel[/yellow]: they came "
                "faster than this machine judges"
            )
        if self.truncated:
            notes.append(
                f"[yellow]reading ended early[/yellow]: {shown(self.truncated)}; "
                "the flows before that are judged"
            )
        if self.not_read:
            notes.append(f"not read, as they are no readable captures: {shown(self.not_read)}")
        return notes

    def _output_notes(self) -> list[str]:
        """Return notes on the lines that were written, withheld or lost."""
        notes = [f"{self.lines_written:,} lines written to {shown(self.output)}"]
        if self.lines_withheld:
            counts = self.lines_withheld.items()
            labels = ", ".join(f"{count:,} of {shown(label)}" for label, count in counts)
            notes.append(
                f"[yellow]lines withheld: {labels}[/yellow]; {BURST:,} of a label are written at "
                f"once, then {PER_SECOND:g} a second"
            )
        if self.lines_lost:
            notes.append(
                f"[red]{self.lines_lost:,} lines were lost[/red]: they could not be written"
            )
        return notes
