"""Syslog: messages by an independent reading of RFC 5424, receivers of sockets, and rsyslog."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.sinks.parts import (
    HANG_S,
    HOSTILE,
    certificates,
    incident,
    need,
    own_port,
    sink_of,
    until,
)

from idskit.errors import IdskitError
from idskit.sinks import outbox
from idskit.sinks.incident_text import encoded
from idskit.sinks.syslog_receiver import (
    FACILITIES,
    MOST_BYTES,
    SyslogOptions,
    SyslogReceiver,
    syslog_message,
)

# RFC 5424, section 6: the grammar, written anew.
RFC5424 = re.compile(
    rb"<(?P<pri>\d{1,3})>1 "
    rb"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)) "
    rb"(?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<proc>[!-~]{1,128}) (?P<msgid>[!-~]{1,32}) "
    rb"(?P<sd>-|(\[[^\]]*\])+)( (?P<msg>.*))?",
    re.DOTALL,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LAST_DELAY_S", 0.05)


def parsed(data: bytes) -> dict[str, bytes]:
    found = RFC5424.fullmatch(data)
    assert found is not None, data
    assert int(found["pri"]) < 192
    return found.groupdict()


@pytest.fixture
def port() -> Iterator[int]:
    with own_port() as kept:
        yield kept


def id_in(data: bytes) -> str:
    text = parsed(data)["msg"].decode()
    return str(json.loads(text.removeprefix("@cee:"))["incident_id"])


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("kind", ["cee", "sentence"])
def test_every_message_is_of_the_rfc_and_fits(text: str, kind: Any) -> None:
    found = incident(device_name=text, attacker=text or None, services=(text,) * 100)
    data = syslog_message(found, SyslogOptions(message=kind), f"host name {text}")
    assert len(data) <= MOST_BYTES
    message = parsed(data)["msg"].decode("ascii")
    assert message.isprintable()
    assert found.incident_id in message


def test_severity_facility_and_time() -> None:
    def pri(facility: str, **changed: Any) -> int:
        options = SyslogOptions(facility=facility)
        return int(parsed(syslog_message(incident(**changed), options, "gw"))["pri"])

    assert pri("auth", severity=1) == 4 * 8 + 2
    assert pri("local7", severity=2) == 23 * 8 + 4
    assert pri("authpriv", severity=1, type="end") == 10 * 8 + 5
    assert {pri(facility) // 8 for facility in FACILITIES} == {3, 4, 10, *range(16, 24)}
    data = syslog_message(incident(0), SyslogOptions(), "gw")
    assert parsed(data)["time"] == b"2023-11-14T22:13:21.000000Z"


@pytest.mark.parametrize("transport", ["local", "udp"])
def test_a_datagram_is_a_message(tmp_path: Path, transport: Any) -> None:
    path = tmp_path / "log"
    is_local = transport == "local"
    with socket.socket(socket.AF_UNIX if is_local else socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(str(path) if is_local else ("127.0.0.1", 0))
        port = 0 if is_local else there.getsockname()[1]
        there.settimeout(HANG_S)
        options = SyslogOptions(transport=transport, host="127.0.0.1", port=port, path=path)
        with sink_of(SyslogReceiver(options, "gw")) as sink:
            for number in range(3):
                sink.offer(encoded(incident(number)))
            got = [id_in(there.recv(65_536)) for _ in range(3)]
    assert got == [incident(number).incident_id for number in range(3)]


class Receiver:
    """A receiver by TCP or TLS that counts octets (RFC 6587, 3.4.1)."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.got: list[str] = []
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", port))
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            with connection, connection.makefile("rb") as stream:
                while length := self._length(stream):
                    self.got.append(id_in(stream.read(length)))

    def _length(self, stream: Any) -> int:
        digits = b""
        while (one := stream.read(1)) not in (b" ", b""):
            digits += one
        return int(digits or b"0")

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._thread.join(HANG_S)


@contextmanager
def receiving(port: int, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    there = Receiver(port, tls)
    try:
        yield there
    finally:
        there.close()


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_no_incident_is_lost_while_the_receiver_is_away(
    tmp_path: Path, port: int, transport: Any
) -> None:
    made = certificates(tmp_path)
    tls = None
    if transport == "tls":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(made["cert"], made["key"])
    options = SyslogOptions(transport=transport, host="127.0.0.1", port=port, ca_file=made["ca"])
    with sink_of(SyslogReceiver(options, "gw"), tmp_path / "s") as sink:
        sink.offer(encoded(incident(0)))  # before there is a receiver
        until(lambda: sink.health().away)
        with receiving(port, tls) as first:
            until(lambda: len(first.got) == 1)
            sink.offer(encoded(incident(1)))
            until(lambda: len(first.got) == 2)
        for number in range(2, 40):
            sink.offer(encoded(incident(number)))
        until(lambda: sink.health().away)
        with receiving(port, tls) as second:
            until(lambda: len(second.got) == 38)
    got = first.got + second.got
    assert got == [incident(number).incident_id for number in range(40)]


def test_a_certificate_of_another_name_or_authority_is_refused(tmp_path: Path, port: int) -> None:
    (tmp_path / "other").mkdir()
    made, other = certificates(tmp_path, "DNS:elsewhere"), certificates(tmp_path / "other")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made["cert"], made["key"])
    for authority in (made["ca"], other["ca"]):
        options = SyslogOptions(transport="tls", host="127.0.0.1", port=port, ca_file=authority)
        with receiving(port, tls) as there, sink_of(SyslogReceiver(options, "gw")) as sink:
            sink.offer(encoded(incident()))
            assert "certificate is not accepted" in until(lambda: sink.health().away)
        assert there.got == []


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing\n")
    for options, sentence in (
        (SyslogOptions(transport="tcp"), "set host"),
        (SyslogOptions(), "set transport"),
        (SyslogOptions(transport="tls", host="h", ca_file=tmp_path / "ca.pem"), "cannot be used"),
    ):
        with pytest.raises(IdskitError, match=sentence):
            SyslogReceiver(options, "gw")


RSYSLOG = """
module(load="imtcp")
module(load="imudp")
module(load="mmjsonparse")
input(type="imtcp" port="{port}" address="127.0.0.1")
input(type="imudp" port="{port}" address="127.0.0.1")
template(name="own" type="string"
  string="%syslogfacility-text%.%syslogseverity-text% %protocol-version% %app-name% %$!incident_id%
")
action(type="mmjsonparse")
action(type="omfile" file="{out}" template="own")
"""


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rsyslog_reads_what_is_sent(tmp_path: Path, port: int, transport: Any) -> None:
    need("rsyslogd")
    out = tmp_path / "out"
    (tmp_path / "conf").write_text(RSYSLOG.format(port=port, out=out))
    program = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
    words = [program, "-n", "-f", str(tmp_path / "conf"), "-i", str(tmp_path / "pid")]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            with socket.socket() as probe:
                until(lambda: probe.connect_ex(("127.0.0.1", port)) == 0)
            options = SyslogOptions(transport=transport, host="127.0.0.1", port=port)
            with sink_of(SyslogReceiver(options, "gw")) as sink:
                sink.offer(encoded(incident(1, severity=1)))
                sink.offer(encoded(incident(2, device_name=HOSTILE[0])))
                until(lambda: out.exists() and out.read_text().count("\n") == 2)
        finally:
            child.terminate()
    first, second = out.read_text().splitlines()
    assert first == f"authpriv.crit 1 idskit {incident(1).incident_id}"
    assert second == f"authpriv.warning 1 idskit {incident(2).incident_id}"
