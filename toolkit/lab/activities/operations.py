"""What runs a network: names, time, leases, logs, monitoring, retries, measuring."""

from __future__ import annotations

from idskit.lab.activity import BENIGN, Activity, benign, benign_script

_DATAGRAMS = "{play} send-datagrams {server} {count} {pause}"


OPERATIONS = (
    benign("dig", "dig +tries=1 +time=2 @{server} www.example.org A mail.example.org MX", "dns"),
    benign("dig-reverse", "dig +tries=1 +time=2 @{server} -x 192.0.2.7", "dns"),
    benign(
        "names-ipv6",
        "sh -c 'for n in $(seq {count}); do dig +tries=1 +time=2 @fd77::1 host$n.example A "
        "host$n.example AAAA; sleep {pause}; done'",
        "dns",
        needs=("dig",),
    ),
    benign_script("names-of-pages", "names-of-pages", "dns"),
    benign_script("names-mistyped", "names-mistyped", "dns"),
    benign_script("names-of-addresses", "names-of-addresses", "dns"),
    benign_script("names-signed", "names-signed", "dns"),
    benign_script("names-hashed", "names-hashed", "dns"),
    benign_script("names-by-tcp", "names-by-tcp", "dns"),
    benign_script("names-by-https", "ask-names-by-https", "service-tls"),
    benign_script("names-slow", "names-slow", "dns"),
    benign("ntp", "chronyd -Q -t 12 'server {gateway} iburst' 'pidfile {scratch}/pid'", "ntp"),
    benign("ntp-simple", "{play} ask-time {gateway} {count} {pause}", "ntp"),
    benign_script("lease", "ask-lease", "dhcp"),
    benign_script("announce-services", "announce-services"),
    benign_script("search-devices", "search-devices", "ssdp"),
    benign_script("search-names", "search-names"),
    benign("snmp-walk", "snmpwalk -v2c -c public {gateway} 1.3.6.1.2.1.1", "snmp"),
    benign("snmp-bulk", "snmpbulkwalk -v2c -c public {gateway} 1.3.6.1.2.1", "snmp", seconds=30),
    benign(
        "snmp-poll",
        "sh -c 'for n in $(seq {count}); do snmpget -v2c -c public {gateway} 1.3.6.1.2.1.1.3.0 "
        "1.3.6.1.2.1.2.2.1.10.1; sleep {pause}; done'",
        "snmp",
        needs=("snmpget",),
    ),
    benign(
        "snmp-trap",
        "sh -c 'for n in $(seq {count}); do snmptrap -v2c -c public {gateway} 77 "
        "1.3.6.1.6.3.1.1.5.3; sleep {pause}; done'",
        needs=("snmptrap",),
    ),
    benign("syslog", _DATAGRAMS + " 514 60 400", "syslog"),
    benign("netflow", _DATAGRAMS + " 2055 700 1400", "netflow"),
    benign("statsd", _DATAGRAMS + " 8125 20 90", "statsd"),
    benign_script("syslog-tcp", "log-by-tcp", "log-tcp"),
    benign_script("scrape", "scrape", "service", more="10.77.0.11 10.77.0.12 10.77.0.13"),
    benign_script("health", "health", "web"),
    benign(
        "health-curl",
        "sh -c 'for n in $(seq {count}); do curl -s -o /dev/null http://{server}:8081/health?n=1; "
        "sleep {pause}; done'",
        "service",
        needs=("curl",),
    ),
    benign(
        "health-nc",
        "sh -c 'for n in $(seq {count}); do nc -z {server} 22; nc -z {other} 80; "
        "sleep {pause}; done'",
        *("ssh", "web"),
        needs=("nc",),
    ),
    benign_script(
        "watch-hosts", "watch-hosts", "web", "ssh", more="10.77.0.11 10.77.0.12 10.77.0.13"
    ),
    benign_script("retry-closed", "retry", "web"),
    benign_script("retry-closed-fast", "retry", more="5432"),
    Activity(  # ARP finds nobody, so that nothing follows
        name="retry-away",
        category=BENIGN,
        command="{play} retry-late {server} {count} {pause}",
        has_flows=False,
    ),
    benign_script("retry-datagrams", "retry-datagrams"),
    benign("ping", "ping -q -c 15 -i 0.4 {server}"),
    benign("ping-ipv6", "ping -6 -q -c 15 -i 0.4 fd77::1"),
    benign("ping-large", "ping -q -c 12 -i 0.3 -s 1400 {server}"),
    benign(
        "ping-hosts", "fping -q -c 8 -p 700 10.77.0.10 10.77.0.11 10.77.0.12 10.77.0.13 {gateway}"
    ),
    benign("trace-route", "traceroute -n -q 2 -w 1 -m 6 {server}"),
    benign("trace-away", "traceroute -n -I -q 1 -w 1 -m 4 {server}"),
    benign("iperf", "iperf3 -c {server} -t 3 -b 20M", "iperf"),
    benign("iperf-ipv6", "iperf3 -6 -c fd77::1 -t 3 -b 12M", "iperf"),
    benign("iperf-reverse", "iperf3 -c {server} -t 3 -R -b 20M", "iperf"),
    benign("iperf-parallel", "iperf3 -c {server} -t 3 -P 4 -b 6M", "iperf"),
    benign("iperf-both", "iperf3 -c {server} -t 3 --bidir -b 10M", "iperf"),
    benign("iperf-udp", "iperf3 -c {gateway} -u -t 3 -b 4M", "iperf"),
    benign("iperf-udp-reverse", "iperf3 -c {gateway} -u -R -t 3 -b 4M", "iperf"),
)
