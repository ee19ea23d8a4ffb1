"""What a reader of flows has read so far, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from idskit.decode.reassembly import fragments_line

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class FlowStatistics:
    """What was read and what became of it: ``frames`` = ``packets`` + all of ``skipped``.

    Attributes:
        source: the capture, captures or interfaces.
        schema: name of the feature schema.
        frames: captured frames seen.
        packets: frames decoded as IP packets.
        skipped: frames not decoded, by reason; reasons that did not occur are left out. A datagram
            is one packet: its other fragments are ``reassembled`` frames.
        flows: flows that ended. One that got nothing more after a verdict has no other row.
        verdicts: rows emitted while their flows were open, because of ``verdict_at_s``.
        evicted: of the flows, those emitted early because the memory was full.
        truncated: why reading ended before the end of the capture, or empty.
        dropped: frames that the kernel dropped before they could be read, not among ``frames``.
        not_read: what lies in the folders that were named and is no capture, or empty.
        lost: why not all rows could be written where they were to go, or empty.
        fragments: what became of IP fragments, see ``reassembly.fragment_counts``.
        late: of the packets, those that came after the close of their TCP connection: in no flow.
    """

    source: str
    schema: str
    frames: int
    packets: int
    skipped: Mapping[str, int]
    flows: int
    verdicts: int
    evicted: int
    truncated: str
    dropped: int
    not_read: str = ""
    lost: str = ""
    fragments: Mapping[str, int] = field(default_factory=dict)
    late: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain types."""
        return asdict(self)

    def show(self, console: Console) -> None:
        """Print for people."""
        for line in self.lines():
            console.print(line, highlight=False, markup=False)

    def lines(self) -> Iterator[str]:
        """Yield the same in sentences."""
        yield f"{self.flows:,} flows of {self.packets:,} packets in {self.source} ({self.schema})"
        if self.verdicts:
            yield f"{self.verdicts:,} rows of flows that were still open"
        lost = {reason: n for reason, n in self.skipped.items() if reason != "reassembled"}
        if lost:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in lost.items())
            yield f"frames not decoded: {reasons}"
        if self.fragments:
            yield fragments_line(self.fragments)
        if self.evicted:
            yield f"{self.evicted:,} flows were emitted early: the flow table was full"
        if self.late:
            yield f"{self.late:,} packets came after their connection had closed: in no flow"
        if self.dropped:
            yield f"{self.dropped:,} frames were dropped by the kernel: they came too fast"
        if self.not_read:
            yield f"not read, as they are no readable captures: {self.not_read}"
        if self.truncated:
            yield f"reading ended early: {self.truncated}; the flows before that are valid"
