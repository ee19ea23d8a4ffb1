"""The webhook against a real web server: signatures, refusals, redirects, and addresses."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import time
from typing import Any

import pytest
from tests.sinks.parts import HANG_S, HOSTILE, certificates, incident, sink_of, until

from idskit.errors import IdskitError
from idskit.sinks import outbox, webhook
from idskit.sinks.connections import PrivateAddress, connected_outside, is_outside, read_secret
from idskit.sinks.incident_text import encoded
from idskit.sinks.outbox import Away, Refused
from idskit.sinks.webhook import Webhook, WebhookOptions


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(outbox, "LAST_DELAY_S", 0.05)


class Server:
    """A web server that keeps what it is sent, and answers what a test wants."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: list[tuple[int, dict[str, str]]] = []  # 200 after them
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        there = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                there.got.append((self.path, dict(self.headers), body))
                status, headers = there.answers.pop(0) if there.answers else (200, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"thanks")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def url(self, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}/hook?key=1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(HANG_S)


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    there = Server(tls)
    try:
        yield there
    finally:
        there.close()


def hook(url: str, **more: Any) -> Webhook:
    return Webhook(WebhookOptions(url=url, **({"allow_private": True} | more)), "1.2.3")


def test_an_incident_is_posted_and_signed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("correct horse\nanother line\n")
    secret.chmod(0o600)
    with serving() as there:
        with sink_of(hook(there.url(), secret_file=secret)) as sink:
            sink.offer(encoded(incident()))
        ((path, headers, body),) = there.got
    assert path == "/hook?key=1"
    assert headers["Content-Type"] == "application/json"
    assert headers["Host"] == f"127.0.0.1:{there.port}"
    assert json.loads(body)["incident_id"] == incident().incident_id
    expected = hmac.new(b"correct horse", body, hashlib.sha256).hexdigest()
    assert headers["X-Idskit-Signature-256"] == f"sha256={expected}"
    assert headers["Idempotency-Key"].startswith(f"{incident().incident_id}-new-")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_json_and_forge_no_header(text: str) -> None:
    with serving() as there:
        hook(there.url()).deliver(incident(device_name=text, services=(text,) * 100))
        ((_, headers, body),) = there.got
    assert "X-Forged" not in headers
    assert len(body) <= webhook.MOST_BYTES
    assert json.loads(body)["type"] == "new"


def test_a_server_that_is_away_gets_the_same_again(tmp_path: Path) -> None:
    away = [(503, {}), (502, {}), (429, {"Retry-After": "0"}), (408, {}), (504, {})]
    with serving() as there:
        there.answers = list(away)
        with sink_of(hook(there.url()), tmp_path / "s") as sink:
            sink.offer(encoded(incident(1)))
            until(lambda: sink.health().written == 1)
        assert len(there.got) == 6
        keys = {headers["Idempotency-Key"] for _, headers, _ in there.got}
        assert (len(keys), sink.health().failed) == (1, 0)


def test_a_server_that_comes_later_gets_all(tmp_path: Path) -> None:
    with serving() as there:
        url = there.url()
    with sink_of(hook(url), tmp_path / "s") as sink:  # nobody listens now
        for number in range(20):
            sink.offer(encoded(incident(number)))
        until(lambda: sink.health().away)
    with serving() as there, sink_of(hook(there.url()), tmp_path / "s") as sink:
        until(lambda: sink.health().written == 20)
        got = [json.loads(body)["incident_id"] for _, _, body in there.got]
    assert got == [incident(number).incident_id for number in range(20)]


def test_what_is_refused_three_times_is_counted_as_lost() -> None:
    with serving() as there:
        there.answers = [(400, {})] * 3
        with sink_of(hook(there.url())) as sink:
            sink.offer(encoded(incident(1)))
            sink.offer(encoded(incident(2)))
            until(lambda: sink.health().written == 1)
        assert sink.health().failed == 1
        assert len(there.got) == 4


def test_the_server_says_when_to_come_again() -> None:
    with serving() as there:
        begin = time()
        there.answers = [
            (429, {"Retry-After": "120"}),
            (503, {"Retry-After": formatdate(begin + 600, usegmt=True)}),
            (503, {"Retry-After": "soon"}),
        ]
        delays = []
        for _ in range(3):
            with pytest.raises(Away) as failure:
                hook(there.url()).deliver(incident())
            delays.append(failure.value.retry_after_s)
    assert delays[0] == 120
    assert delays[1] is not None
    assert 599 - (time() - begin) < delays[1] <= 600
    assert delays[2] is None


def test_a_redirect_is_not_followed() -> None:
    with serving() as elsewhere, serving() as there:
        there.answers = [(307, {"Location": elsewhere.url()})]
        with pytest.raises(Refused, match="307"):
            hook(there.url()).deliver(incident())
        assert elsewhere.got == []


def test_certificates_are_checked(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    made, other = certificates(tmp_path), certificates(tmp_path / "other")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made["cert"], made["key"])
    with serving(tls) as there:
        url = there.url("https")
        hook(url, ca_file=made["ca"]).deliver(incident())
        for more in ({}, {"ca_file": other["ca"]}):
            with pytest.raises(ssl.SSLCertVerificationError):
                hook(url, **more).deliver(incident())
    assert len(there.got) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:7f00:1]"])  # noqa: S104
def test_addresses_of_this_network_are_refused_unless_asked_for(host: str) -> None:
    with serving() as there:
        url = there.url("https", host)
        with pytest.raises(PrivateAddress, match="allow_private"):
            hook(url, allow_private=False).deliver(incident())
    assert there.got == []


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "127.8.8.8",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2002:a00:1::",
        "64:ff9b:1::a00:1",
    ],
)
def test_what_is_no_address_of_the_internet(address: str) -> None:
    assert not is_outside(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "64:ff9b::1.1.1.1"])
def test_what_is_an_address_of_the_internet(address: str) -> None:
    assert is_outside(address)


def test_one_private_address_among_others_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 443)) for one in ("1.1.1.1", "10.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(PrivateAddress, match=r"10\.0\.0\.1"):
        connected_outside("two.example", 443)


def test_a_name_that_changes_its_address_leads_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: the first answer is of the Internet, each later one of this machine."""
    asked: list[str] = []

    def answers(host: str, port: int, *_: object, **__: object) -> list[Any]:
        asked.append(host)
        address = "198.51.99.1" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    connected_to: list[Any] = []

    def connect(_self: socket.socket, address: Any) -> None:
        connected_to.append(address)
        raise ConnectionRefusedError(111, "no")

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    monkeypatch.setattr(socket.socket, "connect", connect)
    with serving() as there:
        url = there.url("https", "rebind.example")
        with pytest.raises(ConnectionRefusedError):
            hook(url, allow_private=False).deliver(incident())
    assert connected_to == [("198.51.99.1", there.port)]
    assert asked == ["rebind.example"]


def test_a_slow_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "DEADLINE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ends = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                while not ends.wait(0.02):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(OSError):  # noqa: PT011 - by the system or by us
            hook(f"http://127.0.0.1:{listener.getsockname()[1]}/").deliver(incident())
        ends.set()
        thread.join(HANG_S)


def test_addresses_that_may_not_be_sent_to_are_refused() -> None:
    for url, sentence in (
        ("ftp://host/", "write https"),
        ("https://", "write https"),
        ("https://host:99999/", "write https"),
        ("https://host/\r\nX: y", "write https"),
        ("https://me:secret@host/", "secret_file"),
        ("http://host/", "not encrypted"),
    ):
        with pytest.raises(IdskitError, match=sentence):
            hook(url, allow_private=False)


def test_secrets_are_files_that_only_the_service_reads(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    with pytest.raises(IdskitError, match="cannot be read"):
        read_secret(secret)
    secret.write_text("open\n")
    secret.chmod(0o644)
    with pytest.raises(IdskitError, match="chmod 600"):
        read_secret(secret)
    secret.chmod(0o640)
    assert read_secret(secret) == "open"
    secret.write_text("\nsecond line\n")
    with pytest.raises(IdskitError, match="first line"):
        read_secret(secret)
    (tmp_path / "link").symlink_to(secret)
    with pytest.raises(IdskitError, match="cannot be read"):
        read_secret(tmp_path / "link")
