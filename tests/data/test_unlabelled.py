"""Rows without labels: columns by name, whatever stands between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from idskit.cli import app
from idskit.data.published import cicids2017
from idskit.data.unlabelled import read_unlabelled
from idskit.errors import DataError
from idskit.profiles import schema_named
from idskit.profiles.flow_reader import open_flows
from idskit.schema import Feature, Schema

SAMPLE = Path(__file__).parents[2] / "toolkit/shipped/sample.pcap"
SCHEMA = Schema(
    name="small",
    features=(
        Feature(name="Flow Duration", unit="us"),
        Feature(name="protocol", unit="category", categories=("tcp", "udp")),
        Feature(name="bytes", unit="bytes"),
    ),
)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_what_extract_writes_is_read_as_it_was_computed(tmp_path: Path, suffix: str):
    file = tmp_path / f"flows{suffix}"
    result = CliRunner().invoke(app, ["extract", "-r", str(SAMPLE), "-o", str(file)])
    assert result.exit_code == 0, result.output
    with open_flows(SAMPLE) as flows:
        expected = np.concatenate([batch.features for batch in flows.batches(size=4096)])
    found = read_unlabelled([file], schema_named("gateway"), {})
    assert (found == expected.astype(np.float32)).all()


def test_columns_are_found_by_name_and_texts_become_codes(tmp_path: Path):
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("bytes,src_ip,protocol, flow_duration\n7,1.2.3.4,udp,1.5\n8,x,tcp,2\n")
    second.write_text("Flow Duration,protocol,bytes,Label\n3,sctp,9,\n4,tcp,inf,attack\n")
    found = read_unlabelled([tmp_path], SCHEMA, {})
    assert found.tolist() == [[1.5, 1, 7], [2, 0, 8], [3, -1, 9]]  # the infinite row is left out


def test_spellings_of_a_publisher_are_known(tmp_path: Path):
    schema = schema_named("cic-original")
    spelled = {name: key for key, name in cicids2017.PUBLISHER.spellings.items()}
    table = pd.DataFrame([range(len(schema))], columns=[spelled.get(n, n) for n in schema.names])
    table.to_csv(tmp_path / "a.csv", index=False)
    found = read_unlabelled([tmp_path], schema, cicids2017.PUBLISHER.spellings)
    assert found.tolist() == [list(range(len(schema)))]


def test_a_table_without_a_column_is_refused(tmp_path: Path):
    (tmp_path / "a.csv").write_text("protocol,bytes\nudp,7\n")
    with pytest.raises(DataError, match=r"lacks 1 of the 3 columns of schema small \(Flow Durat"):
        read_unlabelled([tmp_path], SCHEMA, {})
