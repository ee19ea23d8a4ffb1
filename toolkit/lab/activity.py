"""Activities of the lab as data: a command, what it needs and what it is."""

from __future__ import annotations

import random
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from idskit.lab.namespaces import CLIENTS, PREFIX, SERVERS

BENIGN = "benign"
SCRATCH = "scratch"  # a folder in the lab's own, empty before each activity
# Debian packages of programs whose package has another name.
_PACKAGES = {
    "ab": "apache2-utils",
    "aria2c": "aria2",
    "apt-get": "apt",
    "arpspoof": "dsniff",
    "chronyd": "chrony",
    "dig": "dnsutils",
    "dnsmasq": "dnsmasq-base",
    "in.tftpd": "tftpd-hpa",
    "iodined": "iodine",
    "ldapsearch": "ldap-utils",
    "mariadb": "mariadb-client",
    "mariadbd": "mariadb-server",
    "mosquitto_pub": "mosquitto-clients",
    "mosquitto_sub": "mosquitto-clients",
    "nc": "netcat-openbsd",
    "nginx": "nginx-light",
    "ping": "iputils-ping",
    "redis-cli": "redis-tools",
    "smbd": "samba",
    "snmpbulkwalk": "snmp",
    "snmpget": "snmp",
    "snmpset": "snmp",
    "snmptrap": "snmp",
    "snmpwalk": "snmp",
    "sshd": "openssh-server",
    **dict.fromkeys(("ssh", "scp", "sftp", "ssh-keygen"), "openssh-client"),
}


@dataclass(frozen=True, kw_only=True)
class Activity:
    """An action of people, devices or attackers.

    Attributes:
        name: of its captures.
        category: ``benign``, or the kind of attack.
        command: what the client runs, with the fields of ``Values`` in braces.
        servers: names of ``idskit.lab.lab_servers.SERVERS`` that answer.
        needs: programs that the command runs and does not begin with.
        least, most: range of ``{count}``, a number of repetitions or items that the seed draws.
        seconds: after which the command is ended.
        has_flows: whether it sends anything above ARP.

    Fields of the command: those of ``values``, ``{count}``, and ``{scratch}``, a folder.
    """

    name: str
    category: str
    command: str
    servers: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    least: int = 10
    most: int = 40
    seconds: int = 60
    has_flows: bool = True

    @property
    def is_attack(self) -> bool:
        """Return whether what the client sends is an attack."""
        return self.category != BENIGN

    def words(self, folder: Path, numbers: random.Random, scratch: str = SCRATCH) -> list[str]:
        """Return the command line with every field filled in."""
        filled = (
            values(folder, numbers)
            | {"scratch": str(folder / scratch)}
            | {"count": numbers.randint(self.least, self.most)}
        )
        return shlex.split(self.command.format(**filled))

    @property
    def programs(self) -> tuple[str, ...]:
        """Return the programs that the client runs; scripts of the lab itself are none."""
        first = shlex.split(self.command)[0]
        return self.needs if first.startswith("{") else (first, *self.needs)


def attack(
    name: str,
    category: str,
    command: str,
    *servers: str,
    needs: tuple[str, ...] = (),
    least: int = 10,
    most: int = 40,
    seconds: int = 60,
) -> Activity:
    """Return an attack."""
    return Activity(
        name=name,
        category=category,
        command=command,
        servers=servers,
        needs=needs,
        least=least,
        most=most,
        seconds=seconds,
    )


def benign(
    name: str,
    command: str,
    *servers: str,
    needs: tuple[str, ...] = (),
    least: int = 10,
    most: int = 40,
    seconds: int = 60,
) -> Activity:
    """Return what people, programs and devices do."""
    more = {"least": least, "most": most, "seconds": seconds}
    return attack(name, BENIGN, command, *servers, needs=needs, **more)


def played(script: str, more: str = "", count: str = "{count}") -> str:
    """Return the command that runs a script of ``idskit.lab.play``."""
    return f"{{play}} {script} {{server}} {count} {{pause}} {more}"


def attack_script(name: str, category: str, script: str, *servers: str, more: str = "") -> Activity:
    """Return an attack that a script plays."""
    return attack(name, category, played(script, more), *servers)


def benign_script(
    name: str,
    script: str,
    *servers: str,
    more: str = "",
    least: int = 10,
    most: int = 40,
) -> Activity:
    """Return what people, programs and devices do, played by a script."""
    return benign(name, played(script, more), *servers, least=least, most=most)


def values(folder: Path, numbers: random.Random) -> dict[str, str | float]:
    """Draw the values of the fields in a command.

    Returns:
        server, other, client, network: addresses. gateway: the server's first address, from which
        servers answer that do not look at whom a datagram was for. folder: of what
        ``idskit.lab.site_files`` writes. ssh: options of ssh, scp
        and sftp. play: runs a script of ``idskit.lab.play``. port: a random one. rate: a second.
        pause: in seconds. size: in bytes.
    """
    return {
        "server": numbers.choice(SERVERS),
        "other": numbers.choice(SERVERS),
        "client": numbers.choice(CLIENTS),
        "gateway": f"{PREFIX}.1",
        "network": f"{PREFIX}.0/27",
        "folder": str(folder),
        "ssh": f"-F {folder}/ssh.conf",
        "play": f"{shlex.quote(sys.executable)} -m idskit.lab.play",
        "port": numbers.randint(2000, 60000),
        "rate": numbers.choice((20, 50, 200, 1000)),
        "pause": numbers.choice((0.2, 0.5, 1.0)),
        "size": numbers.choice((64, 300, 900, 1400)),
    }


def missing(program: str) -> str | None:
    """Return how to install a program that is missing; None where it is installed."""
    if not program or shutil.which(program):
        return None
    return f"{program} was not found: apt install {_PACKAGES.get(program, program)}"
