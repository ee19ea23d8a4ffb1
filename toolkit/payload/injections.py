"""Injections in HTTP requests: what makes a server run, query, show or read what it should not.

Words alone say little (``words``); here is what SQL, scripts, commands, templates and paths look
like where a parameter should be, as the rules of the OWASP Core Rule Set describe them. A request
is read as a server reads it: escapes are resolved, twice (``%2527``), letters are lower case, and a
blank is a run of blanks, plus signs and comments (``union/**/select``).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from idskit.kernels.compile import kernel
from idskit.payload.payload_counts import Bytes, byte_at

# In the target of a request: nothing honest has these there.
IN_TARGETS: Final = (
    *("' or ", "' and ", "'or'", '" or ', "') or", "sleep(", "benchmark(", "extractvalue("),
    *(" or 1=1", " and 1=1", " and substring(", " and ascii(", "@@version"),
    *("updatexml(", "load_file(", "group_concat(", "into outfile", "waitfor delay"),
    *("<script", "<svg", "<iframe", "<img ", " onerror=", " onload=", " onmouseover=", "alert("),
    *("document.cookie", "../../", "..\\..\\", "/.env", "/.git/config", "/.htpasswd", "/.aws/"),
    *("wp-config.php", "/etc/shadow", "data://", "allow_url_include", "auto_prepend_file"),
    *(";wget", "|wget", ";cat ", "|cat ", "powershell -", "powershell.exe"),
    # What is asked for by who takes a device over: GPON, Huawei, Linksys and Netgear routers,
    # PHPUnit, Laravel, WebLogic, JBoss, FortiGate, F5, ThinkPHP; and by who looks for one.
    *("gponform/diag_form", "ctrlt/deviceupgrade", "tmunblock.cgi", "next_file=netgear.cfg"),
    *("phpunit/src/util/php/eval-stdin", "_ignition/execute-solution", "wls-wsat/"),
    *("jmxinvokerservlet", "remote/fgt_lang", "mgmt/tm/util/bash", "invokefunction&function="),
    *("nice ports,", "nmaplowercheck", "w00tw00t", "muieblackcat"),
)
# In the target, the header lines or the first bytes of the body.
ANYWHERE: Final = (
    *("union select", "union all select", "information_schema", "xp_cmdshell"),
    *("/etc/passwd", "/bin/sh", "/bin/bash", "cmd.exe", "wget http", "busybox", "cd /tmp"),
    *("${jndi:", "${${", ": () {", "%{(", "<?php", "php://", "base64_decode("),
    *("class.module.classloader", "call_user_func_array"),
)
READ = 1024  # bytes behind the target that are read
_BLANK, _PERCENT, _PLUS, _SLASH, _STAR, _WIDE_BLANK = 32, 37, 43, 47, 42, 160
_FORMS = sorted(IN_TARGETS + ANYWHERE)
_TEXT = np.frombuffer("".join(_FORMS).encode(), np.uint8)
_ENDS = np.cumsum([len(form) for form in _FORMS])
_IS_ANYWHERE = np.array([form in ANYWHERE for form in _FORMS])
# The forms that begin with each byte: from the first number to before the second.
_FIRST = np.searchsorted([ord(form[0]) for form in _FORMS], np.arange(257))


@kernel
def has_injection(data: Bytes, target: int, target_end: int, end: int) -> bool:
    """Return whether a request holds an injection.

    Args:
        data: the buffer that it lies in.
        target: where its target begins.
        target_end: where the target ends and the rest of the request begins.
        end: of the payload; ``READ`` bytes behind the target are read.
    """
    return _holds(data, target, target_end, False) or _holds(
        data, target_end, min(end, target_end + READ), True
    )


@kernel
def _holds(data: Bytes, at: int, end: int, is_behind: bool) -> bool:
    """Return whether one of the forms is between two places; behind the target only some count."""
    while at < end:
        byte, behind = _decoded(data, at, end)
        byte = _BLANK if _is_blank(byte) else byte
        for form in range(_FIRST[byte], _FIRST[byte + 1]):
            if (_IS_ANYWHERE[form] or not is_behind) and _is_form(data, at, end, form):
                return True
        at = behind
    return False


@kernel
def _is_form(data: Bytes, at: int, end: int, form: int) -> bool:
    for i in range(_ENDS[form - 1] if form else 0, _ENDS[form]):
        if _TEXT[i] == _BLANK:
            behind = _behind_blanks(data, at, end)
            if behind == at:
                return False
        else:
            if at >= end:
                return False
            byte, behind = _decoded(data, at, end)
            if byte != _TEXT[i]:
                return False
        at = behind
    return True


@kernel
def _behind_blanks(data: Bytes, at: int, end: int) -> int:
    """Return where blanks and comments at ``at`` end; ``at`` where there are none."""
    while at < end:
        byte, behind = _decoded(data, at, end)
        if byte == _SLASH and behind < end and _decoded(data, behind, end)[0] == _STAR:
            behind = _behind_comment(data, behind, end)
        elif not _is_blank(byte):
            return at
        at = behind
    return at


@kernel
def _behind_comment(data: Bytes, at: int, end: int) -> int:
    """Return where a comment ends, of which ``at`` is the first star."""
    _, at = _decoded(data, at, end)
    star = False
    while at < end:
        byte, at = _decoded(data, at, end)
        if star and byte == _SLASH:
            return at
        star = byte == _STAR
    return at


@kernel
def _is_blank(byte: int) -> bool:
    return byte <= _BLANK or byte in (_PLUS, _WIDE_BLANK)


@kernel
def _decoded(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return the byte at ``at``, its escapes resolved, in lower case, and where the next begins."""
    byte, behind = byte_at(data, at), at + 1
    for _ in range(2):
        if byte != _PERCENT or behind + 2 > end:
            break
        high, low = _hex(byte_at(data, behind)), _hex(byte_at(data, behind + 1))
        if high < 0 or low < 0:
            break
        byte, behind = 16 * high + low, behind + 2
    return (byte | 32 if 65 <= byte <= 90 else byte), behind


@kernel
def _hex(byte: int) -> int:
    """Return the value of a hexadecimal digit, -1 of another byte."""
    if 48 <= byte <= 57:
        return byte - 48
    letter = byte | 32
    return letter - 87 if 97 <= letter <= 102 else -1
