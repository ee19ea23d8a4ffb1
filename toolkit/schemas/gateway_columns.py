"""Columns of ``gateway``, ``packets`` and ``gateway-packets``: names and units, as data.

They stand in the order of a row, each group after the kernel that writes it.
"""

from __future__ import annotations

from idskit.schema import Feature, Schema
from idskit.schemas.payload_columns import PAYLOAD, SUSPICIOUS_PAYLOAD

STATISTICS = (
    # The flow itself: gateway_rows.put_statistics.
    Feature(name="is_tcp", unit="flag"),
    Feature(name="is_udp", unit="flag"),
    Feature(name="is_icmp", unit="flag"),
    Feature(name="flow_duration", unit="us"),
    Feature(name="fwd_packets", unit="packets"),
    Feature(name="bwd_packets", unit="packets"),
    Feature(name="fwd_payload", unit="bytes"),
    Feature(name="bwd_payload", unit="bytes"),
    Feature(name="fwd_payload_max", unit="bytes"),
    Feature(name="fwd_payload_min", unit="bytes"),
    Feature(name="fwd_payload_mean", unit="bytes"),
    Feature(name="fwd_payload_std", unit="bytes"),
    Feature(name="bwd_payload_max", unit="bytes"),
    Feature(name="bwd_payload_min", unit="bytes"),
    Feature(name="bwd_payload_mean", unit="bytes"),
    Feature(name="bwd_payload_std", unit="bytes"),
    Feature(name="flow_payload_rate", unit="bytes/s"),
    Feature(name="flow_packet_rate", unit="packets/s"),
    Feature(name="flow_iat_mean", unit="us"),
    Feature(name="flow_iat_std", unit="us"),
    Feature(name="flow_iat_max", unit="us"),
    Feature(name="flow_iat_min", unit="us"),
    Feature(name="fwd_iat_total", unit="us"),
    Feature(name="fwd_iat_mean", unit="us"),
    Feature(name="fwd_iat_std", unit="us"),
    Feature(name="fwd_iat_max", unit="us"),
    Feature(name="fwd_iat_min", unit="us"),
    Feature(name="bwd_iat_total", unit="us"),
    Feature(name="bwd_iat_mean", unit="us"),
    Feature(name="bwd_iat_std", unit="us"),
    Feature(name="bwd_iat_max", unit="us"),
    Feature(name="bwd_iat_min", unit="us"),
    Feature(name="fwd_psh", unit="packets"),
    Feature(name="bwd_psh", unit="packets"),
    Feature(name="fwd_urg", unit="packets"),
    Feature(name="bwd_urg", unit="packets"),
    Feature(name="fwd_rst", unit="packets"),
    Feature(name="bwd_rst", unit="packets"),
    Feature(name="fwd_header", unit="bytes"),
    Feature(name="bwd_header", unit="bytes"),
    Feature(name="fwd_packet_rate", unit="packets/s"),
    Feature(name="bwd_packet_rate", unit="packets/s"),
    Feature(name="payload_min", unit="bytes"),
    Feature(name="payload_max", unit="bytes"),
    Feature(name="payload_mean", unit="bytes"),
    Feature(name="payload_std", unit="bytes"),
    Feature(name="payload_variance", unit="bytes^2"),
    Feature(name="fin_count", unit="packets"),
    Feature(name="syn_count", unit="packets"),
    Feature(name="rst_count", unit="packets"),
    Feature(name="psh_count", unit="packets"),
    Feature(name="ack_count", unit="packets"),
    Feature(name="urg_count", unit="packets"),
    Feature(name="cwr_count", unit="packets"),
    Feature(name="ece_count", unit="packets"),
    Feature(name="down_up_ratio", unit="1"),
    Feature(name="fwd_bulk_bytes", unit="bytes"),
    Feature(name="fwd_bulk_packets", unit="packets"),
    Feature(name="fwd_bulk_rate", unit="bytes/s"),
    Feature(name="bwd_bulk_bytes", unit="bytes"),
    Feature(name="bwd_bulk_packets", unit="packets"),
    Feature(name="bwd_bulk_rate", unit="bytes/s"),
    Feature(name="subflow_fwd_packets", unit="packets"),
    Feature(name="subflow_fwd_payload", unit="bytes"),
    Feature(name="subflow_bwd_packets", unit="packets"),
    Feature(name="subflow_bwd_payload", unit="bytes"),
    Feature(name="fwd_init_window", unit="bytes"),
    Feature(name="bwd_init_window", unit="bytes"),
    Feature(name="fwd_data_packets", unit="packets"),
    Feature(name="bwd_data_packets", unit="packets"),
    Feature(name="fwd_header_min", unit="bytes"),
    Feature(name="bwd_header_min", unit="bytes"),
    Feature(name="active_mean", unit="us"),
    Feature(name="active_std", unit="us"),
    Feature(name="active_max", unit="us"),
    Feature(name="active_min", unit="us"),
    Feature(name="idle_mean", unit="us"),
    Feature(name="idle_std", unit="us"),
    Feature(name="idle_max", unit="us"),
    Feature(name="idle_min", unit="us"),
    Feature(name="icmp_code", unit="code"),
    Feature(name="icmp_type", unit="code"),
    # What the source had been doing in 2 s, 10 s and its last 64 flows: gateway_rows.put_context.
    Feature(name="src_2s_flows", unit="count"),
    Feature(name="src_2s_peers", unit="count"),
    Feature(name="src_2s_services", unit="count"),
    Feature(name="src_2s_src_ports", unit="count"),
    Feature(name="src_2s_unanswered", unit="share"),
    Feature(name="src_2s_refused", unit="share"),
    Feature(name="src_2s_same_service", unit="share"),
    Feature(name="src_2s_payload_mean", unit="bytes"),
    Feature(name="src_10s_flows", unit="count"),
    Feature(name="src_10s_peers", unit="count"),
    Feature(name="src_10s_services", unit="count"),
    Feature(name="src_10s_src_ports", unit="count"),
    Feature(name="src_10s_unanswered", unit="share"),
    Feature(name="src_10s_refused", unit="share"),
    Feature(name="src_10s_same_service", unit="share"),
    Feature(name="src_10s_payload_mean", unit="bytes"),
    Feature(name="src_64_flows", unit="count"),
    Feature(name="src_64_peers", unit="count"),
    Feature(name="src_64_services", unit="count"),
    Feature(name="src_64_src_ports", unit="count"),
    Feature(name="src_64_unanswered", unit="share"),
    Feature(name="src_64_refused", unit="share"),
    Feature(name="src_64_same_service", unit="share"),
    Feature(name="src_64_payload_mean", unit="bytes"),
    Feature(name="src_64_span", unit="us"),
    # The same of the destination.
    Feature(name="dst_2s_flows", unit="count"),
    Feature(name="dst_2s_peers", unit="count"),
    Feature(name="dst_2s_services", unit="count"),
    Feature(name="dst_2s_src_ports", unit="count"),
    Feature(name="dst_2s_unanswered", unit="share"),
    Feature(name="dst_2s_refused", unit="share"),
    Feature(name="dst_2s_same_service", unit="share"),
    Feature(name="dst_2s_payload_mean", unit="bytes"),
    Feature(name="dst_10s_flows", unit="count"),
    Feature(name="dst_10s_peers", unit="count"),
    Feature(name="dst_10s_services", unit="count"),
    Feature(name="dst_10s_src_ports", unit="count"),
    Feature(name="dst_10s_unanswered", unit="share"),
    Feature(name="dst_10s_refused", unit="share"),
    Feature(name="dst_10s_same_service", unit="share"),
    Feature(name="dst_10s_payload_mean", unit="bytes"),
    Feature(name="dst_64_flows", unit="count"),
    Feature(name="dst_64_peers", unit="count"),
    Feature(name="dst_64_services", unit="count"),
    Feature(name="dst_64_src_ports", unit="count"),
    Feature(name="dst_64_unanswered", unit="share"),
    Feature(name="dst_64_refused", unit="share"),
    Feature(name="dst_64_same_service", unit="share"),
    Feature(name="dst_64_payload_mean", unit="bytes"),
    Feature(name="dst_64_span", unit="us"),
    # The flows of the same source, destination and service.
    Feature(name="beacon_intervals", unit="count"),
    Feature(name="beacon_interval_mean", unit="us"),
    Feature(name="beacon_interval_variation", unit="1"),
)
# Counts of hosts and pairs that decay over minutes: decaying_counters.put_history.
HISTORY = (
    Feature(name="src_1m_flows", unit="count"),
    Feature(name="src_1m_failed", unit="count"),
    Feature(name="src_1m_new", unit="count"),
    Feature(name="src_1m_new_failed", unit="count"),
    Feature(name="src_10m_flows", unit="count"),
    Feature(name="src_10m_failed", unit="count"),
    Feature(name="src_10m_new", unit="count"),
    Feature(name="src_10m_new_failed", unit="count"),
    Feature(name="dst_1m_flows", unit="count"),
    Feature(name="dst_1m_failed", unit="count"),
    Feature(name="dst_1m_new", unit="count"),
    Feature(name="dst_1m_new_failed", unit="count"),
    Feature(name="dst_10m_flows", unit="count"),
    Feature(name="dst_10m_failed", unit="count"),
    Feature(name="dst_10m_new", unit="count"),
    Feature(name="dst_10m_new_failed", unit="count"),
    Feature(name="pair_1m_flows", unit="count"),
    Feature(name="pair_1m_failed", unit="count"),
    Feature(name="pair_10m_flows", unit="count"),
    Feature(name="pair_10m_failed", unit="count"),
    Feature(name="pair_payload_mean", unit="bytes"),
    Feature(name="pair_payload_variation", unit="1"),
    Feature(name="pair_interval_mean", unit="us"),
    Feature(name="pair_interval_variation", unit="1"),
)
# Fragments of its packets: fragment_evidence.put_fragments.
FRAGMENTS = (
    Feature(name="fragments", unit="fragments"),
    Feature(name="tiny_fragments", unit="fragments"),
    Feature(name="overlapping_fragments", unit="fragments"),
    Feature(name="incomplete_datagrams", unit="packets"),
)
# Frames that decide nothing, as forged ones do: connection_evidence.put_evidence.
FORGED = (
    Feature(name="before_open", unit="packets"),
    Feature(name="out_of_window", unit="packets"),
    Feature(name="bad_checksums", unit="packets"),
    Feature(name="short_lived", unit="packets"),
)
# The first packets of a flow as three series, one after the other: packet_series.put_series.
PACKETS = 32
SERIES_KINDS = (("size", "bytes"), ("direction", "sign"), ("iat", "us"))
SERIES = tuple(
    Feature(name=f"{name}_{number}", unit=unit)
    for name, unit in SERIES_KINDS
    for number in range(1, PACKETS + 1)
)

_ROW = (*STATISTICS, *HISTORY, *FRAGMENTS, *FORGED, *PAYLOAD)
GATEWAY = Schema(name="gateway", features=_ROW)
PACKET_SERIES = Schema(name="packets", features=SERIES)
GATEWAY_PACKETS = Schema(name="gateway-packets", features=(*_ROW, *SERIES))

# What failed, what is new, and how much of it there is around a flow; forged and cut packets.
_RISING = ("unanswered", "refused", "failed", "peers", "services", "ports", "flows", "new")
# More of these is never less suspicious, in any network.
SUSPICIOUS = frozenset(
    (
        *SUSPICIOUS_PAYLOAD,
        *(column.name for column in (*FRAGMENTS, *FORGED)),
        *(
            column.name
            for column in (*STATISTICS, *HISTORY)
            if column.name.startswith(("src_", "dst_", "pair_"))
            and any(word in column.name for word in _RISING)
            and "same" not in column.name
        ),
    )
)
