"""The site of a service: learned once, kept over a restart, never in place of a person's file."""

from __future__ import annotations

import stat
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.site.made_traffic import CLASSES, FIRST_HOUR, THRESHOLD, Traffic, traffic
from tests.site.test_site_drift import everyday
from typer.testing import CliRunner

from idskit.cli.entry import app
from idskit.errors import IdskitError
from idskit.flow import address_number
from idskit.gateway.configuration import ConfigurationError, parse_configuration
from idskit.gateway.control_socket import ControlServer
from idskit.gateway.learned.service_site import NAME, ServiceSite, check_site
from idskit.gateway.packet_loop import Judges
from idskit.gateway.run_gateway import Gateway
from idskit.gateway.service_options import SiteSection
from idskit.gateway.state_folder import CheckedFile
from idskit.incidents.incident import Incident
from idskit.incidents.sequential.nats import OPENS
from idskit.incidents.tracker import IncidentTracker
from idskit.profiles.flow_reader import FlowBatch
from idskit.schemas.gateway_columns import GATEWAY
from idskit.site.learn_site import learner_for
from idskit.site.site_drift import WEEK_HOURS
from idskit.site.site_file import decoded, previous_path, write_site
from idskit.site.site_levels import SiteLevels
from idskit.site.site_normal import SiteNormal

DEVICE = address_number("192.168.1.20")
Start = Callable[..., ServiceSite]


def detector(sha256: str = "a" * 64, threshold: float = THRESHOLD) -> Any:
    card = SimpleNamespace(classes=CLASSES, schema=GATEWAY)
    return SimpleNamespace(
        schema=GATEWAY,
        flow_schema=GATEWAY,
        card=card,
        threshold=threshold,
        sha256=sha256,
        tracker=lambda schema, site: IncidentTracker(schema, CLASSES, threshold, site),
    )


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
    assert (site.levels, site.learning()["state"]) == (SiteLevels(), "learning")
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


def document(age_h: float, verdict: str | None = None, label: str = "scan") -> dict[str, Any]:
    started = datetime.now(UTC) - timedelta(hours=age_h)
    return {"started": f"{started:%Y-%m-%dT%H:%M:%S.%f}+0000", "label": label, "verdict": verdict}


def test_the_budget_burns_by_the_incidents_of_an_hour_and_a_day(start: Start) -> None:
    site = start(budget="2/day")
    incidents = [
        *(document(age) for age in (0.1, 0.5, 2, 23, 25, -1)),
        document(0.1, "attack"),
        document(0.1, label="blind"),
        document(0.2, "wrong"),
    ]
    burn = site.budget_use(incidents)
    assert burn == {
        "per_day": 2, "burn_1h": 3 * 24 / 2, "burn_24h": 5 / 2, "threshold": OPENS, "factor": 1
    }  # fmt: skip


def test_too_many_incidents_raise_the_evidence_until_a_person_lowers_it(
    start: Start, said: list[str]
) -> None:
    site = start(budget="1/day", learn_hours=0)
    few = [document(age) for age in (0.1, 3, 6)]  # three of a mean of one: chance
    site.watch_budget([*few, document(9, "attack"), document(9, label="blind")])
    assert (site.levels.factor, said, site.health()) == (1, [], [])
    site.watch_budget([*few, document(9)])
    assert site.levels.factor == site.budget_use([])["factor"] == 1.25
    assert site.budget_use([])["threshold"] == 1.25 * OPENS
    (reason,) = site.health()
    assert said == [reason]
    assert "1/day: each needs 1.25 times the evidence, until a person runs idskit lower" in reason
    again = start(learn_hours=0)  # a restart lowers nothing
    assert again.levels.factor == 1.25
    again.watch_budget([*few, document(9)])
    assert again.levels.factor == 1.25  # not again within the hour
    assert gateway(again).answer({"ask": "lower"}) == {"ok": True}
    assert (again.levels.factor, again.health()) == (1, [])
    assert start(learn_hours=0).levels.factor == 1


def test_a_person_lowers_it_on_the_command_line(start: Start, tmp_path: Path) -> None:
    site = start(learn_hours=0)
    site.watch_budget([document(0.1)] * 4)
    file = tmp_path / "idskit.toml"
    file.write_text(f'[state]\nfolder = "{tmp_path}"\n')
    words = ["lower", "-c", str(file)]
    assert CliRunner().invoke(app, words).exit_code == 1  # no service runs
    with closing(ControlServer(tmp_path, gateway(site).answer)):
        assert CliRunner().invoke(app, words).exit_code == 0
    assert site.levels.factor == 1


def test_raised_evidence_opens_no_weak_incident(start: Start) -> None:
    site, one = start(learn_hours=0), traffic(3, 8, score=0.99)  # 14.6 nats
    for opened in (1, 0):
        tracker = Judges.of(detector(), site.levels).tracker
        tracker.observe_flows(*one.parts)
        assert len(tracker.finish()) == opened
        site.watch_budget([document(0.1)] * 4)


def test_damaged_evidence_is_said(start: Start, tmp_path: Path) -> None:
    CheckedFile(tmp_path, "burn").write({"factor": 99, "raised_us": 0})
    site = start(learn_hours=0)
    assert site.levels.factor == 1
    (reason,) = site.health()
    assert "is damaged" in reason


def test_the_threshold_of_the_budget_is_that_of_the_learned_site(
    start: Start, tmp_path: Path
) -> None:
    write_site(learned(24 * 8), tmp_path / NAME)
    site = start()
    assert site.budget_use([])["threshold"] == max(site.levels.nats.values()) < OPENS
    assert site.counters()["site_hours"] == 24 * 8


def device(address: str, *services: str) -> dict[str, Any]:
    return {"address": address, "services": list(services), "new": []}


def test_devices_say_what_is_usual_and_what_is_new(start: Start, tmp_path: Path) -> None:
    devices = [
        device("192.168.1.20", "443/tcp"),
        device("192.168.1.20", "22/tcp", "443/tcp", "25/tcp", "53/udp", "123/udp"),
        device("192.168.1.99", "443/tcp"),
    ]
    assert start().described(devices) == devices  # nothing is learned yet
    write_site(learned(4), tmp_path / NAME)
    same, other, joined = start().described(devices)
    assert (same["new"], same["usual"]) == ([], ["443/tcp"])
    assert other["new"] == ["It uses 22/tcp, 25/tcp, 53/udp and 1 more: not learned of it."]
    assert joined["new"][0].startswith("It was not learned")


def gateway(site: Any, **loop: Any) -> Gateway:
    """Return a service of which only its health can be asked."""
    made = Gateway.__new__(Gateway)
    known = {"source": SimpleNamespace(states=[], lag_us=0), "is_overloaded": False} | loop
    made.loop = SimpleNamespace(**known)  # type: ignore[assignment]
    made._keeper = SimpleNamespace(problem="", clock=SimpleNamespace(problem=str))  # type: ignore
    made._outlets = SimpleNamespace(problems=list)  # type: ignore[assignment]
    made._site = site
    return made


def test_health_is_learning_until_the_site_is_learned_and_nothing_is_worse(start: Start) -> None:
    site = start(learn_hours=2)
    watch(site, *hours(0, 2))
    health = gateway(site).health()
    assert (health["state"], len(health["reasons"])) == ("learning", 1)
    assert "1 of 2 hours" in health["reasons"][0]
    overloaded = gateway(site, is_overloaded=True, view=SimpleNamespace(dropped_lately=3)).health()
    assert (overloaded["state"], len(overloaded["reasons"])) == ("overloaded", 2)
    watch(site, traffic(2, 5))
    health = gateway(site).health()
    assert (health["state"], health["reasons"]) == ("fine", [])


def found(levels: Any, port: int = 25) -> list[Incident]:
    """Return the incidents that malware to a port opens by some levels."""
    tracker = Judges.of(detector(), levels).tracker
    tracker.observe_flows(*traffic(3, 9, score=0.99, port=port).parts)
    return tracker.finish()


def test_a_verdict_changes_what_is_like_it_and_another_replaces_it(
    start: Start, tmp_path: Path
) -> None:
    site = start(learn_hours=2)
    (one,) = found(site.levels)
    assert "opens no incident" in site.say(one.to_json(), "expected")
    assert (found(site.levels), len(found(site.levels, port=26))) == ([], 1)
    assert found(start().levels) == []  # after a restart
    watch(site, *hours(0, 3))
    assert (site.learning()["state"], found(site.levels)) == ("learned", [])
    assert [entry["verdict"] for entry in site.verdicts()] == ["expected"]
    assert "half the evidence" in site.say(one.to_json(), "attack")
    assert len(found(site.levels)) == 1
    (entry,) = site.verdicts()
    assert (entry["incident_id"], entry["verdict"]) == (one.incident_id, "attack")
    assert stat.S_IMODE((tmp_path / "verdicts.state").stat().st_mode) == 0o600


def test_a_verdict_that_nothing_is_like_changes_nothing(start: Start) -> None:
    site = start()
    (one,) = found(site.levels)
    hostile = one.to_json() | {"services": ["22/nonsense"]}
    for incident in ({}, one.to_json() | {"services": []}, hostile):
        assert site.say(incident, "expected") == ""
    assert (site.verdicts(), site.levels) == ([], SiteLevels())


def test_damaged_verdicts_are_said(start: Start, tmp_path: Path) -> None:
    site = start()
    (one,) = found(site.levels)
    site.say(one.to_json(), "expected")
    (tmp_path / "verdicts.state").write_bytes(b"x")
    again = start()
    assert "verdicts.state is damaged" in again.health()[0]
    assert len(found(again.levels)) == 1


def test_a_full_disk_is_said_and_the_verdict_holds_until_the_end(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = start()
    (one,) = found(site.levels)

    def write(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CheckedFile, "write", write)
    made = gateway(site)
    made._keeper = SimpleNamespace(say_verdict=lambda *_: one.to_json())  # type: ignore[assignment]
    asked = {"ask": "verdict", "incident_id": one.incident_id, "verdict": "expected"}
    assert "No space left" in made.answer(asked)["error"]
    assert found(site.levels) == []


def test_the_control_socket_says_what_a_verdict_changes(start: Start) -> None:
    site = start()
    (one,) = found(site.levels)
    made, known = gateway(site), {one.incident_id: one.to_json()}
    made._keeper = SimpleNamespace(say_verdict=lambda key, _: known.get(key))  # type: ignore
    asked = {"ask": "verdict", "incident_id": one.incident_id, "verdict": "wrong"}
    assert made.answer(asked) == {"ok": True, "effect": site.verdicts()[0]["effect"]}
    assert "needs more evidence" in site.verdicts()[0]["effect"]
    assert "no incident" in made.answer(asked | {"incident_id": "x"})["error"]


def unlike(site: ServiceSite, first: int, last: int) -> list[Incident]:
    """Return what a site says of hours whose flows look otherwise than those learned."""
    rng, said = np.random.default_rng(2), []
    for hour in range(first, last):
        one = everyday(hour, rng, score=0.3)
        batch = FlowBatch(schema=GATEWAY, flows=one.flows, features=one.features)
        said += site.observe(batch, one.probabilities)
    site.close()
    return said


@pytest.fixture
def varied(tmp_path: Path) -> None:
    learner, rng = learner_for(detector()), np.random.default_rng(1)
    for hour in range(48):
        learner.observe(*everyday(hour, rng).parts)
    write_site(learner.finish(), tmp_path / NAME)


def test_drift_is_one_incident_a_week_also_over_a_restart(
    start: Start, varied: None, tmp_path: Path
) -> None:
    monday = -FIRST_HOUR % WEEK_HOURS + WEEK_HOURS  # a week of the watch begins
    site = start()
    assert site.drift_ratio == 0
    new, end = unlike(site, monday, monday + 24)
    assert site.drift_ratio == start().drift_ratio == 1  # of one device
    assert (new.type, end.type, new.incident_id) == ("new", "end", end.incident_id)
    assert (new.family, new.device, new.target) == ("unknown", "192.168.1.20", "192.168.1.20")
    assert new.explanation is not None
    assert "is not as learned: likeness of its flows to attacks" in new.explanation.sentence
    assert Incident.from_json(end.to_json()).explanation == end.explanation
    assert unlike(start(), monday + 24, monday + 60) == []
    (tmp_path / "drift.state").unlink()
    (tmp_path / "drift.previous").unlink()
    assert len(unlike(start(), monday + 60, monday + 100)) == 2  # it was kept there alone


def test_a_damaged_week_is_said_and_begins_again(
    start: Start, varied: None, tmp_path: Path, said: list[str]
) -> None:
    watch(start(), traffic(50, 5))
    (tmp_path / "drift.state").write_bytes(b"x")
    start().close()
    assert any("this week of the watch for drift is damaged" in one for one in said)


def test_another_model_than_the_site_was_learned_with_is_no_drift(
    start: Start, varied: None, said: list[str]
) -> None:
    site = start(detector("b" * 64))
    assert not site.wants_flows
    assert site.drift_ratio is None
    assert any("drift is not watched" in one for one in said)
    site.judged_by(detector())
    assert site.wants_flows


def test_the_section_is_checked_line_by_line() -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_configuration('[site]\nbudget = "few"\nlearn_hours = -1\nfil = "x"\n', "f")
    assert [one[:9] for one in refused.value.problems] == ["f line 2:", "f line 3:", "f line 4:"]
    assert "write how many false incidents you accept" in refused.value.problems[0]
    assert "did you mean file?" in refused.value.problems[2]
