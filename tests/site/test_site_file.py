"""The file of a site: whole, or refused, or the copy before it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.site.made_traffic import CLASSES, THRESHOLD, traffic
from tests.site.test_site_learner import learned

from idskit.errors import IdskitError, ModelError, SchemaError
from idskit.incidents.tracker import SHIPPED_LEVELS
from idskit.modelfile.model_file import read_model
from idskit.modelfile.model_path import model_path
from idskit.modelfile.signature import Signer
from idskit.schema import Feature, Schema
from idskit.schemas.gateway_columns import GATEWAY
from idskit.site.incident_budget import Budget
from idskit.site.site_file import (
    SiteOptions,
    decoded,
    elsewhere,
    encoded,
    previous_path,
    read_site,
    write_site,
)
from idskit.site.site_learner import SiteLearner

SITE = learned(
    *(traffic(hour, 5) for hour in range(30)),
    traffic(40, 3, score=0.99, family="web"),
    traffic(41, 9, src="fd00::20", dst="2001:db8::1"),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "site.idskit"
    write_site(SITE, file)
    return file


def test_what_is_written_is_read(path) -> None:
    found = read_site(path, GATEWAY)
    assert found.notes == ()
    assert found.normal.to_json() == json.loads(json.dumps(SITE.to_json()))
    assert (
        found.normal.levels(Budget.parse("1/day")).contacts
        == SITE.levels(Budget.parse("1/day")).contacts
    )


def test_only_its_owner_reads_it(path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_is_bounded(path) -> None:
    assert path.stat().st_size < 100_000


def test_the_same_site_has_the_same_bytes(path, tmp_path) -> None:
    write_site(SITE, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_a_file_that_is_cut_anywhere_is_refused(path) -> None:
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(IdskitError, match="learn the site again"):
            read_site(path, GATEWAY)


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_another_byte_is_refused(path, data) -> None:
    content = bytearray(encoded({"format": "idskit-site 1", "hours": 7, "flows": 12}))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match=r"it is|its checksum"):
        decoded(bytes(content))


def test_the_copy_before_takes_the_place_of_a_damaged_file(path) -> None:
    write_site(learned(traffic(0)), path)
    path.write_bytes(path.read_bytes()[:-10])
    found = read_site(path, GATEWAY)
    assert found.normal.hours == SITE.hours
    assert "is damaged" in found.notes[0]
    assert "site.idskit.previous is used" in found.notes[0]


def test_a_damaged_file_does_not_replace_the_copy(path) -> None:
    write_site(SITE, path)
    good = previous_path(path).read_bytes()
    path.write_bytes(b"damaged")
    write_site(learned(traffic(0)), path)
    assert previous_path(path).read_bytes() == good


@pytest.mark.parametrize(
    "changed",
    [
        {"hours": -1},
        {"hours": "many"},
        {"devices": [{}]},
        {"devices": [{"address": "not one"}]},
        {"peaks": [["web", "1.2.3.4", "80/tcp", 1, float("nan"), False]]},
        {"peaks": [["web", "1.2.3.4", "99999/tcp", 1, 20.0, False]]},
        {"peaks": [["web", "<script>", "80/tcp", 1, 20.0, False]]},
        {"columns": {"tcp": {"p50": [1.0], "p99": [2.0]}}},
        {"left_out": []},
    ],
)
def test_a_document_that_makes_no_sense_is_refused(path, changed) -> None:
    path.write_bytes(encoded(SITE.to_json() | changed))
    with pytest.raises(IdskitError, match="learn the site again"):
        read_site(path, GATEWAY)


def test_deeply_nested_json_is_refused(path) -> None:
    deep = "[" * 200_000 + "]" * 200_000
    content = encoded({"format": "idskit-site 1", "x": 0}).decode()
    text = content.partition(',"sha256"')[0].replace(":0", f":{deep}") + "}"
    path.write_bytes(_with_checksum(text))
    with pytest.raises(IdskitError, match="learn the site again"):
        read_site(path, GATEWAY)


def test_an_unknown_family_of_a_peak_is_unknown(path) -> None:
    rows = [["\x1b[2J", "1.2.3.4", "80/tcp", 1, 20.0, False]]
    path.write_bytes(encoded(SITE.to_json() | {"peaks": rows}))
    assert read_site(path, GATEWAY).normal.peaks[0].family == "unknown"


def test_a_site_of_other_columns_is_refused(path) -> None:
    other = Schema(name="gateway", features=(Feature(name="x", unit="1"),))
    with pytest.raises(SchemaError, match="learn the site again with this model"):
        read_site(path, other)


def test_a_missing_file_is_one_sentence(tmp_path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_site(tmp_path / "none", GATEWAY)


def test_a_signature_is_required_where_a_key_is_given(path, tmp_path) -> None:
    private, public = _keys(tmp_path)
    with pytest.raises(ModelError, match="must be signed"):
        read_site(path, GATEWAY, public)
    write_site(SITE, path, Signer.load(private, 1))
    assert read_site(path, GATEWAY, public).normal.hours == SITE.hours
    path.write_bytes(encoded(learned(traffic(0)).to_json()))
    with pytest.raises(ModelError, match="do not belong together"):
        read_site(path, GATEWAY, public)  # though there is a copy before it


def test_a_signature_of_the_file_before_is_removed(path, tmp_path) -> None:
    private, _ = _keys(tmp_path)
    write_site(SITE, path, Signer.load(private, 1))
    write_site(SITE, path)
    assert not path.with_name("site.idskit.sig").exists()


def test_options_without_a_site_change_nothing() -> None:
    here = SiteOptions().opened()
    assert (here.levels, here.notes) == (SHIPPED_LEVELS, ())


def test_a_budget_without_a_site_says_what_it_rests_on() -> None:
    here = SiteOptions(budget="1/day").opened()
    assert f"{elsewhere().hours:,} hours of benign traffic of other networks" in here.notes[0]
    assert here.levels.nats
    assert not here.levels.contacts


def test_a_key_without_a_site_is_refused() -> None:
    with pytest.raises(IdskitError, match="without a site"):
        SiteOptions(site_key=Path("key.pem")).opened()


def test_a_site_of_another_model_is_said(path) -> None:
    with model_path() as shipped:
        schema = read_model(shipped).card.schema  # the columns agree, the model does not
    learner = SiteLearner(schema, CLASSES, THRESHOLD, model="m")
    for hour in range(30):
        flows, features, probabilities = traffic(hour, 5).parts
        learner.observe(flows, features[:, schema.columns_in(GATEWAY)], probabilities)
    write_site(learner.finish(), path)
    here = SiteOptions(site=path).opened()
    assert any("another model (m)" in note for note in here.notes)
    assert here.levels.contacts


def test_a_flow_is_compared_with_its_protocol_here(path) -> None:
    normal = read_site(path, GATEWAY).normal
    row = np.zeros(len(GATEWAY), np.float32)
    row[GATEWAY.names.index("is_tcp")] = 1
    usual = normal.usual(row)
    assert usual is not None
    assert usual.p50[GATEWAY.names.index("is_tcp")] == 1
    assert usual.about == f"TCP flows of this site in {normal.hours} hours"
    row[:] = 0
    row[GATEWAY.names.index("is_udp")] = 1
    assert normal.usual(row) is None  # no UDP was learned: what idskit ships is used


def _keys(folder: Path) -> tuple[Path, Path]:
    private, public = folder / "private.pem", folder / "public.pem"
    make = ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(private)]
    subprocess.run(make, check=True, capture_output=True)
    publish = ["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)]
    subprocess.run(publish, check=True, capture_output=True)
    return private, public


def _with_checksum(text: str) -> bytes:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{text[:-1]},"sha256":"{digest}"}}\n'.encode()
