"""In a real browser: an empty console, hostile names that stay text, pages that fit screens."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.page.browser import Browser, Tab, program, running
from tests.page.fake_service import FakeService, snapshot
from tests.page.hostile import MARK, hostile_snapshot

from idskit.page.page_process import PageProcess

PATHS = ("", "incidents", "devices", "model", "settings")
NETWORK = ("Network.requestWillBeSent",)
# Click on everything that leads nowhere: handlers of theirs may wait for it.
_CLICKS = """
for (const one of document.querySelectorAll("#main *:not(a, button)")) one.click?.();
"""
# Becoming visible asks at once; otherwise a test would wait for the next time.
_AGAIN = "void document.dispatchEvent(new Event('visibilitychange'))"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One Chromium for all tests of this file."""
    path = program()
    if path is None:
        pytest.skip("needs Chromium")
    with running(path, tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def tab(browser: Browser) -> Tab:
    return browser.tab()


def addresses(tab: Tab) -> set[str]:
    """Everything that the page has asked for."""
    return {one["request"]["url"] for one in tab.events(*NETWORK)}


def test_the_console_stays_empty(page: PageProcess, tab: Tab) -> None:
    for path in PATHS:
        tab.open(page.url + path)
        assert tab.console() == []
    tab.open(page.url + "incidents")
    tab.evaluate("document.querySelector('.row a').click()")
    tab.wait(lambda: bool(tab.evaluate("document.querySelectorAll('.verdicts button').length")))
    assert tab.console() == []
    assert all(one.startswith(page.url) for one in addresses(tab))


def test_hostile_names_never_execute(service: FakeService, new_page: PageProcess, tab: Tab) -> None:
    service.found, number = hostile_snapshot()
    assert number >= 2_000
    for path in PATHS:
        tab.open(new_page.url + path)
        assert tab.evaluate("document.getElementById('main').innerText.length") > 200
    tab.open(new_page.url + "incidents")
    links = tab.evaluate("[...document.querySelectorAll('.row a')].map(a => a.href)")
    assert len(links) == 25
    for link in links[:5]:
        tab.open(link)
        tab.evaluate(_CLICKS)
    assert tab.console() == []
    assert MARK not in json.dumps(tab.events("Runtime.consoleAPICalled"))
    assert all(one.startswith(new_page.url) for one in addresses(tab))
    assert tab.evaluate("document.scripts.length") == 1


def test_the_policy_stops_what_escaping_would_miss(page: PageProcess, tab: Tab) -> None:
    """The proof that the two tests above can fail: markup put by force shows up in the console."""
    tab.open(page.url)
    made = "document.body.appendChild(Object.assign(document.createElement('img'), {src: 'http://127.0.0.2:9/'}))"
    tab.evaluate(f"void {made}")
    tab.wait(lambda: bool(tab.console()))
    assert "Content Security Policy" in tab.console()[0]
    assert "trusted" in tab.evaluate(
        "(() => { try { document.body.innerHTML = '<b>x</b>'; return 'done'; }"
        " catch (error) { return String(error).toLowerCase(); } })()"
    )


@pytest.mark.parametrize("path", PATHS)
def test_a_page_fits_every_screen_and_can_be_read(page: PageProcess, tab: Tab, path: str) -> None:
    """Contrast of texts: at least 4.5 (WCAG 2.2, 1.4.3)."""
    contrast = (Path(__file__).parent / "contrast.js").read_text()
    tab.open(page.url + path)
    for width, dark in itertools.product((390, 768, 1280, 1920), (False, True)):
        tab.screen(width, 800, dark=dark)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate(contrast) == []
        ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(13, 19, 17)" if dark else "rgb(244, 245, 242)")


def test_hostile_names_do_not_widen_a_phone(
    service: FakeService, new_page: PageProcess, tab: Tab
) -> None:
    service.found, _ = hostile_snapshot()
    tab.screen(390, 800, dark=False)
    for path in PATHS:
        tab.open(new_page.url + path)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_the_page_renews_itself(service: FakeService, new_page: PageProcess, tab: Tab) -> None:
    service.found = snapshot(opened=0)
    tab.open(new_page.url)
    title = "document.querySelector('h1').innerText"
    assert tab.evaluate(title) == "All is well"
    tab.evaluate("document.getElementById('counters').open = true")
    service.found = snapshot(opened=2)
    time.sleep(1.1)  # a snapshot serves all who ask within a second
    tab.evaluate(_AGAIN)
    tab.wait(lambda: tab.evaluate(title) == "2 open incidents")
    assert tab.evaluate("document.title").startswith("(2) 2 open incidents")
    assert tab.evaluate("document.querySelector('.badge').innerText") == "2"
    assert tab.evaluate("document.getElementById('counters').open")
    assert tab.console() == []


def test_a_page_that_gets_no_answer_says_that_it_is_old(
    service: FakeService, serve_page: Callable[..., PageProcess], tab: Tab
) -> None:
    page = serve_page(service.path)
    tab.open(page.url)
    assert tab.evaluate("document.getElementById('away').hidden")
    page.close()
    tab.evaluate(_AGAIN)
    tab.wait(lambda: not tab.evaluate("document.getElementById('away').hidden"))
    assert "has not answered" in tab.evaluate("document.getElementById('away').innerText")


def test_without_script_everything_is_there(page: PageProcess, tab: Tab) -> None:
    tab.open(page.url + "incidents")
    words = tab.evaluate("document.getElementById('main').innerText")
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(page.url + "incidents")
    node = tab.call("DOM.getDocument")["root"]["nodeId"]
    main = tab.call("DOM.querySelector", nodeId=node, selector="#main")["nodeId"]
    outer = tab.call("DOM.getOuterHTML", nodeId=main)["outerHTML"]
    assert all(line in outer for line in words.splitlines() if line.startswith("Password"))
    again = tab.call("DOM.querySelector", nodeId=node, selector="meta[http-equiv=refresh]")
    assert again["nodeId"]


def test_a_verdict_by_the_keyboard(service: FakeService, new_page: PageProcess, tab: Tab) -> None:
    tab.open(new_page.url + "incidents")
    tab.open(tab.evaluate("document.querySelector('.row a').href"))
    tab.evaluate("document.querySelector('button[value=expected]').focus()")
    for kind in ("keyDown", "keyUp"):
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        tab.call("Input.dispatchKeyEvent", type=kind, **enter)
    pressed = "document.querySelector('button[value=expected]')?.getAttribute('aria-pressed')"
    tab.wait(lambda: tab.evaluate(pressed) == "true")
    assert [verdict for _, verdict in service.verdicts] == ["expected"]
    assert tab.console() == []
