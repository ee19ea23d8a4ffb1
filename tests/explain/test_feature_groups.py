"""Groups of features and plain words for columns: complete, and apart."""

from __future__ import annotations

from collections import Counter

import pytest

from idskit.schemas import catalog
from idskit.schemas.column_words import in_words
from idskit.schemas.feature_groups import FIRST_PACKETS, OTHER, feature_groups
from idskit.schemas.gateway_columns import GATEWAY, GATEWAY_PACKETS


@pytest.mark.parametrize("name", catalog.NAMES)
def test_every_column_is_in_one_group(name: str) -> None:
    schema = catalog.schema_named(name)
    groups = feature_groups(schema)
    seen = Counter(column for group in groups for column in group.columns)
    assert seen == Counter(range(len(schema)))
    assert OTHER not in {group.name for group in groups}
    assert len({group.name for group in groups}) == len(groups) <= 8  # 256 coalitions at most


def test_the_series_of_packets_are_a_group_of_their_own() -> None:
    plain, series = feature_groups(GATEWAY), feature_groups(GATEWAY_PACKETS)
    assert len(plain) == 7
    assert {group.name for group in series} - {group.name for group in plain} == {FIRST_PACKETS}
    assert [group for group in series if group.name != FIRST_PACKETS] == list(plain)


def test_columns_have_words_of_their_own() -> None:
    words = [in_words(name) for name in GATEWAY.names]
    assert [text for text in words if "_" in text or not text] == []
    assert [text for text, count in Counter(words).items() if count > 1] == []
