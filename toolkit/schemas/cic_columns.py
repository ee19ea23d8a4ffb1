"""Column names and units of CICFlowMeter, spelled as the Java tools spell them."""

from __future__ import annotations

from idskit.schema import Feature

_Columns = tuple[tuple[str, str], ...]


def _each(template: str, names: str, unit: str) -> _Columns:
    return tuple((template.format(name), unit) for name in names.split())


TOTALS: _Columns = (
    ("Flow Duration", "us"),
    ("Total Fwd Packet", "packets"),
    ("Total Bwd packets", "packets"),
    ("Total Length of Fwd Packet", "bytes"),
    ("Total Length of Bwd Packet", "bytes"),
    *_each("Fwd Packet Length {}", "Max Min Mean Std", "bytes"),
    *_each("Bwd Packet Length {}", "Max Min Mean Std", "bytes"),
    ("Flow Bytes/s", "bytes/s"),
    ("Flow Packets/s", "packets/s"),
)
GAPS: _Columns = (
    *_each("Flow IAT {}", "Mean Std Max Min", "us"),
    *_each("Fwd IAT {}", "Total Mean Std Max Min", "us"),
    *_each("Bwd IAT {}", "Total Mean Std Max Min", "us"),
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
    *_each("Packet Length {}", "Min Max Mean Std", "bytes"),
    ("Packet Length Variance", "bytes^2"),
)
FLAGS: _Columns = _each("{} Flag Count", "FIN SYN RST PSH ACK URG CWR ECE", "packets")
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
    *_each("Active {}", "Mean Std Max Min", "us"),
    *_each("Idle {}", "Mean Std Max Min", "us"),
)


def features(*columns: tuple[str, str]) -> tuple[Feature, ...]:
    """Schema features of (name, unit) pairs."""
    return tuple(Feature(name=name, unit=unit) for name, unit in columns)
