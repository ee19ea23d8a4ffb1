"""``FlowInput``: exactly one source, and only options that this source has."""

from pathlib import Path
from typing import Any

import pytest

from idskit.errors import IdskitError
from idskit.flow_input import FlowInput
from idskit.options import options_of


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "but none was named"),
        ({"capture": ()}, "but none was named"),
        ({"capture": "a", "interface": "lo"}, r"captures \(-r\) and interfaces \(-i\) were named"),
        ({"interface": "lo", "flows": "b"}, "name one of them"),
        ({"capture": "a", "filter": "tcp"}, "only interfaces"),
        ({"flows": "a", "verdict_at_s": (4,)}, "flows of a table do not grow older: omit it"),
        ({"capture": "a", "verdict_at_s": (1, 120)}, "choose 0 to 119"),
        ({"capture": "a", "verdict_at_s": range(1, 10)}, "names 9 ages: choose at most 8"),
        ({"capture": "a", "memory_mb": 0}, "memory_mb is 0: choose 1 or more"),
        ({"capture": "a", "memory_mb": 10**12}, "all of this machine's"),
        ({"capture": "a", "idle_timeout_s": float("nan")}, "idle_timeout_s is nan"),
    ],
)
def test_what_cannot_be_read_is_refused_when_it_is_named(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(IdskitError, match=message):
        FlowInput(**given)


@pytest.mark.parametrize("given", ["day.pcap", ("day.pcap",), ["day.pcap"]])
def test_one_capture_needs_no_tuple(given: Any) -> None:
    assert FlowInput(capture=given) == FlowInput(capture=("day.pcap",))
    assert FlowInput(capture=given).source == ("day.pcap",)


@pytest.mark.parametrize(
    ("stated", "ages"), [(None, None), ((0,), ()), ([5, 1, 5], (1.0, 5.0)), ((0.25, 0), (0.25,))]
)
def test_ages_ascend_and_zero_is_none(stated: Any, ages: Any) -> None:
    assert FlowInput(capture="a", verdict_at_s=stated).verdict_at_s == ages


def test_a_table_has_no_packets() -> None:
    assert FlowInput(flows=Path("flows.csv")).source == ()


def test_the_hash_key_is_neither_a_flag_nor_printed() -> None:
    given = FlowInput(capture="a", hash_key=b"secret")
    assert "hash_key" not in options_of(FlowInput)
    assert "secret" not in repr(given)
