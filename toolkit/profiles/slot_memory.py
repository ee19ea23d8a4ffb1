"""Give memory back to the system: of the slots of flows that have ended, and what nobody uses.

A flood fills the table of open flows once, and its pages would stay with the process for good.
"""

from __future__ import annotations

import ctypes
import mmap

import numpy as np
from numpy.typing import NDArray

from idskit.profiles.gateway.gateway_arrays import Gateway

WORTH = 4  # the table was this many times as full as it is now: less is not worth the work
_LEAST = 1024  # flows: what fewer of them take is no memory to speak of


class SlotMemory:
    """The pages of a flow table, which go back when a flood is over."""

    def __init__(self, state: object) -> None:
        self._state = state if isinstance(state, Gateway) else None  # others have no such arrays
        self._most = 0  # open flows, since pages were last given back

    def look(self) -> bool:
        """Give pages back if far fewer flows are open than were once; return whether it did.

        Slots that no flow has are zeros again, as they were at first.
        """
        if self._state is None:
            return False
        count = int(self._state.table.state["open"][0])
        self._most = max(self._most, count)
        if self._most < max(WORTH * count, _LEAST):
            return False
        self._most = count
        release_slots(self._state)
        give_back_memory()
        return True


def release_slots(state: Gateway) -> None:
    """Give back the pages of slots that no flow has, of all that is kept by slot.

    The records of flows themselves stay: free slots are linked through them.
    """
    runs = _free_runs(state.table.flows["list"][: int(state.table.state["used"][0])] >= 0)
    for array in (
        state.table.directions,
        state.connections,
        state.contexts,
        state.windows,
        state.fragments,
        state.history.snapshots,
        state.contents,
        state.places,
    ):
        _release(array, runs * (len(array) // len(state.table.flows)))


def _free_runs(is_open: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return where slots begin and end that are free one after the other, (n, 2)."""
    edges = np.diff(is_open, prepend=True, append=True)
    return np.flatnonzero(edges).reshape(-1, 2)


def _release(array: NDArray[np.generic], runs: NDArray[np.int64]) -> None:
    """Turn the whole pages within runs of items to zeros that take no memory (madvise(2))."""
    pages = runs * array.itemsize + array.ctypes.data
    pages[:, 0] += -pages[:, 0] % mmap.PAGESIZE
    pages[:, 1] -= pages[:, 1] % mmap.PAGESIZE
    for begin, end in pages[pages[:, 0] < pages[:, 1]].tolist():
        _LIBC.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), mmap.MADV_DONTNEED)


def give_back_memory() -> None:
    """Give what is free in the heap back: glibc keeps what the start or a flood took."""
    if _TRIM is not None:
        _TRIM(0)


_LIBC = ctypes.CDLL(None, use_errno=True)
_TRIM = getattr(_LIBC, "malloc_trim", None)  # of glibc only
