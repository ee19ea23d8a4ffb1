"""Sequential tests over flows: what needs no model, because each failure can be counted.

Every test weighs a flow by how much likelier it is of an attack than of a person or a program that
means well, in nats. ``OPENS`` of them open an incident, so a test states how many failures that
takes. The thresholds were set on captures of repositories that are not in ``tools``; the table in
README.md says what each finds, and what it raises falsely.

Sources: threshold random walk of first contacts, Jung et al. (IEEE S&P 2004), with successes capped
against those who mix in known contacts (Mell and Harang, CNS 2013).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from idskit.incidents.sequential import odd_messages, refused, unanswered
from idskit.incidents.sequential.nats import Floats, each
from idskit.schema import Schema
from idskit.schemas.catalog import NAMES, schema_named

_REFUSALS = (
    *("login_refusals", "smb_logon_failures", "kerberos_logon_errors", "mqtt_refusals"),
    *("telnet_refusals", "imap_refusals", "service_refusals"),
)


@dataclass(frozen=True, kw_only=True)
class Test:
    """A sequential test: the flows that it suspects, and what each of them weighs.

    Attributes:
        name: of what is counted.
        family: of the attack that it finds.
        columns: of the schema that it reads; it is not run where one is missing.
        weigh: nats (n,) of flows (n,) by these columns (n, columns); 0 suspects nothing.
        decided_by: columns without which it suspects nothing, for an explanation: all if empty.
        once: whether further flows to the same target and service say nothing more.
        place: a column that stands for what was asked there, 0 where that is unknown: further flows
            that ask the same say nothing more.
    """

    name: str
    family: str
    columns: tuple[str, ...]
    weigh: Callable[[NDArray[np.void], Floats], Floats]
    once: bool = False
    place: str = ""
    decided_by: tuple[str, ...] = ()

    @property
    def read(self) -> tuple[str, ...]:
        """The columns that it reads, with that of its place."""
        return (*self.columns, self.place) if self.place else self.columns

    @property
    def deciding(self) -> tuple[str, ...]:
        """The columns without which it suspects nothing."""
        return self.decided_by or self.columns


TESTS = (
    Test(
        name="failed first contacts",
        family="scan",
        columns=("rst_count", "src_10m_new", "src_10m_new_failed"),
        weigh=unanswered.failed_contacts,
        once=True,
        decided_by=("bwd_packets", "rst_count"),
    ),
    Test(
        name="refused logins",
        family="guessing",
        columns=("challenges", *_REFUSALS),
        weigh=refused.refused_logins,
        place="credentials",
        decided_by=_REFUSALS,
    ),
    Test(
        name="failed SSH logins",
        family="guessing",
        columns=(
            "ssh_banners",
            "ssh_key_exchanges",
            "bwd_payload",
            "fwd_payload",
            "fin_count",
            "rst_count",
        ),
        weigh=refused.failed_ssh_logins,
        decided_by=("ssh_banners",),
    ),
    Test(
        name="failed remote desktops",
        family="guessing",
        columns=("rdp_requests", "bwd_payload", "fin_count", "rst_count"),
        weigh=refused.failed_desktops,
        decided_by=("rdp_requests",),
    ),
    Test(
        # No program sends them by itself; Heartbleed does (CVE-2014-0160).
        name="TLS heartbeats",
        family="lateral",
        columns=("tls_heartbeats",),
        weigh=each(1),
    ),
    Test(
        name="passwords in web forms",
        family="guessing",
        columns=("form_passwords",),
        weigh=each(30),
        place="credentials",
    ),
    Test(
        # Who administers a domain lists them too, and is to be known.
        name="lists of accounts",
        family="lateral",
        columns=("rpc_account_lists",),
        weigh=each(1),
    ),
    Test(
        # Drives and the Windows folder of another host, as administrators and intruders open them.
        name="administrative shares",
        family="lateral",
        columns=("smb_admin_shares",),
        weigh=each(1),
    ),
    Test(
        name="misused commands of Redis",
        family="lateral",
        columns=("redis_misuses",),
        weigh=each(1),
    ),
    Test(
        name="fragments of neighbour discovery",
        family="lateral",
        columns=("fragments",),
        weigh=odd_messages.fragmented_neighbours,
    ),
    Test(
        name="names of intruders' programs",
        family="malware",
        columns=("intruder_names",),
        weigh=each(1),
    ),
    Test(
        name="requests of scanners",
        family="scan",
        columns=("scanner_requests",),
        weigh=each(3),
    ),
    Test(
        name="hosts asked by datagrams",
        family="scan",
        columns=(),
        weigh=unanswered.swept_datagrams,
        once=True,
    ),
    Test(
        name="ports asked by datagrams",
        family="scan",
        columns=("src_10s_services", "src_10s_peers"),
        weigh=unanswered.asked_ports,
        once=True,
        decided_by=("src_10s_services",),
    ),
    Test(
        name="protocols that nobody uses",
        family="scan",
        columns=(),
        weigh=unanswered.odd_protocols,
        once=True,
    ),
    Test(
        name="flows that say nothing",
        family="flood",
        columns=(
            *("syn_count", "ack_count", "dst_64_services", "dst_64_peers", "dst_64_unanswered"),
            *("dst_64_span", "dst_64_flows", "dst_64_payload_mean", "payload_max"),
        ),
        weigh=unanswered.burst,
        decided_by=("dst_64_flows", "dst_64_span"),
    ),
    Test(
        name="requests left open",
        family="flood",
        columns=(
            *("fwd_payload", "bwd_payload", "pair_1m_flows", "flow_duration", "fwd_init_window"),
        ),
        weigh=unanswered.open_requests,
        decided_by=("pair_1m_flows", "flow_duration"),
    ),
    Test(
        name="names that are not there",
        family="malware",
        columns=("dns_no_such_name", "dns_name_digits", "dns_name_length"),
        weigh=odd_messages.names_that_are_not,
        place="asked",
        decided_by=("dns_no_such_name",),
    ),
    Test(
        # Ports below 1024 are no client's own: who names them uses the server to scan (RFC 2577).
        name="transfers to ports of others",
        family="scan",
        columns=("ftp_bounces",),
        weigh=each(3),
    ),
    Test(
        name="mail servers contacted",
        family="unknown",
        columns=("src_10s_peers",),
        weigh=unanswered.contacted_mail_servers,
        once=True,
    ),
    Test(
        name="connections to one host",
        family="flood",
        columns=("pair_1m_flows",),
        weigh=unanswered.many_connections,
    ),
    Test(
        name="fragments without their rest",
        family="flood",
        columns=("incomplete_datagrams",),
        weigh=each(200),
    ),
    Test(
        name="floods of requests for leases",
        family="flood",
        columns=("fwd_packet_rate",),
        weigh=unanswered.flood_of_leases,
    ),
    Test(
        # Services, tasks, registry, WMI and DCOM of another host, or its WinRM: administrators, and
        # intruders.
        name="remote administration",
        family="lateral",
        columns=("rpc_admin_binds", "wsman_requests"),
        weigh=each(1),
    ),
    Test(
        # Copying a directory, printer drivers, forced log-ons: see payload.windows_messages.
        name="calls that take over a domain",
        family="lateral",
        columns=("rpc_intruder_calls",),
        weigh=each(1),
    ),
    Test(
        name="refused calls of RPC",
        family="lateral",
        columns=("rpc_refused_calls",),
        weigh=each(8),
    ),
    Test(
        # Controllers that restart or stop; maintenance does it too, and is to be known.
        name="stops of a controller",
        family="lateral",
        columns=("industrial_stops",),
        weigh=each(1),
    ),
    Test(
        # Commands, prompts and answers of a shell on a port of no protocol.
        name="a shell in clear text",
        family="malware",
        columns=("shell_lines",),
        weigh=each(2),
    ),
    Test(
        # NULL and private types carry tunnels; SIG is SIGRed (CVE-2020-1350).
        name="name types nobody asks for",
        family="tunnel",
        columns=("dns_odd_types",),
        weigh=each(2),
    ),
    Test(
        name="requests a device refused",
        family="lateral",
        columns=("declined", "industrial_exceptions"),
        weigh=refused.different(5),
        decided_by=("industrial_exceptions",),
        place="asked",
    ),
    Test(
        # EternalBlue (CVE-2017-0144) and DoublePulsar send them, no client does ([MS-CIFS]).
        name="SMB calls that are reserved",
        family="lateral",
        columns=("smb_reserved_calls",),
        weigh=each(1),
    ),
    Test(
        name="web injections",
        family="web",
        columns=("http_injections",),
        weigh=each(1),
    ),
    Test(
        name="failed web requests",
        family="web",
        columns=("failed", "http_errors"),
        weigh=refused.different(5),
        decided_by=("http_errors",),
        place="asked",
    ),
    Test(
        name="pages that are not there",
        family="web",
        columns=("missing", "http_not_found"),
        weigh=refused.different(25),
        decided_by=("http_not_found",),
        place="asked",
    ),
    Test(
        name="data in echo requests",
        family="tunnel",
        columns=(
            *("fwd_payload_std", "bwd_payload_std", "fwd_payload_mean", "bwd_payload_mean"),
            *("fwd_payload_min", "fwd_payload_max", "bwd_payload_max"),
        ),
        weigh=odd_messages.data_in_echoes,
        decided_by=("fwd_payload_std", "bwd_payload_std"),
    ),
    Test(
        name="hosts asked for an echo",
        family="scan",
        columns=("src_10s_peers",),
        weigh=unanswered.echo_sweep,
        once=True,
    ),
    Test(
        name="odd ICMP requests",
        family="scan",
        columns=("icmp_code",),
        weigh=odd_messages.odd_icmp_requests,
        decided_by=("icmp_type", "icmp_code"),
    ),
    Test(
        # No system sends them: they hide what they carry, or crash who takes them (RFC 1858).
        name="overlapping fragments",
        family="unknown",
        columns=("overlapping_fragments",),
        weigh=each(1),
    ),
    Test(
        name="floods of echo requests",
        family="flood",
        columns=("fwd_packet_rate",),
        weigh=unanswered.echo_flood,
    ),
    Test(
        name="data in names",
        family="tunnel",
        columns=("dns_queries", "dns_name_length", "dns_text_types"),
        weigh=odd_messages.data_in_names,
        decided_by=("dns_name_length",),
    ),
)


def with_tested_columns(schema: Schema) -> Schema:
    """Return a model's schema with the columns behind it that only tests of the same profile read.

    A test is of the toolkit, not of the model: one that was added later works with every model.
    """
    if schema.name not in NAMES:
        return schema
    tested = {name for test in TESTS for name in test.read} - set(schema.names)
    behind = (feature for feature in schema_named(schema.name).features if feature.name in tested)
    return replace(schema, features=(*schema.features, *behind))
