"""Measure a running service: ``python -m tests.gateway.endurance [MEASURE ...]``, as root.

Real traffic in network namespaces of its own, the service as a process, a table of what came out.
Others that compute on this machine make every number worse: the load is printed with them.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tests.gateway.endurance import measures
from tests.gateway.endurance.bench import Bench, Row, bench

import idskit
from idskit.machine.precompile import make_ready

Measure = Callable[[Bench, argparse.Namespace], list[Row]]
MEASURES: dict[str, Measure] = {
    "start": lambda b, o: measures.start(b, o.starts),
    "idle": lambda b, o: measures.idle(b, o.idle_seconds),
    "latency": lambda b, o: measures.latency(b, o.rounds, o.minutes, o.flows_per_minute),
    "broker": lambda b, o: measures.broker(b, o.broker_minutes),
    "memory": lambda b, o: measures.memory(b, o.memory_minutes, o.sources),
    "kills": lambda b, o: measures.kills(b, o.kills),
}


def main(words: list[str]) -> None:
    """Measure what is asked for, and print the table."""
    options = _parser().parse_args(words)
    # Whatever is not compiled yet is compiled now, not while measuring: modules as pip does it.
    compileall.compile_dir(Path(str(idskit.__file__)).resolve().parent, quiet=1)
    make_ready("gateway")
    rows: list[Row] = []
    for name in options.measure or MEASURES:
        print(f"{time.strftime('%H:%M')} measuring {name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="idskit-") as folder, bench(Path(folder)) as made:
            found = MEASURES[name](made, options)
        rows += found
        print(*map(line, found), sep="\n", file=sys.stderr, flush=True)
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{platform.machine()}, {os.cpu_count()} cores, load averages at the end {load}\n")
    print("| measure | value | goal | how |\n|---|---|---|---|")
    print(*map(line, rows), sep="\n")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


def line(row: Row) -> str:
    """Return a row of the table."""
    return f"| {row.measure} | {row.value} | {row.goal} | {row.how} |"


def _parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="tests.gateway.endurance", description=__doc__)
    found.add_argument("measure", nargs="*", choices=[*MEASURES, []], help="all if omitted")
    for name, kind, default, about in (
        ("starts", int, 7, "warm starts"),
        ("idle-seconds", float, 120, "of a quiet home"),
        ("rounds", int, 3, "services that are loaded, each with 60 attacks"),
        ("minutes", float, 3, "of load in a round"),
        ("flows-per-minute", float, 100_000, "that begin"),
        ("broker-minutes", float, 60, "that the broker is away"),
        ("memory-minutes", float, 60, "at ten times a home"),
        ("sources", int, 1_000_000, "of the flood"),
        ("kills", int, 200, "of the loop"),
    ):
        found.add_argument(f"--{name}", type=kind, default=default, help=about)
    found.add_argument("--json", type=Path, help="file to write the rows to")
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
