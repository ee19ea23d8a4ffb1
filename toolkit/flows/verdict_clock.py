"""The clock of verdicts: open flows wait, in the order in which they began, for each age in turn.

    start_flow ──> queue of 1 s ──> queue of 5 s ──> queue of 30 s ──> none

All flows of a queue wait for the same age, so the one that waits longest is at its head: whether
any is due is one comparison, and no flow is looked at before its time.
"""

from __future__ import annotations

import numpy as np

from idskit.flow import VERDICT
from idskit.flows.flow_records import Table
from idskit.kernels.compile import kernel

_Record = np.void


@kernel
def restart_clock(table: Table, slot: int) -> None:
    """Let a flow that begins wait for the first age."""
    stop_clock(table, slot)
    table.flows[slot]["version"] = 0
    if table.state[0]["ages"]:
        _wait(table, slot, 1)


@kernel
def stop_clock(table: Table, slot: int) -> None:
    """Let a flow wait for no age."""
    flows = table.flows
    flow = flows[slot]
    if flow["age"] == 0:
        return
    queue, older, newer = table.ages[flow["age"] - 1], flow["older"], flow["newer"]
    if older < 0:
        queue["head"] = newer
    else:
        flows[older]["newer"] = newer
    if newer < 0:
        queue["tail"] = older
    else:
        flows[newer]["older"] = older
    flow["age"] = 0


@kernel
def wait_for_next_age(table: Table, slot: int) -> None:
    """Let a flow that came of age wait for the next one, if there is one."""
    following = int(table.flows[slot]["age"]) + 1
    stop_clock(table, slot)
    if following <= table.state[0]["ages"]:
        _wait(table, slot, following)


@kernel
def _wait(table: Table, slot: int, age: int) -> None:
    """Put a flow at the end of the queue of an age, counted from 1."""
    flow, queue = table.flows[slot], table.ages[age - 1]
    flow["age"], flow["older"], flow["newer"] = age, queue["tail"], -1
    if queue["tail"] < 0:
        queue["head"] = slot
    else:
        table.flows[queue["tail"]]["newer"] = slot
    queue["tail"] = slot


@kernel
def first_of_age(table: Table, age: int, now: int) -> int:
    """Return the flow of a queue, counted from 0, that is due first; -1 if none is.

    Whichever way time went, as in ``is_expired``: a flow of the future holds up nobody.
    """
    queue = table.ages[age]
    slot = int(queue["head"])
    if slot >= 0 and abs(now - table.flows[slot]["start"]) < queue["us"]:
        return -1
    return slot


@kernel
def is_settled(table: Table, slot: int, version: int, end: int) -> bool:
    """Return whether a flow's last verdict counted all of it: then it is not emitted again.

    ``version`` grows with everything that a row counts. A flow that ends so is counted, too.
    """
    flow = table.flows[slot]
    if flow["version"] == version:
        table.state[0]["settled"] += end != VERDICT
        return True
    if end == VERDICT:
        flow["version"] = version
    return False
