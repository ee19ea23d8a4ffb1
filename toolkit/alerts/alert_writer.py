"""Write alerts as lines: a bounded number of them, and every one withheld is counted."""

from __future__ import annotations

import time
from collections.abc import Iterable

from idskit.alerts.alert import Alert
from idskit.alerts.eve import Origin, stats_line
from idskit.alerts.eve_file import Sink
from idskit.alerts.summary import Tallies
from idskit.alerts.throttle import Throttle


class AlertWriter:
    """Writer of alerts to a sink, which counts them.

    Attributes:
        tallies: counts of all alerts, written or not.
    """

    def __init__(self, sink: Sink) -> None:
        self.tallies = Tallies()
        self._sink = sink
        self._start = time.monotonic()
        self._latest_us = 0  # time of the last alert
        self._other_lines = 0

    @property
    def lost(self) -> int:
        """Number of lines that could not be written."""
        return self._sink.lost

    def write_lines(self, lines: Iterable[str]) -> None:
        """Buffer lines that are no alerts of single flows; ``write`` sends them."""
        for line in lines:
            self._sink.write(line)
            self._other_lines += 1

    def write(self, alerts: Iterable[Alert], origin: Origin, throttle: Throttle | None) -> None:
        """Write the alerts that the throttle admits, at once; all of them if there is none.

        Raises:
            BrokenPipeError: the reader of the lines went away.
        """
        for alert in alerts:
            self.tallies.add(alert)
            self._latest_us = alert.time_us
            withheld = 0 if throttle is None else throttle.admits(alert.label, _now(alert, origin))
            if withheld is not None:
                self._sink.write(alert.to_eve(origin, withheld=withheld))
        self._sink.flush()

    def finish(self, throttle: Throttle | None) -> None:
        """Write how many lines were withheld, if any were: no later line may say so.

        Raises:
            BrokenPipeError: the reader of the lines went away.
        """
        if throttle is None or not throttle.withheld:
            return
        line = stats_line(
            self._latest_us,
            uptime_s=time.monotonic() - self._start,
            written=self._sink.written - self._other_lines,
            withheld=throttle.withheld.total(),
        )
        self._sink.write(line)
        self._sink.flush()


def _now(alert: Alert, origin: Origin) -> int:
    """Return the time in microseconds: of the packets, or live of a clock that is never set back.

    A clock set back would stop the lines until it is where it was.
    """
    return time.monotonic_ns() // 1000 if origin.interfaces else alert.time_us
