"""The fuzzer for a bounded number of cases; ``make fuzz MINUTES=10`` goes on with others."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from tests.flows.effort import examples
from tests.flows.fuzz import (
    GROWTH_BYTES,
    Case,
    Twin,
    check,
    files,
    frames,
    outcome,
    pcap_files,
    pcapng_files,
    resident_bytes,
    run,
)


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    made = Twin()
    yield made
    made.close()


@settings(max_examples=examples(400), deadline=None)
@given(case=files())
def test_damaged_files_are_read_the_same_without_compilation(twin: Twin, case: Case) -> None:
    check(case, twin)


@settings(max_examples=examples(800), deadline=None)
@given(case=frames())
def test_damaged_frames_are_decoded_the_same_without_compilation(twin: Twin, case: Case) -> None:
    check(case, twin)


@pytest.mark.parametrize("made", [pcap_files, pcapng_files])
def test_what_is_tried_reaches_the_flows(made: Callable[[], st.SearchStrategy[bytes]]) -> None:
    """A fuzzer whose files all end at their header would find nothing."""

    def has_flows(content: bytes) -> bool:
        return outcome(("gateway", 0, content)).endswith(")])")

    many = settings(max_examples=2000, phases=[Phase.generate], database=None, deadline=None)
    seen = find(made(), has_flows, settings=many)
    assert len(seen) > 24


def test_memory_does_not_grow_with_the_number_of_cases() -> None:
    before = resident_bytes()
    assert run(minutes=0.05, examples=examples(100)) > 1
    assert resident_bytes() - before < GROWTH_BYTES
