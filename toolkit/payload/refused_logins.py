"""Logins that databases and shared screens refuse: what their servers say to a wrong password.

Sources: MySQL client/server protocol (ERR packet, errors 1045 and 1698), PostgreSQL 54.8 and its
SQLSTATE 28000 and 28P01, [MS-TDS] 2.2.7.10 (error 18456), RFC 6143, 7.1.3 (SecurityResult).
"""

from __future__ import annotations

from idskit.kernels.compile import kernel
from idskit.payload.payload_counts import (
    Bytes,
    big32,
    byte_at,
    little16,
    little32,
)

MYSQL, SQL_SERVER, POSTGRESQL = 3306, 1433, 5432
SCREENS = (5900, 5909)  # the first and the last port
_SEARCHED = 128  # bytes of an error of PostgreSQL


@kernel
def refuses_login(data: Bytes, at: int, end: int, port: int, number: int) -> bool:
    """Return whether the ``number``th payload of the server on a port refuses a login."""
    if port == MYSQL:
        return end - at >= 7 and byte_at(data, at + 4) == 255 and _is_denied(data, at)
    if port == POSTGRESQL:
        return end - at >= 7 and byte_at(data, at) == 69 and _is_invalid(data, at + 5, end)
    if port == SQL_SERVER:
        is_error = end - at >= 15 and byte_at(data, at) == 4 and byte_at(data, at + 8) == 0xAA
        return is_error and little32(data, at + 11) == 18456
    if SCREENS[0] <= port <= SCREENS[1]:  # its second payload may be of security type 1, none
        return number >= 3 and end - at >= 4 and big32(data, at) == 1
    return False


@kernel
def _is_denied(data: Bytes, at: int) -> bool:
    return little16(data, at + 5) in (1045, 1698)


@kernel
def _is_invalid(data: Bytes, at: int, end: int) -> bool:
    """Return whether a field C of an error holds 28000 or 28P01."""
    for i in range(at, min(end, at + _SEARCHED) - 5):
        if byte_at(data, i) == 67 and byte_at(data, i + 1) == 50 and byte_at(data, i + 2) == 56:
            rest = byte_at(data, i + 3), byte_at(data, i + 4), byte_at(data, i + 5)
            return rest in ((48, 48, 48), (80, 48, 49))
    return False
