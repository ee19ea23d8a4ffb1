"""The columns and categories of KDD'99 as NSL-KDD has them: one list for tables and for packets.

``nsl_kdd`` reads all 41 columns from files; ``kdd_connections`` computes BASIC and TRAFFIC.
"""

from __future__ import annotations

from idskit.schema import Feature

# Every value that the publisher's files hold; fixed here, so a code never depends on a file.
PROTOCOL_TYPES = ("icmp", "tcp", "udp")
_SERVICES = (
    "IRC X11 Z39_50 aol auth bgp courier csnet_ns ctf daytime discard domain domain_u echo eco_i "
    "ecr_i efs exec finger ftp ftp_data gopher harvest hostnames http http_2784 http_443 http_8001 "
    "imap4 iso_tsap klogin kshell ldap link login mtp name netbios_dgm netbios_ns netbios_ssn "
    "netstat nnsp nntp ntp_u other pm_dump pop_2 pop_3 printer private red_i remote_job rje shell "
    "smtp sql_net ssh sunrpc supdup systat telnet tftp_u tim_i time urh_i urp_i uucp uucp_path "
    "vmnet whois"
)
SERVICES = tuple(_SERVICES.split())
FLAGS = ("OTH", "REJ", "RSTO", "RSTOS0", "RSTR", "S0", "S1", "S2", "S3", "SF", "SH")
NOMINAL = {"protocol_type": PROTOCOL_TYPES, "service": SERVICES, "flag": FLAGS}


def _features(columns: str) -> tuple[Feature, ...]:
    pairs = (column.split(":") for column in columns.split())
    return tuple(
        Feature(name=name, unit=unit or "category", categories=NOMINAL.get(name, ()))
        for name, unit in pairs
    )


BASIC = _features(
    "duration:s protocol_type: service: flag: src_bytes:bytes dst_bytes:bytes land:boolean "
    "wrong_fragment:count urgent:count"
)
CONTENT = _features(
    "hot:count num_failed_logins:count logged_in:boolean num_compromised:count root_shell:boolean "
    "su_attempted:count num_root:count num_file_creations:count num_shells:count "
    "num_access_files:count num_outbound_cmds:count is_host_login:boolean is_guest_login:boolean"
)
TRAFFIC = _features(
    "count:count srv_count:count serror_rate:share srv_serror_rate:share rerror_rate:share "
    "srv_rerror_rate:share same_srv_rate:share diff_srv_rate:share srv_diff_host_rate:share "
    "dst_host_count:count dst_host_srv_count:count dst_host_same_srv_rate:share "
    "dst_host_diff_srv_rate:share dst_host_same_src_port_rate:share "
    "dst_host_srv_diff_host_rate:share dst_host_serror_rate:share dst_host_srv_serror_rate:share "
    "dst_host_rerror_rate:share dst_host_srv_rerror_rate:share"
)
