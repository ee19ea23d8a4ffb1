"""Programs that turn a capture into flow records: idskit, and what a user would pick instead.

    idskit        features of the gateway schema, left in memory
    idskit CSV    the same, written by idskit extract
    softflowd     NetFlow counters, encoded and sent nowhere
    suricata      its flow log, no rules
    argus         its flow records, in its own format
    nfstream      flow statistics and the application's name, left in memory
    netflower     CICFlowMeter's features, written as CSV
    cicflowmeter  the Java tool, where its ``cfm`` is on PATH

Each is a fixed list of arguments that reads one file and leaves its output in a temporary folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

MOST_FLOWS = 2_000_000  # that softflowd keeps at once; idskit keeps what its own default holds
SERVICE_FOLDERS = ("/usr/sbin", "/usr/local/sbin")  # not on everybody's PATH
_COUNT_TIMEOUT_S = 120
PEER_PYTHON = "IDSKIT_PEER_PYTHON"  # environment variable


@dataclass(frozen=True, kw_only=True)
class Found:
    """What an extractor made of a capture, as its output tells; None where it does not.

    Attributes:
        flows: how many.
        columns: numbers and names that it gives for each flow, those that name the flow included.
        version: of the program.
    """

    flows: int | None
    columns: int | None
    version: str | None


class NotInstalled(Exception):
    """An extractor that is not on this machine: a sentence that says what to install."""


Command = Callable[[Path, Path], list[str]]  # (capture, folder for output) -> arguments
Count = Callable[[str, Path], Found]  # (what was printed, folder with output) -> what was found


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """One program.

    Attributes:
        name: of the program.
        computes: what it gives for each flow and where that goes, in words.
        command: its arguments; raises NotInstalled.
        count: reads its output after it has ended.
    """

    name: str
    computes: str
    command: Command
    count: Count


def extractors() -> list[Extractor]:
    """List idskit first, then all peers, whether they are installed or not.

    The interpreter that IDSKIT_PEER_PYTHON names has nfstream and netflower; this one if unset.
    """
    python = os.environ.get(PEER_PYTHON) or sys.executable
    return [
        Extractor(
            name="idskit",
            computes="features of schema gateway, left in memory",
            command=_idskit,
            count=_told,
        ),
        Extractor(
            name="idskit CSV",
            computes="the same, and 10 columns of identity, written as CSV",
            command=_idskit_csv,
            count=_count_idskit_csv,
        ),
        Extractor(
            name="softflowd",
            computes="packets, bytes, first, last and TCP flags, each way: NetFlow 5, sent nowhere",
            command=_softflowd,
            count=_count_softflowd,
        ),
        Extractor(
            name="suricata",
            computes="flow log without rules: about 30 keys of EVE JSON, protocols recognised",
            command=_suricata,
            count=_count_suricata,
        ),
        Extractor(
            name="argus",
            computes="its records: counters, TCP states, sequence numbers; a long flow has several",
            command=_argus,
            count=_count_argus,
        ),
        Extractor(
            name="nfstream",
            computes="statistics and the application (nDPI), left in memory as Python objects",
            command=partial(_in_python, python, _NFSTREAM, "nfstream"),
            count=_told,
        ),
        Extractor(
            name="netflower",
            computes="CICFlowMeter's features, written as CSV",
            command=partial(_in_python, python, _NETFLOWER, "netflower"),
            count=_count_netflower,
        ),
        Extractor(
            name="cicflowmeter",
            computes="its features, written as CSV",
            command=_cicflowmeter,
            count=_count_cicflowmeter,
        ),
    ]


# Programs of idskit and of peers that are Python packages; the last line printed is for ``_told``.

_IDSKIT = """
import sys
from importlib.metadata import version
from idskit import open_flows
with open_flows(sys.argv[1], "gateway") as flows:
    for batch in flows.batches(8192):
        pass
print(f"flows={flows.statistics.flows} columns={len(flows.schema)} version={version('idskit')}")
"""

_NFSTREAM = """
import sys
import nfstream
if __name__ == "__main__":
    count, columns = 0, 0
    for flow in nfstream.NFStreamer(source=sys.argv[1], statistical_analysis=True):
        count += 1
        columns = columns or len(flow.keys())
    print(f"flows={count} columns={columns} version={nfstream.__version__}")
"""

_NETFLOWER = """
import sys
from importlib.metadata import version
import netflower
count = netflower.convert_pcap_to_csv(sys.argv[1], "flows.csv")
print(f"flows={count} columns=0 version={version('netflower')}")
"""


def _idskit(capture: Path, _folder: Path) -> list[str]:
    return [sys.executable, "-c", _IDSKIT, str(capture)]


def _idskit_csv(capture: Path, _folder: Path) -> list[str]:
    files = ["-r", str(capture), "-o", "flows.csv", "--json", "statistics.json"]
    return [sys.executable, "-m", "idskit", "extract", *files]


def _in_python(python: str, program: str, module: str, capture: Path, _folder: Path) -> list[str]:
    """Return the command for an interpreter, after a check that it has the module."""
    probe = "import importlib.util, sys; sys.exit(3 * (not importlib.util.find_spec(sys.argv[1])))"
    path = _program(python, f"name a Python by {PEER_PYTHON}")
    command = [path, "-c", probe, module]
    if subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 3:
        raise NotInstalled(
            f"not installed in {python}: pip install {module}, or name a Python that has it by "
            f"{PEER_PYTHON}"
        )
    return [path, "-c", program, str(capture)]


def _told(output: str, _folder: Path) -> Found:
    told = re.search(r"flows=(\d+) columns=(\d+) version=(\S+)", output)
    if told is None:
        return Found(flows=None, columns=None, version=None)
    return Found(flows=int(told[1]), columns=int(told[2]), version=told[3])


def _count_idskit_csv(_output: str, folder: Path) -> Found:
    statistics = json.loads((folder / "statistics.json").read_text())
    columns = _columns(folder / "flows.csv")
    return Found(flows=statistics["flows"], columns=columns, version=None)


def _count_netflower(output: str, folder: Path) -> Found:
    told = _told(output, folder)
    columns = _columns(folder / "flows.csv")
    return Found(flows=told.flows, columns=columns, version=told.version)


# Programs of the distribution.


def _softflowd(capture: Path, _folder: Path) -> list[str]:
    """In the foreground, IPv6 too.

    Without the socket of a daemon: version 1.1.0 waits on it, or not, by chance of what lies in
    memory that it never sets.
    """
    path = _program("softflowd", "apt install softflowd")
    no_daemon = ["-d", "-p", "none", "-c", "none"]
    return [path, "-r", str(capture), "-6", "-m", str(MOST_FLOWS), *no_daemon]


def _count_softflowd(output: str, _folder: Path) -> Found:
    flows = re.search(r"Flows expired: (\d+)", output)
    version = re.search(r"softflowd v(\S+)", output)
    return Found(
        flows=int(flows[1]) if flows else None,
        columns=10,  # of a NetFlow 5 record, twice: packets, bytes, first, last, flags
        version=version[1] if version else None,
    )


_SURICATA_SETTINGS = """\
%YAML 1.1
---
outputs:
  - eve-log:
      enabled: yes
      filetype: regular
      filename: eve.json
      types:
        - flow
flow:
  memcap: 4gb
  hash-size: 262144
  prealloc: 10000
"""


def _suricata(capture: Path, folder: Path) -> list[str]:
    path = _program("suricata", "apt install suricata")
    settings = folder / "suricata.yaml"
    settings.write_text(_SURICATA_SETTINGS)
    where = ["-c", str(settings), "-l", str(folder), "-S", os.devnull]
    return [path, "-r", str(capture), "--runmode", "single", *where]


def _count_suricata(output: str, folder: Path) -> Found:
    version = re.search(r"Suricata version (\S+)", output)
    with (folder / "eve.json").open("rb") as lines:
        flows = sum(b'"event_type":"flow"' in line for line in lines)
    return Found(flows=flows, columns=None, version=version[1] if version else None)


def _argus(capture: Path, _folder: Path) -> list[str]:
    path = _program("argus", "apt install argus-server argus-client")
    return [path, "-X", "-r", str(capture), "-w", "argus.out"]


def _count_argus(_output: str, folder: Path) -> Found:
    """Its records put together to flows, one line each after a head, by its own client."""
    try:
        path = _program("racluster", "apt install argus-client")
    except NotInstalled:
        return Found(flows=None, columns=None, version=None)
    command = [path, "-r", "argus.out", "-n", "-s", "stime"]
    lines = subprocess.run(
        command, cwd=folder, capture_output=True, timeout=_COUNT_TIMEOUT_S, check=True
    ).stdout.splitlines()
    return Found(flows=max(len(lines) - 1, 0), columns=None, version=None)


def _cicflowmeter(capture: Path, folder: Path) -> list[str]:
    path = _program("cfm", "build github.com/ahlashkari/CICFlowMeter and put its bin on PATH")
    return [path, str(capture), str(folder)]


def _count_cicflowmeter(_output: str, folder: Path) -> Found:
    (table,) = folder.glob("*_Flow.csv")
    with table.open("rb") as lines:
        flows = sum(1 for _ in lines) - 1
    return Found(flows=flows, columns=_columns(table), version=None)


def _program(name: str, install: str) -> str:
    """Path of a program, system services included.

    Raises:
        NotInstalled: there is none that this user may run.
    """
    folders = os.pathsep.join((*os.get_exec_path(), *SERVICE_FOLDERS))
    path = shutil.which(name, path=folders)
    if path is None:
        what = "there but not executable" if Path(name).exists() else "not installed"
        raise NotInstalled(f"{name} is {what}: {install}")
    return str(Path(path).absolute())


def _columns(table: Path) -> int:
    with table.open(encoding="utf-8", errors="replace") as lines:
        return lines.readline().count(",") + 1
