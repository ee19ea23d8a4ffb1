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
from idskit.payload.payload_counts import Bytes, Counts, byte_at, count, is_digit, is_letter
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
def _end_word(counts: Counts, row: int, length: int, found: int) -> None:
    if 2 <= length <= _LONGEST:
        group = _group_of(found)
        if group >= 0:
            count(counts, row + group)


@kernel
def note_words(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Count the words of each group, from counter ``row`` on."""
    end = min(end, at + SCANNED)
    length, found, skipped = 0, EMPTY, False
    for i in range(at, end):
        byte = byte_at(data, i)
        if is_letter(byte) or is_digit(byte) or byte == 95:
            lower = byte | 32 if is_letter(byte) else byte
            found = hash_with(found, lower)
            length, skipped = length + 1, False
        elif byte == 0 and length and not skipped:
            skipped = True
        else:
            _end_word(counts, row, length, found)
            length, found, skipped = 0, EMPTY, False
    _end_word(counts, row, length, found)
