"""Feature profiles: when a flow ends, and what its features are.

A profile is a module with the members of ``Profile``. Its kernels run over the shared flow table;
its numbers are exact by its own definition, never an approximation of another's.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from idskit.flows.flow_records import Output, Settings
from idskit.packet import Frames
from idskit.schema import Schema
from idskit.schemas.catalog import schema_named

_MODULES = {
    "gateway": "idskit.profiles.gateway.gateway_profile:GATEWAY",
    "packets": "idskit.profiles.gateway.gateway_profile:PACKETS",
    "gateway-packets": "idskit.profiles.gateway.gateway_profile:GATEWAY_PACKETS",
    "cic-fixed": "idskit.profiles.cic.cic_fixed",
    "cic-original": "idskit.profiles.cic.cic_original",
    "ciciot2023": "idskit.profiles.ciciot2023.ciciot2023_windows:FIRST_10",
    "ciciot2023-100": "idskit.profiles.ciciot2023.ciciot2023_windows:FIRST_100",
    "ciciot2023-39": "idskit.profiles.ciciot2023.ciciot2023_windows:LATER_10",
    "ciciot2023-39-100": "idskit.profiles.ciciot2023.ciciot2023_windows:LATER_100",
    "kdd99": "idskit.profiles.kdd99.kdd_connections:INCLUSIVE_255",
    "kdd99-100": "idskit.profiles.kdd99.kdd_connections:INCLUSIVE_100",
    "kdd99-exclusive": "idskit.profiles.kdd99.kdd_connections:EXCLUSIVE_100",
    "kdd99-exclusive-255": "idskit.profiles.kdd99.kdd_connections:EXCLUSIVE_255",
}


class Profile(Protocol):
    """What a profile module offers.

    ``state`` is the profile's own NamedTuple of arrays; its field ``table`` is the flow table.
    """

    SCHEMA: Schema
    IDLE_US: int  # default idle time-out; 0: by its definition flows never idle out
    REASSEMBLES: bool  # fragments are put together before they become packets

    @staticmethod
    def make(settings: Settings) -> Any:
        """Make empty arrays within ``settings.memory_bytes``."""

    @staticmethod
    def reread(frames: Frames, decoded: NDArray[np.void]) -> NDArray[np.void]:
        """Return the packets to take for ``frames``, of which ``decode`` made ``decoded``.

        Only where ``REASSEMBLES`` is false: other profiles lack it.
        """

    @staticmethod
    def look_at(state: Any, frames: NDArray[np.uint8], kept: NDArray[np.uint8]) -> Any:
        """Return arrays to go on with, whose packets' payloads lie in ``frames`` and ``kept``.

        Only where ``REASSEMBLES`` is true: other profiles lack it.
        """

    @staticmethod
    def advance(state: Any, output: Output, packets: NDArray[np.void], first: int) -> int:
        """Take packets from ``first`` on; return the first one that there was no room for."""

    @staticmethod
    def grow(state: Any) -> Any:
        """Return arrays to go on with after ``advance`` stopped though ``output`` had room."""

    @staticmethod
    def expire(state: Any, output: Output, now_us: int) -> bool:
        """Emit the flows that have idled out by the clock; False if there was no room for all.

        Only where ``IDLE_US`` is not 0: other profiles lack it.
        """

    @staticmethod
    def finish(state: Any, output: Output, slots: NDArray[np.int64], first: int, end: int) -> int:
        """Emit the flows in ``slots``; return the first that there was no room for."""


def profile_named(name: str) -> Profile:
    """Return the profile of that name.

    Raises:
        SchemaError: there is none; the message lists them.
    """
    schema_named(name)  # or the error that lists the names
    module, _, attribute = _MODULES[name].partition(":")
    loaded = import_module(module)
    return cast(Profile, getattr(loaded, attribute) if attribute else loaded)
