"""The site of a service: learned once, kept over a restart, never in place of a person's file."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.site.made_traffic import CLASSES, THRESHOLD, Traffic, traffic

from idskit.errors import IdskitError
from idskit.gateway.configuration import ConfigurationError, parse_configuration
from idskit.gateway.packet_loop import Judges
from idskit.gateway.service_options import SiteSection
from idskit.gateway.service_site import NAME, ServiceSite, check_site
from idskit.incidents.local_network import address_number
from idskit.incidents.sequential_tests import OPENS
from idskit.incidents.site_levels import SHIPPED_LEVELS
from idskit.profiles.flow_reader import FlowBatch
from idskit.schemas.gateway_columns import GATEWAY
from idskit.site.learn_site import learner_for
from idskit.site.site_file import decoded, previous_path, write_site
from idskit.site.site_normal import SiteNormal

DEVICE = address_number("192.168.1.20")
Start = Callable[..., ServiceSite]


def detector(sha256: str = "a" * 64, threshold: float = THRESHOLD) -> Any:
    card = SimpleNamespace(classes=CLASSES, schema=GATEWAY)
    return SimpleNamespace(schema=GATEWAY, card=card, threshold=threshold, sha256=sha256)


def watch(site: ServiceSite, *found: Traffic) -> None:
    for one in found:
        batch = FlowBatch(schema=GATEWAY, flows=one.flows, features=one.features)
        site.observe(batch, one.probabilities)
    site.close()


def hours(first: int, last: int) -> list[Traffic]:
    return [traffic(hour, 5) for hour in range(first, last)]


def learned(number: int) -> SiteNormal:
    learner = learner_for(detector())
    for one in hours(0, number):
        learner.observe(*one.parts)
    return learner.finish()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def start(tmp_path: Path, said: list[str]) -> Start:
    def make(judge: Any = None, **options: Any) -> ServiceSite:
        return ServiceSite(SiteSection(**options), tmp_path, judge or detector(), said.append)

    return make


def test_after_its_hours_the_file_is_written_and_its_levels_hold(
    start: Start, tmp_path: Path, said: list[str]
) -> None:
    site = start(learn_hours=24)
    watch(site, *hours(0, 24))
    assert (site.levels, site.learning()["state"]) == (SHIPPED_LEVELS, "learning")
    assert "23 of 24 hours" in site.progress()
    watch(site, traffic(24, 5))
    file = tmp_path / NAME
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    expected = learned(24).to_json()  # by the verb's own learner
    assert {**decoded(file.read_bytes()), "sha256": 0} == {**expected, "sha256": 0}
    assert DEVICE in site.levels.contacts
    assert (site.learning()["state"], site.learning()["hours"], site.progress()) == (
        "learned",
        24,
        "",
    )
    assert said[0].startswith("the site is learned: 120 flows of 1 devices in 24 hours")
    assert list(tmp_path.iterdir()) == [file]
    again = start(learn_hours=24)
    assert again.levels == site.levels
    assert not again.is_learning


def test_learning_goes_on_after_a_kill(start: Start, tmp_path: Path, said: list[str]) -> None:
    watch(start(learn_hours=6), *hours(0, 4))  # the hour that is not over is lost
    site = start(learn_hours=6)
    assert said == ["learning of the site goes on after 3 hours of 6"]
    watch(site, *hours(4, 8))
    assert site.normal is not None
    assert (site.normal.hours, site.normal.flows) == (6, 35)  # the lost hour's are counted
    assert site.normal.devices[DEVICE].hours == 6


@pytest.mark.parametrize("other", [{"sha256": "b" * 64}, {"threshold": 0.5}])
def test_the_hours_of_another_model_are_not_gone_on_with(
    start: Start, said: list[str], other: dict[str, Any]
) -> None:
    watch(start(learn_hours=6), *hours(0, 4))
    site = start(detector(**other), learn_hours=6)
    assert said == [
        "what was learned of the site cannot be used (another model judges now): learning begins "
        "again"
    ]
    assert site.learning()["hours"] == 0


def test_damaged_hours_are_said_and_learning_begins_again(
    start: Start, tmp_path: Path, said: list[str]
) -> None:
    watch(start(learn_hours=6), *hours(0, 2))
    file = tmp_path / "learning.state"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert start(learn_hours=6).learning()["hours"] == 0
    assert "learning.state is damaged" in said[0]


def test_another_model_during_learning_begins_it_again(start: Start, said: list[str]) -> None:
    site = start(learn_hours=6)
    watch(site, *hours(0, 4))
    site.judged_by(detector())
    assert site.learning()["hours"] == 3
    site.judged_by(detector("b" * 64))
    assert site.learning()["hours"] == 0
    assert "another model" in said[0]


def test_without_hours_nothing_is_learned(start: Start) -> None:
    site = start(learn_hours=0)
    watch(site, *hours(0, 3))
    assert (site.learning()["state"], site.is_learning, site.normal) == ("off", False, None)


def test_a_damaged_file_of_the_service_is_said_and_learned_again(
    start: Start, tmp_path: Path, said: list[str]
) -> None:
    file = tmp_path / NAME
    file.write_text("{}")
    site = start(learn_hours=2)
    assert site.is_learning
    assert site.health() == said
    assert "not complete; learn the site again" in said[0]
    watch(site, *hours(0, 3))
    assert (site.health(), site.learning()["state"]) == ([], "learned")
    assert decoded(file.read_bytes())["hours"] == 2


def test_the_copy_before_a_damaged_file_is_used(
    start: Start, tmp_path: Path, said: list[str]
) -> None:
    file = tmp_path / NAME
    for number in (3, 4):
        write_site(learned(number), file)
    file.write_bytes(file.read_bytes()[:-9])
    site = start(learn_hours=2)
    assert site.normal is not None
    assert site.normal.hours == 3
    assert f"{previous_path(file).name} is used" in said[0]


def test_a_file_that_the_user_named_is_never_written_over(
    start: Start, tmp_path: Path, said: list[str]
) -> None:
    named = tmp_path / "mine.idskit"
    site = start(file=named, learn_hours=2)
    watch(site, *hours(0, 2))
    write_site(learned(5), named)
    before = named.read_bytes()
    watch(site, traffic(2, 5))
    assert named.read_bytes() == before
    assert "written by somebody while the service learned" in said[0]
    assert site.normal is not None
    assert site.normal.hours == 2
    named.write_text("{}")
    for check in (lambda: start(file=named), lambda: check_site(SiteSection(file=named), GATEWAY)):
        with pytest.raises(IdskitError, match="no site that can be used"):
            check()
    assert named.read_text() == "{}"


def test_a_file_that_cannot_be_written_is_said_and_the_site_is_used(
    start: Start, tmp_path: Path
) -> None:
    site = start(file=tmp_path / "nowhere" / "site.idskit", learn_hours=2)
    watch(site, *hours(0, 3))
    assert site.normal is not None
    assert "cannot be written" in site.health()[0]
    again = start(file=tmp_path / "nowhere" / "site.idskit", learn_hours=2)
    assert again.learning()["hours"] == 1  # what was kept of the hours is there


def test_levels_take_their_place_in_the_tracker_with_its_open_incidents(start: Start) -> None:
    site = start(learn_hours=2)
    judges = Judges.of(detector(), site.levels)
    watch(site, *hours(0, 3))
    judges.tracker.observe_flows(*traffic(3, 5, score=0.999, port=25).parts)
    judges.tracker.site = site.levels
    other = judges.succeeded_by(detector("b" * 64))
    assert other.tracker.site is site.levels
    assert len(other.tracker.open_incidents) == 1
    assert site.levels.nats.get("malware", OPENS) == OPENS  # two hours state no threshold


def test_another_budget_holds_after_a_reload(start: Start, tmp_path: Path) -> None:
    write_site(learned(24 * 8), tmp_path / NAME)
    site = start(budget="1/day")
    assert site.levels.nats["web"] < OPENS  # eight days without a peak
    site.reload(SiteSection(budget="1/month"))
    assert site.levels.nats.get("web", OPENS) == OPENS


def test_the_section_is_checked_line_by_line() -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_configuration('[site]\nbudget = "few"\nlearn_hours = -1\nfil = "x"\n', "f")
    assert [one[:9] for one in refused.value.problems] == ["f line 2:", "f line 3:", "f line 4:"]
    assert "write how many false incidents you accept" in refused.value.problems[0]
    assert "did you mean file?" in refused.value.problems[2]
