"""Columns of ``gateway`` for a flow and its hosts: names and units, in the order of a row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.schema import Feature

_Record = np.void
_Records = NDArray[np.void]
_Row = NDArray[np.float64]


def _each(template: str, names: str, unit: str) -> tuple[Feature, ...]:
    return tuple(Feature(name=template.format(name), unit=unit) for name in names.split())


def _window_features(window: str) -> tuple[Feature, ...]:
    return (
        *_each(window + "_{}", "flows peers services src_ports", "count"),
        *_each(window + "_{}", "unanswered refused same_service", "share"),
        Feature(name=window + "_payload_mean", unit="bytes"),
    )


def _host_features(role: str) -> tuple[Feature, ...]:
    return (
        *_window_features(f"{role}_2s"),
        *_window_features(f"{role}_10s"),
        *_window_features(f"{role}_64"),
        Feature(name=f"{role}_64_span", unit="us"),
    )


STATISTICS = (
    *_each("is_{}", "tcp udp icmp", "flag"),
    *_each("{}", "flow_duration", "us"),
    *_each("{}_packets", "fwd bwd", "packets"),
    *_each("{}_payload", "fwd bwd", "bytes"),
    *_each("fwd_payload_{}", "max min mean std", "bytes"),
    *_each("bwd_payload_{}", "max min mean std", "bytes"),
    *_each("{}", "flow_payload_rate", "bytes/s"),
    *_each("{}", "flow_packet_rate", "packets/s"),
    *_each("flow_iat_{}", "mean std max min", "us"),
    *_each("fwd_iat_{}", "total mean std max min", "us"),
    *_each("bwd_iat_{}", "total mean std max min", "us"),
    *_each("{}", "fwd_psh bwd_psh fwd_urg bwd_urg fwd_rst bwd_rst", "packets"),
    *_each("{}_header", "fwd bwd", "bytes"),
    *_each("{}_packet_rate", "fwd bwd", "packets/s"),
    *_each("payload_{}", "min max mean std", "bytes"),
    *_each("{}", "payload_variance", "bytes^2"),
    *_each("{}_count", "fin syn rst psh ack urg cwr ece", "packets"),
    *_each("{}", "down_up_ratio", "1"),
    *_each("fwd_bulk_{}", "bytes", "bytes"),
    *_each("fwd_bulk_{}", "packets", "packets"),
    *_each("fwd_bulk_{}", "rate", "bytes/s"),
    *_each("bwd_bulk_{}", "bytes", "bytes"),
    *_each("bwd_bulk_{}", "packets", "packets"),
    *_each("bwd_bulk_{}", "rate", "bytes/s"),
    *_each("subflow_{}", "fwd_packets", "packets"),
    *_each("subflow_{}", "fwd_payload", "bytes"),
    *_each("subflow_{}", "bwd_packets", "packets"),
    *_each("subflow_{}", "bwd_payload", "bytes"),
    *_each("{}_init_window", "fwd bwd", "bytes"),
    *_each("{}_data_packets", "fwd bwd", "packets"),
    *_each("{}_header_min", "fwd bwd", "bytes"),
    *_each("active_{}", "mean std max min", "us"),
    *_each("idle_{}", "mean std max min", "us"),
    *_each("icmp_{}", "code type", "code"),
    *_host_features("src"),
    *_host_features("dst"),
    *_each("beacon_{}", "intervals", "count"),
    *_each("beacon_{}", "interval_mean", "us"),
    *_each("beacon_{}", "interval_variation", "1"),
)
