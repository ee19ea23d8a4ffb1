"""All scripts of a capture in flat arrays, so that flows play them without Python."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from idskit.generate.conversation import STEP, Script
from idskit.generate.mixes import Activity

VARIETY = 512  # scripts of an activity; later flows play them again, with other delays
_TRIAL = 32  # scripts that measure how long an activity's conversations are


@dataclass(frozen=True, kw_only=True)
class Library:
    """Scripts of the activities of a mix.

    Attributes:
        steps: (s,) STEP of all scripts, one after the other.
        prefixes: (b,) uint8, the first bytes of their payloads.
        first: (m,) first step of each script.
        length: (m,) steps of each script.
        begin: (activities + 1,) first script of each activity, and m.
        protocol: (activities,) IP protocol number.
    """

    steps: NDArray[np.void]
    prefixes: NDArray[np.uint8]
    first: NDArray[np.int64]
    length: NDArray[np.int64]
    begin: NDArray[np.int64]
    protocol: tuple[int, ...]

    def mean_packets(self, activity: int) -> float:
        """Return the packets of a conversation, on average."""
        return float(self.length[self.begin[activity] : self.begin[activity + 1]].mean())


def write_library(activities: tuple[Activity, ...], packets: int, seed: int) -> Library:
    """Write as many scripts as ``packets`` packets call for, up to VARIETY of each activity."""
    shelves = [
        _scripts(activity, packets, Random(f"{seed} {number}"))  # noqa: S311
        for number, activity in enumerate(activities)
    ]
    scripts = [script for shelf in shelves for script in shelf]
    prefixes = [prefix for script in scripts for prefix in script.prefixes]
    steps = np.array([step for script in scripts for step in script.steps], STEP)
    sizes = steps["prefix_bytes"].astype(np.int64)
    steps["prefix_at"] = np.cumsum(sizes) - sizes
    length = np.array([len(script.steps) for script in scripts])
    return Library(
        steps=steps,
        prefixes=np.frombuffer(b"".join(prefixes) or b"\0", np.uint8),
        first=np.cumsum(length) - length,
        length=length,
        begin=np.cumsum([0, *map(len, shelves)]),
        protocol=tuple(shelf[0].protocol for shelf in shelves),
    )


def _scripts(activity: Activity, packets: int, rng: Random) -> list[Script]:
    scripts = [activity.write(rng) for _ in range(_TRIAL)]
    mean = sum(len(script.steps) for script in scripts) / _TRIAL
    wanted = min(int(activity.share * packets / mean) + 1, VARIETY)
    return scripts + [activity.write(rng) for _ in range(wanted - _TRIAL)]
