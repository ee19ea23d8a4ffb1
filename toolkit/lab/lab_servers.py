"""Servers that answer in the lab: programs of the distribution, and small ones of our own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PASSWORD = "correct horse"  # noqa: S105 - of accounts that exist in the lab alone
USER = "operator"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server: its program, the TCP port that shows when it is ready, and how it is started."""

    program: str  # empty for one of our own
    words: Callable[[Path], list[str]]
    port: int | None = None  # None: UDP, nothing to wait for


def prepare(folder: Path) -> None:
    """Write what servers and tools read: pages, a key, a certificate, words to guess with."""
    site = folder / "site"
    site.mkdir()
    for name, size in {"index.html": 4_000, "picture.jpg": 180_000, "video.mp4": 3_000_000}.items():
        (site / name).write_bytes(os.urandom(size))
    words = [f"password{number}" for number in range(200)]
    (folder / "words.txt").write_text("\n".join(words) + "\n")
    (folder / "users.txt").write_text("root\nadmin\npi\nguest\n")
    (folder / "paths.txt").write_text("\n".join(f"path{number}.php" for number in range(300)))
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key"))
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host"))
    (folder / "authorized").write_bytes((folder / "key.pub").read_bytes())
    subject = ("-subj", "/CN=lab", "-days", "3650", "-nodes")
    pair = ("-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.pem"))
    _run(
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        *subject,
        *pair,
    )
    folder.chmod(0o755)  # servers drop their rights and still read it


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def _own(kind: str, port: int) -> Server:
    words = [sys.executable, "-m", "idskit.lab.answer", kind, str(port)]
    return Server(program="", port=port, words=lambda folder: [*words, str(folder)])


def _nginx(folder: Path) -> list[str]:
    tls = f"ssl_certificate {folder}/tls.pem; ssl_certificate_key {folder}/tls.key;"
    server = f"server {{ listen 80; listen 443 ssl; {tls} root {folder}/site; }}"
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; user root;"
        f"events {{}} http {{ access_log off; {temporary} {server} }}"
    )
    return ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.log")]


def _sshd(folder: Path) -> list[str]:
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    (folder / "sshd.conf").write_text(
        f"HostKey {folder}/host\nPidFile none\nAuthorizedKeysFile {folder}/authorized\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication yes\nMaxStartups 100\n"
    )
    return ["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd.conf")]


def _mosquitto(folder: Path) -> list[str]:
    (folder / "mosquitto.conf").write_text("listener 1883 0.0.0.0\nallow_anonymous true\n")
    return ["mosquitto", "-c", str(folder / "mosquitto.conf")]


def _dnsmasq(_: Path) -> list[str]:
    answers = ("--address=/#/10.77.0.20", "--no-resolv", "--no-hosts", "--log-facility=/dev/null")
    return ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", *answers]


def _snmpd(folder: Path) -> list[str]:
    (folder / "snmpd.conf").write_text("rocommunity public\nagentAddress udp:161\n")
    return ["snmpd", "-f", "-Lo", "-C", "-c", str(folder / "snmpd.conf")]


def _chronyd(folder: Path) -> list[str]:
    (folder / "chrony.conf").write_text("local stratum 8\nallow\ncmdport 0\nbindcmdaddress /\n")
    return ["chronyd", "-d", "-x", "-f", str(folder / "chrony.conf")]


SERVERS = {
    "web": Server(program="nginx", port=80, words=_nginx),
    "ssh": Server(program="sshd", port=22, words=_sshd),
    "mqtt": Server(program="mosquitto", port=1883, words=_mosquitto),
    "dns": Server(program="dnsmasq", port=53, words=_dnsmasq),
    "snmp": Server(program="snmpd", words=_snmpd),
    "ntp": Server(program="chronyd", words=_chronyd),
    "iperf": Server(program="iperf3", port=5201, words=lambda _: ["iperf3", "-s"]),
    "ftp": _own("ftp", 21),
    "telnet": _own("telnet", 23),
    "shop": _own("shop", 8080),
    "modbus": _own("modbus", 502),
    "sink": _own("sink", 4444),
}
