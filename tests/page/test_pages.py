"""What the pages say, of a usual snapshot, of an empty one, and of one that attacks them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from tests.page.fake_service import NOW, eve, incident, many_incidents, snapshot
from tests.page.hostile import SEEDS, hostile_snapshot, names
from tests.page.page_client import Checked

from idskit.incidents.family_facts import FAMILY_FACTS
from idskit.incidents.incident import VERDICTS as SAID
from idskit.incidents.incident import Evidence, Incident
from idskit.page.control_client import Part
from idskit.page.incident_pages import VERDICTS, incident_page, incidents_page, path_of
from idskit.page.markup import Child, Markup, element, many, span
from idskit.page.now_page import away_page, headline, now_page
from idskit.page.page_frame import View, framed
from idskit.page.site_pages import devices_page, model_page, settings_page
from idskit.report.text import visible

PAGES: dict[str, Callable[[View], Child]] = {
    "now": now_page,
    "incidents": incidents_page,
    "devices": devices_page,
    "model": model_page,
    "settings": settings_page,
}
LARGEST = 50_000  # bytes


def view_of(found: dict[str, Any], **more: Any) -> View:
    """A view of a snapshot as it comes through the socket."""
    return View(snapshot=Part(json.loads(json.dumps(found))), form_token="t" * 64, **more)


def made(view: View, body: Child) -> str:
    """A whole page."""
    return framed("title", "now", body, snapshot=view.snapshot, waiting=2, refresh=True).decode()


def every_page(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """All pages of a snapshot, and one of each of its incidents."""
    view = view_of(found)
    for name, make in PAGES.items():
        yield name, made(view, make(view))
    for one in view.snapshot.parts("incidents"):
        yield "incident", made(view, incident_page(one, view))


def said(name: str, found: dict[str, Any], **more: Any) -> str:
    """The words of a page."""
    view = view_of(found, **more)
    return Checked(made(view, PAGES[name](view))).text


def test_pages_are_valid_and_small() -> None:
    for name, page in every_page(snapshot(opened=7)):
        Checked(page)
        assert len(page.encode()) < LARGEST, name


@pytest.mark.parametrize("found", [{}, {key: {} for key in snapshot()}, {"incidents": [{}]}])
def test_pages_of_what_is_missing_are_valid(found: dict[str, Any]) -> None:
    for _, page in every_page(found):
        Checked(page)


def test_pages_of_values_of_other_types_are_valid() -> None:
    random.seed(3)
    for _ in range(15):
        for _, page in every_page(_damaged(snapshot(incidents=3))):
            Checked(page)


def _damaged(value: Any) -> Any:
    if random.random() < 0.06:
        wrong = (None, True, -1, 1e308, "x", [], {}, [[]], 10**400, "2026-99-99T00:00:00+0000")
        return random.choice(wrong)
    if isinstance(value, list):
        return [_damaged(one) for one in value]
    return {k: _damaged(v) for k, v in value.items()} if isinstance(value, dict) else value


def test_hostile_names_stay_text() -> None:
    found, number = hostile_snapshot()
    assert number >= 2_000
    assert len(set(names())) == 2_000
    for name, page in every_page(found):
        Checked(page)
        assert len(page.encode()) < 8 * LARGEST, name  # escapes are longer than what they stand for


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", "\u202eabc", "a\x1b[2Jb", "x" * 9]
)
def test_a_name_is_shown_as_what_it_is(hostile: str) -> None:
    found = snapshot(opened=0)
    found["traffic"]["hosts"][0]["name"] = hostile
    assert visible(hostile) in said("now", found)


@pytest.mark.parametrize("hostile", SEEDS)
def test_every_place_bears_every_hostile_text(hostile: str) -> None:
    def put(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [put(one) for one in value[:2]]
        if isinstance(value, dict):
            return {key: put(one) for key, one in value.items()}
        return hostile if isinstance(value, str) else value

    for _, page in every_page(put(snapshot())):
        Checked(page)


def test_long_names_are_cut() -> None:
    found = snapshot(opened=0)
    found["traffic"]["hosts"][0]["name"] = "y" * 10_240
    words = said("now", found)
    assert "y" * 39 + "…" in words
    assert "y" * 40 not in words


@pytest.mark.parametrize(
    ("state", "opened", "words", "tone"),
    [
        ("fine", 0, "All is well", "calm"),
        ("fine", 1, "1 open incident", "alarm"),
        ("fine", 4, "4 open incidents", "alarm"),
        ("learning", 0, "Learning what is normal", "dim"),
        ("learning", 2, "2 open incidents", "alarm"),
        ("overloaded", 0, "Too much traffic", "alarm"),
        ("blind", 3, "The sensor is blind", "alarm"),
    ],
)
def test_the_headline_says_what_hides_everything_else(
    state: str, opened: int, words: str, tone: str
) -> None:
    found = headline(view_of(snapshot(opened=opened, state=state)))
    assert (found.words, found.tone) == (words, tone)


def test_a_state_that_nobody_knows_is_not_called_well() -> None:
    assert headline(view_of({"health": {"state": "splendid"}})).words == "State unknown"


@pytest.mark.parametrize("verdict", ["expected", "wrong"])
def test_an_open_incident_that_may_go_on_does_not_alarm(verdict: str) -> None:
    found = snapshot(incidents=1, opened=1)
    found["incidents"][0]["verdict"] = verdict
    found_headline = headline(view_of(found))
    assert found_headline.words == "All is well"
    assert "1 open one may go on" in found_headline.about


def test_the_worst_incident_gives_the_shape() -> None:
    found = snapshot(incidents=3, opened=3)
    for one in found["incidents"]:
        one["severity"] = 2
    assert headline(view_of(found)).shape == "medium"
    found["incidents"][2]["severity"] = 1
    assert headline(view_of(found)).shape == "high"


def test_severity_has_a_word() -> None:
    words = said("incidents", snapshot(incidents=3))
    assert words.count("Medium") == 2
    assert words.count("High") == 1


def test_all_of_2_000_incidents_are_on_exactly_one_page() -> None:
    found = many_incidents(2_000)
    view = view_of(found)
    listed: list[str] = []
    for page in range(1, 81):
        on = View(snapshot=view.snapshot, form_token="", page=page)
        text = made(on, incidents_page(on))
        assert len(text) < LARGEST
        links = re.findall('href="(/incidents/[^"]+)"', text)
        assert len(links) == 25
        listed += links
    assert sorted(listed) == sorted(map(path_of, view.snapshot.parts("incidents")))


@pytest.mark.parametrize("page", [0, 2, 9_999_999])
def test_a_page_that_a_list_does_not_have_is_its_nearest(page: int) -> None:
    words = said("incidents", snapshot(incidents=30), page=page)
    assert ("1 to 25 of 30" if page < 2 else "26 to 30 of 30") in words


def test_open_incidents_come_first_whenever_they_began() -> None:
    found = snapshot(incidents=60, opened=0)
    del found["incidents"][59]["ended"]
    found["incidents"][59].pop("verdict", None)
    view = view_of(found)
    first = next(
        link for link in Checked(made(view, incidents_page(view))).links if "/2026" in link
    )
    assert first.endswith(found["incidents"][59]["incident_id"])


@pytest.mark.parametrize(("show", "number"), [("all", 30), ("open", 4), ("unjudged", 22)])
def test_a_list_may_be_narrowed(show: str, number: int) -> None:
    found = snapshot(incidents=30, opened=4)
    unjudged = sum("verdict" not in one for one in found["incidents"])
    words = said("incidents", found, show=show)
    assert unjudged == 22
    assert words.count("ago") - 2 == min(number, 25)  # two are of the axis


def test_a_list_may_be_of_one_device() -> None:
    found = snapshot(incidents=22)
    words = said("incidents", found, device="192.168.1.10")
    assert words.count("→") == 2
    assert "camera-front" not in words


def test_an_incident_page_says_why_and_what_is_usual() -> None:
    found = snapshot(incidents=1)
    view = view_of(found)
    page = Checked(made(view, incident_page(view.snapshot.parts("incidents")[0], view)))
    for words in (
        "203.0.113.77 tried 411 ports of nas in 40 s; usual here are 3.",
        "destination context", "+4.10", "-0.80", "411 in 60 s", "usual 3, 99th percentile 14",
        "failed first contacts", "usual here 3", "T1046", "97.0%", "and 211 more",
    ):  # fmt: skip
        assert words in page.text
    assert page.fields["form_token"] == "t" * 64


def test_the_page_reads_the_incidents_that_the_tracker_makes() -> None:
    moment = int((NOW - timedelta(minutes=3)).timestamp()) * 1_000_000
    one = Incident(
        incident_id="20261130T140022-0011aabb", type="new", family="guessing", technique="T1110",
        severity=1, confidence=0.91, started_us=moment, updated_us=moment + 60_000_000,
        attacker="198.51.100.7", target="192.168.1.10", device="192.168.1.10", device_name="nas",
        services=("22/tcp",), flows=96,
        evidence=(Evidence(name="failed logins", value=96, unit="in 10 min", usual=0),),
    )  # fmt: skip
    found = snapshot(incidents=0) | {"incidents": [one.to_json()]}
    view = view_of(found)
    words = Checked(made(view, incident_page(view.snapshot.parts("incidents")[0], view))).text
    for part in ("Password guessing", "198.51.100.7", "nas", "22/tcp", "96 flows", "failed logins"):
        assert part in words
    assert headline(view).words == "1 open incident"
    assert "1 min ago" in headline(view).about or "2 min ago" in headline(view).about


def test_every_family_has_a_name_and_advice() -> None:
    for family in FAMILY_FACTS:
        one = incident(0, label=family, ended=None)
        view = view_of(snapshot(incidents=0) | {"incidents": [one]})
        page = Checked(made(view, incident_page(view.snapshot.parts("incidents")[0], view)))
        assert "What to do: " in page.text


def test_a_blind_sensor_has_nobody_against_nobody() -> None:
    one = incident(0, label="blind", ended=None, attacker=None, target=None, device=None)
    view = view_of(snapshot(incidents=0) | {"incidents": [one]})
    assert headline(view).about.startswith("The sensor is blind. The latest packet")
    words = Checked(made(view, now_page(view))).text
    assert "unknown" not in words
    assert "against" not in words


def test_every_verdict_has_a_button() -> None:
    assert tuple(VERDICTS) == SAID
    view = view_of(snapshot(incidents=1))
    page = made(view, incident_page(view.snapshot.parts("incidents")[0], view))
    assert [f'value="{verdict}"' in page for verdict in SAID] == [True] * 3


def test_the_hidden_counts_of_devices_and_settings() -> None:
    words = said("devices", snapshot())
    assert "11 devices" in words
    assert "2 devices do something new." in words
    assert words.index("printer") < words.index("nas")
    changed = said("settings", snapshot())
    assert "3 settings differ from the default." in changed
    assert "[capture] interfaces eth0, eth1 default none Interfaces to read" in changed
    assert "enabled yes default Whether there is a page" in changed


def test_what_the_service_has_not_learned_is_not_made_up() -> None:
    found = snapshot() | {"budget": {"threshold": 0.91}}
    found["model"].pop("learning")
    takes = "An incident takes 0.91 nats of evidence."
    assert f"No budget is learned yet. {takes}" in said("now", found)
    assert "Learning Nothing is learned here yet." in said("model", found)


def test_a_receiver_that_is_away_is_said() -> None:
    words = said("now", snapshot())
    assert "MQTT 37 written broker.home: Connection refused 3 waiting" in words
    assert "Where incidents go" not in said("now", snapshot() | {"sinks": []})


def test_what_is_amiss_is_not_called_well() -> None:
    found = snapshot(opened=0)
    found["health"]["reasons"] = ["MQTT is away."]
    found_headline = headline(view_of(found))
    assert (found_headline.words, found_headline.tone) == ("Something is amiss", "dim")
    assert found_headline.about.startswith("MQTT is away. ")


def test_losses_are_said() -> None:
    found = snapshot()
    found["health"]["interfaces"] = [{"name": "eth0", "up": False, "packets": 90, "dropped": 10}]
    words = said("now", found)
    assert "eth0 down" in words
    assert "10 dropped (10.00%)" in words


def test_the_page_says_when_the_service_is_away() -> None:
    page = Checked(framed("t", "", away_page("It is <b>gone</b>."), refresh=True).decode())
    assert "The service does not answer It is <b>gone</b>." in page.text


def test_markup_escapes_all_but_markup() -> None:
    assert element("p", '<&"', title='"', class_=None, hidden=True) == (
        '<p title="&quot;" hidden>&lt;&amp;&quot;</p>'
    )
    assert element("p", [Markup("<b>x</b>"), 3, None]) == "<p><b>x</b>3</p>"
    assert many(2, "flow"), "2 flows"
    assert span(timedelta(seconds=119)) == "119 s"
    assert eve(NOW) == "2026-11-30T14:03:22.000000+0000"
    assert incident(0)["label"] == "scan"
