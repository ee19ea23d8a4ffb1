"""CICFlowMeter's columns in the three spellings that published tables use.

``cic-original`` spells them as version 4.0 of the tool, the tables of CIC-IDS2017 as version 3,
those of IoTID20 and CSE-CIC-IDS2018 in short. The published tables were made by older versions,
which computed some columns otherwise (G. Engelen, V. Rimmer, W. Joosen, WTMC 2021, and the history
of ahlashkari/CICFlowMeter): a model that learned those must not be fed them from packets.
"""

from __future__ import annotations

from idskit.data.published.publisher import Version
from idskit.schema import Feature
from idskit.schemas import cic_columns as columns

# Version 4.0; CIC-IDS2017, IoTID20, where they differ from it (IoTID20 has _ for each space).
_SPELLINGS = """
Flow Duration
Total Fwd Packet; Total Fwd Packets; Tot Fwd Pkts
Total Bwd packets; Total Backward Packets; Tot Bwd Pkts
Total Length of Fwd Packet; Total Length of Fwd Packets; TotLen Fwd Pkts
Total Length of Bwd Packet; Total Length of Bwd Packets; TotLen Bwd Pkts
Fwd Packet Length Max; ; Fwd Pkt Len Max
Fwd Packet Length Min; ; Fwd Pkt Len Min
Fwd Packet Length Mean; ; Fwd Pkt Len Mean
Fwd Packet Length Std; ; Fwd Pkt Len Std
Bwd Packet Length Max; ; Bwd Pkt Len Max
Bwd Packet Length Min; ; Bwd Pkt Len Min
Bwd Packet Length Mean; ; Bwd Pkt Len Mean
Bwd Packet Length Std; ; Bwd Pkt Len Std
Flow Bytes/s; ; Flow Byts/s
Flow Packets/s; ; Flow Pkts/s
Flow IAT Mean
Flow IAT Std
Flow IAT Max
Flow IAT Min
Fwd IAT Total; ; Fwd IAT Tot
Fwd IAT Mean
Fwd IAT Std
Fwd IAT Max
Fwd IAT Min
Bwd IAT Total; ; Bwd IAT Tot
Bwd IAT Mean
Bwd IAT Std
Bwd IAT Max
Bwd IAT Min
Fwd PSH Flags
Bwd PSH Flags
Fwd URG Flags
Bwd URG Flags
Fwd Header Length; ; Fwd Header Len
Bwd Header Length; ; Bwd Header Len
Fwd Packets/s; ; Fwd Pkts/s
Bwd Packets/s; ; Bwd Pkts/s
Packet Length Min; Min Packet Length; Pkt Len Min
Packet Length Max; Max Packet Length; Pkt Len Max
Packet Length Mean; ; Pkt Len Mean
Packet Length Std; ; Pkt Len Std
Packet Length Variance; ; Pkt Len Var
FIN Flag Count; ; FIN Flag Cnt
SYN Flag Count; ; SYN Flag Cnt
RST Flag Count; ; RST Flag Cnt
PSH Flag Count; ; PSH Flag Cnt
ACK Flag Count; ; ACK Flag Cnt
URG Flag Count; ; URG Flag Cnt
CWR Flag Count; CWE Flag Count; CWE Flag Count
ECE Flag Count; ; ECE Flag Cnt
Down/Up Ratio
Average Packet Size; ; Pkt Size Avg
Fwd Segment Size Avg; Avg Fwd Segment Size; Fwd Seg Size Avg
Bwd Segment Size Avg; Avg Bwd Segment Size; Bwd Seg Size Avg
Fwd Bytes/Bulk Avg; Fwd Avg Bytes/Bulk; Fwd Byts/b Avg
Fwd Packet/Bulk Avg; Fwd Avg Packets/Bulk; Fwd Pkts/b Avg
Fwd Bulk Rate Avg; Fwd Avg Bulk Rate; Fwd Blk Rate Avg
Bwd Bytes/Bulk Avg; Bwd Avg Bytes/Bulk; Bwd Byts/b Avg
Bwd Packet/Bulk Avg; Bwd Avg Packets/Bulk; Bwd Pkts/b Avg
Bwd Bulk Rate Avg; Bwd Avg Bulk Rate; Bwd Blk Rate Avg
Subflow Fwd Packets; ; Subflow Fwd Pkts
Subflow Fwd Bytes; ; Subflow Fwd Byts
Subflow Bwd Packets; ; Subflow Bwd Pkts
Subflow Bwd Bytes; ; Subflow Bwd Byts
FWD Init Win Bytes; Init_Win_bytes_forward; Init Fwd Win Byts
Bwd Init Win Bytes; Init_Win_bytes_backward; Init Bwd Win Byts
Fwd Act Data Pkts; act_data_pkt_fwd
Fwd Seg Size Min; min_seg_size_forward
Active Mean
Active Std
Active Max
Active Min
Idle Mean
Idle Std
Idle Max
Idle Min
"""


COLUMNS = [  # each column's spellings, version 4.0's first
    [cell.strip() for cell in line.split(";") if cell.strip()]
    for line in _SPELLINGS.strip().split("\n")
]
# Every other spelling, as a column key (``publisher.column_key``), to version 4.0's.
SPELLINGS = {name.replace("_", " ").casefold(): row[0] for row in COLUMNS for name in row[1:]}


def _names(*groups: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    return tuple(name for group in groups for name, _ in group)


# Columns that the published tables and a profile fill by different rules, and why they differ.
OTHERWISE = {
    "cic-original": {
        "flags, which the tables take from the first packet only": _names(columns.FLAGS),
        "subflows, which in the tables are the whole flow": _names(columns.SUBFLOWS),
        "bulks, which are always 0 in the tables": _names(columns.BULK),
        "windows, which are -1 in the tables where unknown": _names(columns.WINDOWS),
        "active and idle times, of other periods in the tables": _names(columns.PERIODS),
    }
}
OTHERWISE["cic-fixed"] = OTHERWISE["cic-original"] | {
    "flags by side, which the tables take from the first packet only": _names(columns.SIDE_FLAGS),
    "lengths in which the tables count the first packet twice": (
        *("Packet Length Mean", "Packet Length Std", "Packet Length Variance"),
        "Average Packet Size",
    ),
    "the ratio that the tables round down": _names(columns.DOWN_UP),
    "packets with data, where the tables leave out the first": ("Fwd Act Data Pkts",),
}
VERSION = Version(
    features=(Feature(name="Protocol", unit="1"), *columns.CIC_ORIGINAL.features),
    profiles=OTHERWISE,
    undefined={"cic-fixed": {"Flow Bytes/s": -1, "Flow Packets/s": -1}},  # over no time
)
ENDS = (
    "the published tables end a flow at the first FIN and count Ethernet padding as payload; flows "
    "of {} differ in that"
)
