"""Columns of the two published versions of CICIoT2023, and pairs of them that trees gain from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from idskit.schema import Feature

_Record = np.void
_Records = NDArray[np.void]
_Row = NDArray[np.float64]
_FLAGS = "fin syn rst psh ack ece cwr"

_SERVICES = "HTTP HTTPS DNS Telnet SMTP SSH IRC TCP UDP DHCP ARP ICMP"


def _columns(names: Sequence[str], unit: str) -> tuple[Feature, ...]:
    return tuple(Feature(name=name, unit=unit) for name in names)


_SHARES = (
    *_columns([f"{flag}_flag_number" for flag in _FLAGS.split()], "share"),
    *_columns(["ack_count", "syn_count", "fin_count", "urg_count", "rst_count"], "packets"),
    *_columns([*_SERVICES.split(), "IPv", "LLC"], "share"),
)

FIRST = (
    *_columns(["flow_duration"], "s"),
    *_columns(["Header_Length"], "bytes"),
    *_columns(["Protocol Type", "Duration"], "1"),
    *_columns(["Rate", "Srate", "Drate"], "packets/s"),
    *_SHARES,
    *_columns(["Tot sum", "Min", "Max", "AVG", "Std", "Tot size"], "bytes"),
    *_columns(["IAT"], "s"),
    *_columns(["Number"], "packets"),
    *_columns(["Magnitue"], "bytes^0.5"),
    *_columns(["Radius"], "bytes"),
    *_columns(["Covariance"], "bytes^2"),
    *_columns(["Variance"], "1"),
    *_columns(["Weight"], "packets^2"),
)

LATER = (
    *_columns(["Header_Length"], "bytes"),
    *_columns(["Protocol Type", "Time_To_Live"], "1"),
    *_columns(["Rate"], "packets/s"),
    *_columns([f"{flag}_flag_number" for flag in _FLAGS.split()], "share"),
    *_columns(["ack_count", "syn_count", "fin_count", "rst_count"], "packets"),
    *_columns([*_SERVICES.split(), "IGMP", "IPv", "LLC"], "share"),
    *_columns(["Tot sum", "Min", "Max", "AVG", "Std", "Tot size"], "bytes"),
    *_columns(["IAT"], "s"),
    *_columns(["Number"], "packets"),
    *_columns(["Variance"], "bytes^2"),
)

# What averages over a window hide from one column at a time. Rate leaves out the gap before the
# first packet and IAT has it, so their product tells it; headers, flags and services are shares of
# all packets, of which only some are TCP, UDP or IP.
PRODUCTS = (
    ("Rate", "IAT"),
    ("Rate", "AVG"),
    ("Header_Length", "Number"),
    ("Time_To_Live", "Number"),
)

QUOTIENTS = (
    ("Number", "Rate"),
    ("Header_Length", "TCP"),
    ("Header_Length", "AVG"),
    ("Time_To_Live", "IPv"),
    ("psh_flag_number", "TCP"),
    ("ack_flag_number", "TCP"),
    ("HTTPS", "TCP"),
    ("HTTP", "TCP"),
    ("DNS", "UDP"),
    ("Std", "AVG"),
    ("Tot sum", "Max"),
    ("Min", "Max"),
)
