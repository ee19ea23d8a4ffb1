"""When open flows are judged, by definition: the oracle of ``verdict_clock`` and of the sweeps."""

from __future__ import annotations

from typing import Any

LAG_US, TICK_US = 4_000_000, 1 << 20
LOOKED_AT = 8  # flows that one packet makes anyone look at


class Clock:
    """Lines of flows that wait, each for one age; a flow of the past or the future is due too."""

    def __init__(self, ages_us: tuple[int, ...]) -> None:
        self.lines: list[tuple[int, list[Any]]] = [(age, []) for age in ages_us]

    def begin(self, flow: Any) -> None:
        self.end(flow)
        for _, line in self.lines[:1]:
            line.append(flow)

    def end(self, flow: Any) -> None:
        for _, line in self.lines:
            line[:] = [other for other in line if other is not flow]

    def due(self, now: int) -> list[Any]:
        """Flows to judge, in order; one of them may come twice."""
        found: list[Any] = []
        for place, (age, line) in enumerate(self.lines):
            while line and len(found) < LOOKED_AT and abs(now - line[0].start) >= age:
                found.append(line.pop(0))
                for _, following in self.lines[place + 1 : place + 2]:
                    following.append(found[-1])
        return found


def is_swept(now: int, silent_since: int, timeout: int) -> bool:
    """Whether a packet at ``now`` ends a flow that is silent: full ticks later, lest it goes on."""
    return (now - LAG_US) // TICK_US > (silent_since + timeout) // TICK_US
