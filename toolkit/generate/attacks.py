"""What attackers send: one function writes one flow of an attack."""

from __future__ import annotations

import struct
from random import Random

from idskit.generate import messages
from idskit.generate.conversation import (
    CLIENT,
    CLOUD,
    LINUX,
    MSS_ONLY,
    NO_OPTIONS,
    OLD_LINUX,
    PHONE,
    SERVER,
    Script,
    Stack,
    Tcp,
)
from idskit.packet import SYN, TCP, UDP

_MS, _S = 1_000, 1_000_000  # in microseconds


def syn(rng: Random) -> Script:
    """A lone SYN of a flood tool: no options, a window that no stack has."""
    script = Script(TCP, (rng.choice((64, 255)), 64))
    script.add(CLIENT, flags=SYN, window=rng.choice((0, 512, 512, 8192, 65535)))
    return script


def syn_flood(rng: Random) -> Script:
    """A SYN from a forged address: lost, refused, or answered again and again in vain."""
    tcp = Tcp(rng, _raw(rng, NO_OPTIONS, (0, 512, 512, 8192)), LINUX)
    tcp.syn()
    fate = rng.random()
    if fate < 0.2:
        tcp.syn_ack()
        for wait_s in (1, 2, 4)[: rng.randint(0, 3)]:
            tcp.syn_ack(wait_us=wait_s * _S)
    elif fate < 0.3:
        tcp.refuse()
    return tcp.script


def _raw(rng: Random, options: int, windows: tuple[int, ...]) -> Stack:
    """A tool that writes its packets itself."""
    ttl = rng.choice((64, 64, 128, 255))
    return Stack(ttl=ttl, syn_options=options, timestamps=False, syn_window=rng.choice(windows))


def udp_packet(rng: Random) -> Script:
    """One datagram of noise to a port where nobody listens."""
    script = Script(UDP)
    script.add(CLIENT, size=rng.choice((512, 512, 512, 1024, 1400, 64)))
    return script


def udp_stream(rng: Random) -> Script:
    """Datagrams of one size as fast as the device can."""
    script = Script(UDP)
    size, gap_us = rng.choice((512, 512, 1024, 1400)), rng.choice((60, 200, 900))
    for _ in range(rng.randint(50, 400)):
        script.add(CLIENT, size=size, wait_us=gap_us, turn=False)
    return script


def port_scan(rng: Random) -> Script:
    """A half-open probe, as nmap sends it: mostly refused, sometimes dropped, rarely open."""
    tcp = Tcp(rng, _raw(rng, MSS_ONLY, (1024, 1024, 2048, 3072, 4096)), LINUX)
    tcp.syn()
    fate = rng.random()
    if fate < 0.72:
        tcp.refuse()
    elif fate < 0.76:
        tcp.syn_ack()
        tcp.abort(CLIENT)
    return tcp.script


def sweep(rng: Random) -> Script:
    """The same port on every address: most addresses are not there."""
    tcp = Tcp(rng, rng.choice((LINUX, OLD_LINUX, _raw(rng, MSS_ONLY, (1024, 65535)))), OLD_LINUX)
    tcp.syn()
    fate = rng.random()
    if fate < 0.15:
        tcp.refuse()
    elif fate < 0.19:
        tcp.syn_ack()
        tcp.abort(CLIENT)
    elif fate < 0.3:
        tcp.syn(wait_us=_S)
    return tcp.script


def mirai_scan(rng: Random) -> Script:
    """A bot's probe for Telnet: one SYN without options and with a window of chance."""
    tcp = Tcp(rng, _raw(rng, NO_OPTIONS, (rng.randrange(1 << 16),)), OLD_LINUX)
    tcp.syn()
    fate = rng.random()
    if fate < 0.04:
        tcp.refuse()
    elif fate < 0.06:
        tcp.syn_ack()
        tcp.abort(CLIENT)
    return tcp.script


def bot_scan(rng: Random) -> Script:
    """A bot that lets its kernel connect: the SYN is repeated, since nobody is there."""
    tcp = Tcp(rng, OLD_LINUX, OLD_LINUX)
    tcp.syn()
    for wait_s in (1, 2, 4)[: rng.randint(0, 3)]:
        tcp.syn(wait_us=wait_s * _S)
    return tcp.script


def ssh_guess(rng: Random) -> Script:
    """Some passwords over SSH, until the server closes."""
    tcp = Tcp(rng, rng.choice((LINUX, OLD_LINUX, PHONE)), CLOUD)
    tcp.open()
    tcp.send(CLIENT, messages.ssh_banner(rng, False))
    tcp.send(SERVER, messages.ssh_banner(rng, True), wait_us=7 * _MS)
    _ssh_key_exchange(rng, tcp)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        tcp.send(CLIENT, b"", rng.choice((84, 148, 152)), wait_us=rng.expovariate(1 / (80 * _MS)))
        tcp.send(SERVER, b"", rng.choice((52, 56, 84)), wait_us=rng.uniform(0.8, 2.8) * _S)
    tcp.close(CLIENT if rng.random() < 0.4 else SERVER, wait_us=2 * _MS)
    return tcp.script


def _ssh_key_exchange(rng: Random, tcp: Tcp) -> None:
    """Algorithms, Diffie-Hellman, new keys, service request: RFC 4253, 7 to 10."""
    for side, kind, sizes, wait_ms in (
        (CLIENT, _KEXINIT, (640, 1000, 1592), 0),
        (SERVER, _KEXINIT, (784, 952, 1080), 0),
        (CLIENT, _KEX_INIT, (48, 272), 4),
        (SERVER, _KEX_REPLY, (280, 452, 848), 6),
    ):
        size = rng.choice(sizes)
        head = struct.pack(">IBB", size - 4, 6, kind)  # RFC 4253, 6
        tcp.send(side, head, size, wait_us=wait_ms * _MS)
    tcp.send(CLIENT, b"", 16, wait_us=4 * _MS)
    tcp.send(CLIENT, b"", rng.choice((44, 52)), wait_us=40 * _MS)
    tcp.send(SERVER, b"", rng.choice((44, 52)))


_KEXINIT, _KEX_INIT, _KEX_REPLY = 20, 30, 31  # messages of RFC 4253 and RFC 5656
_NEGOTIATION = bytes.fromhex("fffd18fffd20fffd23fffd27")  # terminal options, RFC 854
_REFUSAL = bytes.fromhex("fffc18fffc20fffc23fffc27")
_LOGINS = (b"root\r\n", b"admin\r\n", b"support\r\n", b"user\r\n", b"guest\r\n")
_PASSWORDS = (b"12345\r\n", b"default\r\n", b"\r\n", b"password\r\n", b"1234\r\n")


def telnet_guess(rng: Random) -> Script:
    """Default passwords over Telnet, until the device closes."""
    tcp = Tcp(rng, OLD_LINUX, rng.choice((OLD_LINUX, LINUX)))
    tcp.open()
    tcp.send(SERVER, _NEGOTIATION, wait_us=20 * _MS)
    tcp.send(CLIENT, _REFUSAL)
    for _ in range(rng.randint(1, 3)):
        _telnet_login(rng, tcp)
    if rng.random() < 0.8:
        tcp.close(SERVER, wait_us=rng.uniform(0, 1) * _S)
    else:
        tcp.abort(CLIENT, wait_us=_S)
    return tcp.script


def _telnet_login(rng: Random, tcp: Tcp) -> None:
    tcp.send(SERVER, b"device login: ", wait_us=30 * _MS)
    login = rng.choice(_LOGINS)
    tcp.send(CLIENT, login, wait_us=rng.expovariate(1 / (50 * _MS)))
    tcp.send(SERVER, login)  # echo
    tcp.send(SERVER, b"Password: ", wait_us=_MS)
    tcp.send(CLIENT, rng.choice(_PASSWORDS), wait_us=rng.expovariate(1 / (50 * _MS)))
    tcp.send(SERVER, b"\r\nLogin incorrect\r\n", wait_us=rng.uniform(0.5, 3) * _S)
