"""Connections to receivers: certificates checked, secrets from files, addresses checked first."""

from __future__ import annotations

import ipaddress
import os
import select
import socket
import ssl
import stat
from pathlib import Path
from typing import Any

from idskit.errors import IdskitError
from idskit.files.output import reason

TIMEOUT_S = 5.0  # of connecting, and of any one step after it
_MOST_SECRET = 4096  # bytes
_MOST_ADDRESSES = 8  # of a name that are tried
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class PrivateAddress(OSError):
    """A name that leads into the network of this gateway, which was not allowed."""


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return what checks the certificate and the name of a server, by TLS 1.2 or later.

    Raises:
        IdskitError: the file of certificates cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise IdskitError(
            f"ca_file {ca_file} cannot be used: {cause(error)}; name a file of certificates in PEM"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def cause(error: Exception) -> str:
    """Return why something failed, in the words of whoever knows it best."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, (ssl.SSLError, socket.gaierror, socket.herror)):
        return str(error.strerror or error)
    return reason(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"


def read_secret(path: Path) -> str:
    """Return the first line of a file with a password or a key.

    Raises:
        IdskitError: it cannot be read, is empty, or others may read it.
    """
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(opened, "rb") as file:
            mode = os.fstat(opened).st_mode
            content = file.read(_MOST_SECRET) if stat.S_ISREG(mode) else b""
    except OSError as error:
        raise IdskitError(f"secret {path} cannot be read: {reason(error)}; check it") from error
    if mode & 0o007:
        raise IdskitError(f"secret {path} may be read by everybody: chmod 600 {path}")
    try:
        secret = content.partition(b"\n")[0].rstrip(b"\r").decode()
    except UnicodeDecodeError as error:
        raise IdskitError(f"secret {path} is no UTF-8: write it anew") from error
    if not secret:
        raise IdskitError(f"secret {path} has nothing in its first line: write the secret there")
    return secret


def connected(host: str, port: int) -> socket.socket:
    """Return a connection by TCP.

    Raises:
        OSError: there is none within TIMEOUT_S an address.
    """
    return socket.create_connection((host, port), timeout=TIMEOUT_S)


def connected_to(made: socket.socket, target: Any) -> socket.socket:
    """Connect a new socket, and return it; it is closed where that fails.

    Raises:
        OSError: there is no connection within TIMEOUT_S.
    """
    try:
        made.settimeout(TIMEOUT_S)
        made.connect(target)
    except OSError:
        made.close()
        raise
    return made


def connected_outside(host: str, port: int) -> socket.socket:
    """Return a connection by TCP to an address of the Internet, never to one of this network.

    The name is looked up once, and what was checked is what is connected to: a name that has
    another address at the next question (DNS rebinding) gains nothing.

    Raises:
        PrivateAddress: one of the addresses of ``host`` is private, local, or of no single host.
        OSError: there is no connection within TIMEOUT_S an address.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[:_MOST_ADDRESSES]
    for *_, address in found:
        if not is_outside(str(address[0])):
            raise PrivateAddress(
                f"{host} has the address {address[0]}, which is not of the Internet: "
                "set allow_private = true if the receiver is in this network"
            )
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in found:
        try:
            return connected_to(socket.socket(family, kind, protocol), address)
        except OSError as error:
            failure = error
    raise failure


def is_outside(text: str) -> bool:
    """Return whether an address is one host's on the Internet, also where IPv6 wraps IPv4.

    Example:
        >>> [is_outside(text) for text in ("1.1.1.1", "10.0.0.1", "::ffff:127.0.0.1", "fe80::1%1")]
        [True, False, False, False]
    """
    address: _Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in network for network in _NAT64):
            address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        else:
            address = address.ipv4_mapped or address.sixtofour or address
    return address.is_global and not address.is_multicast


def require_open(connection: socket.socket) -> None:
    """Refuse a connection that the other side has closed: what is written to it would be lost.

    Raises:
        ConnectionError: it is closed.
    """
    if not select.select([connection], [], [], 0)[0]:
        return
    connection.setblocking(False)
    try:
        data = connection.recv(4096)  # nobody wants what a receiver says
    except (BlockingIOError, ssl.SSLWantReadError):  # TLS may say something of its own
        return
    finally:
        connection.settimeout(TIMEOUT_S)
    if not data:
        raise ConnectionError("the receiver closed the connection")
