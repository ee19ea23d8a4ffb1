"""Lines of a shell in clear text: commands that are typed, prompts, and what ``id`` answers.

Where nothing else recognises a payload: a remote shell of an intruder has no protocol.
"""

from __future__ import annotations

from typing import Final

from idskit.kernels.compile import kernel
from idskit.payload.content.words import EMPTY, hash_with, hash_word
from idskit.payload.http_messages import starts_with
from idskit.payload.payload_counts import Bytes, Counts, byte_at, count, is_digit, is_letter
from idskit.schemas.payload_columns import COLUMN

_LINES, _TELNET = COLUMN["shell_lines"], COLUMN["telnet_options"]
_LONGEST_COMMAND, _LONGEST_PROMPT = 128, 80
COMMANDS: Final = (
    "whoami id uname ls pwd ps cat cd dir ipconfig ifconfig netstat hostname systeminfo tasklist "
    "wget curl chmod sudo"
)
_COMMANDS = tuple(map(hash_word, COMMANDS.split()))


@kernel
def note_shell(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Count a payload that is a command, ends with a prompt, or says who one is."""
    if counts[row + _TELNET] or end - at < 3:
        return
    if (
        _is_command(data, at, end)
        or _is_prompt(data, at, end)
        or starts_with(data, at, end, b"UID=")
        or starts_with(data, at, end, b"MICROSOFT WINDOWS ")
    ):
        count(counts, row + _LINES)


@kernel
def _is_command(data: Bytes, at: int, end: int) -> bool:
    """Return whether a payload is one line, and its first word a command in lower case."""
    if byte_at(data, end - 1) != 10 or end - at > _LONGEST_COMMAND:
        return False
    found, i = EMPTY, at
    while 97 <= byte_at(data, i) <= 122:  # the last byte is none
        found = hash_with(found, byte_at(data, i))
        i += 1
    if byte_at(data, i) not in (10, 13, 32) or found not in _COMMANDS:
        return False
    while byte_at(data, i) != 10:
        i += 1
    return i == end - 1  # no other line follows


@kernel
def _is_prompt(data: Bytes, at: int, end: int) -> bool:
    r"""Return whether the last line is a prompt: ``C:\>`` of Windows, ``user@host:~$ `` of Unix."""
    last, before = byte_at(data, end - 1), byte_at(data, end - 2)
    if last not in (32, 62):
        return False
    start = end
    while start > at and end - start < _LONGEST_PROMPT and byte_at(data, start - 1) != 10:
        start -= 1
    if end - start < 3:
        return False
    if last == 62 or (last == 32 and before == 62):
        drive = is_letter(byte_at(data, start)) and byte_at(data, start + 1) == 58
        return drive and byte_at(data, start + 2) == 92
    if last != 32 or before not in (35, 36):
        return False
    before = byte_at(data, end - 3)
    return is_letter(before) or is_digit(before) or before in (45, 46, 47, 58, 93, 126)
