"""Servers that answer in the lab: programs of the distribution, and small ones of our own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from idskit.lab.namespaces import PREFIX, SERVER_END

PASSWORD = "correct horse"  # noqa: S105 - of accounts that exist in the lab alone
USER = "operator"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server: its program, the port that shows when it is ready, and how it is started.

    Attributes:
        program: empty for one of our own.
        words: from the lab's folder to the command line; writes what the program reads.
        port: of TCP, or of UDP where ``is_udp``; None where nothing shows it.
    """

    program: str
    words: Callable[[Path], list[str]]
    port: int | None = None
    is_udp: bool = False


def _own(kind: str, port: int, *, is_udp: bool = False) -> Server:
    words = [sys.executable, "-m", "idskit.lab.answer", kind, str(port)]
    return Server(program="", port=port, is_udp=is_udp, words=lambda folder: [*words, str(folder)])


def _datagrams(kind: str, port: int) -> Server:
    return _own(kind, port, is_udp=True)


def _nginx(folder: Path) -> list[str]:
    tls = f"ssl_certificate {folder}/tls.pem; ssl_certificate_key {folder}/tls.key;"
    ports = "".join(f"listen {end}80; listen {end}443 ssl http2;" for end in ("", "[::]:"))
    server = f"server {{ {ports} {tls} root {folder}/site; }}"
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    kinds = "types { text/html html; text/css css; image/jpeg jpg; text/javascript js; }"
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; user root;"
        f"events {{}} http {{ access_log off; {kinds} {temporary} {server} }}"
    )
    return ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.log")]


def _sshd(folder: Path) -> list[str]:
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    (folder / "sshd.conf").write_text(
        f"HostKey {folder}/host\nPidFile none\nAuthorizedKeysFile {folder}/authorized\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication yes\nMaxStartups 100\n"
        "Subsystem sftp internal-sftp\n"
    )
    return ["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd.conf")]


def _mosquitto(folder: Path) -> list[str]:
    (folder / "mosquitto.conf").write_text("listener 1883 0.0.0.0\nallow_anonymous true\n")
    return ["mosquitto", "-c", str(folder / "mosquitto.conf")]


def _locked_mosquitto(folder: Path) -> list[str]:
    words = folder / "mosquitto.words"
    words.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", str(words), USER, PASSWORD], check=True)
    (folder / "locked.conf").write_text(
        f"listener 1883 0.0.0.0\nallow_anonymous false\npassword_file {words}\nuser root\n"
    )
    return ["mosquitto", "-c", str(folder / "locked.conf")]


def _dnsmasq(_: Path) -> list[str]:
    long = "".join(f"--txt-record=big.example,{'x' * 200}{n} " for n in range(6)).split()
    answers = ("--address=/#/10.77.0.20", "--address=/typo.example/", "--no-resolv", "--no-hosts")
    words = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root"]
    return [*words, *answers, *long, "--log-facility=/dev/null"]


def _dhcp(folder: Path) -> list[str]:
    lease = f"--dhcp-range={PREFIX}.30,{PREFIX}.90,10m"
    words = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0"]
    return [*words, lease, f"--dhcp-leasefile={folder}/leases", f"--interface={SERVER_END}"]


def _snmpd(folder: Path) -> list[str]:
    (folder / "snmpd.conf").write_text(
        "rocommunity public\nrwcommunity private\nagentAddress udp:161\n"
    )
    return ["snmpd", "-f", "-Lo", "-C", "-c", str(folder / "snmpd.conf")]


def _chronyd(folder: Path) -> list[str]:
    (folder / "chrony.conf").write_text(
        f"local stratum 8\nallow\ncmdport 0\nbindcmdaddress /\npidfile {folder}/chrony.pid\n"
    )
    return ["chronyd", "-d", "-x", "-f", str(folder / "chrony.conf")]


def _vsftpd(folder: Path) -> list[str]:
    (folder / "empty").mkdir(exist_ok=True)
    (folder / "vsftpd.conf").write_text(
        f"listen=YES\nbackground=NO\nanonymous_enable=YES\nanon_root={folder}/site\n"
        f"secure_chroot_dir={folder}/empty\nseccomp_sandbox=NO\npasv_promiscuous=YES\n"
    )
    return ["vsftpd", str(folder / "vsftpd.conf")]


def _rsyncd(folder: Path) -> list[str]:
    (folder / "rsyncd.conf").write_text(
        f"[site]\npath={folder}/site\nuse chroot=no\nuid=root\ngid=root\n"
    )
    return ["rsync", "--daemon", "--no-detach", f"--config={folder}/rsyncd.conf"]


def _git(folder: Path) -> list[str]:
    return ["git", "daemon", f"--base-path={folder}/site", "--export-all", "--reuseaddr"]


def _smbd(folder: Path) -> list[str]:
    own = folder / "samba"
    own.mkdir(exist_ok=True)
    places = ("private", "lock", "state", "cache", "pid", "ncalrpc")
    settings = "".join(f"{place} {_samba_noun(place)}={own}\n" for place in places)
    (folder / "smb.conf").write_text(
        f"[global]\n{settings}map to guest=Bad User\nserver role=standalone server\n"
        f"disable netbios=yes\nsmb ports=445\nload printers=no\nprintcap name=/dev/null\n"
        f"[site]\npath={folder}/site\nguest ok=yes\nread only=no\nforce user=root\n"
    )
    words = ["smbpasswd", "-c", str(folder / "smb.conf"), "-s", "-a", "root"]
    subprocess.run(words, input=f"{PASSWORD}\n" * 2, text=True, check=True, capture_output=True)
    log = f"--log-basename={own}"
    return ["smbd", "--foreground", "--no-process-group", log, "-s", str(folder / "smb.conf")]


def _samba_noun(place: str) -> str:
    return "dir" if place in ("private", "ncalrpc") else "directory"


def _redis(_: Path) -> list[str]:
    quiet = ("--save", "", "--appendonly", "no", "--protected-mode", "no")
    return ["redis-server", "--port", "6379", *quiet, "--requirepass", PASSWORD]


def _mariadb(folder: Path) -> list[str]:
    data = folder / "mariadb"
    start = folder / "start.sql"
    if not data.exists():
        made = f"--datadir={data}"
        words = ["mariadb-install-db", "--no-defaults", "--user=root", made, "--skip-test-db"]
        subprocess.run(words, check=True, capture_output=True)
        start.write_text(
            f"CREATE DATABASE IF NOT EXISTS lab;\n"
            f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON lab.* TO '{USER}'@'%';\n"
        )
    own = (f"--socket={folder}/mariadb.sock", f"--pid-file={folder}/mariadb.pid")
    names = ("--user=root", "--skip-name-resolve", "--bind-address=0.0.0.0", "--port=3306")
    return ["mariadbd", "--no-defaults", f"--datadir={data}", *own, *names, f"--init-file={start}"]


def _slapd(folder: Path) -> list[str]:
    data = folder / "slapd"
    if not data.exists():
        data.mkdir()
        schemas = "".join(
            f"include /etc/ldap/schema/{name}.schema\n"
            for name in ("core", "cosine", "inetorgperson")
        )
        (folder / "slapd.conf").write_text(
            f"{schemas}modulepath /usr/lib/ldap\nmoduleload back_mdb\ndatabase mdb\n"
            f"suffix dc=lab\nrootdn cn=admin,dc=lab\nrootpw {USER}\ndirectory {data}\n"
        )
        people = "".join(
            f"\ndn: cn=p{n},dc=lab\nobjectClass: inetOrgPerson\ncn: p{n}\nsn: p\n"
            f"mail: p{n}@lab.example\n"
            for n in range(150)
        )
        (folder / "people.ldif").write_text(
            "dn: dc=lab\nobjectClass: dcObject\nobjectClass: organization\no: lab\ndc: lab\n"
            + people
        )
        words = ["slapadd", "-f", str(folder / "slapd.conf"), "-l", str(folder / "people.ldif")]
        subprocess.run(words, check=True, capture_output=True)
    return ["slapd", "-d", "0", "-h", "ldap://0.0.0.0:389", "-f", str(folder / "slapd.conf")]


def _tftpd(folder: Path) -> list[str]:
    return ["in.tftpd", "--foreground", "--secure", "--user", "root", f"{folder}/site"]


def _iodined(_: Path) -> list[str]:
    return ["iodined", "-f", "-c", "-P", PASSWORD, "10.99.0.1", "t.lab.example"]


SERVERS = {
    "web": Server(program="nginx", port=80, words=_nginx),
    "ssh": Server(program="sshd", port=22, words=_sshd),
    "mqtt": Server(program="mosquitto", port=1883, words=_mosquitto),
    "mqtt-locked": Server(program="mosquitto", port=1883, words=_locked_mosquitto),
    "dns": Server(program="dnsmasq", port=53, words=_dnsmasq),
    "dhcp": Server(program="dnsmasq", port=67, is_udp=True, words=_dhcp),
    "snmp": Server(program="snmpd", port=161, is_udp=True, words=_snmpd),
    "ntp": Server(program="chronyd", port=123, is_udp=True, words=_chronyd),
    "iperf": Server(program="iperf3", port=5201, words=lambda _: ["iperf3", "-s"]),
    "files": Server(program="vsftpd", port=21, words=_vsftpd),
    "rsync": Server(program="rsync", port=873, words=_rsyncd),
    "git": Server(program="git", port=9418, words=_git),
    "smb": Server(program="smbd", port=445, words=_smbd),
    "redis": Server(program="redis-server", port=6379, words=_redis),
    "mariadb": Server(program="mariadbd", port=3306, words=_mariadb),
    "ldap": Server(program="slapd", port=389, words=_slapd),
    "tftp": Server(program="in.tftpd", port=69, is_udp=True, words=_tftpd),
    "iodine": Server(program="iodined", port=53, is_udp=True, words=_iodined),
    "icmp-tunnel": Server(program="ptunnel", words=lambda _: ["ptunnel"]),
    "ftp": _own("ftp", 21),
    "telnet": _own("telnet", 23),
    "smtp": _own("smtp", 25),
    "pop3": _own("pop3", 110),
    "imap": _own("imap", 143),
    "shop": _own("shop", 8080),
    "service": _own("service", 8081),
    "service-tls": _own("service-tls", 8443),
    "printer": _own("service", 631),
    "print-port": _own("hole", 9100),
    "log-tcp": _own("hole", 601),
    "modbus": _own("modbus", 502),
    "opcua": _own("opcua", 4840),
    "iec104": _own("iec104", 2404),
    "camera": _own("camera", 554),
    "sink": _own("sink", 4444),
    "desktop": _own("desktop", 5900),
    "controller": _own("controller", 4445),
    "controller-tls": _own("controller-tls", 443),
    "coap": _datagrams("coap", 5683),
    "sip": _datagrams("sip", 5060),
    "media": _datagrams("media", 5004),
    "stun": _datagrams("stun", 3478),
    "vpn": _datagrams("tunnel", 51820),
    "quic": _datagrams("quic", 443),
    "ssdp": _datagrams("ssdp", 1900),
    "bacnet": _datagrams("bacnet", 47808),
    "peers": _datagrams("peer", 6881),
    "syslog": _datagrams("nothing", 514),
    "netflow": _datagrams("nothing", 2055),
    "statsd": _datagrams("nothing", 8125),
}
