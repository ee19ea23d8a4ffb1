"""What is normal at a site: counts of devices, peaks of cases, and quantiles of columns.

It holds counts and addresses, and nothing that was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.attack_families import UNKNOWN
from idskit.explain.usual import Usual, protocol_of
from idskit.incidents.family_facts import FAMILY_FACTS
from idskit.incidents.local_network import address_number, address_text
from idskit.incidents.site_levels import Service, SiteLevels
from idskit.schema import Schema
from idskit.site.case_peaks import MOST_PEAKS, Peak
from idskit.site.column_sample import Quantiles, quantiles_of
from idskit.site.device_normal import (
    DeviceNormal,
    service_of,
    service_text,
    usual_of,
)
from idskit.site.incident_budget import Budget, Openings, openings_for

FORMAT = "idskit-site 1"
MOST_DEVICES = 1_024


@dataclass(kw_only=True)
class SiteNormal:
    """What was learned of a site.

    Attributes:
        schema: of the features; names and units are compared, not only the name.
        model: SHA-256 of the model file that judged the flows; empty where none was one file.
        threshold: score at which a flow alone raised an alert.
        hours: in which there was traffic.
        flows: that were learned.
        devices: by address.
        peaks: of cases, see ``case_peaks``.
        unkept: number of further peaks.
        columns: quantiles by protocol.
        left_out: number of what was not learned, by reason.
    """

    schema: Schema
    model: str = ""
    threshold: float = 0.5
    hours: int = 0
    flows: int = 0
    devices: Mapping[int, DeviceNormal] = field(default_factory=dict)
    peaks: list[Peak] = field(default_factory=list)
    unkept: int = 0
    columns: Quantiles = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)

    def openings(self, budget: Budget) -> Openings:
        """Return the nats that open an incident within a budget."""
        return openings_for(self.peaks, self.hours, budget)

    def levels(
        self,
        budget: Budget,
        said: Mapping[tuple[str, int, Service], float] | None = None,
    ) -> SiteLevels:
        """Return what the tracker asks.

        Args:
            budget: of false incidents.
            said: what persons said, see ``person_verdicts``.
        """
        openings = self.openings(budget)
        rows = [row for device in self.devices.values() for row in device.facts]
        return SiteLevels(
            nats=openings.nats,
            device_nats=openings.device_nats,
            contacts={one: device.known_contacts() for one, device in self.devices.items()},
            usual=usual_of(rows),
            device_usual={one: device.usual() for one, device in self.devices.items()},
            said=said or {},
        )

    def usual(self, row: NDArray[np.float32]) -> Usual | None:
        """Return what is usual for a flow of the protocol of a row (d,); None if too few were seen.

        The row has the columns of ``schema``.
        """
        protocol = protocol_of(self.schema, row)
        levels = self.columns.get(protocol)
        if levels is None:
            return None
        return Usual(
            p50=np.array(levels["p50"], np.float32),
            p99=np.array(levels["p99"], np.float32),
            about=f"{protocol.upper()} flows of this site in {self.hours:,} hours",
        )

    def anonymous(self) -> SiteNormal:
        """Return what other sites can use: peaks of numbered devices, and the hours of them."""
        numbers: dict[int, int] = {}
        peaks = [
            replace(peak, device=numbers.setdefault(peak.device, len(numbers) + 1))
            for peak in self.peaks
        ]
        return replace(self, devices={}, columns={}, peaks=peaks)

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain types."""
        return {
            "format": FORMAT,
            "schema": self.schema.name,
            "schema_sha256": self.schema.sha256,
            "model": self.model,
            "threshold": self.threshold,
            "hours": self.hours,
            "flows": self.flows,
            "devices": [device.to_json(address) for address, device in self.devices.items()],
            "peaks": [_peak_row(peak) for peak in self.peaks],
            "unkept": self.unkept,
            "columns": self.columns,
            "left_out": dict(self.left_out),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any], schema: Schema) -> SiteNormal:
        """Read what ``to_json`` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is damaged.
        """
        devices = dict(map(DeviceNormal.from_json, found["devices"][:MOST_DEVICES]))
        return cls(
            schema=schema,
            model=str(found["model"]),
            threshold=float(found["threshold"]),
            hours=_count(found["hours"]),
            flows=_count(found["flows"]),
            devices=devices,
            peaks=[_peak_of(row) for row in found["peaks"][:MOST_PEAKS]],
            unkept=_count(found["unkept"]),
            columns=quantiles_of(found["columns"], len(schema)),
            left_out={str(reason): _count(n) for reason, n in found["left_out"].items()},
        )


def _count(number: Any) -> int:
    count = int(number)
    if count < 0:
        raise ValueError(f"a count is {count}")
    return count


def _peak_row(peak: Peak) -> list[Any]:
    device, service = address_text(peak.device), service_text(*peak.service)
    return [peak.family, device, service, peak.hour, float(f"{peak.nats:.5g}"), peak.tested]


def _peak_of(row: Any) -> Peak:
    family, device, service, hour, nats, tested = row
    if not 0 <= float(nats) < 1e9:
        raise ValueError(f"a case cannot have {nats} nats")
    return Peak(
        family=family if family in FAMILY_FACTS else UNKNOWN,
        device=address_number(device),
        service=service_of(service),
        hour=_count(hour),
        nats=float(nats),
        tested=bool(tested),
    )
