"""The input of the flow engine: where packets or flows come from, and how flows are made of them.

Built once, by the command line or by a caller, and opened once: ``profiles.flow_reader.open_input``
for packets, ``detect`` for a table of flows as well.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from idskit.errors import IdskitError
from idskit.options import check_options, option

Sources = tuple[str | Path, ...]
_MOST_AGES = 8


VERDICT_AT_S = (1.0, 5.0, 30.0)  # ages at which open flows are judged, unless stated otherwise


@dataclass(frozen=True, kw_only=True)
class FlowInput:
    """The source of flows and the limits of the flow table.

    Exactly one of ``capture``, ``interface`` and ``flows`` is named. A single capture or interface
    may be given without a tuple around it.

    Raises:
        IdskitError: not exactly one source is named, a number is out of range, or an option was
            set that this kind of source does not have.
    """

    capture: Sources = option(
        (), "Captures, or folders of them, read in time order; - is stdin", flag="-r, --read"
    )
    interface: tuple[str, ...] = option(
        (), "Network interface, read until SIGINT or SIGTERM; repeatable", flag="-i, --interface"
    )
    flows: str | Path | None = option(None, "CSV or Parquet table of the model's features")
    filter: str | None = option(
        None, "Capture filter for -i (tcpdump syntax, or output of tcpdump -ddd)"
    )
    memory_mb: int = option(256, "Memory for open flows, in MB", low=1)
    idle_timeout_s: float | None = option(
        None,
        "Seconds of silence that end a flow (120 for gateway and packets)",
        low=1,
        high=86_400,
        flag="--idle-timeout",
    )
    verdict_at_s: tuple[float, ...] | None = option(
        None,
        "Age at which an open flow is judged as well; repeatable; 0: flows are judged at their end",
        low=0,
        high=119,
        flag="--verdict-at",
        metavar="SECONDS",
    )
    # Secret of the hash that places flows; random if None. Results do not depend on it.
    hash_key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("capture", "interface"):
            value = getattr(self, name)
            listed = (value,) if isinstance(value, str | Path) else tuple(value)
            object.__setattr__(self, name, listed)
        self._check_source()
        self._check_memory()
        self._set_ages()
        check_options(self)
        if self.filter is not None and not self.interface:
            raise IdskitError(
                f"filter is {self.filter!r}, but only interfaces (-i) have one: omit it"
            )

    @property
    def source(self) -> Sources:
        """The captures or interfaces that packets are read from; empty for a table."""
        return self.capture or self.interface

    def _check_source(self) -> None:
        named = {
            "captures (-r)": bool(self.capture),
            "interfaces (-i)": bool(self.interface),
            "a table of flows (--flows)": self.flows is not None,
        }
        given = [kind for kind, is_given in named.items() if is_given]
        if len(given) != 1:
            raise IdskitError(
                f"the input is either {' or '.join(named)}, but {_listed(given)} named: "
                "name one of them"
            )

    def _set_ages(self) -> None:
        if self.verdict_at_s is None:
            return
        if self.flows is not None:
            raise IdskitError(
                f"verdict_at_s is {list(self.verdict_at_s)}, but flows of a table do not grow "
                "older: omit it"
            )
        ages = tuple(sorted({float(age) for age in self.verdict_at_s if age}))
        if len(ages) > _MOST_AGES:
            raise IdskitError(f"verdict_at_s names {len(ages)} ages: choose at most {_MOST_AGES}")
        object.__setattr__(self, "verdict_at_s", ages)

    def _check_memory(self) -> None:
        most_mb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
        if self.memory_mb > most_mb:
            raise IdskitError(
                f"memory_mb is {self.memory_mb}: choose 1 to {most_mb}, all of this machine's"
            )


def shown_defaults() -> dict[str, str]:
    """Return what a default of None stands for, where that is not nothing."""
    return {"verdict_at_s": "detect: 1, 5 and 30; else none"}


def _listed(given: list[str]) -> str:
    return f"{' and '.join(given)} were" if given else "none was"
