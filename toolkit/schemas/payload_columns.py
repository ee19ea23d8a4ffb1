"""Columns of what payloads mean: names and units, as data; ``idskit.payload`` fills them.

Each is 0 until something is seen. Most are counts of messages; a "largest" is the largest of all
messages of the flow. No byte of a payload is kept.
"""

from __future__ import annotations

from idskit.schema import Feature

# Of the first packet with a payload in each direction, at most 256 bytes.
BYTE_CLASSES = (
    *("letters", "digits", "marks", "blanks", "controls", "zeros", "high", "distinct"),
    *("run", "token"),
)
_LENGTHS = ("run", "token")
BUCKETS = 24  # bits that a float32 holds exactly
STATE = "state"  # the unit of what a parser remembers
# Groups of words that are counted in the first packets of a direction: ``payload.content.words``.
WORD_GROUPS = (*("sql", "script", "shell", "path", "code", "login", "failure", "windows", "tool"),)


def _sides(names: tuple[str, ...], ending: str, unit: str) -> tuple[Feature, ...]:
    return tuple(
        Feature(name=f"{side}_{name}{ending}", unit="bytes" if name in _LENGTHS else unit)
        for side in ("fwd", "bwd")
        for name in names
    )


def _counts(unit: str, *names: str) -> tuple[Feature, ...]:
    return tuple(Feature(name=name, unit=unit) for name in names)


PAYLOAD = (
    *_sides(BYTE_CLASSES, "_bytes", "share"),
    *_sides(WORD_GROUPS, "_words", "words"),
    *_sides(("unknown", "executable"), "_packets", "packets"),
    # 1 below 1024, 2 below 49152, 3 above, 0 without ports; 1 a recognised protocol on one of its
    # usual ports, -1 elsewhere, 0 none recognised.
    Feature(name="dst_port_class", unit="class"),
    Feature(name="usual_port", unit="sign"),
    # RFC 1035
    *_counts("messages", "dns_queries", "dns_answers", "dns_no_such_name", "dns_failures"),
    *_counts("bytes", "dns_name_length", "dns_label_length"),
    *_counts("labels", "dns_labels"),
    *_counts("share", "dns_name_digits", "dns_name_distinct"),
    *_counts("messages", "dns_text_types", "dns_address_types", "dns_other_types"),
    *_counts("records", "dns_answer_records"),
    # RFC 9112
    *_counts("messages", "http_gets", "http_posts", "http_other_methods"),
    *_counts("messages", "http_ok", "http_moved", "http_refused", "http_not_found"),
    *_counts("messages", "http_errors"),
    *_counts("bytes", "uri_length", "uri_digits", "uri_escapes", "uri_marks"),
    *_counts("segments", "uri_depth", "uri_parameters", "uri_parents"),
    *_counts("lines", "http_lines"),
    *_counts("messages", "http_address_hosts", "http_without_agent"),
    # RFC 8446, RFC 9000, RFC 4253
    *_counts("messages", "tls_client_hellos", "tls_server_hellos", "tls_alerts"),
    *_counts("messages", "tls_heartbeats", "tls_data_records"),
    *_counts("version", "tls_version"),
    *_counts("count", "tls_ciphers", "tls_extensions"),
    *_counts("bytes", "tls_name_length"),
    *_counts("flag", "tls_protocols", "tls_grease"),
    *_counts("messages", "quic_initials", "ssh_banners", "ssh_key_exchanges"),
    # Mail, FTP, SIP, RTSP, SSDP, Telnet: commands and replies.
    *_counts("messages", "logins", "replies_fine", "replies_refused", "login_refusals"),
    *_counts("messages", "sip_requests", "ssdp_messages", "telnet_options"),
    # [MS-SMB2], [MS-CIFS], C706 (DCE RPC), RFC 4120, RFC 4511, [MS-RDPBCGR]
    *_counts("messages", "smb1_messages", "smb2_messages", "smb_sessions", "smb_trees"),
    *_counts("messages", "smb_opens", "smb_reads", "smb_writes", "smb_calls"),
    *_counts("messages", "smb_failures", "smb_logon_failures", "ntlm_messages"),
    *_counts("messages", "rpc_binds", "rpc_requests", "rpc_faults"),
    *_counts("messages", "rpc_admin_binds", "rpc_directory_binds"),
    *_counts("messages", "kerberos_requests", "kerberos_errors", "kerberos_logon_errors"),
    *_counts("messages", "kerberos_rc4", "ldap_binds", "ldap_searches", "ldap_failures"),
    *_counts("messages", "rdp_requests"),
    # Devices: Modbus, S7, DNP3, IEC 104, EtherNet/IP, BACnet; MQTT, SNMP, NTP, DHCP.
    *_counts("messages", "industrial_reads", "industrial_writes", "industrial_controls"),
    *_counts("messages", "industrial_exceptions"),
    *_counts("messages", "mqtt_connects", "mqtt_refusals", "mqtt_publishes"),
    *_counts("messages", "snmp_messages", "ntp_messages", "ntp_controls"),
    *_counts("messages", "dhcp_requests", "dhcp_replies"),
    # Requests that no honest client makes: see ``payload.injections`` and [MS-CIFS], 2.2.6.15.
    *_counts("messages", "http_injections", "smb_reserved_calls"),
    # What only tests of incidents read: see ``incidents.sequential.sequential_tests``.
    *_counts("messages", "rpc_intruder_calls", "rpc_refused_calls"),
    Feature(name="rpc_interface", unit="class"),  # of the last bind, by ``INTERFACES``
    *_counts("messages", "wsman_requests", "dns_odd_types", "industrial_stops", "shell_lines"),
    *_counts("messages", "telnet_refusals", "imap_refusals", "form_passwords"),
    *_counts("messages", "scanner_requests", "intruder_names", "rpc_account_lists"),
    *_counts("messages", "smb_admin_shares", "redis_misuses", "service_refusals", "challenges"),
    *_counts("messages", "ftp_bounces"),
    # What a parser remembers from one message to the next, which no model learns from. Numbers that
    # stand for what was asked last, and for what was last given to log in; what was asked and is
    # missing (404), failed, or was refused by a device, as sets of ``BUCKETS`` bits.
    *_counts(STATE, "asked", "credentials", "missing", "failed", "declined"),
)
COLUMN = {feature.name: number for number, feature in enumerate(PAYLOAD)}
# More of these is never less suspicious, in any network.
SUSPICIOUS_PAYLOAD = frozenset(
    (
        *("fwd_run_bytes", "fwd_token_bytes", "fwd_executable_packets", "bwd_executable_packets"),
        *(
            f"{side}_{group}_words"
            for side in ("fwd", "bwd")
            for group in WORD_GROUPS
            if group != "login"
        ),
        *("dns_no_such_name", "dns_failures", "dns_name_length", "dns_label_length", "dns_labels"),
        *("dns_text_types", "http_other_methods", "http_refused", "http_not_found", "http_errors"),
        *("uri_length", "uri_digits", "uri_escapes", "uri_marks", "uri_depth", "uri_parameters"),
        *("uri_parents", "http_address_hosts", "http_without_agent", "tls_heartbeats"),
        *("tls_alerts", "logins", "replies_refused", "login_refusals", "smb1_messages"),
        *("smb_calls", "smb_failures", "smb_logon_failures", "rpc_faults", "rpc_admin_binds"),
        *("rpc_directory_binds", "kerberos_errors", "kerberos_logon_errors", "kerberos_rc4"),
        *("ldap_failures", "industrial_writes", "industrial_controls", "industrial_exceptions"),
        *("mqtt_refusals", "ntp_controls", "http_injections", "smb_reserved_calls"),
    )
)
