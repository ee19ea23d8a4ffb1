"""Weighings of what is refused: logins, sessions that never begin, pages, requests to devices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from idskit.incidents.sequential.nats import OPENS, Floats, of
from idskit.schemas.payload_columns import BUCKETS

_LEAST_SHOWN = 10_000  # bytes of a desktop: its first picture alone has more
_SSH_FAILED = 3_000, 3_300  # bytes from server and client within which no session was opened


def failed_ssh_logins(_flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh SSH connections that end before a session: six to one server open an incident.

    All is encrypted, but a session adds a channel, its environment and host keys to what a failed
    login exchanges. Larger keys hide failures, never sessions.
    """
    banners, exchanges, from_server, from_client, fins, resets = columns.T
    failed = (banners > 1) & (exchanges > 0) & (fins + resets > 0)
    failed &= (from_server < _SSH_FAILED[0]) & (from_client < _SSH_FAILED[1])
    return np.where(failed, OPENS / of(6), 0.0)


def failed_desktops(_flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh remote desktops that end before anything is shown: eight to one server open one."""
    requests, from_server, fins, resets = columns.T
    failed = (requests > 0) & (from_server < _LEAST_SHOWN) & (fins + resets > 0)
    return np.where(failed, OPENS / of(8), 0.0)


def refused_logins(_flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh refused logins, without refusals of requests that gave nothing to log in with."""
    refused = columns[:, 1:].sum(axis=1) - columns[:, 0]
    return np.asarray(np.maximum(refused, 0.0) * OPENS / of(8))


def different(failures: int) -> Callable[[NDArray[np.void], Floats], Floats]:
    """Return a weighing by which that many different things, in a set and counted, open one.

    The number of things is estimated by the bits of the set that are 1, which several may share
    (linear counting, Whang et al., ACM TODS 1990); it is not more than their count.
    """
    bits = np.minimum(np.arange(BUCKETS + 1), BUCKETS - 0.5)
    estimate = -BUCKETS * np.log1p(-bits / BUCKETS)

    def weigh(_flows: NDArray[np.void], columns: Floats) -> Floats:
        found = np.zeros(len(columns))
        some = np.flatnonzero(columns[:, 1])
        sets = columns[some, 0].astype(np.int64)
        ones = (sets[:, None] >> np.arange(BUCKETS) & 1).sum(axis=1)
        found[some] = np.minimum(estimate[ones], columns[some, 1])
        return np.asarray(found * OPENS / of(failures))

    return weigh
