"""Verdicts on the clock: open flows of ``gateway`` are emitted when they come of age."""

from __future__ import annotations

from idskit.flow import VERDICT
from idskit.flows.flow_records import Output
from idskit.flows.flow_table import room
from idskit.flows.verdict_clock import first_of_age, wait_for_next_age
from idskit.kernels.compile import kernel
from idskit.profiles.gateway.gateway_arrays import Gateway
from idskit.profiles.gateway.gateway_life import emit


@kernel
def judge_due(gateway: Gateway, output: Output, now: int) -> bool:
    """Emit the flows that are due for a verdict by ``now``; False if there was no room for all.

    Spends the allowance that sweeps have, too, and goes on from there with the next packet.
    """
    table = gateway.table
    for age in range(table.state[0]["ages"]):
        slot = first_of_age(table, age, now)
        while slot >= 0 and table.state[0]["allowance"] > 0:
            if room(table, output) < 1:
                return False
            emit(gateway, output, slot, VERDICT)
            wait_for_next_age(table, slot)
            table.state[0]["allowance"] -= 1
            slot = first_of_age(table, age, now)
    return True
