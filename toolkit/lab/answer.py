"""Small servers of the lab: a login by FTP or Telnet, a weak shop, Modbus, a sink for anything."""

from __future__ import annotations

import http.server
import socketserver
import struct
import sys
from urllib.parse import parse_qs, urlsplit

from idskit.lab.lab_servers import PASSWORD, USER

_TRIES = 3  # of a password in one connection
_LONGEST = 4096


class Ftp(socketserver.StreamRequestHandler):
    """A login by FTP, and a file for who knows the password."""

    def handle(self) -> None:
        """Answer until the client leaves."""
        self._say("220 lab FTP")
        user, known = "", False
        while line := self.rfile.readline(_LONGEST).decode(errors="replace").strip():
            verb, _, rest = line.partition(" ")
            if verb.upper() == "USER":
                user = rest
                self._say("331 password, please")
            elif verb.upper() == "PASS":
                known = (user, rest) == (USER, PASSWORD)
                self._say("230 welcome" if known else "530 Login incorrect.")
            elif verb.upper() == "QUIT":
                return self._say("221 goodbye")
            else:
                self._say("200 fine" if known else "530 log in first")
        return None

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class Telnet(socketserver.StreamRequestHandler):
    """A login by Telnet."""

    def handle(self) -> None:
        """Ask for a name and a password, at most ``_TRIES`` times."""
        for _ in range(_TRIES):
            given = []
            for question in (b"login: ", b"Password: "):
                self.wfile.write(question)
                given.append(self.rfile.readline(_LONGEST).decode(errors="replace").strip())
            if tuple(given) == (USER, PASSWORD):
                return self._shell()
            self.wfile.write(b"\r\nLogin incorrect\r\n")
        return None

    def _shell(self) -> None:
        self.wfile.write(b"\r\n$ ")
        while self.rfile.readline(_LONGEST).strip() not in (b"", b"exit"):
            self.wfile.write(b"fine\r\n$ ")


class Shop(http.server.BaseHTTPRequestHandler):
    """A web application: injected quotes are errors, wrong passwords 401."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Search, or say that there is no such page."""
        asked = urlsplit(self.path)
        if asked.path not in ("/", "/search"):
            return self._answer(404, "no such page")
        words = " ".join(parse_qs(asked.query).get("q", [""]))
        if "'" in words:
            return self._answer(500, f"SQL syntax error near '{words[:80]}'")
        return self._answer(200, "<ul>" + "<li>a thing to buy</li>" * 40 + "</ul>")

    def do_POST(self) -> None:
        """Log in."""
        length = min(int(self.headers.get("Content-Length") or 0), _LONGEST)
        form = parse_qs(self.rfile.read(length).decode(errors="replace"))
        known = form.get("user") == [USER] and form.get("password") == [PASSWORD]
        self._answer(200 if known else 401, "welcome" if known else "wrong password")

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Modbus(socketserver.StreamRequestHandler):
    """Modbus/TCP: registers that count up (Modbus Messaging on TCP/IP, V1.0b)."""

    def handle(self) -> None:
        """Answer reads of holding registers; refuse other functions."""
        while len(header := self.rfile.read(7)) == 7:
            transaction, _, length, unit = struct.unpack(">HHHB", header)
            request = self.rfile.read(min(length, 260) - 1)
            if request[:1] == b"\x03" and len(request) == 5:
                count = min(struct.unpack(">H", request[3:5])[0], 125)
                body = struct.pack(f">BB{count}H", 3, 2 * count, *range(count))
            else:
                body = bytes([(request[0] if request else 0) | 0x80, 1])
            head = struct.pack(">HHHB", transaction, 0, len(body) + 1, unit)
            self.wfile.write(head + body)


class Sink(socketserver.StreamRequestHandler):
    """Take whatever comes, a line answered by a line."""

    def handle(self) -> None:
        """Answer until the client leaves."""
        while self.rfile.readline(1 << 16):
            self.wfile.write(b"ok\n")


KINDS: dict[str, type[socketserver.BaseRequestHandler]] = {
    "ftp": Ftp,
    "telnet": Telnet,
    "shop": Shop,
    "modbus": Modbus,
    "sink": Sink,
}


class _Listening(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Let scanners break off."""


if __name__ == "__main__":
    with _Listening(("0.0.0.0", int(sys.argv[2])), KINDS[sys.argv[1]]) as server:  # noqa: S104 - in a namespace
        server.serve_forever()
