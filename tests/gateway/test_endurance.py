"""The loads and numbers of ``tests.gateway.endurance``, which itself is no test."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from tests.gateway.endurance.bench import part
from tests.gateway.endurance.loads import busy, flood
from tests.gateway.endurance.measures import delivered


@pytest.mark.parametrize("count", [1, 2, 59, 60, 61, 200])
@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_part_is_the_nearest_rank(count: int, share: float) -> None:
    values = np.random.default_rng(count).random(count)
    assert part(values, share) == np.quantile(values, share, method="inverted_cdf")


@pytest.mark.usefixtures("compiled")
def test_a_load_begins_as_many_flows_a_minute_as_it_says(tmp_path: Path) -> None:
    load = busy(tmp_path, 20, 6_000)
    with load.path.with_name(f"{load.path.stem}.labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == {"benign"}
    begun = len(rows) / load.seconds * 60
    assert begun == pytest.approx(load.flows_per_minute)
    # Conversations are as long as chance has it, and 240 hosts have standing ones from the start.
    assert 6_000 * 0.7 < begun < 6_000 * 1.4 + 5 * 240 * 60 / load.seconds


@pytest.mark.usefixtures("compiled")
def test_a_flood_has_a_source_a_packet(tmp_path: Path) -> None:
    load = flood(tmp_path, 5_000, 50_000)
    with load.path.with_name("flood.labels.csv").open() as file:
        sources = {row["src_ip"] for row in csv.DictReader(file)}
    assert len(sources) == load.packets == 5_000


def test_half_a_line_is_no_delivered_incident(tmp_path: Path) -> None:
    line = json.dumps({"event_type": "incident", "incident": {"incident_id": "a"}})
    (tmp_path / "eve.json").write_text(f'{line}\n{{"event_type":"al\n{line.replace("a}", "")[:-9]}')
    assert delivered(tmp_path / "eve.json") == {"a"}
    assert delivered(tmp_path / "none.json") == set()
