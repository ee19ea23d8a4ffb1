"""Tests of incidents read columns that the model does not: they hold with every model."""

from __future__ import annotations

from pathlib import Path

from tests.flows.frames import Record, conversation, write

from idskit import Detector, open_flows
from idskit.incidents.sequential.sequential_tests import TESTS, with_tested_columns
from idskit.schema import Feature, Schema

CLIENT, SERVER = ("192.0.2.9", 40_000), ("192.168.1.5", 80)


def request(target: bytes) -> list[Record]:
    """A connection with one request and its answer, as records of a capture."""
    asked = b"GET " + target + b" HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: x\r\n\r\n"
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    return conversation(CLIENT, SERVER, [(True, asked), (False, said)], 1_700_000_000 * 10**6)


def families(tmp_path: Path, target: bytes) -> list[str]:
    detector = Detector.load(threads=1)
    capture = write(tmp_path / "request.pcap", request(target))
    with open_flows(capture, detector.flow_schema) as flows:
        return [found.family for found in detector.incidents(flows) if found.type == "new"]


def test_an_injection_is_an_incident_also_where_the_model_suspects_nothing(tmp_path: Path) -> None:
    assert families(tmp_path, b"/item?id=1%27%20or%20%271%27=%271") == ["web"]
    assert families(tmp_path, b"/item?id=17&order=price") == []


def test_flows_have_the_columns_of_the_model_first_and_then_those_of_the_tests() -> None:
    model = Schema(name="gateway", features=(Feature(name="http_errors", unit="messages"),))
    found = with_tested_columns(model)
    assert found.features[:1] == model.features
    assert set(found.names) == {name for test in TESTS for name in test.read}
    assert with_tested_columns(found) == found
    assert with_tested_columns(Schema(name="own", features=())).names == ()
