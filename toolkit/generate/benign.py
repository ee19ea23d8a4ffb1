"""What devices in a home or office do all day: one function writes one conversation."""

from __future__ import annotations

from random import Random

from idskit.generate import messages
from idskit.generate.conversation import (
    CLIENT,
    CLOUD,
    DEVICES,
    LINUX,
    PHONE,
    SERVER,
    SERVERS,
    WINDOWS,
    Script,
    Tcp,
)
from idskit.packet import ICMP, ICMPV6, UDP

_MS, _S = 1_000, 1_000_000  # in microseconds
_IPV6_MSS = 1440


def _connection(rng: Random, mss: int = 1460) -> Tcp:
    return Tcp(rng, rng.choice(DEVICES), rng.choice(SERVERS), mss)


def _heavy(rng: Random, median: float, most: int) -> int:
    """A size whose logarithm is normal: mostly small, now and then huge."""
    return min(int(median * rng.lognormvariate(0, 1.2)) + 1, most)


def dns(rng: Random) -> Script:
    """A question to the gateway and its answer; rarely the question twice, or no answer."""
    script = Script(UDP)
    query, answer = messages.dns_exchange(rng)
    script.add(CLIENT, query)
    if rng.random() < 0.03:
        script.add(CLIENT, query, wait_us=5 * _S, turn=False)
    if rng.random() < 0.98:
        script.add(SERVER, answer, wait_us=rng.choice((300, 12 * _MS, 30 * _MS)))
    return script


def ntp(rng: Random) -> Script:
    """One query, rarely unanswered."""
    script = Script(UDP)
    query, reply = messages.ntp_exchange(rng)
    script.add(CLIENT, query)
    if rng.random() < 0.97:
        script.add(SERVER, reply)
    return script


def mqtt(rng: Random) -> Script:
    """A sensor that connects, subscribes and reports now and then, with pings in between."""
    tcp = Tcp(rng, rng.choice(DEVICES), LINUX)
    keepalive_s = rng.choice((15, 30, 60))
    tcp.open()
    tcp.send(CLIENT, messages.mqtt_connect(rng, keepalive_s))
    tcp.send(SERVER, messages.MQTT_ACCEPTED, wait_us=_MS)
    subscribe, accepted = messages.mqtt_subscribe(rng)
    tcp.send(CLIENT, subscribe, wait_us=5 * _MS)
    tcp.send(SERVER, accepted)
    for _ in range(rng.randint(3, 25)):
        _mqtt_event(rng, tcp, keepalive_s)
    if rng.random() < 0.7:
        tcp.send(CLIENT, messages.MQTT_DISCONNECT, wait_us=_S)
        tcp.close(CLIENT)
    return tcp.script


def _mqtt_event(rng: Random, tcp: Tcp, keepalive_s: int) -> None:
    if rng.random() < 0.3:
        tcp.send(CLIENT, messages.MQTT_PING, wait_us=keepalive_s * _S)
        tcp.send(SERVER, messages.MQTT_PONG)
        return
    side = CLIENT if rng.random() < 0.8 else SERVER
    tcp.send(side, messages.mqtt_publish(rng), wait_us=rng.expovariate(1 / (8 * _S)))


def https(rng: Random) -> Script:
    """Write a device's report to its vendor over TLS, or one of its failures."""
    return _https(rng, _connection(rng), median=700)


def browse(rng: Random) -> Script:
    """Somebody's web page, video or backup over TLS."""
    return _https(rng, _connection(rng), median=9_000)


def browse6(rng: Random) -> Script:
    """The same in IPv6."""
    return _https(rng, _connection(rng, _IPV6_MSS), median=9_000)


def _https(rng: Random, tcp: Tcp, median: float) -> Script:
    fate = rng.random()
    if fate < 0.03:
        return _failed(rng, tcp)
    tcp.open()
    _tls_handshake(rng, tcp)
    for _ in range(min(int(rng.expovariate(0.5)) + 1, 12)):
        _tls_request(rng, tcp, median)
    if fate > 0.15:
        tcp.close(rng.choice((CLIENT, SERVER)), wait_us=rng.expovariate(1 / (4 * _S)))
    elif fate > 0.1:
        tcp.abort(CLIENT, wait_us=rng.expovariate(1 / _S))
    return tcp.script


def _failed(rng: Random, tcp: Tcp) -> Script:
    """A server that refuses, or does not answer at all."""
    tcp.syn()
    if rng.random() < 0.5:
        tcp.refuse()
        return tcp.script
    for wait_s in (1, 2, 4)[: rng.randint(1, 3)]:
        tcp.syn(wait_us=wait_s * _S)
    return tcp.script


def _tls_handshake(rng: Random, tcp: Tcp) -> None:
    hello = rng.choice((180, 220, 320, 517, 517))
    tcp.send(CLIENT, messages.tls_hello(1, hello), hello, wait_us=_MS)
    certificate = rng.randint(2200, 4800)
    tcp.send(SERVER, messages.tls_hello(2, 122), certificate, wait_us=2 * _MS)
    finished = rng.choice((64, 80, 126))
    tcp.send(CLIENT, messages.tls_data(finished), finished, wait_us=4 * _MS)
    if rng.random() < 0.7:
        ticket = rng.randint(180, 330)
        tcp.send(SERVER, messages.tls_data(ticket), ticket)


def _tls_request(rng: Random, tcp: Tcp, median: float) -> None:
    asked, given = _heavy(rng, 350, 8_000) + 40, _heavy(rng, median, 1_500_000) + 40
    if rng.random() < 0.1:  # a camera or a backup sends
        asked, given = given, asked
    think_us = rng.lognormvariate(12, 1.5)  # 0.16 s in the median
    tcp.send(CLIENT, messages.tls_data(min(asked, 16_000)), asked, wait_us=think_us)
    served_us = rng.lognormvariate(8.5, 1)  # 5 ms
    tcp.send(SERVER, messages.tls_data(min(given, 16_000)), given, wait_us=served_us)


def http(rng: Random) -> Script:
    """A device that asks its vendor in clear text."""
    tcp = _connection(rng)
    tcp.open()
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        size = _heavy(rng, 600, 100_000)
        tcp.send(CLIENT, messages.http_request(rng), wait_us=rng.expovariate(1 / (20 * _MS)))
        tcp.send(SERVER, messages.http_response(rng, size), size + 90, wait_us=10 * _MS)
    tcp.close(rng.choice((CLIENT, SERVER)), wait_us=rng.expovariate(1 / _S))
    return tcp.script


def admin(rng: Random) -> Script:
    """Somebody at work on a device over SSH: few logins, long sessions, small keystrokes."""
    tcp = Tcp(rng, rng.choice((LINUX, PHONE, WINDOWS)), CLOUD)
    tcp.open()
    tcp.send(CLIENT, messages.ssh_banner(rng, False))
    tcp.send(SERVER, messages.ssh_banner(rng, True), wait_us=8 * _MS)
    for side, size in ((CLIENT, 1500), (SERVER, 1080), (CLIENT, 48), (SERVER, 452), (CLIENT, 68)):
        tcp.send(side, b"", size, wait_us=3 * _MS)
    for _ in range(rng.randint(8, 50)):
        tcp.send(CLIENT, b"", 36, wait_us=rng.lognormvariate(12, 1))
        tcp.send(SERVER, b"", _heavy(rng, 60, 20_000), wait_us=_MS)
    tcp.close(CLIENT)
    return tcp.script


def mdns(rng: Random) -> Script:
    """Questions or announcements to everybody, repeated as RFC 6762 says."""
    script = Script(UDP, (255, 255))
    message = messages.mdns_query if rng.random() < 0.5 else messages.mdns_announcement
    payload = message(rng)
    for repeat in range(rng.randint(1, 3)):
        script.add(CLIENT, payload, wait_us=repeat * _S, turn=False)
    return script


def ssdp(rng: Random) -> Script:
    """A UPnP search, a few times."""
    script = Script(UDP, (rng.choice((1, 2, 4)), 64))
    payload = messages.ssdp_search(rng)
    for _ in range(rng.randint(1, 4)):
        script.add(CLIENT, payload, wait_us=rng.choice((100 * _MS, _S)), turn=False)
    return script


def dhcp(rng: Random) -> Script:
    """A lease renewed."""
    script = Script(UDP)
    request, acknowledgement = messages.dhcp_exchange(rng)
    script.add(CLIENT, request)
    script.add(SERVER, acknowledgement, wait_us=2 * _MS)
    return script


def dhcp_join(rng: Random) -> Script:
    """A device without an address asks for one: discover and, after the offer, request."""
    script = Script(UDP, (rng.choice((64, 128)), 64))
    transaction, hardware = rng.randbytes(4), b"\x02" + rng.randbytes(5)
    for kind, wait_us in ((1, 0), (3, 1.1 * _S)):
        payload = messages.dhcp_message(rng, kind, False, transaction, hardware)
        script.add(CLIENT, payload, wait_us=wait_us, turn=False)
    return script


def ping(rng: Random) -> Script:
    """A few echo requests, one a second, mostly answered."""
    return _ping(rng, ICMP, (8, 0))


def ping6(rng: Random) -> Script:
    """The same in IPv6."""
    return _ping(rng, ICMPV6, (128, 129))


def _ping(rng: Random, protocol: int, kinds: tuple[int, int]) -> Script:
    """ICMP's type, code, identifier and sequence number stand at the head of the payload."""
    script = Script(protocol)
    size, identifier = rng.choice((56, 56, 32, 1000)), rng.randbytes(2)
    for sequence in range(rng.randint(1, 6)):
        for side, kind in enumerate(kinds):
            if side == CLIENT or rng.random() < 0.97:
                head = bytes([kind, 0, 0, 0]) + identifier + sequence.to_bytes(2, "big")
                script.add(side, head, size=size + 8, wait_us=(1 - side) * _S)
    return script
