"""A program run as a child process, and what the whole of it cost.

The program is started by a small Python process of its own, for two reasons: the kernel counts what
a process held *before* it became another program into that program's peak memory, and this one
holds much; and wait4(2) then gives the processor time of exactly this child and its children.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LAUNCHER = """
import json, os, sys, time
start = time.perf_counter()
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
wall_s = time.perf_counter() - start
with open(sys.argv[1], "w") as file:
    json.dump({"status": os.waitstatus_to_exitcode(status), "wall_s": wall_s,
               "cpu_s": usage.ru_utime + usage.ru_stime, "rss_mib": usage.ru_maxrss / 1024}, file)
"""
_OUTPUT_BYTES = 1 << 20  # of what a program prints, more is not read


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one run of a program cost.

    Attributes:
        cpu_s: user and system time of the process and of its children that it waited for.
        wall_s: from its start to its end.
        rss_mib: most resident memory of its largest process; at least that of the launcher, about
            10 MiB.
        output: what it printed, standard output and standard error together.
    """

    cpu_s: float
    wall_s: float
    rss_mib: float
    output: str


class ChildFailed(Exception):
    """A program that could not be started, did not end in time, or failed: a reason in words."""


def run_child(command: Sequence[str], folder: Path, *, timeout_s: float) -> Usage:
    """Run a program to its end, without a shell, with nothing to read on its standard input.

    Args:
        command: path of the program and its arguments.
        folder: an empty one, in which it runs and may leave files.
        timeout_s: it and its children are killed after this.

    Raises:
        ChildFailed: it could not be started, was killed, or its exit status is not 0.
    """
    report, output = folder / ".usage.json", folder / ".output"
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(report), *command]
    with output.open("wb") as printed:
        _wait(launcher, folder, printed.fileno(), timeout_s)
    with output.open("rb") as file:
        text = file.read(_OUTPUT_BYTES).decode(errors="replace")
    if not report.exists():
        raise ChildFailed(f"cannot be run: {_last_line(text)}")
    usage = json.loads(report.read_text())
    status = usage.pop("status")
    if status:
        raise ChildFailed(f"{_ending(status)}: {_last_line(text)}")
    return Usage(output=text, **usage)


def _wait(launcher: Sequence[str], folder: Path, output: int, timeout_s: float) -> None:
    """Run to the end; whatever ends the waiting early also ends the whole process group."""
    process = subprocess.Popen(
        launcher,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise ChildFailed(f"stopped: it did not end within {timeout_s:g} s") from None
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _ending(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it printed nothing"
