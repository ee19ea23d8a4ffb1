"""What people and their programs do at work: mail, logins, printers, tickets over lines of text."""

from __future__ import annotations

import imaplib
import os
import poplib
import smtplib
import socket
import time
from contextlib import suppress

from idskit.lab.play.script import RANDOM, TIMEOUT_S, connect, datagrams, line, rest, script

_USER, _PASSWORD = "operator", "correct horse"


@script
def ftp_session(server: str, count: int, pause: float) -> None:
    """Log in by FTP with the right password and look around."""
    with connect(server, 21) as connection:
        connection.recv(200)
        for text in (f"USER {_USER}", f"PASS {_PASSWORD}", *["NOOP"] * count, "QUIT"):
            line(connection, text)
            rest(pause)


@script
def ftp_mistyped(server: str, count: int, pause: float) -> None:
    """Mistype the password of an FTP account once or twice, then work."""
    with connect(server, 21) as connection:
        connection.recv(200)
        for wrong in ("correkt horse", "horse")[: RANDOM.randint(1, 2)]:
            for text in (f"USER {_USER}", f"PASS {wrong}"):
                line(connection, text)
                rest(3 * pause)
    ftp_session(server, count, pause)


@script
def telnet_session(server: str, count: int, pause: float, wrong: str = "0") -> None:
    """Work on a device by Telnet; before that, mistype the password ``wrong`` times."""
    given = [f"wrong{number}" for number in range(int(wrong))] + [_PASSWORD]
    with connect(server, 23) as connection:
        connection.recv(100)
        for password in given:
            line(connection, _USER)
            rest(2 * pause)
            line(connection, password)
        for _ in range(count):
            text = RANDOM.choice(("show version", "show interfaces", "show log", "ping 10.77.0.1"))
            line(connection, text)
            rest(4 * pause)
        connection.sendall(b"exit\r\n")


@script
def send_mail(server: str, count: int, pause: float) -> None:
    """Send mails with and without attachments over one connection."""
    with smtplib.SMTP(server, 25, timeout=TIMEOUT_S) as connection:
        for _ in range(max(count // 4, 1)):
            size = RANDOM.choice((300, 2_000, 15_000, 400_000))
            connection.sendmail("a@lab.example", ["b@lab.example"], os.urandom(size).hex())
            rest(pause)


@script
def deliver_newsletter(server: str, count: int, pause: float) -> None:
    """Deliver the same mail to many people, a connection each."""
    text = os.urandom(RANDOM.randint(2_000, 20_000)).hex()
    for number in range(count):
        with smtplib.SMTP(server, 25, timeout=TIMEOUT_S) as connection:
            connection.sendmail("news@lab.example", [f"p{number}@lab.example"], text)
        rest(pause / 2)


@script
def read_mail(server: str, count: int, pause: float, wrong: str = "0") -> None:
    """Read mails by IMAP; before that, mistype the password ``wrong`` times."""
    for number in range(int(wrong)):
        with suppress(imaplib.IMAP4.error):
            imaplib.IMAP4(server, 143, TIMEOUT_S).login(_USER, f"wrong {number}")
        rest(4 * pause)
    connection = imaplib.IMAP4(server, 143, TIMEOUT_S)
    connection.login(_USER, _PASSWORD)
    connection.select()
    connection.search(None, "UNSEEN")
    for number in range(count):
        connection.fetch(str(number % 12 + 1), "(RFC822)")
        rest(2 * pause)
    connection.logout()


@script
def wait_for_mail(server: str, count: int, pause: float) -> None:
    """Wait for mail by IMAP's IDLE, taken up anew every few seconds."""
    with connect(server, 143) as connection:
        connection.recv(200)
        line(connection, f'a1 LOGIN "{_USER}" "{_PASSWORD}"')
        line(connection, "a2 SELECT INBOX")
        for number in range(max(count // 5, 2)):
            line(connection, f"a{number + 3} IDLE")
            rest(8 * pause)
            line(connection, "DONE")
        line(connection, "z LOGOUT")


@script
def fetch_mail(server: str, count: int, pause: float) -> None:
    """Fetch mail by POP3 again and again, as a program does in the background."""
    for _ in range(max(count // 6, 2)):
        connection = poplib.POP3(server, 110, TIMEOUT_S)
        connection.user(_USER)
        connection.pass_(_PASSWORD)
        connection.stat()
        for number in range(RANDOM.randint(0, 4)):
            connection.retr(number + 1)
        connection.quit()
        rest(6 * pause)


@script
def print_raw(server: str, count: int, pause: float) -> None:
    """Send documents to a printer's port."""
    for _ in range(max(count // 12, 1)):
        with connect(server, 9100) as connection:
            connection.sendall(
                b"\x1b%-12345X@PJL JOB\r\n" + os.urandom(RANDOM.randint(40_000, 900_000))
            )
        rest(4 * pause)


@script
def log_by_tcp(server: str, count: int, pause: float) -> None:
    """Send lines of logs over one connection."""
    with connect(server, 601) as connection:
        for number in range(4 * count):
            text = f"<14>1 lab app {number} - - " + "x" * RANDOM.randint(20, 300) + "\n"
            connection.sendall(text.encode())
            rest(pause / 2)


@script
def health(server: str, count: int, pause: float) -> None:
    """Check that ports answer, and close again."""
    for _ in range(count):
        for port in (80, 443):
            connect(server, port).close()
        time.sleep(pause)


@script
def watch_hosts(server: str, count: int, pause: float, *others: str) -> None:
    """Check a few ports of a few hosts, some of them closed, as a monitoring station does."""
    for _ in range(max(count // 5, 2)):
        for host in (server, *others):
            for port in (22, 80, 443, 5432):
                with suppress(OSError):
                    connect(host, port).close()
            rest(pause / 4)
        rest(4 * pause)


@script
def retry(server: str, count: int, pause: float, port: str = "8883") -> None:
    """Knock at a port that is closed, as a device does whose service is away."""
    for _ in range(count):
        with suppress(OSError):
            connect(server, int(port)).close()
        time.sleep(2 * pause)


@script
def retry_late(server: str, count: int, pause: float) -> None:
    """Knock at an address where nobody is, waiting longer each time."""
    away = server.rpartition(".")[0] + ".200"
    for number in range(max(count // 6, 3)):
        with suppress(OSError), socket.socket() as connection:
            connection.settimeout(min(pause * 2**number, 8))
            connection.connect((away, 443))


@script
def retry_datagrams(server: str, count: int, pause: float) -> None:
    """Send to a collector that is away; ICMP says so."""
    for number in range(count):
        with suppress(OSError), datagrams(0.1) as out:
            out.connect((server, 8125))
            out.send(f"app.requests:{number}|c".encode())
            out.send(f"app.latency:{number}|ms".encode())
        rest(pause)
