"""Loads as captures: a home's benign traffic at a stated rate, and a flood of forged sources."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from idskit.generate import attacks, generate
from idskit.generate import endpoints as ends
from idskit.generate.library import write_library
from idskit.generate.mixes import MIXES, Activity, Mix

_BENIGN = MIXES["benign"]
_TRIAL = 100_000  # packets for which scripts are written to find their mean length


@dataclass(frozen=True)
class Load:
    """A capture to play."""

    path: Path
    packets: int
    flows: int
    seconds: float

    @property
    def flows_per_minute(self) -> float:
        return 60 * self.flows / self.seconds


def packets_per_flow() -> float:
    """Return how many packets of benign traffic begin one flow, on average."""
    library = write_library(_BENIGN.activities, _TRIAL, 0)
    flows = sum(
        activity.share / library.mean_packets(number)
        for number, activity in enumerate(_BENIGN.activities)
        if not activity.standing
    )
    return 1 / flows


def home(folder: Path, seconds: float, packets_per_s: float, hosts: int = 12) -> Load:
    """Write benign traffic of so many packets a second."""
    mix = replace(_BENIGN, packets_per_s=packets_per_s, hosts=hosts)
    return _written(folder / f"home-{packets_per_s:.0f}.pcap", mix, seconds)


def busy(folder: Path, seconds: float, flows_per_minute: float) -> Load:
    """Write benign traffic of so many flows a minute, of 240 hosts."""
    return home(folder, seconds, flows_per_minute / 60 * packets_per_flow(), hosts=240)


def flood(folder: Path, sources: int, packets_per_s: float) -> Load:
    """Write a SYN a source, as a flood with forged addresses is."""
    activity = Activity(
        category="syn-flood", share=1.0, write=attacks.syn, ends=ends.forged(1, 80), attack=True
    )
    mix = replace(MIXES["flood"], packets_per_s=packets_per_s, activities=(activity,))
    return _written(folder / "flood.pcap", mix, sources / packets_per_s)


def _written(path: Path, mix: Mix, seconds: float) -> Load:
    MIXES[path.stem] = mix  # where ``generate`` looks for it
    made = generate(path, packets=int(seconds * mix.packets_per_s), mix=path.stem)
    return Load(path, made.packets, made.flows, made.duration_s)
