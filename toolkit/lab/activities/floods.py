"""Floods, all of bounded size."""

from __future__ import annotations

from idskit.lab.activity import Activity, attack


def _flood(name: str, command: str, *servers: str, seconds: int = 60) -> Activity:
    return attack(name, "flood", command, *servers, seconds=seconds)


def _hping(name: str, options: str, *servers: str) -> Activity:
    return _flood(f"hping-{name}", f"hping3 -q {options} -c 3000 {{server}}", *servers)


def _slow(name: str, options: str) -> Activity:
    command = f"slowhttptest {options} -c 100 -r 50 -l 30 -u http://{{server}}/"
    return _flood(f"slow-{name}", command, "web")


FLOODS = (
    _hping("syn", "-S -p 80 -i u500", "web"),
    _hping("syn-closed", "-S -p {port} -i u500"),
    _hping("ack", "-A -p 80 -i u500", "web"),
    _hping("fin", "-F -p 80 -i u500", "web"),
    _hping("rst", "-R -p 80 -i u500", "web"),
    _hping("xmas", "-F -P -U -p 80 -i u500", "web"),
    _hping("data", "-P -A -d {size} -p 80 -i u700", "web"),
    _hping("udp", "-2 -p 53 -i u500", "dns"),
    _hping("udp-large", "-2 -p {port} -d {size} -i u700"),
    _hping("icmp", "-1 -i u500"),
    _hping("icmp-large", "-1 -d {size} -i u700"),
    _hping("fragments", "-2 -x -d 1200 -p 80 -i u700"),
    _flood("spoofed-syn", "{play} spoofed-syn {server} {count} 0 80", "web"),
    _flood("spoofed-udp", "{play} spoofed-udp {server} {count} 0 53", "dns"),
    _flood("spoofed-icmp", "{play} spoofed-icmp {server} {count} 0"),
    _flood("spoofed-gre", "{play} spoofed-gre {server} {count} 0"),
    _flood("reflected-dns", "{play} reflected-dns {server} {count} 0"),
    _flood("flood-names", "{play} flood-names {server} {count} 0", "dns"),
    _flood("flood-ports", "{play} flood-ports {server} {count} 0 {size}"),
    _flood("flood-connections", "{play} flood-connections {server} {count} 0", "web"),
    _flood("flood-handshakes", "{play} flood-handshakes {server} {count} 0", "web"),
    _flood("flood-mqtt", "{play} flood-mqtt {server} {count} 0", "mqtt"),
    _flood("flood-pages", "{play} flood-pages {server} {count} 0", "web"),
    _flood("ab", "ab -q -n 3000 -c 50 http://{server}/index.html", "web"),
    _flood("ab-ipv6", "ab -q -n 2000 -c 40 http://[fd77::1]/index.html", "web"),
    _flood("ping-flood-ipv6", "ping -6 -q -f -c 2500 fd77::1"),
    _flood("ab-tls", "ab -q -n 800 -c 30 https://{server}/index.html", "web"),
    _slow("headers", "-H -i 5"),
    _slow("body", "-B -i 5"),
    _slow("read", "-X -w 10 -y 20 -n 5 -z 32 -k 3"),
    _flood("slow-drip", "{play} drip-headers {server} {count} {pause}", "web"),
)
