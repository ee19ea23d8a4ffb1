"""Columns and categories of KDD'99 as NSL-KDD has them: one list for tables and for packets.

``nsl_kdd`` reads all 41 columns from files; ``kdd_connections`` computes BASIC and TRAFFIC.
"""

from __future__ import annotations

from idskit.schema import Feature, Schema

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
BASIC = (
    Feature(name="duration", unit="s"),
    Feature(name="protocol_type", unit="category", categories=PROTOCOL_TYPES),
    Feature(name="service", unit="category", categories=SERVICES),
    Feature(name="flag", unit="category", categories=FLAGS),
    Feature(name="src_bytes", unit="bytes"),
    Feature(name="dst_bytes", unit="bytes"),
    Feature(name="land", unit="boolean"),
    Feature(name="wrong_fragment", unit="count"),
    Feature(name="urgent", unit="count"),
)
CONTENT = (
    Feature(name="hot", unit="count"),
    Feature(name="num_failed_logins", unit="count"),
    Feature(name="logged_in", unit="boolean"),
    Feature(name="num_compromised", unit="count"),
    Feature(name="root_shell", unit="boolean"),
    Feature(name="su_attempted", unit="count"),
    Feature(name="num_root", unit="count"),
    Feature(name="num_file_creations", unit="count"),
    Feature(name="num_shells", unit="count"),
    Feature(name="num_access_files", unit="count"),
    Feature(name="num_outbound_cmds", unit="count"),
    Feature(name="is_host_login", unit="boolean"),
    Feature(name="is_guest_login", unit="boolean"),
)
TRAFFIC = (
    Feature(name="count", unit="count"),
    Feature(name="srv_count", unit="count"),
    Feature(name="serror_rate", unit="share"),
    Feature(name="srv_serror_rate", unit="share"),
    Feature(name="rerror_rate", unit="share"),
    Feature(name="srv_rerror_rate", unit="share"),
    Feature(name="same_srv_rate", unit="share"),
    Feature(name="diff_srv_rate", unit="share"),
    Feature(name="srv_diff_host_rate", unit="share"),
    Feature(name="dst_host_count", unit="count"),
    Feature(name="dst_host_srv_count", unit="count"),
    Feature(name="dst_host_same_srv_rate", unit="share"),
    Feature(name="dst_host_diff_srv_rate", unit="share"),
    Feature(name="dst_host_same_src_port_rate", unit="share"),
    Feature(name="dst_host_srv_diff_host_rate", unit="share"),
    Feature(name="dst_host_serror_rate", unit="share"),
    Feature(name="dst_host_srv_serror_rate", unit="share"),
    Feature(name="dst_host_rerror_rate", unit="share"),
    Feature(name="dst_host_srv_rerror_rate", unit="share"),
)
FEATURES = (*BASIC, *TRAFFIC)  # what packets tell: CONTENT needs payloads
KDD99, KDD99_100, KDD99_EXCLUSIVE, KDD99_EXCLUSIVE_255 = (
    Schema(name=name, features=FEATURES)
    for name in ("kdd99", "kdd99-100", "kdd99-exclusive", "kdd99-exclusive-255")
)
