"""The control socket, and whoever asks it badly."""

from __future__ import annotations

import json
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.gateway.live import HANG_S

from idskit.errors import IdskitError
from idskit.gateway import control_socket
from idskit.gateway.control_socket import AT_ONCE, MOST_ASKED, NAME, ControlServer, ask


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    if asked.get("ask") == "no":
        raise IdskitError("this is refused")
    return {"echo": asked}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    server = ControlServer(tmp_path, answer)
    yield tmp_path
    server.close()
    assert not (tmp_path / NAME).exists()


def connected(folder: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(HANG_S)
    made.connect(str(folder / NAME))
    return made


def said(folder: Path, line: bytes) -> bytes:
    with connected(folder) as connection:
        connection.sendall(line)
        return connection.makefile("rb").read()


def test_a_line_asks_and_a_line_answers(folder: Path) -> None:
    assert json.loads(said(folder, b'{"ask":"x"}\n')) == {"echo": {"ask": "x"}}
    assert ask(folder, {"ask": "y"}) == {"echo": {"ask": "y"}}
    with pytest.raises(IdskitError, match="this is refused"):
        ask(folder, {"ask": "no"})


def test_only_this_user_can_connect(folder: Path) -> None:
    assert stat.S_IMODE((folder / NAME).stat().st_mode) == 0o600


@pytest.mark.parametrize("line", [b"\n", b"[]\n", b"7\n", b"\xff\n", b"[" * 9_000 + b"\n", b"{\n"])
def test_what_is_no_object_is_refused_in_a_sentence(folder: Path, line: bytes) -> None:
    assert "no JSON object" in json.loads(said(folder, line))["error"]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=200).map(lambda b: b.replace(b"\n", b"") + b"\n"))
def test_any_bytes_are_answered_by_a_line_of_json(folder: Path, line: bytes) -> None:
    assert isinstance(json.loads(said(folder, line)), dict)


def test_a_line_without_an_end_is_not_kept(folder: Path) -> None:
    with connected(folder) as connection, pytest.raises(OSError, match=r"Broken pipe|reset"):
        connection.sendall(b"x" * (100 * MOST_ASKED))
    assert ask(folder, {}) == {"echo": {}}


def test_slow_ones_leave_room_after_their_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_socket, "ASK_S", 0.3)
    slow = [connected(folder) for _ in range(AT_ONCE)]

    def is_answered() -> bool:
        try:
            return ask(folder, {"ask": "x"}) == {"echo": {"ask": "x"}}
        except IdskitError:  # this thread was the slow one
            return False

    end = time.monotonic() + HANG_S
    while not is_answered():
        assert time.monotonic() < end
    for one in slow:
        one.close()


def test_a_socket_that_a_killed_service_left_is_replaced(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / NAME))
    left.close()
    with pytest.raises(IdskitError, match="no service answers"):
        ask(tmp_path, {})
    server = ControlServer(tmp_path, answer)
    assert ask(tmp_path, {}) == {"echo": {}}
    server.close()


def test_a_path_that_is_too_long_is_one_sentence(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    with pytest.raises(IdskitError, match="too long for a socket"):
        ControlServer(deep, answer)
