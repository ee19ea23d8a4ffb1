"""Web traffic of people and programs."""

from __future__ import annotations

import base64
import http.client
import os
import struct
import threading
from urllib.parse import urlencode

from idskit.lab.play.script import RANDOM, TIMEOUT_S, TLS, connect, rest, script

_BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0"}


def _open(server: str, port: int) -> http.client.HTTPConnection:
    if port not in (443, 8443):
        return http.client.HTTPConnection(server, port, timeout=TIMEOUT_S * 4)
    return http.client.HTTPSConnection(server, port, timeout=TIMEOUT_S * 4, context=TLS)


def _get(connection: http.client.HTTPConnection, path: str, **headers: str) -> bytes:
    connection.request("GET", path, headers={**_BROWSER, **headers})
    return connection.getresponse().read()


@script
def browse(server: str, count: int, pause: float, port: str = "80") -> None:
    """Read pages with pictures, several connections at a time, as a browser does."""
    for _ in range(count):
        pages = [_open(server, int(port)) for _ in range(3)]
        for connection, name in zip(
            pages, ("index.html", "picture.jpg", "missing.css"), strict=True
        ):
            connection.request("GET", f"/{name}", headers=_BROWSER)
        for connection in pages:
            connection.getresponse().read()
            connection.close()
        rest(4 * pause)


@script
def shopping(server: str, count: int, pause: float) -> None:
    """Search the shop and log in, mistyping the password once."""
    connection = _open(server, 8080)
    for number in range(count):
        _get(connection, f"/search?q=thing+{number}")
        rest(2 * pause)
    log_in(server, 1, pause)


@script
def log_in(server: str, count: int, pause: float) -> None:
    """Mistype the password of a form ``count`` times at most, then get it right."""
    connection = _open(server, 8080)
    wrong = ("correct hrose", "Correct horse", "correct horse ")
    for password in (*wrong[: RANDOM.randint(1, min(count, 3))], "correct horse"):
        form = urlencode({"user": "operator", "password": password})
        connection.request("POST", "/login", form, _BROWSER)
        connection.getresponse().read()
        rest(6 * pause)


@script
def pull_image(server: str, count: int, pause: float, port: str = "8443") -> None:
    """Pull an image from a registry: a token, a manifest, and layers three at a time."""
    first = _open(server, int(port))
    _get(first, "/v2/")
    _get(first, "/token?scope=repository:lab:pull")
    _get(first, "/v2/lab/manifests/latest?n=2500", Authorization="Bearer 77")
    rest(pause)

    def layers() -> None:
        connection = _open(server, int(port))
        for _ in range(max(count // 8, 1)):
            size = RANDOM.choice((2_000, 150_000, 900_000, 3_000_000))
            _get(connection, f"/v2/lab/blobs/{size}?n={size}", Authorization="Bearer 77")

    threads = [threading.Thread(target=layers) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@script
def install_packages(server: str, count: int, pause: float, port: str = "8443") -> None:
    """Install packages as pip and npm do: an index page each, then an archive."""
    connection = _open(server, int(port))
    for number in range(count // 2):
        _get(connection, f"/simple/package-{number}/?n=800")
        size = int(RANDOM.paretovariate(1.1) * 20_000) % 4_000_000
        _get(connection, f"/blob/package-{number}-1.0.whl?n={size}")
        rest(pause / 4)


@script
def stream_video(server: str, count: int, pause: float, port: str = "8081") -> None:
    """Play a video in pieces: a playlist, then a piece whenever the buffer has room."""
    connection = _open(server, int(port))
    _get(connection, "/list.m3u8?n=120")
    for number in range(count):
        size = RANDOM.randint(250_000, 700_000)
        _get(connection, f"/blob/piece{number}.ts?n={size}")
        rest(4 * pause if number > 3 else 0)


@script
def call_service(server: str, count: int, pause: float, port: str = "8081") -> None:
    """Ask a service for data and send some, over one connection."""
    connection = _open(server, int(port))
    for number in range(count):
        _get(connection, f"/api/items/{number}?n={RANDOM.randint(1, 600)}")
        body = "x" * RANDOM.randint(50, 3000)
        connection.request("POST", "/api/items", body, {"Content-Type": "application/json"})
        connection.getresponse().read()
        rest(pause)


@script
def poll_long(server: str, count: int, pause: float, port: str = "8081") -> None:
    """Wait for news by requests that are answered late."""
    connection = _open(server, int(port))
    for _ in range(count):
        _get(connection, f"/poll?n={max(round(4 * pause), 1)}")


@script
def scrape(server: str, count: int, pause: float, *others: str) -> None:
    """Read the metrics of servers every few seconds, as Prometheus does."""
    connections = [_open(host, 8081) for host in (server, *others)]
    for _ in range(count):
        for connection in connections:
            _get(connection, f"/metrics?n={RANDOM.randint(300, 900)}")
        rest(4 * pause)


@script
def upload(server: str, count: int, pause: float, port: str = "8081") -> None:
    """Send pictures to a service, as a telephone's backup does."""
    connection = _open(server, int(port))
    for number in range(max(count // 4, 2)):
        connection.request("PUT", f"/photo/{number}", os.urandom(RANDOM.randint(50_000, 900_000)))
        connection.getresponse().read()
        rest(pause)


@script
def chat(server: str, count: int, pause: float) -> None:
    """Keep a WebSocket open; short messages both ways."""
    key = base64.b64encode(os.urandom(16)).decode()
    with connect(server, 8081) as connection:
        connection.sendall(
            f"GET /ws?n={count} HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        connection.recv(4096)
        for _ in range(count):
            size = RANDOM.randint(5, 120)
            connection.sendall(struct.pack(">BB", 0x82, 0x80 | size) + os.urandom(4 + size))
            connection.recv(4096)
            rest(3 * pause)


@script
def print_document(server: str, count: int, pause: float) -> None:
    """Print by IPP: ask the printer what it can do, send a document, ask until it is printed."""
    connection = _open(server, 631)
    for size in (200, RANDOM.randint(60_000, 1_500_000), *[160] * count):
        kind = {"Content-Type": "application/ipp"}
        connection.request("POST", "/ipp/print", os.urandom(size), kind)
        connection.getresponse().read()
        rest(pause)


@script
def ask_names_by_https(server: str, count: int, pause: float) -> None:
    """Look names up by DNS over HTTPS (RFC 8484)."""
    connection = _open(server, 8443)
    for _ in range(count):
        kind = {"Content-Type": "application/dns-message"}
        connection.request("POST", "/dns-query", os.urandom(RANDOM.randint(33, 128)), kind)
        connection.getresponse().read()
        rest(pause)


@script
def short_requests(server: str, count: int, pause: float, port: str = "8081") -> None:
    """Ask over a new connection each time, as small programs and load balancers do."""
    for number in range(3 * count):
        connection = _open(server, int(port))
        _get(connection, f"/api/state?n={number % 50}")
        connection.close()
        rest(pause / 3)
