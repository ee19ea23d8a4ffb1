"""The address that Prometheus reads: GET /metrics, bounded in time, in bytes and in connections."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from idskit.errors import IdskitError
from idskit.files.output import reason
from idskit.options import option
from idskit.sinks.prometheus import CONTENT_TYPE, Metrics

MOST_CONNECTIONS = 4  # at one time; others are closed at once
MOST_REQUEST = 8192  # bytes
DEADLINE_S = 5.0  # of one connection
_SENTENCES = {
    400: "This is no request: ask for GET /metrics.",
    403: "The Host is no address and no name of this machine: ask by one of these.",
    404: "There is only GET /metrics.",
}


@dataclass(frozen=True, kw_only=True)
class PrometheusOptions:
    """The address that Prometheus reads numbers from."""

    port: int | None = option(None, "Port of /metrics; closed if omitted", low=0, high=65_535)
    address: str = option("127.0.0.1", "Address to listen at; another lets everybody there read it")

    @property
    def is_on(self) -> bool:
        """Return whether it is configured."""
        return self.port is not None


class ScrapeServer:
    """A server of one page, in threads of its own.

    Attributes:
        port: that it listens at.

    Raises:
        IdskitError: the address or the port cannot be had.
    """

    def __init__(self, options: PrometheusOptions, metrics: Metrics) -> None:
        self._metrics = metrics
        asked = f"{options.address} port {options.port}"
        try:
            is_v6 = ipaddress.ip_address(options.address).version == 6
            family = socket.AF_INET6 if is_v6 else socket.AF_INET
            self._listener = socket.create_server(
                (options.address, options.port or 0), family=family, backlog=32
            )
        except (OSError, ValueError) as error:
            why = reason(error) if isinstance(error, OSError) else "it is no IP address"
            raise IdskitError(
                f"Prometheus cannot be answered at {asked}: {why}; choose another"
            ) from error
        self.port: int = self._listener.getsockname()[1]
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no longer."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        self._thread.join(DEADLINE_S)

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self._listener.fileno() < 0 or not self._is_listening():
                    return
                time.sleep(0.1)  # too many files are open
                continue
            if self._free.acquire(blocking=False):
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
            else:
                connection.close()

    def _is_listening(self) -> bool:
        try:
            return bool(self._listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        except OSError:
            return False

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, suppress(OSError):
                end = time.monotonic() + DEADLINE_S
                status, body = self._answer(_request(connection, end))
                connection.settimeout(max(0.1, end - time.monotonic()))
                connection.sendall(_response(status, body))
        finally:
            self._free.release()

    def _answer(self, request: bytes) -> tuple[int, str]:
        head, *fields = request.decode("latin-1").split("\r\n")
        words = head.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return 400, _SENTENCES[400]
        if words[0] != "GET" or words[1].partition("?")[0] != "/metrics":
            return 404, _SENTENCES[404]
        hosts = [field.partition(":")[2].strip() for field in fields if _is_host(field)]
        if len(hosts) != 1 or not is_own_name(hosts[0]):
            return 403, _SENTENCES[403]
        try:
            return 200, self._metrics.text()
        except Exception as error:
            return 500, f"The numbers could not be read: {type(error).__name__}."


def is_own_name(host: str) -> bool:
    """Return whether a Host is an address, localhost or this machine's name, with or without port.

    A page in a browser can lead a name of its own to this machine (DNS rebinding); these it cannot.
    """
    name = host.rpartition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
    own = socket.gethostname().casefold()
    name = name.casefold().rstrip(".")
    if name in ("localhost", own, own.partition(".")[0], f"{own}.local"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_host(field: str) -> bool:
    return field.partition(":")[0].casefold() == "host"


def _request(connection: socket.socket, end: float) -> bytes:
    """Read a request up to its empty line.

    Raises:
        OSError: it does not end in time, or is too large.
    """
    data = b""
    while b"\r\n\r\n" not in data:
        left = end - time.monotonic()
        if left <= 0 or len(data) > MOST_REQUEST:
            raise OSError("no whole request")
        connection.settimeout(left)
        more = connection.recv(MOST_REQUEST)
        if not more:
            raise OSError("no whole request")
        data += more
    return data.partition(b"\r\n\r\n")[0]


def _response(status: int, body: str) -> bytes:
    kind = CONTENT_TYPE if status == 200 else "text/plain; charset=utf-8"
    content = body.encode("utf-8", "backslashreplace")
    head = (
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'Refused'}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(content)}\r\nX-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + content
