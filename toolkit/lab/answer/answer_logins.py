"""Servers that ask who is there: FTP, Telnet, and mail by SMTP, POP3 and IMAP."""

from __future__ import annotations

import base64
import os
import random
import socketserver
from contextlib import suppress

from idskit.lab.lab_servers import PASSWORD, USER

_TRIES = 3  # of a password in one connection
_LONGEST = 4096
_RANDOM = random.Random()  # noqa: S311 - shapes traffic, keeps no secret


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
                given.append(self._line())
            if tuple(given) == (USER, PASSWORD):
                return self._shell()
            self.wfile.write(b"\r\nLogin incorrect\r\n")
        return None

    def _shell(self) -> None:
        self.wfile.write(b"\r\n$ ")
        while self._line() not in ("", "exit"):
            self.wfile.write(b"fine\r\n$ ")

    def _line(self) -> str:
        """Read a line, which a return ends, with or without a feed or a null (RFC 854)."""
        line = b""
        while (byte := self.rfile.read(1)) and len(line) < _LONGEST:
            if byte == b"\r" or (byte == b"\n" and line):
                break
            line += byte.strip(b"\n\0")
        return line.decode(errors="replace").strip()


class _Mail(socketserver.StreamRequestHandler):
    """The common part of the mail protocols: lines, and messages of random sizes."""

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def _heard(self) -> str:
        return self.rfile.readline(_LONGEST).decode(errors="replace").strip()

    def _message(self) -> str:
        body = base64.b64encode(os.urandom(_RANDOM.choice((600, 3000, 20_000, 90_000)))).decode()
        lines = "\r\n".join(body[i : i + 76] for i in range(0, len(body), 76))
        return f"From: a@lab.example\r\nSubject: news\r\n\r\n{lines}\r\n"


class Smtp(_Mail):
    """A server that takes mail by SMTP, from anybody or after AUTH PLAIN or LOGIN."""

    def handle(self) -> None:
        """Answer until the client leaves."""
        self._say("220 mail.lab.example ESMTP")
        while line := self._heard():
            verb, _, rest = line.partition(" ")
            if verb.upper() == "EHLO":
                self.wfile.write(b"250-mail.lab.example\r\n250 AUTH PLAIN LOGIN\r\n")
            elif verb.upper() == "AUTH":
                self._say("235 welcome" if self._knows(rest) else "535 5.7.8 authentication failed")
            elif verb.upper() == "DATA":
                self._say("354 go on")
                while self.rfile.readline(1 << 16) not in (b".\r\n", b""):
                    pass
                self._say("250 taken")
            else:
                self._say("221 goodbye" if verb.upper() == "QUIT" else "250 fine")

    def _knows(self, rest: str) -> bool:
        kind, _, given = rest.partition(" ")
        with suppress(ValueError):
            if kind.upper() == "PLAIN":
                if not given:
                    self._say("334 ")
                    given = self._heard()
                return base64.b64decode(given).split(b"\0")[1:] == [
                    USER.encode(),
                    PASSWORD.encode(),
                ]
            asked = []
            for question in ("VXNlcm5hbWU6", "UGFzc3dvcmQ6"):
                self._say(f"334 {question}")
                asked.append(base64.b64decode(self._heard()).decode(errors="replace"))
            return asked == [USER, PASSWORD]
        return False


class Pop3(_Mail):
    """A mailbox by POP3."""

    def handle(self) -> None:
        """Answer until the client leaves."""
        self._say("+OK lab POP3")
        user, known = "", False
        while line := self._heard():
            verb, _, rest = line.partition(" ")
            verb = verb.upper()
            if verb == "USER":
                user = rest
                self._say("+OK")
            elif verb == "PASS":
                known = (user, rest) == (USER, PASSWORD)
                self._say("+OK welcome" if known else "-ERR [AUTH] wrong")
            elif verb == "STAT":
                self._say("+OK 12 60000" if known else "-ERR log in first")
            elif verb == "RETR" and known:
                self._say(f"+OK\r\n{self._message()}.")
            elif verb == "QUIT":
                return self._say("+OK goodbye")
            else:
                self._say("+OK" if known else "-ERR log in first")
        return None


class Imap(_Mail):
    """A mailbox by IMAP (RFC 3501) that waits for new messages (RFC 2177)."""

    def handle(self) -> None:
        """Answer until the client leaves."""
        self._say("* OK [CAPABILITY IMAP4rev1 IDLE] lab IMAP")
        while line := self._heard():
            tag, _, rest = line.partition(" ")
            verb, _, rest = rest.partition(" ")
            verb = verb.upper()
            if verb == "LOGIN":
                known = rest.replace('"', "") == f"{USER} {PASSWORD}"
                self._say(f"{tag} OK in" if known else f"{tag} NO [AUTHENTICATIONFAILED] wrong")
                continue
            self._untagged(verb)
            self._say(f"{tag} OK done")
            if verb == "LOGOUT":
                return

    def _untagged(self, verb: str) -> None:
        """Say what comes before the end of a command."""
        if verb == "CAPABILITY":
            self._say("* CAPABILITY IMAP4rev1 IDLE")
        elif verb == "SELECT":
            self._say("* 12 EXISTS\r\n* 0 RECENT\r\n* FLAGS (\\Seen)")
        elif verb == "SEARCH":
            self._say("* SEARCH 1 2 3 4 5 6 7 8 9 10 11 12")
        elif verb == "FETCH":
            message = self._message()
            self.wfile.write(f"* 1 FETCH (RFC822 {{{len(message)}}}\r\n{message})\r\n".encode())
        elif verb == "IDLE":
            self._say("+ idling")
            self._heard()
        elif verb == "LOGOUT":
            self._say("* BYE")


LOGINS: dict[str, type[socketserver.BaseRequestHandler]] = {
    "ftp": Ftp,
    "telnet": Telnet,
    "smtp": Smtp,
    "pop3": Pop3,
    "imap": Imap,
}
