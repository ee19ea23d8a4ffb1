"""Groups of features in plain words, as data: what an explanation adds a score up from.

Every column of a schema belongs to exactly one group: that of the first rule that fits its name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from idskit.schema import Schema
from idskit.schemas.payload_columns import PAYLOAD

AMOUNT = "amount and sizes"
TIMING = "timing"
CONNECTION = "protocol, port and flags"
PAYLOADS = "payload"
SOURCE = "source's past flows"
DESTINATION = "destination's past flows"
PAIR = "past flows of both"
FIRST_PACKETS = "first packets"
OTHER = "other columns"  # of a schema that no rule below knows

_SAID = {column.name for column in PAYLOAD} - {"dst_port_class", "usual_port"}
_GATEWAY = (
    (FIRST_PACKETS, r"(size|direction|iat)_\d+"),
    (CONNECTION, r"is_(tcp|udp|icmp)|icmp_(code|type)|dst_port_class|usual_port"),
    (PAYLOADS, "|".join(sorted(_SAID))),
    (SOURCE, r"src_.*"),
    (DESTINATION, r"dst_.*"),
    (PAIR, r"(pair|beacon)_.*"),
    (TIMING, r"flow_duration|.*_iat_.*|(active|idle)_.*"),
    (CONNECTION, r"(fwd|bwd)_(psh|urg|rst|init_window)|[a-z]{3}_count|.*fragments"),
    (CONNECTION, r"incomplete_datagrams|before_open|out_of_window|bad_checksums|short_lived"),
    (AMOUNT, r".*(packets|payload|header|rate|ratio|bulk).*"),
)
_CIC = (
    (TIMING, r".*(IAT|Duration|Active|Idle|Flow Time).*"),
    (CONNECTION, r".*(Flag|Init Win|Retrans).*"),
    (CONNECTION, r"ICMP (Code|Type)"),
    (AMOUNT, r".*([Pp]ack|Pkt|Bytes|Length|Header|Ratio|Seg|Bulk|Subflow).*"),
)
_CICIOT2023 = (
    (TIMING, r"flow_duration|Duration|.?[Rr]ate|IAT"),
    (CONNECTION, r"[a-z]{3}_(flag_number|count)"),
    (CONNECTION, r"Protocol Type|Time_To_Live|HTTPS?|DNS|Telnet|SMTP|SSH|IRC|TCP|UDP|DHCP"),
    (CONNECTION, r"ARP|ICMP|IGMP|IPv|LLC"),
    (AMOUNT, r"Header_Length|Tot s(um|ize)|Min|Max|AVG|Std|Number|Magnitue|Radius|Covariance"),
    (AMOUNT, r"Variance|Weight"),
)
_KDD99 = (
    (CONNECTION, r"protocol_type|service"),
    (CONNECTION, r"flag|land|wrong_fragment|urgent"),
    (TIMING, r"duration"),
    (AMOUNT, r"(src|dst)_bytes"),
    (DESTINATION, r"dst_host_.*"),
    (SOURCE, r"(srv_)?(count|.*_rate)"),
)
_RULES = {  # by the first word of a schema's name
    "gateway": _GATEWAY,
    "packets": _GATEWAY,
    "cic": _CIC,
    "ciciot2023": _CICIOT2023,
    "kdd99": _KDD99,
}


@dataclass(frozen=True, kw_only=True)
class FeatureGroup:
    """Columns that mean one thing together."""

    name: str
    columns: tuple[int, ...]  # their places in the schema


def feature_groups(schema: Schema) -> tuple[FeatureGroup, ...]:
    """Divide the columns of a schema into groups, at most eight, in the order of the rules.

    Example:
        >>> from idskit.schemas.gateway_columns import PACKET_SERIES
        >>> [group.name for group in feature_groups(PACKET_SERIES)]
        ['first packets']
    """
    rules = _RULES.get(schema.name.split("-")[0], ())
    found: dict[str, list[int]] = {name: [] for name in (*(name for name, _ in rules), OTHER)}
    for place, column in enumerate(schema.names):
        fitting = (name for name, pattern in rules if re.fullmatch(pattern, column))
        found[next(fitting, OTHER)].append(place)
    return tuple(
        FeatureGroup(name=name, columns=tuple(places)) for name, places in found.items() if places
    )
