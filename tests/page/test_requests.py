"""Over real sockets: what is answered, what is refused, and what slow clients can do."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.page.fake_service import FakeService, incident, many_incidents
from tests.page.page_client import FORM, WAIT_S, Checked, ask

from idskit.page import web_server
from idskit.page.page_answers import GUARDS, POLICY
from idskit.page.page_process import PageProcess
from idskit.page.web_server import BODY, HEAD, MOST, Answer, Request, WebServer

TOKEN = "correct-horse-battery-staple-17"  # noqa: S105 - of these tests
PATHS = ("/", "/incidents", "/devices", "/model", "/settings")


def spoken(page: PageProcess, data: bytes) -> bytes:
    """Send bytes, and return everything that comes back."""
    parts = urlsplit(page.url)
    with socket.create_connection((parts.hostname, parts.port or 0), WAIT_S) as link:
        link.sendall(data)
        found = b""
        while more := link.recv(65_536):
            found += more
        return found


def status_of(page: PageProcess, data: bytes) -> int:
    """Send bytes, and return the status that comes back; 0 for none."""
    words = spoken(page, data).split(b" ", 2)
    return int(words[1]) if len(words) > 1 else 0


def first_incident(page: PageProcess) -> tuple[str, str]:
    """The path of the newest incident, and the token of its form."""
    listed = Checked(ask(page.url, "/incidents").body)
    path = next(link for link in listed.links if link.startswith("/incidents/"))
    return path, Checked(ask(page.url, path).body).fields["form_token"]


@pytest.mark.parametrize("path", PATHS)
def test_every_page_is_answered_with_every_guard(page: PageProcess, path: str) -> None:
    found = ask(page.url, path)
    assert found.status == 200
    Checked(found.body)
    assert found.headers["content-type"] == "text/html; charset=utf-8"
    assert found.headers["cache-control"] == "no-store"
    for name, value in GUARDS:
        assert found.headers[name.lower()] == value
    assert "server" not in found.headers


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    rules = {rule.split()[0]: rule.split()[1:] for rule in POLICY.split("; ")}
    assert rules["default-src"] == ["'none'"]
    for kind in ("script-src", "style-src", "img-src", "connect-src", "form-action"):
        assert rules[kind] == ["'self'"]
    assert rules["base-uri"] == rules["frame-ancestors"] == ["'none'"]
    assert "unsafe" not in POLICY
    assert "*" not in POLICY


def test_the_files_of_a_page_are_there(page: PageProcess) -> None:
    body = ask(page.url).body
    files = [link for link in Checked(body).links if "?v=" in link]
    assert sorted(file.partition("?")[0] for file in files) == [
        "/icon.svg", "/page.css", "/refresh.js",
    ]  # fmt: skip
    for file in files:
        found = ask(page.url, file)
        assert found.status == 200
        assert "immutable" in found.headers["cache-control"]
        assert found.headers["x-content-type-options"] == "nosniff"
    assert "url(" not in ask(page.url, "/page.css").body
    assert "http" not in ask(page.url, "/page.css").body


def test_head_has_the_length_and_no_body(page: PageProcess) -> None:
    found = spoken(page, b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head, _, body = found.partition(b"\r\n\r\n")
    assert body == b""
    assert b"Content-Length: 0" not in head


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404), ("/incidents/", 404), ("/incidents/none", 404), ("//evil.example", 404),
        ("/../../etc/passwd", 404), ("/%2e%2e/%2e%2e/etc/passwd", 404), ("/page_access.py", 404),
        ("/incidents/%00%ff%3Cscript%3E", 404), ("/?page=-1&show=<script>", 200),
        ("/incidents?page=99999999999999999999", 200),
        ("/incidents?device=%22%3E%3Cscript%3E", 200),
        ("/incidents?" + "&".join(f"a{i}=1" for i in range(50)), 400),
    ],
)  # fmt: skip
def test_paths_that_nobody_links_to(page: PageProcess, path: str, status: int) -> None:
    found = ask(page.url, path)
    assert found.status == status
    assert "root:" not in found.body
    if status != 400:
        Checked(found.body)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no host
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 400),
        (b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400),  # TLS to a port without
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n folded: yes\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nbad name: yes\r\n\r\n", 400),
        (b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"GET /" + b"a" * HEAD + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * HEAD + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", 415),
        (b"", 0),
    ],
)
def test_what_is_no_request_of_a_browser_is_refused(
    page: PageProcess, data: bytes, status: int
) -> None:
    parts = urlsplit(page.url)
    with socket.create_connection((parts.hostname, parts.port or 0), WAIT_S) as link:
        link.sendall(data)
        link.shutdown(socket.SHUT_WR)
        found = link.recv(65_536)
    assert (int(found.split(b" ", 2)[1]) if found else 0) == status
    assert ask(page.url).status == 200


def test_a_form_larger_than_its_length_says_nothing_more(page: PageProcess) -> None:
    body = b"a=" + b"b" * BODY
    head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\n".encode()
    assert status_of(page, head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body) == 413


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:80", "[::1]:7411", "192.168.1.2", "LOCALHOST."]
)
def test_addresses_and_localhost_are_names_of_ours(page: PageProcess, host: str) -> None:
    assert ask(page.url, headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "evil.example:7411", "localhost.evil.example",
     "a@127.0.0.1", "127.0.0.1/@evil.example", "0x7f000001", "[::1", "", "pi.home"],
)  # fmt: skip
def test_a_name_that_was_turned_to_us_gets_nothing(page: PageProcess, host: str) -> None:
    found = spoken(page, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert found.startswith(b"HTTP/1.1 403 ")
    assert b"incident" not in found.partition(b"\r\n\r\n")[2]


def test_a_name_that_was_set_is_one_of_ours(
    service: FakeService, serve_page: Callable[..., PageProcess]
) -> None:
    page = serve_page(service.path, host_names=("Pi.home",))
    assert ask(page.url, headers={"Host": "pi.home:8080"}).status == 200
    assert ask(page.url, headers={"Host": "api.home"}).status == 403


@pytest.mark.parametrize("verdict", ["attack", "expected", "wrong"])
def test_a_verdict_reaches_the_service(
    service: FakeService, page: PageProcess, verdict: str
) -> None:
    path, token = first_incident(page)
    form = {"form_token": token, "verdict": verdict}
    found = ask(page.url, f"{path}/verdict", form=form)
    assert (found.status, found.headers["location"]) == (303, path)
    assert service.verdicts == [(path.rpartition("/")[2], verdict)]
    body = ask(page.url, path).body
    assert f'value="{verdict}" aria-pressed="true"' in body


@pytest.mark.parametrize(
    ("change", "headers", "status"),
    [
        ({"form_token": ""}, {}, 403),
        ({"form_token": "0" * 64}, {}, 403),
        ({"form_token": "\u00e9"}, {}, 403),
        ({}, {"Origin": "http://evil.example"}, 403),
        ({}, {"Origin": "null"}, 403),
        ({}, {"Origin": ""}, 403),
        ({}, {"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ({"verdict": "erase"}, {}, 400),
        ({"verdict": ""}, {}, 400),
    ],
)
def test_a_verdict_of_somebody_else_reaches_nobody(
    service: FakeService,
    page: PageProcess,
    change: dict[str, str],
    headers: dict[str, str],
    status: int,
) -> None:
    path, token = first_incident(page)
    form = {"form_token": token, "verdict": "wrong"} | change
    assert ask(page.url, f"{path}/verdict", form=form, headers=headers).status == status
    assert service.verdicts == []


def test_verdicts_are_for_incidents_that_are_listed(
    service: FakeService, page: PageProcess
) -> None:
    _, token = first_incident(page)
    form = {"form_token": token, "verdict": "wrong"}
    assert ask(page.url, "/incidents/none/verdict", form=form).status == 404
    assert ask(page.url, "/settings", form=form).status == 405
    path, _ = first_incident(page)
    assert ask(page.url, f"{path}/verdict?verdict=wrong").status == 404  # a link is no form
    assert service.verdicts == []


def test_what_the_service_refuses_is_said(service: FakeService, page: PageProcess) -> None:
    path, token = first_incident(page)
    service.answer = lambda line: (
        b'{"error":"It is <gone>."}\n' if b"verdict" in line else service.usual(line)
    )
    found = ask(page.url, f"{path}/verdict", form={"form_token": token, "verdict": "wrong"})
    assert found.status == 409
    assert "It is <gone>." in Checked(found.body).text


def test_another_site_reads_nothing(page: PageProcess) -> None:
    found = ask(page.url, headers={"Origin": "http://evil.example"})
    assert found.status == 403
    assert "access-control-allow-origin" not in found.headers


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    return path


def test_without_the_token_only_the_way_in_is_shown(
    service: FakeService, serve_page: Callable[..., PageProcess], token_file: Path
) -> None:
    page = serve_page(service.path, token_file=token_file)
    for path in (*PATHS, "/incidents/none", "/nothing"):
        found = ask(page.url, path)
        assert (found.status, found.headers["location"]) == (303, "/login")
        assert found.body == ""
    assert "Sign in" in Checked(ask(page.url, "/login").body).text
    for wrong in ("", "wrong", TOKEN[:-1], f"{TOKEN}x", "\u00e9"):
        refused = ask(page.url, "/login", form={"token": wrong})
        assert refused.status == 403
        assert "set-cookie" not in refused.headers
    forged = ("idskit=9999999999.00", "idskit=9999999999.", "idskit=x", 'idskit="', "idskit=1.1")
    for cookie in forged:
        assert ask(page.url, headers={"Cookie": cookie}).status == 303


def test_the_token_opens_the_page_and_a_session_keeps_it_open(
    service: FakeService, serve_page: Callable[..., PageProcess], token_file: Path
) -> None:
    page = serve_page(service.path, token_file=token_file)
    found = ask(page.url, "/login", form={"token": TOKEN})
    assert (found.status, found.headers["location"]) == (303, "/")
    cookie, *rules = found.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(rules)
    assert TOKEN not in cookie
    signed_in = {"Cookie": cookie}
    body = ask(page.url, "/incidents", headers=signed_in).body
    path = next(link for link in Checked(body).links if link.startswith("/incidents/"))
    token = Checked(ask(page.url, path, headers=signed_in).body).fields["form_token"]
    form = {"form_token": token, "verdict": "wrong"}
    # Another session's form is not ours.
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert ask(page.url, f"{path}/verdict", form=form, headers=bearer).status == 403
    assert ask(page.url, f"{path}/verdict", form=form).status == 303
    assert service.verdicts == []
    assert ask(page.url, f"{path}/verdict", form=form, headers=signed_in).status == 303
    assert len(service.verdicts) == 1
    assert ask(page.url, headers=bearer).status == 200
    assert ask(page.url, headers={"Cookie": f"{cookie}0"}).status == 303
    restarted = serve_page(service.path, token_file=token_file)
    assert ask(restarted.url, headers=signed_in).status == 200
    token_file.write_text(TOKEN[::-1])
    renewed = serve_page(service.path, token_file=token_file)
    assert ask(renewed.url, headers=signed_in).status == 303


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    found = tmp_path / "page.pem", tmp_path / "page.key"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    words += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext"]
    words += ["subjectAltName=IP:127.0.0.1", "-out", str(found[0]), "-keyout", str(found[1])]
    try:
        subprocess.run(words, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl to make a certificate")
    return found


def test_tls(
    service: FakeService,
    serve_page: Callable[..., PageProcess],
    token_file: Path,
    certificate: tuple[Path, Path],
) -> None:
    page = serve_page(
        service.path, token_file=token_file, tls_certificate=certificate[0], tls_key=certificate[1]
    )
    assert page.url.startswith("https://")
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    found = ask(page.url, "/login", form={"token": TOKEN}, tls=trust)
    cookie, *rules = found.headers["set-cookie"].split("; ")
    assert cookie.startswith("__Host-idskit=")
    assert "Secure" in rules
    for _ in range(40):  # whenever the client's first bytes come
        assert ask(page.url, headers={"Cookie": cookie}, tls=trust).status == 200
    assert spoken(page, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")[:4] != b"HTTP"
    old = ssl.create_default_context(cafile=str(certificate[0]))
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(page.url, tls=old)


@pytest.fixture
def many_sockets() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < 2_048:
        pytest.skip(f"needs 2,048 open files, the limit is {before[1]}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 2_048), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def established(port: int) -> int:
    """Connections that the server's side of a port has open."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


@pytest.mark.parametrize(
    "said", [b"", b"GET / HTTP/1.1\r\nHost: lo", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"]
)
def test_1000_slow_clients_are_bounded_and_block_nobody(
    new_page: PageProcess, many_sockets: None, said: bytes
) -> None:
    page = new_page
    parts = urlsplit(page.url)
    with contextlib.ExitStack() as stack:
        for _ in range(1_000):
            link = stack.enter_context(socket.socket())
            link.settimeout(WAIT_S)
            link.connect((parts.hostname, parts.port or 0))
            with contextlib.suppress(ConnectionError):  # it made room for others already
                link.sendall(said)
        assert ask(page.url).status == 200
        assert established(parts.port or 0) <= MOST
        assert ask(page.url, "/incidents").status == 200
    assert page.process.poll() is None


def test_a_client_that_says_nothing_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "CLIENT_S", 0.05)

    async def answer(_request: Request) -> Answer:
        return Answer()

    async def silent() -> bytes:
        server = await WebServer(answer).listen("127.0.0.1", 0, None)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\n")
        try:
            return await reader.read()
        finally:
            writer.close()
            server.close()

    with contextlib.suppress(ConnectionResetError):
        assert asyncio.run(asyncio.wait_for(silent(), WAIT_S)) == b""


def test_10_000_incidents_are_served_page_by_page(
    tmp_path: Path, serve_page: Callable[..., PageProcess]
) -> None:
    found = many_incidents(10_000)
    with FakeService(tmp_path / "many.sock", found).running() as service:
        page = serve_page(service.path)
        last = Checked(ask(page.url, "/incidents?page=400").body)
        assert "9,976 to 10,000 of 10,000" in last.text
        oldest = f"/incidents/{found['incidents'][-1]['incident_id']}"
        assert oldest in last.links
        assert ask(page.url, oldest).status == 200
        assert len(ask(page.url).body) < 50_000


def test_incidents_that_the_snapshot_lacks_are_paged_and_take_a_verdict(
    service: FakeService, serve_page: Callable[..., PageProcess]
) -> None:
    service.found["older"] = True
    service.kept = [incident(number) for number in range(40, 100)]
    page = serve_page(service.path)
    listed = Checked(ask(page.url, "/incidents?page=2").body)
    assert "/older" in listed.links
    assert "/older" not in Checked(ask(page.url, "/incidents?page=1").body).links
    assert "/older" not in Checked(ask(page.url, "/incidents?show=open").body).links
    found: list[str] = []
    path = "/older"
    while path:
        older = Checked(ask(page.url, path).body)
        found += [link for link in older.links if link.startswith("/incidents/")]
        path = next((link for link in older.links if link.endswith(f"={len(found) // 25 + 1}")), "")
    assert found == [f"/incidents/{one['incident_id']}" for one in service.kept]
    assert "No older incident is kept" in Checked(ask(page.url, "/older?page=9").body).text
    shown = Checked(ask(page.url, found[30]).body)
    form = {"form_token": shown.fields["form_token"], "verdict": "wrong"}
    assert ask(page.url, f"{found[30]}/verdict", form=form).status == 303
    assert service.verdicts == [(service.kept[30]["incident_id"], "wrong")]


def test_a_list_that_is_whole_links_to_nothing_older(page: PageProcess) -> None:
    assert "/older" not in Checked(ask(page.url, "/incidents?page=2").body).links
