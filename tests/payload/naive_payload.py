"""The columns of payloads by their definitions (toolkit/payload/README.md), in plain Python.

Slow and obvious: whole byte strings, regular expressions and ``struct``. Nothing of the parsers is
used but the list of words and the names of the columns.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable

from tests.payload.naive_devices import Devices
from tests.payload.naive_tally import number_of
from tests.payload.naive_windows import Windows

from idskit.payload.content.given_names import AGENTS, INTRUDERS, REDIS
from idskit.payload.content.words import WORDS
from idskit.payload.injections import ANYWHERE, IN_TARGETS
from idskit.payload.shell_lines import COMMANDS
from idskit.schemas.payload_columns import PAYLOAD, WORD_GROUPS

TCP, UDP, ICMP = 6, 17, (1, 58)
Said = tuple[
    bytes, bool, int
]  # held bytes, whether forward, number of the payload in its direction

CLASSES = {
    "letters": rb"[A-Za-z]",
    "digits": rb"[0-9]",
    "marks": rb"[!-/:-@\[-`{-~]",
    "blanks": rb"[\t\n\r ]",
    "controls": rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]",
    "zeros": rb"\0",
    "high": rb"[\x80-\xff]",
}
GROUPS = {word: group for group in reversed(WORD_GROUPS) for word in WORDS[group].split()}
WEB = {80, 81, 554, 591, 1900, 3128, 5000, 5060, 5985, 8000, 8008, 8080, 8081, 8088, 8554, 8888}
SECURE = {443, 465, 563, 636, 853, 989, 990, 992, 993, 994, 995, 3389, 4433, 5061, 8443}
USUAL = {"web": WEB, "secure": SECURE, "shell": {22, 2222}, "names": {53, 5353, 5355}}
TELNET_REFUSAL = re.compile(rb"(?i)incorrect|invalid|failed|failure|denied")
PASSWORD = re.compile(rb"(?i)(password|passwd|pass|pwd)(=|\":)")
REFUSED = {401, 403, 407}


def payload_columns(
    said: Iterable[Said], protocol: int, src_port: int, dst_port: int
) -> list[float]:
    """All columns of a flow, in the order of the schema."""
    notes = Notes(protocol, src_port, dst_port)
    for data, forward, number in said:
        notes.note(data[:2048], "fwd" if forward else "bwd", number)
    if protocol not in ICMP and dst_port:
        notes.values["dst_port_class"] = 1 + (dst_port >= 1024) + (dst_port >= 49152)
    return [float(notes.values[feature.name]) for feature in PAYLOAD]


def injected(text: bytes, forms: tuple[str, ...]) -> bool:
    """Whether one of the forms is in the text that escapes of escapes stand for."""
    plain = re.sub(
        rb"(?s)%(?:25)?([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), text
    ).lower()
    blanks = rb"(?:[\x00-\x20+\xa0]|/\*.*?(?:\*/|\Z))+"
    found = (blanks.join(map(re.escape, form.encode().split(b" "))) for form in forms)
    return any(re.search(b"(?s)" + form, plain) for form in found)


def named(text: bytes, names: tuple[str, ...]) -> bool:
    """Whether the first 512 bytes hold one of the names."""
    return any(name.encode() in text[:512].lower() for name in names)


class Notes(Windows, Devices):
    def __init__(self, protocol: int, src_port: int, dst_port: int) -> None:
        super().__init__()
        self.protocol, self.src_port, self.dst_port = protocol, src_port, dst_port

    def service(self, ports: set[int]) -> int:
        """The destination port if it is one of these, else the source port if that is, else 0."""
        return next((port for port in (self.dst_port, self.src_port) if port in ports), 0)

    def note(self, data: bytes, side: str, number: int) -> None:
        if not data or number > 64:
            return
        if number == 1:
            self.classes(data[:256], side)
        if number <= 4:
            self.words(data[:512], side)
            self.executable(data, side)
        kind = ""
        if self.protocol == TCP:
            kind = self.tcp(data, side)
            is_body = number <= 4 or self.values["http_posts"]
            if not kind and side == "fwd" and is_body and re.match(rb"[A-Za-z{]", data):
                self.form(data)
            if not kind and number <= (16 if self.dst_port in (21, 25, 587) else 4):
                self.unknown(data, side)
                if side == "bwd" and self.refuses(data, number):
                    self.add("service_refusals")
        elif self.protocol == UDP:
            kind = self.udp(data)
        if not kind:
            self.add(f"{side}_unknown_packets")
        elif kind != "other":
            usual = {self.src_port, self.dst_port} & USUAL[kind]
            self.values["usual_port"] = 1 if usual else -1

    # Whatever the protocol.

    def classes(self, head: bytes, side: str) -> None:
        for name, pattern in CLASSES.items():
            self.values[f"{side}_{name}_bytes"] = len(re.findall(pattern, head)) / len(head)
        self.values[f"{side}_distinct_bytes"] = len(set(head)) / len(head)
        runs = [len(found.group()) for found in re.finditer(rb"(?s)(.)\1*", head)]
        tokens = [len(found) for found in re.findall(rb"[\w+/=-]+", head)]
        self.values[f"{side}_run_bytes"] = max(runs)
        self.values[f"{side}_token_bytes"] = max(tokens, default=0)

    def words(self, head: bytes, side: str) -> None:
        for found in re.findall(rb"(?:\w\0?)+", head):
            word = found.replace(b"\0", b"").lower().decode()
            if 2 <= len(word) <= 30 and word in GROUPS:
                self.add(f"{side}_{GROUPS[word]}_words")

    def executable(self, data: bytes, side: str) -> None:
        begins = [data]
        if len(data) >= 16 and re.match(rb"[A-Za-z]", data) and b"\r\n\r\n" in data[:508]:
            begins.append(data.split(b"\r\n\r\n", 1)[1])
        if any(len(b) >= 4 and b.startswith((b"MZ", b"\x7fELF")) for b in begins):
            self.add(f"{side}_executable_packets")

    def unknown(self, data: bytes, side: str) -> None:
        if named(data, INTRUDERS):
            self.add("intruder_names")
        if side == "fwd" and re.match(rb"(?i)[*cm]", data) and named(data, REDIS):
            self.add("redis_misuses")

    def refuses(self, data: bytes, number: int) -> bool:
        """Whether a server says that a password is wrong: MySQL, PostgreSQL, SQL Server, RFB."""
        if self.dst_port == 3306:
            return data[4:7] in (b"\xff\x15\x04", b"\xff\xa2\x06")
        if self.dst_port == 5432:
            return bool(re.match(rb"(?s)E.{4}.*?C28(000|P01)", data[:128]))
        if self.dst_port == 1433:
            return data[:1] == b"\4" and data[8:9] == b"\xaa" and data[11:15] == b"\x18H\0\0"
        is_screen = 5900 <= self.dst_port <= 5909
        return is_screen and number >= 3 and data[:4] == b"\0\0\0\1"

    # Which protocol.

    def tcp(self, data: bytes, side: str) -> str:
        if self.tls(data):
            return "secure"
        if re.match(rb"[A-Za-z0-9*+-]", data):
            if self.request(data) or self.response(data):
                return "web"
            if data.startswith(b"SSH-") and len(data) >= 8:
                self.add("ssh_banners")
                return "shell"
            if self.line(data):
                return "other"
        found = self.binary(data) or self.by_tcp_port(data)
        if not found and self.dst_port not in (23, 2323):
            self.shell(data)
        elif not found and side == "bwd" and TELNET_REFUSAL.search(data[:512]):
            self.add("telnet_refusals")
        return found

    def shell(self, data: bytes) -> None:
        command = re.fullmatch(rb"([a-z]+)([ \r][^\n]*)?\n", data)
        is_command = command and command.group(1).decode() in COMMANDS.split() and len(data) <= 128
        line = data[-80:].rsplit(b"\n", 1)[-1]
        is_prompt = re.fullmatch(rb"(?s)[A-Za-z]:\\(.*)> ?|.*[A-Za-z0-9./:\]~-][#$] ", line)
        says = re.match(rb"(?i)uid=|Microsoft Windows ", data)
        if (
            len(data) >= 3
            and not self.values["telnet_options"]
            and (is_command or is_prompt or says)
        ):
            self.add("shell_lines")

    def binary(self, data: bytes) -> str:
        first = data[0]
        if first == 0:
            if self.smb(data):
                return "other"
            if self.service({22, 2222}) and self.key_exchange(data):
                return "shell"
        elif first == 3 and len(data) >= 7 and data[1] == 0:
            return "other" if self.desktop(data) or self.s7(data) else ""
        elif first == 5:
            return "other" if self.dnp3(data) or self.rpc(data) else ""
        elif first == 255 and len(data) >= 3 and 250 <= data[1] <= 254:
            self.add("telnet_options")
            return "other"
        return ""

    def by_tcp_port(self, data: bytes) -> str:
        parsers = {
            **{53: self.dns, 5353: self.dns, 88: self.kerberos, 389: self.ldap, 3268: self.ldap},
            **{502: self.modbus, 1883: self.mqtt, 2404: self.iec104, 44818: self.ethernet_ip},
        }
        port = self.service(set(parsers))
        if not port:
            return ""
        if port in (53, 5353):
            return "names" if self.dns(data[2:]) else ""
        return "other" if parsers[port](data) else ""

    def udp(self, data: bytes) -> str:
        parsers = {
            **{53: self.dns, 5353: self.dns, 5355: self.dns, 67: self.dhcp, 68: self.dhcp},
            **{123: self.ntp, 161: self.snmp, 162: self.snmp, 88: self.kerberos},
            **{389: self.ldap, 47808: self.bacnet},
        }
        port = self.service(set(parsers))
        if port:
            found = parsers[port](data)
            return "" if not found else "names" if port in (53, 5353, 5355) else "other"
        if self.quic(data):
            return "secure"
        return "other" if self.request(data) or self.response(data) else ""

    # Text.

    def request(self, data: bytes) -> bool:
        found = re.match(rb"([A-Z_-]{3,17}) ([^\x00-\x20]*)", data)
        if not found:
            return False
        method, target = found.groups()
        rest = data[found.end() :]
        if re.match(rb"(?i) (SIP|RTSP)/", rest):
            self.authorization(rest)
            return self.add("sip_requests")
        if method == b"NOTIFY" or method.startswith(b"M-SEARCH"):
            return self.add("ssdp_messages")
        if method not in (b"GET", b"POST") and not re.match(rb"(?i) HTTP/", rest):
            return False
        self.add({b"GET": "http_gets", b"POST": "http_posts"}.get(method, "http_other_methods"))
        self.values["asked"] = number_of(target)
        self.target(target)
        self.head(rest[:1024])
        self.authorization(rest)
        self.form(data[found.start(2) :])
        if target.lower().startswith(b"/wsman"):
            self.add("wsman_requests")
        if injected(target, ANYWHERE + IN_TARGETS) or injected(rest[:1024], ANYWHERE):
            self.add("http_injections")
        return True

    def authorization(self, rest: bytes) -> None:
        given = re.search(rb"(?i)\n((proxy-)?authorization:[^\x00-\x1f]*)", rest)
        self.values["credentials"] = number_of(given[1]) if given else 0

    def form(self, data: bytes) -> None:
        field = PASSWORD.search(data[:1024])
        if field:
            self.add("form_passwords")
            value = re.match(rb" ?[^\x00-\x20&,}]*", data[field.end() :])
            self.values["credentials"] = number_of(value[0] if value else b"")

    def target(self, target: bytes) -> None:
        def count(pattern: bytes) -> int:
            return len(re.findall(pattern, target))

        self.most("uri_length", len(target))
        self.most("uri_digits", count(rb"\d"))
        self.most("uri_escapes", count(b"%"))
        self.most("uri_marks", count(rb"[\"$'()*;<>\[\\\]`{|}]"))
        self.most("uri_depth", count(b"/"))
        self.most("uri_parameters", count(b"="))
        self.most("uri_parents", count(rb"(?=\.\.[%/\\])"))

    def head(self, head: bytes) -> None:
        self.most("http_lines", head.count(b"\n"))
        for host in re.findall(rb"(?i)\nHost: ([0-9.]{3,15}(?=[\r\n :])|\[)", head):
            if host == b"[" or host.count(b".") == 3:
                self.add("http_address_hosts")
        for agent in re.findall(rb"(?i)\nUser-Agent:([^\r]*)", head):
            if named(agent, AGENTS):
                self.add("scanner_requests")
        if b"\n" in head and not re.search(rb"(?i)\nUser-Agent:", head):
            self.add("http_without_agent")

    def response(self, data: bytes) -> bool:
        found = re.match(rb"(?i)HTTP/|SIP/2\.0 |RTSP/", data)
        if not found:
            return False
        status = re.match(rb"[^ ]{0,15} (\d{3})", data)
        if not status:
            return True
        code = int(status.group(1))
        if code in REFUSED:
            self.add("login_refusals")
            if not self.values["credentials"] or re.search(rb'(?i)stale=("true|true)', data[:1024]):
                self.add("challenges")
        if found.group().upper() != b"HTTP/":
            return self.add("replies_fine" if code < 400 else "replies_refused")
        if code < 400:
            return self.add("http_ok" if code < 300 else "http_moved")
        if code not in REFUSED:
            self.put("missing" if code == 404 else "failed", self.values["asked"])
        special = {404: "http_not_found", **dict.fromkeys(REFUSED, "http_refused")}
        return self.add(special.get(code, "http_errors"))

    def line(self, data: bytes) -> bool:
        said = re.match(rb"[^\x00-\x1f]*", data)
        line = said[0] if said else b""
        if re.match(rb"(?i)(PASS|USER|AUTH) ", data[:5]):
            given = self.values["credentials"] if line[:1] in b"Pp" else 0
            is_given = re.match(rb"(?i)(PASS|USER|AUTH PLAIN(?= .)) ", line)
            self.values["credentials"] = number_of(line, given) if is_given else 0
            return self.add("logins")
        reply = re.match(rb"([1-5]\d\d)[ -]", data)
        if reply:
            code = int(reply.group(1))
            if code in (430, 530, 535):
                self.add("login_refusals")
            return self.add("replies_fine" if code < 400 else "replies_refused")
        if re.match(rb"(?is)\+OK.", data):
            return self.add("replies_fine")
        if re.match(rb"(?i)-(ERR|WRONGPASS|NOAUTH)", data):
            return self.add("replies_refused", "login_refusals")
        refusal = re.match(rb"(?i)[a-z0-9]{0,16} NO ([^\n]*)", data)
        if refusal and re.search(rb"(?i)login|authentication", refusal.group(1)):
            return self.add("imap_refusals")
        if re.match(rb"(?i)PORT (?:[^,]*,){4}[0-3],", line):
            self.add("ftp_bounces")
        command = re.match(rb"(?i)[a-z0-9]{0,16}( LOGIN .*)", line)
        if command:
            self.values["credentials"] = number_of(command[1])
        return bool(re.match(rb"(?i)\* OK", data))

    # What is encrypted.

    def tls(self, data: bytes) -> bool:
        if len(data) < 6:
            return False
        kind, major, minor, size = struct.unpack_from(">BBBH", data)
        if major != 3 or minor > 4 or not 0 < size <= 18432 or not 20 <= kind <= 24:
            return False
        if kind != 22:
            return self.add({21: "tls_alerts", 24: "tls_heartbeats"}.get(kind, "tls_data_records"))
        hello = data[5:]
        if hello[0] in (2, 11) and named(hello, INTRUDERS):
            self.add("intruder_names")
        kinds = {1: "tls_client_hellos", 2: "tls_server_hellos"}
        is_hello = len(hello) >= 6 and hello[4] == 3 and hello[0] in kinds
        if is_hello and hello[0] == 1:
            self.client_hello(hello)
        return self.add(kinds[hello[0]] if is_hello else "tls_data_records")

    def client_hello(self, hello: bytes) -> None:
        if len(hello) < 40:
            return
        self.most("tls_version", min(hello[5], 4))
        rest = hello[39 + hello[38] :]  # behind the session identifier
        if len(rest) < 4:
            return
        size, cipher = struct.unpack_from(">HH", rest)
        self.most("tls_ciphers", size // 2)
        self.most("tls_grease", cipher in {0x0A0A + 0x1010 * i for i in range(16)})
        rest = rest[2 + size :]
        rest = rest[1 + rest[0] :] if rest else b""  # behind the compression methods
        if len(rest) < 2:
            return
        (size,) = struct.unpack_from(">H", rest)
        rest, count = rest[2 : 2 + size], 0
        while len(rest) >= 4:
            kind, size = struct.unpack_from(">HH", rest)
            if kind == 0:
                self.most("tls_name_length", size - 5)
            elif kind == 16:
                self.most("tls_protocols", 1)
            elif kind == 43:
                self.most("tls_version", 4)
            rest, count = rest[4 + size :], count + 1
        self.most("tls_extensions", count)

    def quic(self, data: bytes) -> bool:
        if len(data) < 20 or data[0] < 0xC0:
            return False
        known = rb"\x00{3}\x01|\x6b\x33\x43\xcf|\xff\x00\x00.|Q..."
        return bool(re.match(known, data[1:5], re.DOTALL)) and self.add("quic_initials")

    def key_exchange(self, data: bytes) -> bool:
        if len(data) < 8:
            return False
        size, padding, kind = struct.unpack_from(">IBB", data)
        right = size <= 35000 and padding <= 16 and kind in (20, 30, 31)
        return right and self.add("ssh_key_exchanges")

    # Names.

    def dns(self, data: bytes) -> bool:
        if len(data) < 17:
            return False
        _, flags, questions, answers = struct.unpack_from(">HHHH", data)
        if flags >> 11 & 15 > 6 or questions > 16:
            return False
        if flags & 0x8000:
            self.add("dns_answers")
            self.most("dns_answer_records", answers)
            if flags & 15:
                self.add("dns_no_such_name" if flags & 15 == 3 else "dns_failures")
        else:
            self.add("dns_queries")
        if questions:
            self.question(data[12:])
        return True

    def question(self, data: bytes) -> None:
        at, labels = 0, []
        while at < len(data) and at < 255 and 0 < data[at] < 64:
            labels.append((data[at], data[at + 1 : at + 1 + data[at]]))
            at += 1 + data[at]
        name = b"".join(label for _, label in labels).lower()
        length = min(at, len(data))
        self.values["asked"] = number_of(data[:length])
        letters = max(length - len(labels), 1)
        self.most("dns_name_length", length)
        self.most("dns_label_length", max((size for size, _ in labels), default=0))
        self.most("dns_labels", len(labels))
        self.most("dns_name_digits", len(re.findall(rb"\d", name)) / letters)
        self.most("dns_name_distinct", len(set(re.sub(rb"[^a-z0-9]", b"-", name))) / letters)
        if data[at : at + 1] == b"\0" and len(data) >= at + 3:
            (kind,) = struct.unpack_from(">H", data, at + 1)
            texts, addresses = (10, 16, 25, 255), (1, 28, 65)
            if kind in (10, 24) or 0xFF00 <= kind < 0xFFFF:
                self.add("dns_odd_types")
            kind = "text" if kind in texts else "address" if kind in addresses else "other"
            self.add(f"dns_{kind}_types")
