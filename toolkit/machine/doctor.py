"""What will and will not work on this machine: what ``idskit doctor`` does.

Each finding is a fact, what it means, and what to do about it. Nothing is changed by looking; only
``warm`` compiles the flow engine ahead of its first use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from idskit.errors import IdskitError
from idskit.files.folders import cache_home
from idskit.machine.finding import Finding, Level, broken
from idskit.machine.hardware import hardware
from idskit.machine.installed import installed
from idskit.machine.machine_facts import machine_facts
from idskit.machine.sensors import ROOT

if TYPE_CHECKING:
    from rich.console import Console

    from idskit.detect.inspect_model import Inspection

_STYLES: dict[Level, str] = {"ok": "green", "warning": "yellow", "error": "red"}
_CAP_NET_RAW = 13  # include/uapi/linux/capability.h


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What ``doctor`` found.

    Attributes:
        findings: in the order in which they are shown.
        machine: the facts that a benchmark's result has too, see ``idskit.machine.machine_facts``.
        warmed_s: seconds that compiling ahead took; None where it was not asked for.
    """

    findings: tuple[Finding, ...]
    machine: Mapping[str, Any]
    warmed_s: float | None

    def to_json(self) -> dict[str, Any]:
        """The same as plain types."""
        return asdict(self)

    def show(self, console: Console) -> None:
        """Print for people."""
        table = Table(title="idskit doctor", title_justify="left", show_lines=True)
        for heading in ("", "what", "found", "what it means, what to do"):
            table.add_column(heading, overflow="fold")
        for finding in self.findings:
            mark = f"[{_STYLES[finding.level]}]{finding.level}[/]"
            table.add_row(mark, *map(escape, (finding.name, finding.found, finding.meaning)))
        console.print(table)
        console.print(self._verdict(), highlight=False, markup=False)

    def _verdict(self) -> str:
        counts = {level: sum(f.level == level for f in self.findings) for level in _STYLES}
        able = "cannot" if counts["error"] else "can"
        return f"detection {able} run here: {counts['error']} errors, {counts['warning']} warnings"


def doctor(*, warm: bool = False, root: Path = ROOT) -> Diagnosis:
    """Look at everything that decides whether and how fast idskit runs here.

    Args:
        warm: compile the flow engine now, all profiles, so that no later start waits for it.
        root: of the file system whose /proc and /sys are read.

    Raises:
        IdskitError: ``warm`` was asked for, and no folder for compiled kernels can be written.
    """
    warmed = _warm() if warm else None
    facts = machine_facts(root)
    return Diagnosis(findings=tuple(_findings(facts, warmed, root)), machine=facts, warmed_s=warmed)


def _warm() -> float:
    from idskit.machine.precompile import warm_kernels

    return warm_kernels()


def require_detection(diagnosis: Diagnosis) -> None:
    """Raise where detection cannot run.

    Raises:
        IdskitError: names the findings that prevent it.
    """
    errors = [f"{f.name}: {f.found}" for f in diagnosis.findings if f.level == "error"]
    if errors:
        raise IdskitError(f"detection cannot run here ({'; '.join(errors)}): see the table above")


def _findings(facts: Mapping[str, Any], warmed: float | None, root: Path) -> Iterator[Finding]:
    yield from installed(
        **{name: facts[name] for name in ("python", "libc", "architecture", "packages")}
    )
    yield from hardware(facts, root)
    yield _kernels(warmed)
    yield _folders()
    yield _live(root)
    yield _model()


# The flow engine


def _kernels(warmed: float | None) -> Finding:
    try:
        from idskit.kernels.compile import cache_folder, is_compiling
        from idskit.machine.precompile import cold_profiles

        folder = cache_folder()
    except ImportError as error:
        return broken("flow engine", "numba", error)
    except IdskitError as error:
        return Finding(
            name="flow engine", found=str(error), level="error", meaning="nothing reads packets"
        )
    if not is_compiling():
        return Finding(
            name="flow engine",
            found="NUMBA_DISABLE_JIT is set",
            level="warning",
            meaning="packets are read by plain Python, a thousand times slower: unset it",
        )
    if folder is None:
        return Finding(
            name="flow engine",
            found="no folder to keep it in: every process compiles it anew",
            level="warning",
            meaning="every start takes a minute or two more: set NUMBA_CACHE_DIR to a folder that "
            "only this user can write to",
        )
    return _kept(folder, cold_profiles(), warmed)


def _kept(folder: Path, cold: list[str], warmed: float | None) -> Finding:
    took = "" if warmed is None else f", compiled ahead in {warmed:.1f} s"
    return Finding(
        name="flow engine",
        found=f"{'cold for ' + ', '.join(cold) if cold else 'warm'}{took}; kept in {folder}",
        level="warning" if cold else "ok",
        meaning="their first use compiles for a minute or two: idskit doctor --warm does it ahead, "
        "as the user who will run idskit"
        if cold
        else "no start compiles; the folder belongs to this processor, user and version",
    )


def _folders() -> Finding:
    return Finding(
        name="folders",
        found=f"caches below {cache_home()}, temporary files in {gettempdir()}",
        level="ok",
        meaning="nothing else is written than the outputs that a command names",
    )


# Running it


def _live(root: Path) -> Finding:
    able = _has_capability(root, _CAP_NET_RAW)
    return Finding(
        name="live capture",
        found="unknown" if able is None else "allowed" if able else "no CAP_NET_RAW",
        level="ok" if able else "warning",
        meaning="interfaces (-i) can be read"
        if able
        else "captures (-r) can be read, interfaces (-i) cannot: run as root, or as a service "
        "of systemd with AmbientCapabilities=CAP_NET_RAW",
    )


def _has_capability(root: Path, number: int) -> bool | None:
    """Whether this process has a capability in effect (proc_pid_status(5))."""
    try:
        status = (root / "proc/self/status").read_text()
    except OSError:
        return None
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return bool(int(found[1], 16) >> number & 1) if found else None


def _model() -> Finding:
    """Replay the shipped model's golden vectors: the whole path from file to probability."""
    try:
        from idskit.detect.inspect_model import inspect

        inspection = inspect(verify=True)
    except (IdskitError, ImportError, AttributeError, OSError) as error:
        return Finding(
            name="shipped model",
            found=f"cannot be run: {error}",
            level="error",
            meaning="pip install --force-reinstall idskit, or name a model of your own",
        )
    return _replayed(inspection)


def _replayed(inspection: Inspection) -> Finding:
    checked = inspection.verification
    if checked is None:
        raise ValueError("the golden vectors were not replayed")
    return Finding(
        name="shipped model",
        found=f"{Path(inspection.path).name}: {checked.vectors} golden vectors differ by at most "
        f"{checked.max_difference:.2g} (allowed {checked.tolerance:g})",
        level="ok" if checked.passed else "error",
        meaning="this machine answers as the exporter's did"
        if checked.passed
        else "this machine's arithmetic answers otherwise: export the run here (idskit export)",
    )
