"""Messages that only intruders send, and their honest neighbours, as in ``messages``."""

from __future__ import annotations

import struct

from tests.payload.messages import (
    Message,
    big,
    bind,
    record,
    rpc,
    smb1,
    smb2,
)


def login(fields: bytes) -> bytes:
    return b"POST /in HTTP/1.1\r\nUser-Agent: x\r\n\r\n" + fields


def asked_by(agent: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nUser-Agent: " + agent + b"\r\n\r\n"


def tree(path: str) -> bytes:
    return smb2(3, body=struct.pack("<HHHH", 9, 0, 72, 2 * len(path)) + path.encode("utf-16-le"))


def resp(*words: bytes) -> bytes:
    """A command of Redis."""
    return b"".join((b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)))


POSTED = {
    **{"http_posts": 1, "uri_length": 3, "uri_depth": 1, "http_lines": 3, "usual_port": 1},
}
GOT = {**{"http_gets": 1, "uri_length": 1, "uri_depth": 1, "http_lines": 3, "usual_port": 1}}
CERTIFICATE = b"\x0b" + big(900, 3) + big(897, 3) + bytes(60) + b"\x0c\x0eAsyncRAT Server"
TREE = {"smb2_messages": 1, "smb_trees": 1}

MESSAGES = [
    Message("a login", login(b"user=a&password=b"), 80, POSTED | {"form_passwords": 1}),
    Message("a login of a blog", login(b"log=a&pwd=b"), 80, POSTED | {"form_passwords": 1}),
    Message("a search", login(b"q=password"), 80, POSTED),
    Message(
        "a login behind its head", b"user=a&PASSWD=b", 80, {"form_passwords": 1}, known=False
    ),
    Message("an answer like it", b"user=a&passwd=b", 80, {}, forward=False, known=False),
    Message("a short field", b"pwd=b", 80, {"form_passwords": 1}, known=False),
    Message("sqlmap", asked_by(b"sqlmap/1.7#stable"), 80, GOT | {"scanner_requests": 1}),
    Message(
        "nmap",
        asked_by(b"Mozilla/5.0 (compatible; Nmap Scripting Engine)"),
        80,
        GOT | {"scanner_requests": 1},
    ),
    Message("a browser", asked_by(b"Mozilla/5.0 (X11; Linux)"), 80, GOT),
    Message(
        "a certificate of a remote-control program",
        record(22, CERTIFICATE),
        8808,
        {"tls_data_records": 1, "intruder_names": 1, "usual_port": -1},
        forward=False,
    ),
    Message(
        "a certificate",
        record(22, CERTIFICATE.replace(b"AsyncRAT", b"Async IO")),
        443,
        {"tls_data_records": 1, "usual_port": 1},
        forward=False,
    ),
    Message(
        "a coin miner",
        b'{"id":1,"method":"mining.subscribe","params":["xmrig"]}\n',
        3333,
        {"intruder_names": 1},
        known=False,
    ),
    Message("njRAT", b"ll|'|'|SGFjS2Vk|'|'|PC|'|'|", 5552, {"intruder_names": 1}, known=False),
    Message(
        "an upload of stolen passwords",
        b"STOR PW_admin-PC.html\r\n",
        21,
        {"intruder_names": 1},
        known=False,
    ),
    Message("an upload", b"STOR password.html\r\n", 21, {}, known=False),
    Message(
        "redis that writes elsewhere",
        resp(b"CONFIG", b"SET", b"dir", b"/root/.ssh"),
        6379,
        {"redis_misuses": 1},
        known=False,
    ),
    Message("redis", resp(b"CONFIG", b"GET", b"dir"), 6379, {}, known=False),
    Message(
        "imap that refuses",
        b"a1 NO [AUTHENTICATIONFAILED] no\r\n",
        143,
        {"imap_refusals": 1},
        forward=False,
    ),
    Message("imap that refuses in words", b"2 NO Login failed\r\n", 143, {"imap_refusals": 1},
            forward=False),
    Message("imap without a box", b"a2 NO no such box\r\n", 143, {}, forward=False, known=False),
    Message("a drive", tree(r"\\10.0.0.5\C$"), 445, TREE | {"smb_admin_shares": 1}),
    Message("the Windows folder", tree(r"\\dc\ADMIN$"), 445, TREE | {"smb_admin_shares": 1}),
    Message("pipes", tree(r"\\dc\IPC$"), 445, TREE),
    Message("a hidden share", tree(r"\\dc\plans$"), 445, TREE),
    Message(
        "a drive by smb1",
        smb1(0x75, body=bytes(20) + b"\\\\10.0.0.5\\c$\0A:\0", flags=0x18),
        445,
        {"smb1_messages": 1, "smb_trees": 1, "smb_admin_shares": 1},
    ),
    Message("bind to accounts", bind(0x12345778, bytes.fromhex("456789ac")), 49_155, {
        "rpc_binds": 1, "rpc_directory_binds": 1, "rpc_interface": 9}),
    Message("bind to policies", bind(0x12345778, bytes.fromhex("456789ab")), 49_155, {
        "rpc_binds": 1, "rpc_directory_binds": 1}),
    Message("bind to a workstation", bind(0x6BFFD098), 49_155, {
        "rpc_binds": 1, "rpc_directory_binds": 1, "rpc_interface": 10}),
    Message("rpc without a bind", rpc(0, struct.pack("<IHH", 0, 0, 13)), 135, {
        "rpc_requests": 1}),
]  # fmt: skip
