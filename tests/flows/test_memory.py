"""The flow table's budget under a flood; ``python -m tests.flows.memory`` is the long run."""

from __future__ import annotations

import pytest
from tests.flows.memory import FLOWS_PER_S, flood

from idskit.kernels.compile import is_compiling


@pytest.mark.skipif(not is_compiling(), reason="1.5 million packets take hours as plain Python")
def test_a_flood_stays_in_the_budget_is_counted_and_spares_flows_with_data() -> None:
    found = flood(FLOWS_PER_S + 100_000, memory_mb=64)  # into the second second
    assert found.grown_mb <= 1.1 * found.budget_mb
    assert found.is_exact
    assert found.evicted > FLOWS_PER_S // 2
    assert found.talks_evicted == 0
