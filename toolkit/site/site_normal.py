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
from idskit.flow import address_number, address_text
from idskit.incidents.family_facts import FAMILY_FACTS
from idskit.schema import Schema
from idskit.site.case_peaks import MOST_PEAKS, Peak
from idskit.site.device_normal import (
    DeviceNormal,
    service_of,
    service_text,
    usual_of,
)
from idskit.site.incident_budget import Budget, Openings, openings_for
from idskit.site.site_levels import Service, SiteLevels

FORMAT = "idskit-site 1"
MOST_DEVICES = 1_024
MOST_ROWS = 2_048  # of a protocol
PROTOCOLS = ("tcp", "udp", "icmp")  # where the column is_tcp is 1, and so on
ANY = "any"  # all of them
LEVELS = {"p50": 50.0, "p99": 99.0}
_LEAST_ROWS = 100  # a 99th percentile of fewer is the largest of them

Quantiles = Mapping[str, Mapping[str, list[float]]]


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
            house=frozenset(one for device in self.devices.values() for one in device.contacts),
            steady=frozenset(one for one, device in self.devices.items() if device.is_steady),
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


class ColumnSample:
    """A sample of rows of a stream, in which every row is as likely (Vitter, 1985)."""

    def __init__(self, schema: Schema) -> None:
        flags = [f"is_{protocol}" for protocol in PROTOCOLS]
        self._flags = [schema.names.index(flag) if flag in schema.names else -1 for flag in flags]
        self._rows: dict[str, list[NDArray[np.float32]]] = {}
        self._seen: dict[str, int] = {}
        self._random = np.random.default_rng(0)  # the same traffic gives the same file

    def add(self, row: NDArray[np.float64]) -> None:
        """Offer a row (d,) of features."""
        if not np.isfinite(row).all():
            return
        for protocol, at in zip(PROTOCOLS, self._flags, strict=True):
            if at >= 0 and row[at] > 0:
                self._offer(protocol, row)
        self._offer(ANY, row)

    def quantiles(self) -> dict[str, dict[str, list[float]]]:
        """Return lists of d values by protocol and by LEVELS, where enough rows were seen."""
        return {
            protocol: _levels(np.array(rows))
            for protocol, rows in sorted(self._rows.items())
            if len(rows) >= _LEAST_ROWS
        }

    def _offer(self, protocol: str, row: NDArray[np.float64]) -> None:
        rows = self._rows.setdefault(protocol, [])
        self._seen[protocol] = self._seen.get(protocol, 0) + 1
        if len(rows) < MOST_ROWS:
            rows.append(row.astype(np.float32))
            return
        drawn = int(self._random.integers(self._seen[protocol]))
        if drawn < MOST_ROWS:
            rows[drawn] = row.astype(np.float32)


def quantiles_of(found: Any, width: int) -> dict[str, dict[str, list[float]]]:
    """Read the quantiles of a document.

    Raises:
        KeyError, TypeError, ValueError: they are damaged.
    """
    read = {}
    for protocol in (*PROTOCOLS, ANY):
        if protocol in found:
            read[protocol] = {name: _row(found[protocol][name], width) for name in LEVELS}
    return read


def _row(values: Any, width: int) -> list[float]:
    row = np.array(values, np.float64)
    if row.shape != (width,) or not np.isfinite(row).all():
        raise ValueError(f"{width} finite numbers were expected")
    return [float(value) for value in row]


def _levels(rows: NDArray[np.float32]) -> dict[str, list[float]]:
    levels = np.percentile(rows, list(LEVELS.values()), axis=0)
    return {
        name: [float(f"{value:.6g}") for value in level]
        for name, level in zip(LEVELS, levels, strict=True)
    }
