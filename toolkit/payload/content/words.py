"""Words of attacks and of failures in the text of a payload, counted by what they are about.

A word is two to thirty letters, digits and underscores, in either case, as ASCII or as UTF-16: a
zero byte behind a letter is skipped, as Windows writes names of pipes and shares so. One word says
little, which is why they are counted by groups: what a model learns is "some SQL in a request",
not a signature.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from idskit.kernels.compile import kernel
from idskit.payload.payload_counts import Bytes, Counts, count
from idskit.schemas.payload_columns import WORD_GROUPS

SCANNED = 512  # bytes of a payload that are searched for words
WORDS: Final = {
    "sql": "select union insert update delete drop table sleep benchmark concat group_concat "
    "information_schema waitfor delay xp_cmdshell varchar declare substring ascii extractvalue "
    "updatexml having schema_name load_file outfile 0x",
    "script": "script alert onerror onload onmouseover onfocus document cookie iframe javascript "
    "eval fromcharcode unescape xmlhttprequest activexobject vbscript innerhtml svg expression",
    "shell": "bin bash sh ash zsh cmd powershell wget curl chmod busybox tftp nc netcat whoami "
    "uname ifconfig netstat system exec passthru shell_exec popen nohup mkfifo sudo rm cat echo "
    "ipconfig systeminfo tasklist net1 uid gid iex downloadstring invoke bypass hidden enc",
    "path": "etc passwd shadow proc self environ windows win32 system32 ini boot htaccess htpasswd "
    "wp admin phpmyadmin cgi config backup git env svn hnap1 setup login_sid boaform goform "
    "manager console actuator axis2 solr struts",
    "code": "php base64_decode base64 jndi ldap rmi dns class classloader runtime getruntime "
    "processbuilder ognl springframework getwriter allowstaticmethodaccess input phpinfo assert "
    "marshal deserialize ysoserial objectinputstream include file data expect doctype entity xxe",
    "login": "login password username passwd user pass auth authorization authenticate logon "
    "signin credentials account pwd",
    "failure": "denied incorrect failed failure invalid unauthorized forbidden wrong refused "
    "error rejected unknown locked expired 401 403 530 535",
    "windows": "ipc admin svcctl samr lsarpc lsass atsvc winreg srvsvc wkssvc epmapper spoolss "
    "netlogon drsuapi ntsvcs psexesvc psexec paexec remcom winexe wmi win32_process ntds sam "
    "mimikatz sekurlsa temp exe dll bat ps1 vbs scr msi",
    "tool": "nmap nikto sqlmap masscan zgrab gobuster dirbuster wpscan hydra nessus openvas "
    "acunetix metasploit meterpreter nuclei ffuf wfuzz burp libwww mozi mirai botnet loic slowhttp "
    "libssh paramiko go python perl ruby java",
}
_SLOTS = 1024  # of the hash table, a power of two


EMPTY, _PRIME = 2166136261, 16777619  # of the 32-bit FNV-1a hash


@kernel
def hash_with(found: int, byte: int) -> int:
    """Return the hash of a word with one more byte."""
    return ((found ^ byte) * _PRIME) & 0xFFFFFFFF


def hash_word(word: str) -> int:
    """Return the 32-bit FNV-1a hash of a word in lower case."""
    found = EMPTY
    for byte in word.encode():
        found = hash_with(found, byte)
    return found


def _table() -> tuple[np.ndarray, np.ndarray]:
    """Lay the words out in a hash table with open addressing: hashes, and groups plus one."""
    hashes, groups = np.zeros(_SLOTS, np.int64), np.zeros(_SLOTS, np.int64)
    for number, group in enumerate(WORD_GROUPS):
        for word in WORDS[group].split():
            found = hash_word(word)
            slot = found & (_SLOTS - 1)
            while groups[slot] and hashes[slot] != found:
                slot = (slot + 1) & (_SLOTS - 1)
            if not groups[slot]:
                hashes[slot], groups[slot] = found, number + 1
    return hashes, groups


_HASHES, _GROUPS = _table()
_LONGEST = 30
_LETTERS = b"abcdefghijklmnopqrstuvwxyz0123456789_"


def _of_letters(values: np.ndarray) -> np.ndarray:
    """Return the values of the letters, in either case, by byte; 0 for other bytes."""
    of_byte = np.zeros(256, values.dtype)
    of_byte[list(_LETTERS)] = of_byte[list(_LETTERS.upper())] = values
    return of_byte


def _beginnings() -> np.ndarray:
    """Return, by the numbers of two bytes, whether a listed word may begin with them."""
    found = np.zeros((_NUMBERS, _NUMBERS), bool)
    for word in " ".join(WORDS.values()).encode().split():
        first, second = _NUMBER[list(word[:2])].astype(int)
        found[first, [second, 1]] = True
    return found.ravel()


_LOWER = _of_letters(np.array(list(_LETTERS), np.int64))
_NUMBERS, _BITS = 64, np.uint64(6)
_NUMBER = _of_letters(np.arange(2, 2 + len(_LETTERS), dtype=np.uint64))
_NUMBER[0] = 1  # the zero byte, which words go on behind
_BEGINNINGS = _beginnings()


@kernel
def _group_of(found: int) -> int:
    """Return the group of the word with this hash, -1 if there is none."""
    slot = found & (_SLOTS - 1)
    while _GROUPS[slot]:
        if _HASHES[slot] == found:
            return int(_GROUPS[slot]) - 1
        slot = (slot + 1) & (_SLOTS - 1)
    return -1


@kernel
def note_words(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Count the words of each group, from counter ``row`` on.

    Most bytes are looked at only as pairs: a word is read where one of the listed may begin.
    """
    first, end = at, min(end, at + SCANNED)
    number = _NUMBER[data[at]] if at < end else _NUMBER[0]
    for i in range(at, end - 1):
        following = _NUMBER[data[i + 1]]
        if _BEGINNINGS[number << _BITS | following] and _is_start(data, first, i):
            _note_word(counts, row, data, i, end)
        number = following


@kernel
def _is_start(data: Bytes, first: int, at: int) -> bool:
    """Return whether no word that began before goes on at ``at``."""
    if at == first:
        return True
    if data[at - 1] == 0 and at - 1 > first:
        return _LOWER[data[at - 2]] == 0  # type: ignore[no-any-return]
    return _LOWER[data[at - 1]] == 0  # type: ignore[no-any-return]


@kernel
def _note_word(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Count the word that begins at ``at``, if it is listed."""
    length, found, skipped = 0, EMPTY, False
    while at < end:
        lower = _LOWER[data[at]]
        if lower:
            found = hash_with(found, lower)
            length, skipped = length + 1, False
        elif data[at] == 0 and not skipped:
            skipped = True
        else:
            break
        at += 1
    group = _group_of(found) if 2 <= length <= _LONGEST else -1
    if group >= 0:
        count(counts, row + group)
