"""Who may ask for what: the names a browser came by, where a form came from, who signed in.

A web page from elsewhere must not read this one (DNS rebinding: its name turns into our address)
and must not act through it (a form of theirs, sent to us). Names are checked by ``Host``, forms by
``Origin`` and a token that only our own pages hold.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import time
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from idskit.errors import IdskitError
from idskit.files.output import reason

if TYPE_CHECKING:
    from idskit.page.web_server import Request

SESSION_S = 30 * 86_400  # a display on a wall stays signed in that long
_LEAST, _MOST = 22, 512  # characters of a token: 22 of base64 hold 128 bits


def read_token(path: Path) -> str:
    """Read the token that people sign in with.

    Raises:
        IdskitError: no regular file, readable for others, or too short to be safe.
    """
    make = f"make one with: (umask 077; head -c 24 /dev/urandom | base64 > {path})"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise IdskitError(f"token file {path} cannot be read: {reason(error)}; {make}") from error
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) or mode & 0o077:
            raise IdskitError(
                f"token file {path} is no regular file, or others may open it: chmod 600 it"
            )
        token = file.read(_MOST + 1).decode("ascii", "replace").strip()
    if not (_LEAST <= len(token) <= _MOST and token.isascii() and token.isprintable()):
        raise IdskitError(
            f"token file {path} must hold {_LEAST} to {_MOST} ASCII characters in one line; {make}"
        )
    return token


@dataclass(frozen=True, kw_only=True)
class Access:
    """What decides on a request before any page is made."""

    token: str | None
    host_names: frozenset[str]
    is_tls: bool
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    @property
    def cookie_name(self) -> str:
        """Return the session's cookie; browsers keep ``__Host-`` to this host and to TLS."""
        return "__Host-idskit" if self.is_tls else "idskit"

    def refusal(self, request: Request) -> str:
        """Say why a request must not be answered; nothing where it may be."""
        host = request.headers.get("host", "")
        if not self._is_ours(host):
            return (
                f"The page was asked for under the name {host[:80]!r}. If that is a name of this "
                "gateway, add it to host_names of the page's options."
            )
        origin = request.headers.get("origin")
        # Both, since a proxy in front of us may speak TLS.
        ours = (f"http://{host}".lower(), f"https://{host}".lower())
        if (origin is None and request.method == "POST") or (
            origin is not None and origin.lower() not in ours
        ):
            return "The request comes from a page of another site, or does not say from which one."
        return ""

    def _is_ours(self, host: str) -> bool:
        """Return whether a Host is an address, which no rebinding can use, or a known name."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if any(sign in host for sign in "/@?#\\ "):
            return False
        return name == "localhost" or name in self.host_names or _is_address(name)

    def is_signed_in(self, request: Request) -> bool:
        """Return whether the request holds the token, or the session that signing in gave."""
        if self.token is None:
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.is_token(given.strip())
        ends, _, mark = self.session_of(request).partition(".")
        if not (ends.isascii() and ends.isdigit() and len(ends) < 16 and int(ends) > time.time()):
            return False
        return _equal(mark, self._mark("session", ends))

    def is_token(self, given: str) -> bool:
        """Return whether somebody knows the token; takes the same time for all wrong ones."""
        return self.token is not None and _equal(given, self.token)

    def new_session(self) -> str:
        """Return the ``Set-Cookie`` of somebody who signed in."""
        ends = str(int(time.time()) + SESSION_S)
        secure = "; Secure" if self.is_tls else ""
        return (
            f"{self.cookie_name}={ends}.{self._mark('session', ends)}; Path=/; HttpOnly; "
            f"SameSite=Strict; Max-Age={SESSION_S}{secure}"
        )

    def session_of(self, request: Request) -> str:
        """Return the session that a request holds, valid or not; nothing for none."""
        try:
            cookies = SimpleCookie(request.headers.get("cookie", ""))
        except CookieError:
            return ""
        found = cookies.get(self.cookie_name)
        return "" if found is None else found.value

    def form_token(self, request: Request) -> str:
        """Return what a form has to bring back; another one for every session."""
        return self._mark("form", self.session_of(request))

    def is_own_form(self, request: Request) -> bool:
        """Return whether a form was on a page of ours, of the same session."""
        return _equal(request.form.get("form_token", ""), self.form_token(request))

    def _mark(self, purpose: str, text: str) -> str:
        # By the token a session survives a restart of ours, and ends with the token.
        key = self.secret if self.token is None else self.token.encode()
        return hmac.new(key, f"{purpose}|{text}".encode(), hashlib.sha256).hexdigest()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
