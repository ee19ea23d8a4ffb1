"""A service that is away, slow, or answers what it should not: the page says so, and recovers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.page.fake_service import FakeService, snapshot
from tests.page.page_client import Checked, ask

from idskit.page.page_process import PageProcess


def test_a_service_that_is_not_there_is_away_until_it_comes(
    tmp_path: Path, serve_page: Callable[..., PageProcess]
) -> None:
    socket = tmp_path / "control.sock"
    page = serve_page(socket)
    found = ask(page.url)
    assert found.status == 503
    words = Checked(found.body).text
    assert "The service does not answer" in words
    assert "No such file or directory" in words
    assert 'data-refresh="5"' in found.body  # so that it shows when the service is back
    with FakeService(socket, snapshot(opened=0)).running():
        assert "All is well" in ask(page.url).body


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "ended its answer early"),
        (b'{"version":"0.2.0"', "ended its answer early"),
        (b"<html>\n", "no JSON"),
        (b"[]\n", "no JSON object"),
        (b"\xff\xfe\n", "no JSON"),
        (b"[" * 100_000 + b"\n", "no JSON"),
        (b'{"a":' * 100_000 + b"\n", "no JSON"),
        (b"9" * 10_000 + b"\n", "no JSON"),
        (b'{"error":"It is <b>busy</b>."}\n', "It said: It is <b>busy</b>."),
    ],
)
def test_an_answer_that_is_none_is_said(
    service: FakeService, new_page: PageProcess, answer: bytes, words: str
) -> None:
    service.answer = lambda _: answer
    found = ask(new_page.url, "/devices")
    assert found.status == 503
    assert words in Checked(found.body).text


def test_an_answer_without_end_is_not_read_on(service: FakeService, new_page: PageProcess) -> None:
    service.answer = lambda _: b"x" * (40 << 20)
    found = ask(new_page.url)
    assert found.status == 503
    assert "more than 32 MiB" in found.body
    resident = Path(f"/proc/{new_page.process.pid}/statm").read_text().split()[1]
    assert int(resident) * 4_096 < 200 << 20


def test_a_snapshot_serves_all_who_ask_within_a_moment(
    service: FakeService, new_page: PageProcess
) -> None:
    asked: list[bytes] = []

    def count(line: bytes) -> bytes:
        asked.append(line)
        return service.usual(line)

    service.answer = count
    for _ in range(20):
        ask(new_page.url, "/settings")
    assert {json.loads(line)["ask"] for line in asked} == {"snapshot"}
    assert len(asked) < 20


def test_an_empty_snapshot_is_shown_as_what_it_is(
    service: FakeService, new_page: PageProcess
) -> None:
    service.answer = lambda _: b"{}\n"
    assert "State unknown" in Checked(ask(new_page.url).body).text
