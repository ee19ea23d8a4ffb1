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
# Debian packages of programs whose package has another name.
_PACKAGES = {
    "ab": "apache2-utils",
    "chronyd": "chrony",
    "dig": "dnsutils",
    "dnsmasq": "dnsmasq-base",
    "mosquitto_pub": "mosquitto-clients",
    "mosquitto_sub": "mosquitto-clients",
    "nc": "netcat-openbsd",
    "nginx": "nginx-light",
    "ping": "iputils-ping",
    "snmpget": "snmp",
    "snmpwalk": "snmp",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "scp": "openssh-client",
    "ssh-keygen": "openssh-client",
}


@dataclass(frozen=True, kw_only=True)
class Activity:
    """An action of people, devices or attackers.

    Attributes:
        name: of its captures.
        category: ``benign``, or the kind of attack.
        command: what the client runs, with the fields of ``Values`` in braces.
        servers: names of ``idskit.lab.lab_servers.SERVERS`` that answer.
        least, most: range of ``{count}``, a number of repetitions or items that the seed draws.
        seconds: after which the command is ended.
    """

    name: str
    category: str
    command: str
    servers: tuple[str, ...] = ()
    least: int = 10
    most: int = 40
    seconds: int = 60

    @property
    def is_attack(self) -> bool:
        """Return whether what the client sends is an attack."""
        return self.category != BENIGN

    def words(self, folder: Path, numbers: random.Random) -> list[str]:
        """Return the command line with every field filled in."""
        filled = values(folder, numbers) | {"count": numbers.randint(self.least, self.most)}
        return shlex.split(self.command.format(**filled))

    @property
    def program(self) -> str:
        """Return the program that the client runs; empty for a script of the lab itself."""
        first = shlex.split(self.command)[0]
        return "" if first.startswith("{") else first


def values(folder: Path, numbers: random.Random) -> dict[str, str | float]:
    """Draw the values of the fields in a command.

    Returns:
        server, client, network: addresses. gateway: the server's first address, from which servers
        answer that do not look at whom a datagram was for. folder: of words.txt, users.txt,
        paths.txt and key. play: runs a script of ``idskit.lab.play``. port: a random one. rate: a
        second. pause: in seconds.
    """
    return {
        "server": numbers.choice(SERVERS),
        "client": numbers.choice(CLIENTS),
        "gateway": f"{PREFIX}.1",
        "network": f"{PREFIX}.0/27",
        "folder": str(folder),
        "play": f"{shlex.quote(sys.executable)} -m idskit.lab.play",
        "port": numbers.randint(2000, 60000),
        "rate": numbers.choice((20, 50, 200, 1000)),
        "pause": numbers.choice((0.2, 0.5, 1.0)),
    }


def missing(program: str) -> str | None:
    """Return how to install a program that is missing; None where it is installed."""
    if not program or shutil.which(program):
        return None
    return f"{program} was not found: apt install {_PACKAGES.get(program, program)}"
