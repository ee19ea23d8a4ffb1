"""The systemd unit of the service: what it may do, and what happens when it ends.

Its exposure by ``systemd-analyze security`` is at most 2.0. MemoryDenyWriteExecute= is left out on
purpose: kernels are compiled at run time, and numba refuses to be imported under it.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from idskit.errors import IdskitError
from idskit.files.output import reason

UNIT = Path("/etc/systemd/system/idskit.service")
CONFIGURATION = Path("/etc/idskit/idskit.toml")
_SIMPLE = frozenset("/._-+")  # and letters and digits: what ExecStart= takes without quotes

_TEXT = """\
# Written by `idskit service install`; changes belong in a drop-in: systemctl edit idskit
[Unit]
Description=Network intrusion detection (idskit)
After=network.target
StartLimitIntervalSec=900
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
ExecStart={command} run{configuration}
# A configuration with an error changes nothing: it is tested first.
ExecReload={command} run -T{configuration}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=10
# A wrong configuration or command line: starting again would not help.
RestartPreventExitStatus=2
# Fed by the loop that moves packets. While kernels compile, the service asks for more time.
WatchdogSec=60
TimeoutStartSec=120
TimeoutStopSec=60

DynamicUser=yes
StateDirectory=idskit
StateDirectoryMode=0700
CacheDirectory=idskit
CacheDirectoryMode=0700
Environment=NUMBA_CACHE_DIR=%C/idskit ORT_DISABLE_TELEMETRY=1 PYTHONDONTWRITEBYTECODE=1
MemoryMax=700M
Nice=-5
OOMScoreAdjust=-200

# Reading packets needs this one capability, and nothing gets another.
AmbientCapabilities=CAP_NET_RAW
CapabilityBoundingSet=CAP_NET_RAW
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProcSubset=all
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private
UMask=0077
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# The page gives up what rights the service has, in a process of its own.
SystemCallFilter=capset landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallErrorNumber=EPERM
# MemoryDenyWriteExecute= is left out: kernels are compiled at run time (numba).
# ProcSubset= is all: /proc/net names the default route, and /proc/meminfo the memory.

[Install]
WantedBy=multi-user.target
"""


def unit_text(command: Path, configuration: Path | None = None) -> str:
    """Return the unit that runs ``command``, the absolute path of idskit.

    Raises:
        IdskitError: a path has characters that a unit would take for something else.
    """
    for path in filter(None, (command, configuration)):
        if not path.is_absolute() or any(not (c.isalnum() or c in _SIMPLE) for c in str(path)):
            raise IdskitError(
                f"{path} cannot stand in a unit: install idskit and its configuration under an "
                "absolute path of letters, digits and /._-+"
            )
    is_home = command.parts[1:2] in (("home",), ("root",))
    return _TEXT.format(
        command=command,
        configuration="" if configuration is None else f" -c {configuration}",
        home="read-only" if is_home else "yes",
    )


def installed_command() -> Path:
    """Return the absolute path of the idskit that runs now.

    Raises:
        IdskitError: it was not started by that name.
    """
    neighbour = Path(sys.executable).with_name("idskit")
    found = str(neighbour) if neighbour.exists() else shutil.which("idskit")
    if found is None:
        raise IdskitError(
            f"no program idskit was found next to {sys.executable} or in PATH: install it there "
            "(pip install idskit, as root into /opt/idskit)"
        )
    return Path(found).absolute()


def install(text: str, unit: Path = UNIT) -> None:
    """Write the unit, whole or not at all.

    Raises:
        IdskitError: there is no systemd, or this user may not write there.
    """
    if not unit.parent.is_dir():
        raise IdskitError(
            f"{unit.parent} does not exist: this machine has no systemd; use --print and the "
            "service manager of this machine, or compose.yaml"
        )
    partial = unit.with_name(f".{unit.name}.{os.getpid()}")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(partial, flags, 0o644), "w") as file:
            file.write(text)
        partial.replace(unit)
    except OSError as error:
        raise IdskitError(
            f"{unit} cannot be written: {reason(error)}; run it as root, or use --print"
        ) from error
