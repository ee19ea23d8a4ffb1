"""Names that scanners and programs of intruders give themselves, where nobody has changed them.

Scanners name themselves in the ``User-Agent`` of requests; remote-control programs in the
certificate that they come with or in what they say first; coin miners in their commands. Who wants
to hide leaves such a name out: none is no sign of good. Commands that misuse Redis are found alike.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from idskit.kernels.compile import kernel
from idskit.payload.payload_counts import Bytes, byte_at

AGENTS: Final = (
    *("sqlmap/", "nikto", "nmap scripting engine", "masscan/", "zgrab/", "gobuster/", "dirbuster"),
    *("wfuzz/", "wpscan", "(hydra)", "fuzz faster u fool", "feroxbuster/", "nuclei", "openvas"),
    *("nessus", "acunetix", "arachni", "w3af", "whatweb", "zmeu", "censysinspect", "netsparker"),
)
INTRUDERS: Final = (
    # Certificates of AsyncRAT, DcRat, Quasar, VenomRAT, BitRAT, Orcus, Cobalt Strike, PoshC2.
    *("asyncrat", "dcrat", "quasar server ca", "sxn server ca", "venomrat", "bitrat"),
    *("orcus server", "major cobalt strike", "p18055077"),
    # Conversations of njRAT, Gh0st and STRRAT; stolen passwords sent by Agent Tesla.
    *("|'|'|", "gh0st", "strrat", "stor pw_", "subject: pw_"),
    # The Stratum protocol of coin miners.
    *("mining.subscribe", "mining.authorize", "mining.submit", "eth_submitlogin", "xmrig/"),
)
# Commands by which Redis writes a file where the client wants it, or runs a module of the client.
REDIS: Final = (
    *("config\r\n$3\r\nset\r\n$3\r\ndir\r\n", "config set dir "),
    *("config\r\n$3\r\nset\r\n$10\r\ndbfilename\r\n", "config set dbfilename "),
    *("module\r\n$4\r\nload\r\n", "module load "),
)
READ = 512  # bytes that are searched
_AGENTS, _INTRUDERS, _REDIS = range(3)
_KINDS = (sorted(AGENTS), sorted(INTRUDERS), sorted(REDIS))
_BEFORE = (0, len(AGENTS), len(AGENTS) + len(INTRUDERS))
_NAMES = [name for kind in _KINDS for name in kind]
_TEXT = np.frombuffer("".join(_NAMES).encode(), np.uint8)
_ENDS = np.cumsum([0, *map(len, _NAMES)])
# The names of a kind that begin with each byte: from the first number to before the second.
_FIRST = np.array(
    [
        np.searchsorted([ord(name[0]) for name in kind], np.arange(257)) + before
        for kind, before in zip(_KINDS, _BEFORE, strict=True)
    ]
)


def _numbers() -> tuple[np.ndarray, np.ndarray]:
    """Number the bytes that names begin with, in either case, and mark the pairs that occur."""
    letters = sorted(set("".join(name[:2] for name in _NAMES)))
    of_byte = np.zeros(256, np.int64)  # 0: of all others
    for number, letter in enumerate(letters, 1):
        of_byte[[ord(letter), ord(letter.upper())]] = number
    pairs = np.zeros((len(_KINDS), _NUMBERS, _NUMBERS), bool)
    for kind, names in enumerate(_KINDS):
        for name in names:
            pairs[kind, of_byte[ord(name[0])], of_byte[ord(name[1])]] = True
    return of_byte, pairs.ravel()


_NUMBERS = 64  # at least one more than there are such bytes
_NUMBER, _BEGINNINGS = _numbers()


@kernel
def names_scanner(data: Bytes, at: int, end: int) -> bool:
    """Return whether the line at ``at``, the value of a ``User-Agent``, names a scanner."""
    behind = at
    while behind < min(end, at + READ) and byte_at(data, behind) != 13:
        behind += 1
    return _names(data, at, behind, _AGENTS)


@kernel
def names_intruder(data: Bytes, at: int, end: int) -> bool:
    """Return whether the first bytes of a payload name a program of intruders."""
    return _names(data, at, min(end, at + READ), _INTRUDERS)


@kernel
def misuses_redis(data: Bytes, at: int, end: int) -> bool:
    """Return whether the first bytes of a payload make Redis write a file or run a module."""
    return _names(data, at, min(end, at + READ), _REDIS)


@kernel
def _names(data: Bytes, at: int, end: int, kind: int) -> bool:
    """Return whether a name of a kind occurs; bytes are read as pairs until one may begin."""
    first = kind * _NUMBERS * _NUMBERS
    number = _NUMBER[data[at]] if at < end else 0
    for i in range(at, end - 1):
        following = _NUMBER[data[i + 1]]
        if _BEGINNINGS[first + number * _NUMBERS + following] and _begins(data, i, end, kind):
            return True
        number = following
    return False


@kernel
def _begins(data: Bytes, at: int, end: int, kind: int) -> bool:
    byte = _lower(byte_at(data, at))
    for name in range(_FIRST[kind, byte], _FIRST[kind, byte + 1]):
        if _is_name(data, at, end, name):
            return True
    return False


@kernel
def _is_name(data: Bytes, at: int, end: int, name: int) -> bool:
    letter, behind = _ENDS[name], _ENDS[name + 1]
    while letter < behind and at < end and _lower(byte_at(data, at)) == _TEXT[letter]:
        letter, at = letter + 1, at + 1
    return bool(letter == behind)


@kernel
def _lower(byte: int) -> int:
    return byte | 32 if 65 <= byte <= 90 else byte
