"""Web applications: a shop that is weak on purpose, and what programs talk to over HTTP."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import os
import random
import socketserver
import sqlite3
import time
from urllib.parse import parse_qs, urlsplit

from idskit.lab.lab_servers import PASSWORD, USER

_LONGEST = 4096
_RANDOM = random.Random()  # noqa: S311 - shapes traffic, keeps no secret
_WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class _Application(http.server.BaseHTTPRequestHandler):
    """The common part of both applications."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: str | bytes, **headers: str) -> None:
        sent = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(sent)

    def _body(self) -> bytes:
        """Return at most the first ``_LONGEST`` bytes of the body; read all of it."""
        left = int(self.headers.get("Content-Length") or 0)
        kept = self.rfile.read(min(left, _LONGEST))
        left -= len(kept)
        while left > 0 and (read := self.rfile.read(min(left, 1 << 16))):
            left -= len(read)
        return kept


class Shop(_Application):
    """A shop: items are looked up by pasting text into SQL, wrong passwords are 401."""

    def do_GET(self) -> None:
        """Search, show an item, ask for a password, or say that there is no such page."""
        asked = urlsplit(self.path)
        words = parse_qs(asked.query)
        if asked.path == "/item":
            self._item(" ".join(words.get("id", ["1"])))
        elif asked.path == "/admin":
            known = self.headers.get("Authorization") == _BASIC
            realm = {"WWW_Authenticate": 'Basic realm="shop"'}
            self._answer(200 if known else 401, "admin" if known else "who?", **realm)
        elif asked.path not in ("/", "/search"):
            self._answer(404, "no such page")
        elif "'" in " ".join(words.get("q", [""])):
            self._answer(500, f"SQL syntax error near '{words['q'][0][:80]}'")
        else:
            self._answer(200, "<ul>" + "<li>a thing to buy</li>" * 40 + "</ul>")

    do_HEAD = do_GET  # noqa: N815 - of http.server

    def do_POST(self) -> None:
        """Log in."""
        form = parse_qs(self._body().decode(errors="replace"))
        known = form.get("user") == [USER] and form.get("password") == [PASSWORD]
        self._answer(200 if known else 401, "welcome" if known else "wrong password")

    def _item(self, number: str) -> None:
        with sqlite3.connect(":memory:") as base:
            base.execute("CREATE TABLE items (id INTEGER, name TEXT, price INTEGER)")
            rows = [(n, f"thing {n}", n * 3) for n in range(1, 30)]
            base.executemany("INSERT INTO items VALUES (?, ?, ?)", rows)
            try:
                weak = f"SELECT name, price FROM items WHERE id = {number}"  # noqa: S608 - on purpose
                found = base.execute(weak).fetchall()
            except sqlite3.Error as error:
                return self._answer(500, f"sqlite3.OperationalError: {error}")
        return self._answer(200, "<p>" + "<br>".join(map(str, found)) + "</p>")


class Service(_Application):
    """An interface for programs: data, a registry of images, metrics, streams, a WebSocket."""

    def do_GET(self) -> None:
        """Answer by the path's first word."""
        asked = urlsplit(self.path)
        first = asked.path.split("/")[1]
        amount = int(parse_qs(asked.query).get("n", ["1"])[0])
        if first == "ws":
            self._websocket(amount)
        elif first == "radio":
            self._radio(amount)
        elif first == "v2" and "Authorization" not in self.headers:
            self._answer(401, "{}", WWW_Authenticate='Bearer realm="/token"')
        elif first == "poll":
            time.sleep(_RANDOM.uniform(0, min(amount, 30)))
            self._answer(200, json.dumps({"event": _RANDOM.getrandbits(32)}))
        elif first == "metrics":
            self._answer(200, "".join(f'metric_{n}{{cpu="0"}} {n * 7}\n' for n in range(amount)))
        elif first in ("blob", "v2"):
            self._answer(200, os.urandom(min(amount, 1 << 25)))
        else:
            self._answer(200, json.dumps({"items": list(range(min(amount, 5000)))}))

    do_HEAD = do_GET  # noqa: N815 - of http.server

    def do_POST(self) -> None:
        """Take data and return some."""
        self._body()
        self._answer(200, json.dumps({"ok": True, "items": list(range(_RANDOM.randint(1, 400)))}))

    do_PUT = do_POST  # noqa: N815 - of http.server

    def _radio(self, seconds: int) -> None:
        """Stream at 128 kbit/s."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(min(seconds, 60) * 4):
            self.wfile.write(b"fa0\r\n" + os.urandom(4000) + b"\r\n")
            time.sleep(0.25)
        self.wfile.write(b"0\r\n\r\n")

    def _websocket(self, count: int) -> None:
        """Shake hands, then push a message for each one that comes."""
        key = self.headers.get("Sec-WebSocket-Key", "").encode()
        accept = base64.b64encode(hashlib.sha1(key + _WEBSOCKET, usedforsecurity=False).digest())
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept.decode())
        self.end_headers()
        for _ in range(count):
            head = self.rfile.read(2)
            if len(head) < 2:
                break
            self.rfile.read(4 + (head[1] & 0x7F))
            size = _RANDOM.randint(2, 125)
            self.wfile.write(bytes([0x82, size]) + os.urandom(size))
        self.close_connection = True


APPLICATIONS: dict[str, type[socketserver.BaseRequestHandler]] = {"shop": Shop, "service": Service}
