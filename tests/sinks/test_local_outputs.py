"""The EVE file and the Unix socket, with real files, links, pipes and readers."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.sinks.parts import HANG_S, HOSTILE, incident, sink_of, until

from idskit.errors import IdskitError
from idskit.incidents.incident_lines import incident_lines
from idskit.process.signals import finish_on_signals
from idskit.sinks import outbox
from idskit.sinks.incident_text import encoded
from idskit.sinks.local_outputs import EveOptions, EveOutput, UnixOptions, UnixSocket


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LAST_DELAY_S", 0.05)


def ids_in(text: str) -> list[str]:
    lines = [json.loads(line) for line in text.splitlines()]
    return [line["incident"]["incident_id"] for line in lines if "incident" in line]


def ids(*numbers: int) -> list[str]:
    return [incident(number).incident_id for number in numbers]


def eve(path: Path, **options: Any) -> EveOutput:
    return EveOutput(EveOptions(path=path, **options), incident_lines)


def test_lines_are_appended_to_a_file_that_others_may_not_change(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    with sink_of(eve(path)) as sink:
        sink.offer(encoded(incident(1)))
        sink.offer_line('{"event_type":"alert"}')
    with sink_of(eve(path)) as sink:
        sink.offer(encoded(incident(2)))
    assert ids_in(path.read_text()) == ids(1, 2)
    assert '{"event_type":"alert"}\n' in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "eve.json"
    with sink_of(eve(path)) as sink:
        sink.offer(encoded(incident(1, device_name=text)))
        sink.offer(encoded(incident(2)))
    assert ids_in(path.read_text()) == ids(1, 2)
    assert path.read_text().replace("\n", "").isprintable()


def test_it_is_rotated_by_size(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    with sink_of(eve(path, rotate_mb=1)) as sink:
        for number in range(1200):
            sink.offer(encoded(incident(number, evidence=())))
            sink.offer_line(json.dumps({"padding": "x" * 900}))
    files = sorted(tmp_path.glob("eve.json*"))
    assert len(files) > 2
    assert max(file.stat().st_size for file in files) <= 1 << 20
    assert sorted(ids_in("".join(file.read_text() for file in files))) == ids(*range(1200))


def test_it_is_rotated_by_time(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    with sink_of(eve(path, rotate_every="day", older_files=1)) as sink:
        for number in range(3):
            sink.offer(encoded(incident(number)))
            until(lambda n=number: path.exists() and ids_in(path.read_text()) == ids(n))
            os.utime(path, (1e9, 1e9))
    files = sorted(tmp_path.glob("eve.json*"))
    assert [ids_in(file.read_text()) for file in files] == [ids(2), ids(1)]


def test_it_is_opened_again_when_it_was_moved(tmp_path: Path) -> None:
    path, moved = tmp_path / "eve.json", tmp_path / "moved"
    with sink_of(eve(path)) as sink:
        sink.offer(encoded(incident(1)))
        until(lambda: sink.health().written == 1)
        path.rename(moved)
        sink.reopen()  # SIGHUP
        until(path.exists)
        sink.offer(encoded(incident(2)))
    assert (ids_in(moved.read_text()), ids_in(path.read_text())) == (ids(1), ids(2))


def test_incidents_wait_while_the_disk_is_nearly_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, free = tmp_path / "eve.json", [4]

    def statvfs(_path: object) -> SimpleNamespace:
        return SimpleNamespace(f_bavail=free[0], f_blocks=100)

    monkeypatch.setattr(os, "statvfs", statvfs)
    with sink_of(eve(path), tmp_path / "s") as sink:
        sink.offer(encoded(incident(1)))
        why = until(lambda: sink.health().away)
        assert "less than 5 % free" in why
        assert path.read_text() == ""
        free[0] = 50
        until(lambda: sink.health().written == 1)
    assert ids_in(path.read_text()) == ids(1)


def test_incidents_wait_for_the_reader_of_a_pipe_that_went_away(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with sink_of(eve(path)) as sink:
        sink.offer(encoded(incident(1)))
        until(lambda: sink.health().written == 1)
        first = os.read(reader, 1 << 16)
        os.close(reader)
        sink.offer(encoded(incident(2)))
        until(lambda: sink.health().away)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        sink.reopen()
        until(lambda: sink.health().written == 2)
        second = os.read(reader, 1 << 16)
        os.close(reader)
    assert (ids_in(first.decode()), ids_in(second.decode())) == (ids(1), ids(2))


def test_it_is_written_while_the_process_ends_in_good_order(tmp_path: Path) -> None:
    """Only the main thread may bound what it writes by a signal; a sink's thread is another."""
    asked = threading.Event()
    with finish_on_signals(asked.set), sink_of(eve(tmp_path / "eve.json")) as sink:
        os.kill(os.getpid(), signal.SIGTERM)
        until(asked.is_set)
        sink.offer(encoded(incident(1)))
        until(lambda: sink.health().written == 1 or sink.health().away)
        assert sink.health().away is None


def test_a_link_or_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "shopping").write_text("milk\n")
    for name in ("link", "shopping", "missing/eve.json"):
        with pytest.raises(IdskitError, match=name):
            eve(tmp_path / name)
    with pytest.raises(IdskitError, match="set path"):
        EveOutput(EveOptions(), incident_lines)


class Reader:
    """A program that reads a Unix socket."""

    def __init__(self, path: Path, kind: int) -> None:
        path.unlink(missing_ok=True)
        self.got: list[str] = []
        self._kind = kind
        self._listener = socket.socket(socket.AF_UNIX, kind)
        self._listener.bind(str(path))
        if kind == socket.SOCK_STREAM:
            self._listener.listen()
        self._listener.settimeout(HANG_S)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        connection = self._listener
        if self._kind == socket.SOCK_STREAM:
            connection, _ = self._listener.accept()
        connection.settimeout(0.02)
        rest = b""
        with connection:
            while not self._ends.is_set():
                try:
                    data = connection.recv(1 << 18)
                except TimeoutError:
                    continue
                *lines, rest = (rest + data).split(b"\n")
                self.got += [line.decode() for line in lines]

    def close(self) -> None:
        self._ends.set()
        self._thread.join(HANG_S)
        self._listener.close()


@contextmanager
def reading(path: Path, kind: int) -> Iterator[Reader]:
    reader = Reader(path, kind)
    try:
        yield reader
    finally:
        reader.close()


@pytest.mark.parametrize(("kind", "number"), [("stream", 1), ("datagram", 2)])
def test_a_unix_socket_gets_whole_lines_also_after_its_reader_came_back(
    tmp_path: Path, kind: str, number: int
) -> None:
    path = tmp_path / "socket"
    there = UnixSocket(UnixOptions(path=path, kind=kind), incident_lines)  # type: ignore[arg-type]
    with sink_of(there, tmp_path / "s") as sink:
        sink.offer(encoded(incident(1)))  # before anybody reads
        until(lambda: sink.health().away)
        with reading(path, number) as reader:
            until(lambda: len(reader.got) == 2)  # the incident, and its alert
            sink.offer_line("{}")
            until(lambda: len(reader.got) == 3)
        for later in range(2, 30):
            sink.offer(encoded(incident(later)))
        until(lambda: sink.health().away)
        with reading(path, number) as again:
            until(lambda: len(again.got) == 28 * 2)
    assert ids_in("\n".join(reader.got)) == ids(1)
    assert ids_in("\n".join(again.got)) == ids(*range(2, 30))
