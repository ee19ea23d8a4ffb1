"""Incidents to a web server: POST of JSON, signed, to the address that was checked.

POST /path                        one event in the life of an incident
Idempotency-Key: ID-TYPE-DIGEST   the same when it is sent again
X-Idskit-Signature-256: sha256=HEX   HMAC-SHA256 of the body, where secret_file is set
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import time
from urllib.parse import SplitResult, urlsplit

from idskit.errors import IdskitError
from idskit.incidents.incident import Incident
from idskit.options import option
from idskit.sinks.connections import connected, connected_outside, read_secret, tls_context
from idskit.sinks.incident_text import event_key, message
from idskit.sinks.outbox import Away, Destination, Refused

MOST_BYTES = 32_768  # of a body
DEADLINE_S = 15.0  # of one request, however slowly the answer comes
# The server, or what stands before it, says that it can take nothing now.
_AWAY = (408, 425, 429, 502, 503, 504)


@dataclass(frozen=True, kw_only=True)
class WebhookOptions:
    """A web server that incidents are posted to."""

    url: str | None = option(None, "Receiver, https://HOST/PATH; nothing is sent if omitted")
    secret_file: Path | None = option(
        None, "File with the secret that bodies are signed with (HMAC-SHA256); unsigned if omitted"
    )
    allow_private: bool = option(
        False, "Also send to addresses of this network and of this machine, and by http"
    )
    ca_file: Path | None = option(
        None, "Certificates (PEM) that the server's is checked with; the system's if omitted"
    )

    @property
    def is_on(self) -> bool:
        """Return whether it is configured."""
        return self.url is not None


class Webhook(Destination):
    """A web server. It is asked again while it is away; what it refuses three times is lost.

    Raises:
        IdskitError: the address or a file cannot be used.
    """

    name = "webhook"

    def __init__(self, options: WebhookOptions, version: str) -> None:
        self._url = _checked(options)
        self._port = self._url.port or (443 if self._url.scheme == "https" else 80)
        self._allow_private = options.allow_private
        self._tls = tls_context(options.ca_file) if self._url.scheme == "https" else None
        secret = options.secret_file
        self._secret = None if secret is None else read_secret(secret).encode()
        self._agent = f"idskit/{version}"

    def deliver(self, incident: Incident) -> None:
        """Post an event.

        Raises:
            OSError: there is no answer, or one that asks to come again later.
            Refused: the answer is a refusal, or leads elsewhere.
        """
        body = message(incident, MOST_BYTES).encode()
        try:
            status, later = self._post(body, event_key(incident))
        except http.client.HTTPException as error:
            raise Away(f"the answer is no HTTP ({type(error).__name__})") from error
        if status in _AWAY:
            raise Away(f"the server answers {status}", retry_after_s=_seconds(later))
        if not 200 <= status < 300:
            raise Refused(f"the server answers {status}")

    def _post(self, body: bytes, key: str) -> tuple[int, str | None]:
        with self._connection() as connection:
            connection.request("POST", _target(self._url), body, self._headers(body, key))
            answer = connection.getresponse()
            return answer.status, answer.getheader("Retry-After")

    @contextmanager
    def _connection(self) -> Iterator[http.client.HTTPConnection]:
        """Connect, and cut the connection at the deadline."""
        host = str(self._url.hostname)
        opened = connected if self._allow_private else connected_outside
        plain = opened(host, self._port)
        same = plain.dup()  # stays usable when TLS takes the other over
        watch = threading.Timer(DEADLINE_S, _cut, (same,))
        watch.daemon = True
        watch.start()
        connection = http.client.HTTPConnection(host, self._port)
        try:
            connection.sock = plain
            if self._tls is not None:
                connection.sock = self._tls.wrap_socket(plain, server_hostname=host)
            yield connection
        finally:
            watch.cancel()
            same.close()
            connection.close()
            plain.close()

    def _headers(self, body: bytes, key: str) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": key,
            "User-Agent": self._agent,
            "Connection": "close",
            "Host": self._url.netloc,
        }
        if self._secret is not None:
            digest = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
            headers["X-Idskit-Signature-256"] = f"sha256={digest}"
        return headers


def _checked(options: WebhookOptions) -> SplitResult:
    """Return the parts of the address.

    Raises:
        IdskitError: it is none that may be sent to.
    """
    asked = f"webhook url {options.url!r}"
    try:
        url = urlsplit(options.url or "")
        usable = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:
        usable = False
    if not usable or not (options.url or "").isascii() or not (options.url or "").isprintable():
        raise IdskitError(f"{asked} is no address: write https://HOST/PATH")
    if url.username is not None or url.password is not None:
        raise IdskitError("webhook url has a password in it: use secret_file, or a path with a key")
    if url.scheme == "http" and not options.allow_private:
        raise IdskitError(f"{asked} is not encrypted: use https, or allow_private in this network")
    return url


def _target(url: SplitResult) -> str:
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def _seconds(text: str | None) -> float | None:
    """Read Retry-After: seconds, or a date (RFC 9110, section 10.2.3)."""
    if text is None:
        return None
    if text.strip().isdecimal() and len(text) < 10:
        return float(text)
    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    return None


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
