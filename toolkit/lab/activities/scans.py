"""Scans of ports and hosts."""

from __future__ import annotations

from idskit.lab.activity import Activity, attack

_SITE = ("web", "ssh", "ftp", "telnet", "mqtt")  # what a scan finds


def _nmap(name: str, options: str, *servers: str, seconds: int = 60) -> Activity:
    command = f"nmap -n -Pn {options} {{server}}"
    return attack(f"nmap-{name}", "scan", command, *servers, seconds=seconds)


SCANS = (
    _nmap("syn", "-sS -e lan0 -p 1-400", *_SITE),
    _nmap("connect", "-sT -p 1-400", *_SITE),
    _nmap("ack", "-sA -p 1-200", *_SITE),
    _nmap("window", "-sW -p 1-200", *_SITE),
    _nmap("fin", "-sF -p 1-200", *_SITE),
    _nmap("xmas", "-sX -p 1-200", *_SITE),
    _nmap("null", "-sN -p 1-200", *_SITE),
    _nmap("maimon", "-sM -p 1-200", *_SITE),
    _nmap("protocols", "-sO --max-retries 1 -p 1-60", *_SITE),
    _nmap("udp", "-sU --max-retries 1 -F", "dns", "snmp"),
    _nmap("fragments", "-sS -f -p 1-200", *_SITE),
    _nmap("decoys", "-sS -D 10.77.0.101,10.77.0.102,10.77.0.103,ME -p 1-150", *_SITE),
    _nmap("source-port", "-sS -g 53 -p 1-200", *_SITE),
    _nmap("versions", "-sV --version-light -p 21,22,23,80,1883", *_SITE),
    _nmap("system", "-O --max-os-tries 1 -p 1-120", *_SITE),
    _nmap("aggressive", "-A --script-timeout 10s -p 21,22,80,443,1883", *_SITE, seconds=75),
    _nmap(
        "scripts", "-sV --version-light --script http-enum,http-methods -p 80,8080", "web", "shop"
    ),
    _nmap("polite", "-sS -T2 -p 1-60", *_SITE),
    _nmap("sneaky", "-sS --scan-delay 2s --max-parallelism 1 -p 21-45", *_SITE, seconds=75),
    _nmap("slow-connect", "-sT --scan-delay 900ms -p 75-115", *_SITE, seconds=60),
    attack("nmap-ipv6", "scan", "nmap -6 -n -Pn -sS -p 1-200 fd77::1", *_SITE),
    attack("nmap-connect-ipv6", "scan", "nmap -6 -n -Pn -sT -p 1-300 fd77::1", *_SITE),
    attack("nmap-ping-sweep", "scan", "nmap -n -sn -PE --send-ip {network}"),
    attack("nmap-syn-sweep", "scan", "nmap -n -sn -PS22,80,443 --send-ip {network}", *_SITE),
    attack("nmap-udp-sweep", "scan", "nmap -n -Pn -sU -p 53,161 --max-retries 0 {network}", "dns"),
    attack("nmap-sweep-ssh", "scan", "nmap -n -Pn -sS -p 22 {network}", "ssh"),
    attack("nmap-sweep-web", "scan", "nmap -n -Pn -sT -p 80,443,8080 {network}", "web", "shop"),
    attack("hping-scan", "scan", "hping3 --scan 1-300 -S {server}", *_SITE),
    attack(
        "masscan",
        "scan",
        'sh -c \'mac=$(arping -c 1 -I lan0 {gateway} | grep -o -i "..:..:..:..:..:.." | head -1); '
        "masscan -e lan0 --adapter-ip 10.77.0.100 --router-mac $mac --rate {rate} --wait 1 "
        "-p 22,23,80,443,2323,8080 {network}'",
        *_SITE,
        needs=("masscan", "arping"),
    ),
    attack("find-snmp", "scan", "onesixtyone -w 20 -c {folder}/few.txt {gateway}", "snmp"),
    attack(
        "knock-telnet",
        "scan",
        "sh -c 'for n in $(seq 10 25); do nc -z -w 1 10.77.0.$n 23; "
        "nc -z -w 1 10.77.0.$n 2323; done'",
        "telnet",
        needs=("nc",),
    ),
)
