"""Column names and units of CICFlowMeter, spelled as the Java tools spell them."""

from __future__ import annotations

from idskit.schema import Feature, Schema

_Columns = tuple[tuple[str, str], ...]


TOTALS: _Columns = (
    ("Flow Duration", "us"),
    ("Total Fwd Packet", "packets"),
    ("Total Bwd packets", "packets"),
    ("Total Length of Fwd Packet", "bytes"),
    ("Total Length of Bwd Packet", "bytes"),
    ("Fwd Packet Length Max", "bytes"),
    ("Fwd Packet Length Min", "bytes"),
    ("Fwd Packet Length Mean", "bytes"),
    ("Fwd Packet Length Std", "bytes"),
    ("Bwd Packet Length Max", "bytes"),
    ("Bwd Packet Length Min", "bytes"),
    ("Bwd Packet Length Mean", "bytes"),
    ("Bwd Packet Length Std", "bytes"),
    ("Flow Bytes/s", "bytes/s"),
    ("Flow Packets/s", "packets/s"),
)
GAPS: _Columns = (
    ("Flow IAT Mean", "us"),
    ("Flow IAT Std", "us"),
    ("Flow IAT Max", "us"),
    ("Flow IAT Min", "us"),
    ("Fwd IAT Total", "us"),
    ("Fwd IAT Mean", "us"),
    ("Fwd IAT Std", "us"),
    ("Fwd IAT Max", "us"),
    ("Fwd IAT Min", "us"),
    ("Bwd IAT Total", "us"),
    ("Bwd IAT Mean", "us"),
    ("Bwd IAT Std", "us"),
    ("Bwd IAT Max", "us"),
    ("Bwd IAT Min", "us"),
)
SIDE_FLAGS: _Columns = (
    ("Fwd PSH Flags", "packets"),
    ("Bwd PSH Flags", "packets"),
    ("Fwd URG Flags", "packets"),
    ("Bwd URG Flags", "packets"),
)
SIDE_RESETS: _Columns = (("Fwd RST Flags", "packets"), ("Bwd RST Flags", "packets"))
HEADERS: _Columns = (
    ("Fwd Header Length", "bytes"),
    ("Bwd Header Length", "bytes"),
    ("Fwd Packets/s", "packets/s"),
    ("Bwd Packets/s", "packets/s"),
)
LENGTHS: _Columns = (
    ("Packet Length Min", "bytes"),
    ("Packet Length Max", "bytes"),
    ("Packet Length Mean", "bytes"),
    ("Packet Length Std", "bytes"),
    ("Packet Length Variance", "bytes^2"),
)
FLAGS: _Columns = (
    ("FIN Flag Count", "packets"),
    ("SYN Flag Count", "packets"),
    ("RST Flag Count", "packets"),
    ("PSH Flag Count", "packets"),
    ("ACK Flag Count", "packets"),
    ("URG Flag Count", "packets"),
    ("CWR Flag Count", "packets"),
    ("ECE Flag Count", "packets"),
)
DOWN_UP: _Columns = (("Down/Up Ratio", "1"),)
SEGMENTS: _Columns = (
    ("Average Packet Size", "bytes"),
    ("Fwd Segment Size Avg", "bytes"),
    ("Bwd Segment Size Avg", "bytes"),
)
BULK: _Columns = (
    ("Fwd Bytes/Bulk Avg", "bytes"),
    ("Fwd Packet/Bulk Avg", "packets"),
    ("Fwd Bulk Rate Avg", "bytes/s"),
    ("Bwd Bytes/Bulk Avg", "bytes"),
    ("Bwd Packet/Bulk Avg", "packets"),
    ("Bwd Bulk Rate Avg", "bytes/s"),
)
SUBFLOWS: _Columns = (
    ("Subflow Fwd Packets", "packets"),
    ("Subflow Fwd Bytes", "bytes"),
    ("Subflow Bwd Packets", "packets"),
    ("Subflow Bwd Bytes", "bytes"),
)
WINDOWS: _Columns = (
    ("FWD Init Win Bytes", "bytes"),
    ("Bwd Init Win Bytes", "bytes"),
)
PERIODS: _Columns = (
    ("Active Mean", "us"),
    ("Active Std", "us"),
    ("Active Max", "us"),
    ("Active Min", "us"),
    ("Idle Mean", "us"),
    ("Idle Std", "us"),
    ("Idle Max", "us"),
    ("Idle Min", "us"),
)
START_ORIGINAL: _Columns = (("Fwd Act Data Pkts", "packets"), ("Fwd Seg Size Min", "bytes"))
START_FIXED: _Columns = (
    ("Fwd Act Data Pkts", "packets"),
    ("Bwd Act Data Pkts", "packets"),
    ("Fwd Seg Size Min", "bytes"),
    ("Bwd Seg Size Min", "bytes"),
)
CONNECTION: _Columns = (
    ("ICMP Code", "code"),
    ("ICMP Type", "code"),
    ("Fwd TCP Retrans. Count", "packets"),
    ("Bwd TCP Retrans. Count", "packets"),
    ("Total TCP Retrans. Count", "packets"),
    ("Total Connection Flow Time", "us"),
)


def _schema(name: str, *groups: _Columns) -> Schema:
    columns = (Feature(name=column, unit=unit) for group in groups for column, unit in group)
    return Schema(name=name, features=tuple(columns))


CIC_ORIGINAL = _schema(
    "cic-original",
    TOTALS,
    GAPS,
    SIDE_FLAGS,
    HEADERS,
    LENGTHS,
    FLAGS,
    DOWN_UP,
    SEGMENTS,
    BULK,
    SUBFLOWS,
    WINDOWS,
    START_ORIGINAL,
    PERIODS,
)
CIC_FIXED = _schema(
    "cic-fixed",
    TOTALS,
    GAPS,
    SIDE_FLAGS,
    SIDE_RESETS,
    HEADERS,
    LENGTHS,
    FLAGS,
    DOWN_UP,
    SEGMENTS,
    BULK,
    SUBFLOWS,
    WINDOWS,
    START_FIXED,
    PERIODS,
    CONNECTION,
)
