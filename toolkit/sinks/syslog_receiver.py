"""Incidents to syslog by RFC 5424: /dev/log, UDP (RFC 5426), TCP (RFC 6587) or TLS (RFC 5425).

Only incidents are sent, and no message is larger than 2 kB: many receivers cut what is longer.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import struct
import termios
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from idskit.alerts.eve import eve_time
from idskit.errors import IdskitError
from idskit.incidents.incident import Incident
from idskit.options import option
from idskit.sinks.connections import (
    TIMEOUT_S,
    connected,
    connected_to,
    require_open,
    tls_context,
)
from idskit.sinks.incident_text import message, summary
from idskit.sinks.outbox import Away, SocketDestination

MOST_BYTES = 2048  # of a message, RFC 5424 section 6.1
FACILITIES = ("auth", "authpriv", "daemon", *(f"local{n}" for n in range(8)))
_FACILITY = {"auth": 4, "authpriv": 10, "daemon": 3} | {f"local{n}": 16 + n for n in range(8)}
_CRITICAL, _WARNING, _NOTICE = 2, 4, 5
_PORTS = {"udp": 514, "tcp": 514, "tls": 6514}


@dataclass(frozen=True, kw_only=True)
class SyslogOptions:
    """A syslog receiver for incidents, by RFC 5424."""

    transport: Literal["local", "udp", "tcp", "tls"] | None = option(
        None, "How messages are sent; none are if omitted. UDP loses what its receiver misses"
    )
    host: str | None = option(None, "Name or address of the receiver, except for local")
    port: int | None = option(None, "Its port; 514, for tls 6514 if omitted", low=1, high=65_535)
    path: Path = option(Path("/dev/log"), "Socket of the local receiver")
    ca_file: Path | None = option(
        None, "Certificates (PEM) that the receiver's is checked with; the system's if omitted"
    )
    facility: str = option("authpriv", "Facility of the messages", choices=FACILITIES)
    message: Literal["cee", "sentence"] = option(
        "cee", "What a message holds: JSON after @cee:, or one sentence"
    )

    @property
    def is_on(self) -> bool:
        """Return whether it is configured."""
        return self.transport is not None


class SyslogReceiver(SocketDestination):
    """A syslog receiver.

    A message counts as sent when the receiver's kernel has it (TCP, TLS), or ours (UDP): syslog has
    no answer.

    Raises:
        IdskitError: the options do not go together, or the certificates cannot be used.
    """

    name = "syslog"

    def __init__(self, options: SyslogOptions, host_name: str) -> None:
        if options.transport is None:
            raise IdskitError("syslog has no transport: set transport")
        if options.transport != "local" and not options.host:
            raise IdskitError(f"syslog by {options.transport} has no receiver: set host")
        self._options, self._host_name = options, host_name
        self._tls = tls_context(options.ca_file) if options.transport == "tls" else None
        self._is_stream = options.transport in ("tcp", "tls")
        super().__init__()

    def deliver(self, incident: Incident) -> None:
        """Send a message.

        Raises:
            OSError: there is no receiver.
        """
        data = syslog_message(incident, self._options, self._host_name)
        try:
            connection = self._connected()
            if self._is_stream:
                require_open(connection)
                connection.sendall(b"%d %b" % (len(data), data))  # octet counting
                _await_acknowledged(connection)
            else:
                connection.send(data)
        except OSError:
            self.close()
            raise

    def _connect(self) -> socket.socket:
        return self._stream() if self._is_stream else self._datagrams()

    def _stream(self) -> socket.socket:
        host = str(self._options.host)
        plain = connected(host, self._port())
        if self._tls is None:
            return plain
        try:
            return self._tls.wrap_socket(plain, server_hostname=host)
        except OSError:
            plain.close()
            raise

    def _datagrams(self) -> socket.socket:
        if self._options.transport == "local":
            family, target = socket.AF_UNIX, str(self._options.path)
        else:
            found = socket.getaddrinfo(self._options.host, self._port(), type=socket.SOCK_DGRAM)
            family, _, _, _, target = found[0]  # type: ignore[assignment]
        return connected_to(socket.socket(family, socket.SOCK_DGRAM), target)

    def _port(self) -> int:
        return self._options.port or _PORTS[str(self._options.transport)]


def syslog_message(incident: Incident, options: SyslogOptions, host_name: str) -> bytes:
    """Return an incident as a message of RFC 5424, in ASCII and of at most MOST_BYTES."""
    priority = _FACILITY[options.facility] * 8 + _severity(incident)
    moment = eve_time(incident.updated_us)[: -len("+0000")] + "Z"
    host = re.sub(r"[^!-~]", "_", host_name)[:255] or "-"
    head = f"<{priority}>1 {moment} {host} idskit {os.getpid()} incident - "
    if options.message == "cee":
        text = "@cee:" + message(incident, MOST_BYTES - len(head) - len("@cee:"))
    else:
        text = summary(incident)
        text = f"{incident.incident_id} {incident.type}: {text}"
    return (head + text).encode("ascii", "backslashreplace")[:MOST_BYTES]


def _severity(incident: Incident) -> int:
    """Return the severity of syslog: an end is a notice."""
    if incident.type == "end":
        return _NOTICE
    return _CRITICAL if incident.severity == 1 else _WARNING


def _await_acknowledged(connection: socket.socket) -> None:
    """Wait until the receiver's kernel has what was sent (SIOCOUTQ, tcp(7)).

    Raises:
        Away: it does not within TIMEOUT_S.
    """
    end = time.monotonic() + TIMEOUT_S
    while struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0\0\0\0"))[0]:
        if time.monotonic() > end:
            raise Away("the receiver does not acknowledge what it is sent")
        time.sleep(0.002)
