"""Sequential tests over flows: what needs no model, because each failure can be counted.

Every test weighs a flow by how much likelier it is of an attack than of a person or a program that
means well, in nats. ``OPENS`` of them open an incident, so a test states how many failures that
takes. The thresholds were set on captures of repositories that are not in ``tools``; the table in
README.md says what each finds, and what it raises falsely.

Sources: threshold random walk of first contacts, Jung et al. (IEEE S&P 2004), with successes capped
against those who mix in known contacts (Mell and Harang, CNS 2013).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.local_network import are_local
from idskit.packet import ICMP, ICMPV6, TCP, UDP
from idskit.schema import Schema
from idskit.schemas.catalog import NAMES, schema_named
from idskit.schemas.payload_columns import BUCKETS

Floats = NDArray[np.float64]

OPENS = 12.0  # nats that open an incident: e^-12 is an error in 160,000 tests
# A device whose way to the internet is cut fails at these, again and again, and scans nothing.
_EVERYDAY = (53, 80, 123, 443, 853, 993, 4070, 5222, 5223, 5228, 8443, 8883)
# Services of datagrams that scanners look for: nothing asks many hosts for them by itself.
_ASKED = (
    *(69, 111, 161, 177, 389, 427, 502, 623, 1434, 1604, 3702, 5060, 5093, 5632, 9600, 10001),
    *(11211, 17185, 20000, 44818, 47808),
)
_FEW = 4096  # comparisons that take less time than ``np.isin`` takes to begin
_MAIL, _BUSY, _BUSY_DNS = 25, 250, 1000  # port; flows within a minute or so from one to another
_LEASES, _NEIGHBOURS = 67, (133, 134, 135, 136, 137)  # port; types of ICMPv6, RFC 4861
_DNS, _TEXT_NAME, _LONG_NAME = 53, 35, 70  # port; bytes of a name that carries data
_REFUSALS = (
    *("login_refusals", "smb_logon_failures", "kerberos_logon_errors", "mqtt_refusals"),
    *("telnet_refusals", "imap_refusals", "service_refusals"),
)
_LEAST_SHOWN = 10_000  # bytes of a desktop: its first picture alone has more
_SSH_FAILED = 3_000, 3_300  # bytes from server and client within which no session was opened


def is_one_of(values: NDArray[Any], among: Sequence[int]) -> NDArray[np.bool_]:
    """Return which of (n,) numbers are among a few, as (n,)."""
    if len(values) * len(among) > _FEW:
        return np.isin(values, among)
    return np.asarray((values[:, None] == np.array(among)).any(axis=1))


def _of(failures: int) -> float:
    """Return what divides ``OPENS`` so that many failures reach it, although the first decay."""
    return failures - 0.5


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


def _failed_contacts(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh TCP connections that nobody answered or that were refused: nine open an incident."""
    refused, new, new_failed = columns.T
    failed = (flows["protocol"] == TCP) & ((flows["bwd_packets"] == 0) | (refused > 0))
    failed &= flows["fwd_packets"] <= 6
    local = are_local(flows)
    cut_off = local[:, 0] & ~local[:, 1] & is_one_of(flows["dst_port"], _EVERYDAY)
    successes = np.clip(new - new_failed, 0, 3)
    per_failure = OPENS / (_of(9) + successes)
    return np.where(failed & ~cut_off, per_failure, 0.0)


def _failed_ssh_logins(_flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh SSH connections that end before a session: six to one server open an incident.

    All is encrypted, but a session adds a channel, its environment and host keys to what a failed
    login exchanges. Larger keys hide failures, never sessions.
    """
    banners, exchanges, from_server, from_client, fins, resets = columns.T
    failed = (banners > 1) & (exchanges > 0) & (fins + resets > 0)
    failed &= (from_server < _SSH_FAILED[0]) & (from_client < _SSH_FAILED[1])
    return np.where(failed, OPENS / _of(6), 0.0)


def _failed_desktops(_flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh remote desktops that end before anything is shown: eight to one server open one."""
    requests, from_server, fins, resets = columns.T
    failed = (requests > 0) & (from_server < _LEAST_SHOWN) & (fins + resets > 0)
    return np.where(failed, OPENS / _of(8), 0.0)


def _echo_flood(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh floods of echo requests; monitoring asks once a second, and a person ten times."""
    requests = is_one_of(flows["protocol"], (ICMP, ICMPV6))
    flood = requests & (flows["fwd_packets"] >= 1000) & (columns[:, 0] >= 100)
    return np.where(flood, OPENS, 0.0)


def _data_in_echoes(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh echo requests whose sizes vary and whose answers differ, or that vary for long.

    A ping repeats one size and gets it back; a person who tries sizes tries a few.
    """
    asked, answered, largest, request, reply = columns.T
    varies = is_one_of(flows["protocol"], (ICMP, ICMPV6)) & (flows["bwd_packets"] >= 8)
    varies &= (np.maximum(asked, answered) > 8) & (largest > 100)
    varies &= (np.abs(request - reply) > 4) | (flows["fwd_packets"] >= 30)
    return np.where(varies, OPENS, 0.0)


def _echo_sweep(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh echo requests to further hosts within seconds: fifteen of them are a sweep."""
    swept = is_one_of(flows["protocol"], (ICMP, ICMPV6)) & is_one_of(flows["icmp_type"], (8, 128))
    swept &= (flows["fwd_packets"] <= 2) & (columns[:, 0] >= 8)
    return np.where(swept, OPENS / _of(8), 0.0)


def _odd_icmp_requests(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh what only who wants to know the system behind an address asks by ICMP.

    These are the time, the network and its mask (RFC 792, RFC 950), and an echo with a code.
    """
    kind = flows["icmp_type"]
    asked = is_one_of(kind, (13, 15, 17)) | ((kind == 8) & (columns[:, 0] > 0))
    return np.where((flows["protocol"] == ICMP) & asked, OPENS / _of(2), 0.0)


def _data_in_names(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh queries for names that carry data: 25 with text answers, or 60 of any type."""
    queries, length, text = columns.T
    # Never multicast, where names of services are long. A flow may begin with an answer.
    asked = (flows["dst_port"] == _DNS) | (flows["src_port"] == _DNS)
    texts = np.where(length >= _TEXT_NAME, np.minimum(text, queries), 0) * OPENS / _of(25)
    names = np.where(length >= _LONG_NAME, queries, 0) * OPENS / _of(60)
    return np.where(asked, np.maximum(texts, names), 0.0)


def _many_connections(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh connections beyond 250 from one host to another within a minute: thirty are a flood.

    Pages make 60 of them, a load test of 200 requests 200; name servers are asked more often.
    """
    is_dns = (flows["dst_port"] == _DNS) | (flows["src_port"] == _DNS)
    above = columns[:, 0] > np.where(is_dns, _BUSY_DNS, _BUSY)
    return np.where(above, OPENS / _of(30), 0.0)


def _swept_datagrams(flows: NDArray[np.void], _columns: Floats) -> Floats:
    """Weigh datagrams to services of further hosts that nobody answers: twelve are a sweep."""
    asked = (flows["protocol"] == UDP) & (flows["bwd_packets"] == 0)
    return np.where(asked & is_one_of(flows["dst_port"], _ASKED), OPENS / _of(12), 0.0)


def _contacted_mail_servers(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh mail to further servers within seconds: thirty are what a taken-over device sends."""
    sent = (flows["protocol"] == TCP) & (flows["dst_port"] == _MAIL) & (columns[:, 0] >= 8)
    return np.where(sent & are_local(flows)[:, 0], OPENS / _of(22), 0.0)


def _fragmented_neighbours(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh messages of neighbour discovery in fragments, which nobody may send (RFC 6980)."""
    found = (flows["protocol"] == ICMPV6) & is_one_of(flows["icmp_type"], _NEIGHBOURS)
    return np.where(found & (columns[:, 0] > 0), OPENS, 0.0)


def _flood_of_leases(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh requests for leases at a rate at which no house asks; it is how a pool is emptied."""
    asked = (flows["protocol"] == UDP) & (flows["dst_port"] == _LEASES)
    asked &= (flows["fwd_packets"] >= 60) & (columns[:, 0] >= 10)
    return np.where(asked, OPENS, 0.0)


def _each(failures: int) -> Callable[[NDArray[np.void], Floats], Floats]:
    """Return a weighing by which that many of what the columns count open an incident."""

    def weigh(_flows: NDArray[np.void], columns: Floats) -> Floats:
        return np.asarray(columns.sum(axis=1) * OPENS / (_of(failures) if failures > 1 else 1))

    return weigh


def _refused_logins(_flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh refused logins, without refusals of requests that gave nothing to log in with."""
    refused = columns[:, 1:].sum(axis=1) - columns[:, 0]
    return np.asarray(np.maximum(refused, 0.0) * OPENS / _of(8))


def _different(failures: int) -> Callable[[NDArray[np.void], Floats], Floats]:
    """Return a weighing by which that many different things, in a set and counted, open one.

    The number of things is estimated by the bits of the set that are 1, which several may share
    (linear counting, Whang et al., ACM TODS 1990); it is not more than their count.
    """
    bits = np.minimum(np.arange(BUCKETS + 1), BUCKETS - 0.5)
    estimate = -BUCKETS * np.log1p(-bits / BUCKETS)

    def weigh(_flows: NDArray[np.void], columns: Floats) -> Floats:
        found = np.zeros(len(columns))
        some = np.flatnonzero(columns[:, 1])
        sets = columns[some, 0].astype(np.int64)
        ones = (sets[:, None] >> np.arange(BUCKETS) & 1).sum(axis=1)
        found[some] = np.minimum(estimate[ones], columns[some, 1])
        return np.asarray(found * OPENS / _of(failures))

    return weigh


TESTS = (
    Test(
        name="failed first contacts",
        family="scan",
        columns=("rst_count", "src_10m_new", "src_10m_new_failed"),
        weigh=_failed_contacts,
        once=True,
        decided_by=("bwd_packets", "rst_count"),
    ),
    Test(
        name="refused logins",
        family="guessing",
        columns=("challenges", *_REFUSALS),
        weigh=_refused_logins,
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
        weigh=_failed_ssh_logins,
        decided_by=("ssh_banners",),
    ),
    Test(
        name="failed remote desktops",
        family="guessing",
        columns=("rdp_requests", "bwd_payload", "fin_count", "rst_count"),
        weigh=_failed_desktops,
        decided_by=("rdp_requests",),
    ),
    Test(
        # No program sends them by itself; Heartbleed does (CVE-2014-0160).
        name="TLS heartbeats",
        family="lateral",
        columns=("tls_heartbeats",),
        weigh=_each(1),
    ),
    Test(
        name="passwords in web forms",
        family="guessing",
        columns=("form_passwords",),
        weigh=_each(30),
        place="credentials",
    ),
    Test(
        # Who administers a domain lists them too, and is to be known.
        name="lists of accounts",
        family="lateral",
        columns=("rpc_account_lists",),
        weigh=_each(1),
    ),
    Test(
        # Drives and the Windows folder of another host, as administrators and intruders open them.
        name="administrative shares",
        family="lateral",
        columns=("smb_admin_shares",),
        weigh=_each(1),
    ),
    Test(
        name="misused commands of Redis",
        family="lateral",
        columns=("redis_misuses",),
        weigh=_each(1),
    ),
    Test(
        name="fragments of neighbour discovery",
        family="lateral",
        columns=("fragments",),
        weigh=_fragmented_neighbours,
    ),
    Test(
        name="names of intruders' programs",
        family="malware",
        columns=("intruder_names",),
        weigh=_each(1),
    ),
    Test(
        name="requests of scanners",
        family="scan",
        columns=("scanner_requests",),
        weigh=_each(3),
    ),
    Test(
        name="hosts asked by datagrams",
        family="scan",
        columns=(),
        weigh=_swept_datagrams,
        once=True,
    ),
    Test(
        name="mail servers contacted",
        family="unknown",
        columns=("src_10s_peers",),
        weigh=_contacted_mail_servers,
        once=True,
    ),
    Test(
        name="connections to one host",
        family="flood",
        columns=("pair_1m_flows",),
        weigh=_many_connections,
    ),
    Test(
        name="fragments without their rest",
        family="flood",
        columns=("incomplete_datagrams",),
        weigh=_each(200),
    ),
    Test(
        name="floods of requests for leases",
        family="flood",
        columns=("fwd_packet_rate",),
        weigh=_flood_of_leases,
    ),
    Test(
        # Services, tasks, registry, WMI and DCOM of another host, or its WinRM: administrators, and
        # intruders.
        name="remote administration",
        family="lateral",
        columns=("rpc_admin_binds", "wsman_requests"),
        weigh=_each(1),
    ),
    Test(
        # Copying a directory, printer drivers, forced log-ons: see payload.windows_messages.
        name="calls that take over a domain",
        family="lateral",
        columns=("rpc_intruder_calls",),
        weigh=_each(1),
    ),
    Test(
        name="refused calls of RPC",
        family="lateral",
        columns=("rpc_refused_calls",),
        weigh=_each(8),
    ),
    Test(
        # Controllers that restart or stop; maintenance does it too, and is to be known.
        name="stops of a controller",
        family="lateral",
        columns=("industrial_stops",),
        weigh=_each(1),
    ),
    Test(
        # Commands, prompts and answers of a shell on a port of no protocol.
        name="a shell in clear text",
        family="malware",
        columns=("shell_lines",),
        weigh=_each(2),
    ),
    Test(
        # NULL and private types carry tunnels; SIG is SIGRed (CVE-2020-1350).
        name="name types nobody asks for",
        family="tunnel",
        columns=("dns_odd_types",),
        weigh=_each(2),
    ),
    Test(
        name="requests a device refused",
        family="lateral",
        columns=("declined", "industrial_exceptions"),
        weigh=_different(5),
        decided_by=("industrial_exceptions",),
        place="asked",
    ),
    Test(
        # EternalBlue (CVE-2017-0144) and DoublePulsar send them, no client does ([MS-CIFS]).
        name="SMB calls that are reserved",
        family="lateral",
        columns=("smb_reserved_calls",),
        weigh=_each(1),
    ),
    Test(
        name="web injections",
        family="web",
        columns=("http_injections",),
        weigh=_each(1),
    ),
    Test(
        name="failed web requests",
        family="web",
        columns=("failed", "http_errors"),
        weigh=_different(5),
        decided_by=("http_errors",),
        place="asked",
    ),
    Test(
        name="pages that are not there",
        family="web",
        columns=("missing", "http_not_found"),
        weigh=_different(25),
        decided_by=("http_not_found",),
        place="asked",
    ),
    Test(
        name="data in echo requests",
        family="tunnel",
        columns=(
            "fwd_payload_std",
            "bwd_payload_std",
            "payload_max",
            "fwd_payload_mean",
            "bwd_payload_mean",
        ),
        weigh=_data_in_echoes,
        decided_by=("fwd_payload_std", "bwd_payload_std"),
    ),
    Test(
        name="hosts asked for an echo",
        family="scan",
        columns=("src_10s_peers",),
        weigh=_echo_sweep,
        once=True,
    ),
    Test(
        name="odd ICMP requests",
        family="scan",
        columns=("icmp_code",),
        weigh=_odd_icmp_requests,
        decided_by=("icmp_type", "icmp_code"),
    ),
    Test(
        # No system sends them: they hide what they carry, or crash who takes them (RFC 1858).
        name="overlapping fragments",
        family="unknown",
        columns=("overlapping_fragments",),
        weigh=_each(1),
    ),
    Test(
        name="floods of echo requests",
        family="flood",
        columns=("fwd_packet_rate",),
        weigh=_echo_flood,
    ),
    Test(
        name="data in names",
        family="tunnel",
        columns=("dns_queries", "dns_name_length", "dns_text_types"),
        weigh=_data_in_names,
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
