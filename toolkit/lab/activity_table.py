"""The lab's activities, one entry each; to add one, add a line.

Fields in braces are those of ``idskit.lab.activity.values``, and ``{count}``.
"""

from __future__ import annotations

from idskit.lab.activity import BENIGN, Activity

_SITE = ("web", "ssh", "ftp", "telnet", "mqtt")  # what a scan finds
_HYDRA = "hydra -I -t 4 -l root -P {folder}/words.txt -f"


def _attack(name: str, category: str, command: str, *servers: str, **more: int) -> Activity:
    return Activity(name=name, category=category, command=command, servers=servers, **more)


def _benign(name: str, command: str, *servers: str, **more: int) -> Activity:
    return Activity(name=name, category=BENIGN, command=command, servers=servers, **more)


ATTACKS = (
    _attack("nmap-syn", "scan", "nmap -n -Pn -sS -e lan0 -p 1-400 {server}", *_SITE),
    _attack("nmap-connect", "scan", "nmap -n -Pn -sT -p 1-400 {server}", *_SITE),
    _attack("nmap-ack", "scan", "nmap -n -Pn -sA -p 1-200 {server}", *_SITE),
    _attack("nmap-fin", "scan", "nmap -n -Pn -sF -p 1-200 {server}", *_SITE),
    _attack("nmap-xmas", "scan", "nmap -n -Pn -sX -p 1-200 {server}", *_SITE),
    _attack("nmap-null", "scan", "nmap -n -Pn -sN -p 1-200 {server}", *_SITE),
    _attack("nmap-udp", "scan", "nmap -n -Pn -sU --max-retries 1 -F {server}", "dns", "snmp"),
    _attack("nmap-fragments", "scan", "nmap -n -Pn -sS -f -p 1-200 {server}", *_SITE),
    _attack("nmap-versions", "scan", "nmap -n -Pn -sV -p 21,22,23,80,1883 {server}", *_SITE),
    _attack("nmap-polite", "scan", "nmap -n -Pn -sS -T2 -p 1-60 {server}", *_SITE),
    _attack("nmap-ping-sweep", "scan", "nmap -n -sn -PE --send-ip {network}"),
    _attack("nmap-sweep-ssh", "scan", "nmap -n -Pn -sS -p 22 {network}", "ssh"),
    _attack("hydra-ssh", "brute-force", _HYDRA + " ssh://{server}", "ssh", seconds=40),
    _attack("hydra-ftp", "brute-force", _HYDRA + " ftp://{server}", "ftp", seconds=40),
    _attack(
        "medusa-ssh",
        "brute-force",
        "medusa -h {server} -u admin -P {folder}/words.txt -M ssh -t 2",
        "ssh",
        seconds=40,
    ),
    _attack(
        "ncrack-ssh",
        "brute-force",
        "ncrack -u pi -P {folder}/words.txt ssh://{server}",
        "ssh",
        seconds=40,
    ),
    _attack("guess-web", "brute-force", "{play} guess-web {server} {count} {pause}", "shop"),
    _attack(
        "guess-telnet", "brute-force", "{play} guess-telnet {server} {count} {pause}", "telnet"
    ),
    _attack("hping-syn", "flood", "hping3 -q -S -p 80 -i u500 -c 3000 {server}", "web"),
    _attack("hping-ack", "flood", "hping3 -q -A -p 80 -i u500 -c 3000 {server}", "web"),
    _attack("hping-udp", "flood", "hping3 -q -2 -p 53 -i u500 -c 3000 {server}", "dns"),
    _attack("hping-icmp", "flood", "hping3 -q -1 -i u500 -c 3000 {server}"),
    _attack("spoofed-syn", "flood", "{play} spoofed-syn {server} {count} 80", "web"),
    _attack("spoofed-udp", "flood", "{play} spoofed-udp {server} {count} 53", "dns"),
    _attack("ab", "flood", "ab -q -n 3000 -c 50 http://{server}/index.html", "web"),
    _attack(
        "slow-headers",
        "flood",
        "slowhttptest -H -c 100 -r 50 -i 5 -l 30 -u http://{server}/",
        "web",
    ),
    _attack(
        "slow-body", "flood", "slowhttptest -B -c 100 -r 50 -i 5 -l 30 -u http://{server}/", "web"
    ),
    _attack("inject", "web", "{play} inject {server} {count} {pause}", "shop"),
    _attack(
        "gobuster",
        "web",
        "gobuster dir -q -t 4 -u http://{server}:8080 -w {folder}/paths.txt",
        "shop",
    ),
    _attack("beacon", "malware", "{play} beacon {server} 12 {pause}", "sink"),
    _attack("tls-beacon", "malware", "{play} tls-beacon {server} 12 {pause}", "web"),
    _attack("reverse-shell", "malware", "{play} shell {server} {count} {pause}", "sink"),
    _attack("exfiltrate", "exfiltration", "{play} exfiltrate {server} {count} {pause}", "sink"),
    _attack("dns-tunnel", "tunnel", "{play} dns-tunnel {server} 150 {pause}", "dns"),
    _attack("write-modbus", "ics-attack", "{play} write-modbus {server} {count} {pause}", "modbus"),
)

_SSH = (
    "ssh -i {folder}/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
    "-o BatchMode=yes -o LogLevel=ERROR root@{server}"
)

BENIGN_ACTIVITIES = (
    _benign("browse", "{play} browse {server} {count} {pause}", "web"),
    _benign("shopping", "{play} shopping {server} {count} {pause}", "shop"),
    _benign("video", "curl -s -o /dev/null http://{server}/video.mp4", "web"),
    _benign("video-tls", "curl -sk -o /dev/null https://{server}/video.mp4", "web"),
    _benign(
        "download-slow", "curl -s --limit-rate 600k -o /dev/null http://{server}/video.mp4", "web"
    ),
    _benign("ftp-session", "{play} ftp-session {server} {count} {pause}", "ftp"),
    _benign("ssh-command", _SSH + " uptime", "ssh"),
    _benign("ssh-listing", _SSH + " ls -lR /usr/share/doc/openssh-server", "ssh"),
    _benign(
        "scp",
        "scp -q -i {folder}/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
        "root@{server}:{folder}/site/video.mp4 /dev/null",
        "ssh",
    ),
    _benign("dig", "dig +tries=1 +time=2 @{server} www.example.org A mail.example.org MX", "dns"),
    _benign("dig-reverse", "dig +tries=1 +time=2 @{server} -x 192.0.2.7", "dns"),
    _benign(
        "mqtt", "mosquitto_pub -h {server} -t home/t --repeat 20 --repeat-delay 0.5 -m 21.5", "mqtt"
    ),
    _benign("mqtt-listen", "mosquitto_sub -h {server} -t home/# -W 10", "mqtt"),
    _benign("snmp-walk", "snmpwalk -v2c -c public {gateway} 1.3.6.1.2.1.1", "snmp"),
    _benign("ntp", "chronyd -Q -t 12 'server {gateway} iburst'", "ntp"),
    _benign("iperf", "iperf3 -c {server} -t 3 -b 20M", "iperf"),
    _benign("iperf-udp", "iperf3 -c {gateway} -u -t 3 -b 4M", "iperf"),
    _benign("ping", "ping -q -c 15 -i 0.4 {server}"),
    _benign("health", "{play} health {server} {count} {pause}", "web"),
    _benign("retry-closed", "{play} retry {server} {count} {pause}", "web"),
    _benign("modbus", "{play} poll-modbus {server} {count} {pause}", "modbus"),
)

ACTIVITIES = {activity.name: activity for activity in (*ATTACKS, *BENIGN_ACTIVITIES)}
