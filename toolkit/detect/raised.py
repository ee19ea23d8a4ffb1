"""Flows that had an alert while they were open: what they do later raises no other one."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from idskit.alerts.alert import Alert
from idskit.flow import ENDS, VERDICT

MAX_ALERTED = 1 << 16  # flow IDs of a table that are kept


class RaisedFlows:
    """Of flows that come from packets: exact, in 8 bytes for each flow that can be open at once.

    Attributes:
        repeated: flows that would have raised another alert at their end.
    """

    def __init__(self, capacity: int) -> None:
        self.repeated = 0
        self._alerted = np.full(capacity, -1, np.int64)  # by slot: serial of the flow

    def only_first(
        self, alerts: list[Alert], flows: NDArray[np.void], first_row: int
    ) -> list[Alert]:
        """Return the alerts of (n,) FLOW records without those of flows that had one."""
        rows = flows[[alert.row - first_row for alert in alerts]]
        marks = rows[["slot", "serial", "end"]].tolist()
        return [alert for alert, mark in zip(alerts, marks, strict=True) if self._is_first(*mark)]

    def _is_first(self, slot: int, serial: int, end: int) -> bool:
        if self._alerted[slot] == serial:
            self.repeated += end != VERDICT
            return False
        if end == VERDICT:
            self._alerted[slot] = serial
        return True


class RaisedRows:
    """Of flows that come from a table: of the last MAX_ALERTED that had an early alert.

    Attributes:
        repeated: flows that would have raised another alert at their end.
    """

    def __init__(self) -> None:
        self.repeated = 0
        self._flows: OrderedDict[int | None, None] = OrderedDict()  # flow IDs, oldest first

    def only_first(self, alerts: list[Alert]) -> list[Alert]:
        """Return the alerts without those of flows that had one; the oldest flows are evicted."""
        return [alert for alert in alerts if self._is_first(alert)]

    def _is_first(self, alert: Alert) -> bool:
        is_early = alert.flow is not None and alert.flow.end == ENDS[VERDICT]
        if alert.flow is None or not (is_early or self._flows):
            return True
        flow_id = alert.flow.flow_id
        if flow_id is None:
            return True
        is_first = flow_id not in self._flows
        if is_early:
            self._flows[flow_id] = None
            if len(self._flows) > MAX_ALERTED:
                self._flows.popitem(last=False)
        elif not is_first:
            del self._flows[flow_id]
            self.repeated += 1
        return is_first
