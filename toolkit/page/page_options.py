"""Where the page listens and what protects it, checked before anything is opened."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from idskit.errors import IdskitError
from idskit.files.output import reason
from idskit.options import check_options, option
from idskit.page.page_access import read_token

PORT = 7411  # also the number that idskit's alerts carry


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """Options of the page."""

    listen: str = option("127.0.0.1", "Address that the page listens on", metavar="ADDRESS")
    port: int = option(PORT, "Port of the page (0 = any free one)", low=0, high=65_535)
    host_names: Sequence[str] = option(
        (), "Names, such as pi.home, by which browsers reach the page", metavar="NAME"
    )
    token_file: Path | None = option(
        None, "File of mode 0600 with the token that people sign in with", metavar="FILE"
    )
    tls_certificate: Path | None = option(None, "Certificate chain in PEM", metavar="FILE")
    tls_key: Path | None = option(None, "Private key of the certificate in PEM", metavar="FILE")


@dataclass(frozen=True, kw_only=True)
class Protection:
    """What protects the page, read from its files."""

    token: str | None
    tls: ssl.SSLContext | None
    host_names: frozenset[str]


def protection_of(options: PageOptions) -> Protection:
    """Return what protects a page, or refuse to serve it.

    Raises:
        IdskitError: an option out of range, an address that others reach without token and TLS, or
            a file that cannot be used.
    """
    check_options(options)
    _check_reach(options)
    return Protection(
        token=None if options.token_file is None else read_token(options.token_file),
        tls=_tls(options.tls_certificate, options.tls_key),
        host_names=frozenset(name.lower().rstrip(".") for name in options.host_names),
    )


def _check_reach(options: PageOptions) -> None:
    try:
        is_local = ip_address(options.listen).is_loopback
    except ValueError:
        raise IdskitError(
            f"the page was asked to listen on {options.listen!r}, which is no IP address: "
            "choose one of this machine, such as 127.0.0.1"
        ) from None
    needed = {"token_file": options.token_file, "tls_certificate": options.tls_certificate}
    missing = [name for name, path in needed.items() if path is None]
    if missing and not is_local:
        raise IdskitError(
            f"the page was asked to listen on {options.listen}, where others reach it, without "
            f"{' and '.join(missing)}: set token_file, tls_certificate and tls_key, or listen on "
            "127.0.0.1"
        )


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return the server's side of TLS 1.2 or later; None where it was not asked for."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise IdskitError("TLS needs both tls_certificate and tls_key: only one of them is set")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # An encrypted key would ask for its password on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        raise IdskitError(
            f"certificate {certificate} and key {key} cannot be used ({error.reason or error}): "
            "give a PEM chain and the unencrypted key that belongs to it"
        ) from error
    except OSError as error:
        raise IdskitError(
            f"certificate {certificate} or key {key} cannot be read: {reason(error)}; check the "
            "paths"
        ) from error
    return context
