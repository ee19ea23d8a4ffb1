"""What works on this machine, what does not, and how to fix it: what ``idskit doctor`` does.

Each finding is a fact, what it means, and what to do about it. Looking changes nothing; only
``warm`` compiles the flow engine ahead of its first use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

from idskit.errors import IdskitError
from idskit.files.folders import cache_home
from idskit.machine.hardware import hardware_findings
from idskit.machine.installed import broken_package, software_findings
from idskit.machine.machine_facts import machine_facts
from idskit.machine.sensors import ROOT
from idskit.report.finding import Finding, finding_counts, findings_section
from idskit.report.section import show_sections

if TYPE_CHECKING:
    from rich.console import Console

    from idskit.detect.inspect_model import Inspection

_CAP_NET_RAW = 13  # include/uapi/linux/capability.h


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What ``doctor`` found.

    Attributes:
        findings: in the order in which they are shown.
        machine: the facts that a benchmark's result has too, see ``idskit.machine.machine_facts``.
        precompile_s: seconds that compiling ahead took; None if it was not asked for.
    """

    findings: tuple[Finding, ...]
    machine: Mapping[str, Any]
    precompile_s: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain types."""
        return asdict(self)

    def show(self, console: Console) -> None:
        """Print the findings as a table, then the verdict."""
        show_sections([findings_section(self.findings, "idskit doctor")], console)
        console.print(self.verdict(), highlight=False, markup=False)

    def verdict(self) -> str:
        """Say in one sentence whether detection can run here."""
        counts = finding_counts(self.findings)
        able = "cannot" if counts["error"] else "can"
        numbers = " and ".join(_counted(counts[kind], kind) for kind in ("error", "warning"))
        return f"Detection {able} run on this machine: {numbers}."


def _counted(count: int, kind: str) -> str:
    return f"{count or 'no'} {kind}{'' if count == 1 else 's'}"


def doctor(*, warm: bool = False, root: Path = ROOT) -> Diagnosis:
    """Look at everything that decides whether and how fast idskit runs here.

    Args:
        warm: compile the flow engine now, all profiles, so that no later start waits for it.
        root: of the file system whose /proc and /sys are read.

    Raises:
        IdskitError: ``warm`` was asked for, and no folder for compiled kernels can be written.
    """
    spent_s = _precompile() if warm else None
    facts = machine_facts(root)
    findings = tuple(_findings(facts, spent_s, root))
    return Diagnosis(findings=findings, machine=facts, precompile_s=spent_s)


def _precompile() -> float:
    from idskit.machine.precompile import precompile

    return precompile()


def require_detection(diagnosis: Diagnosis) -> None:
    """Refuse a machine on which detection cannot run.

    Raises:
        IdskitError: names the findings that prevent it.
    """
    errors = [f"{f.check}: {f.evidence}" for f in diagnosis.findings if f.severity == "error"]
    if errors:
        raise IdskitError(f"detection cannot run here ({'; '.join(errors)}): see the table above")


def _findings(
    facts: Mapping[str, Any], precompile_s: float | None, root: Path
) -> Iterator[Finding]:
    yield from software_findings(
        **{name: facts[name] for name in ("python", "libc", "architecture", "packages")}
    )
    yield from hardware_findings(facts, root)
    yield _flow_engine(precompile_s)
    yield _folders()
    yield _live_capture(root)
    yield _shipped_model()


# The flow engine


def _flow_engine(precompile_s: float | None) -> Finding:
    try:
        from idskit.kernels.compile import cache_folder, is_compiling
        from idskit.machine.precompile import uncompiled_profiles

        folder = cache_folder()
    except ImportError as error:
        return broken_package("flow engine", "numba", error)
    except IdskitError as error:
        return Finding(
            check="flow engine",
            evidence=str(error),
            severity="error",
            meaning="packets cannot be read",
        )
    if not is_compiling():
        return Finding(
            check="flow engine",
            evidence="NUMBA_DISABLE_JIT is set",
            severity="warning",
            meaning="packets are read by plain Python, a thousand times slower",
            advice="unset NUMBA_DISABLE_JIT",
        )
    if folder is None:
        return Finding(
            check="flow engine",
            evidence="no folder can keep what is compiled",
            severity="warning",
            meaning="every start compiles for a minute or two",
            advice="set NUMBA_CACHE_DIR to a folder that only this user can write to",
        )
    return _cached(folder, uncompiled_profiles(), precompile_s)


def _cached(folder: Path, uncompiled: list[str], precompile_s: float | None) -> Finding:
    state = f"not compiled for {', '.join(uncompiled)}" if uncompiled else "compiled"
    spent = "" if precompile_s is None else f", which took {precompile_s:.1f} s"
    return Finding(
        check="flow engine",
        evidence=f"{state}{spent}; kept in {folder}",
        severity="warning" if uncompiled else "ok",
        meaning="the first use of these profiles compiles for a minute or two"
        if uncompiled
        else "no start compiles; the folder is for this processor, user and version",
        advice="idskit doctor --warm compiles now; run it as the user who will run idskit"
        if uncompiled
        else "",
    )


def _folders() -> Finding:
    return Finding(
        check="folders",
        evidence=f"caches in {cache_home()}, temporary files in {gettempdir()}",
        severity="ok",
        meaning="idskit writes nothing else than the outputs that a command names",
    )


# Running it


def _live_capture(root: Path) -> Finding:
    able = _has_capability(root, _CAP_NET_RAW)
    return Finding(
        check="live capture",
        evidence="unknown" if able is None else "allowed" if able else "no CAP_NET_RAW",
        severity="ok" if able else "warning",
        meaning="network interfaces (-i) can be read"
        if able
        else "captures (-r) can be read, but network interfaces (-i) cannot",
        advice=""
        if able
        else "run as root, or as a systemd service with AmbientCapabilities=CAP_NET_RAW",
    )


def _has_capability(root: Path, number: int) -> bool | None:
    """Return whether this process has a capability in effect (proc_pid_status(5))."""
    try:
        status = (root / "proc/self/status").read_text()
    except OSError:
        return None
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return bool(int(found[1], 16) >> number & 1) if found else None


def _shipped_model() -> Finding:
    """Replay the shipped model's golden vectors: the whole path from file to probability."""
    try:
        from idskit.detect.inspect_model import inspect

        inspection = inspect(verify=True)
    except (IdskitError, ImportError, AttributeError, OSError) as error:
        return Finding(
            check="shipped model",
            evidence=f"cannot be run: {error}",
            severity="error",
            meaning="idskit detect cannot run without naming another model",
            advice="pip install --force-reinstall idskit, or name a model of your own",
        )
    return _replayed(inspection)


def _replayed(inspection: Inspection) -> Finding:
    checked = inspection.verification
    if checked is None:
        raise ValueError("the golden vectors were not replayed")
    return Finding(
        check="shipped model",
        evidence=f"{Path(inspection.path).name}: {checked.vectors} golden vectors differ by at "
        f"most {checked.max_difference:.2g} (allowed {checked.tolerance:g})",
        severity="ok" if checked.passed else "error",
        meaning="this machine computes the same scores as the exporter's"
        if checked.passed
        else "this machine computes other scores than the exporter's",
        advice="" if checked.passed else "export the run on this machine (idskit export)",
    )
