"""Write a capture made by code, and the true label of every flow.

mix ──> scripts of conversations ──> flows that play them ──> packets by time ──> capture + labels
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import IO

import numpy as np

from idskit.errors import DataError
from idskit.files.output import whole_file
from idskit.generate.endpoints import Flows
from idskit.generate.frame_bytes import EPOCH_S, NOISE_BYTES, file_header, write_records
from idskit.generate.library import Library, write_library
from idskit.generate.mixes import MIXES, Activity
from idskit.generate.schedule import Plan, Traffic

LABEL_COLUMNS = (
    "src_ip",
    "src_port",
    "dst_ip",
    "dst_port",
    "protocol",
    "start_us",
    "packets",
    "label",
    "category",
)
_BUFFER_BYTES = 1 << 22
_ENDINGS = (".pcap", ".pcapng")


@dataclass(frozen=True, kw_only=True)
class GeneratedCapture:
    """A capture that ``generate`` wrote.

    Attributes:
        path: the capture: classic pcap or pcapng, microseconds, Ethernet.
        labels: CSV with LABEL_COLUMNS, one row per flow: addresses and ports of the side that began
            first (ports of ICMP are 0), IP protocol number, start in microseconds since the epoch,
            packets of both directions, label ("benign" or "attack"), category.
        packets: in the capture.
        flows: in the labels.
        bytes: size of the capture.
        duration_s: from the first packet to the last.
    """

    path: Path
    labels: Path
    packets: int
    flows: int
    bytes: int
    duration_s: float


def generate(
    path: str | Path, *, packets: int, mix: str = "home", seed: int = 0
) -> GeneratedCapture:
    """Write a capture of exactly ``packets`` packets and, next to it, ``<stem>.labels.csv``.

    The same arguments give the same bytes (with the same numpy). Memory stays bounded however
    long the capture is. No address belongs to anybody, and payloads are noise behind protocol
    headers; headers, lengths and checksums are right.

    Args:
        path: of the capture; its ending, .pcap or .pcapng, is its format.
        packets: how many, at least 1.
        mix: one of MIXES: "home" (devices under one attack after the other), "benign" (the same
            without attacks), "mixed" (a busy office under all attacks at once, for benchmarks),
            "flood" (one-packet flows from forged sources).
        seed: another seed gives other traffic of the same kind.

    Raises:
        DataError: no such mix, no packets, or a name with another ending.
        IdskitError: the files cannot be written.

    Example:
        >>> capture = generate("home.pcap", packets=4000)
        >>> capture.labels.name, capture.packets
        ('home.labels.csv', 4000)
    """
    if mix not in MIXES:
        raise DataError(f"there is no mix {mix!r}: choose one of {', '.join(MIXES)}")
    if packets < 1 or seed < 0:
        raise DataError(
            f"a capture has at least 1 packet and a seed of at least 0, not {packets} and {seed}"
        )
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in _ENDINGS:
        raise DataError(f"{path} ends in none of {', '.join(_ENDINGS)}: name the capture like that")
    labels = path.with_name(f"{path.stem}.labels.csv")
    library = write_library(MIXES[mix].activities, packets, seed)
    traffic = Traffic(MIXES[mix], library, packets, seed)
    with whole_file(path) as capture_file, whole_file(labels) as labels_file:
        pcapng = ending == ".pcapng"
        writer = CaptureWriter(capture_file, labels_file, traffic, library, pcapng=pcapng)
        writer.write(packets)
    return GeneratedCapture(
        path=path,
        labels=labels,
        packets=packets,
        flows=writer.flows,
        bytes=writer.bytes,
        duration_s=writer.duration_us / 1e6,
    )


class CaptureWriter:
    """Writer of packets slice by slice, and of each flow's label after its last packet."""

    def __init__(
        self,
        capture: IO[bytes],
        labels: IO[bytes],
        traffic: Traffic,
        library: Library,
        *,
        pcapng: bool,
    ) -> None:
        self._capture, self._labels, self._pcapng = capture, labels, pcapng
        self._traffic, self._library = traffic, library
        self._buffer = np.zeros(_BUFFER_BYTES, np.uint8)
        self._noise = np.frombuffer(np.random.default_rng(0).bytes(NOISE_BYTES), np.uint8)
        self.flows = self.bytes = 0
        self.duration_us = 0

    def write(self, packets: int) -> None:
        """Write the capture and its labels."""
        self.bytes = self._capture.write(file_header(pcapng=self._pcapng))
        self._labels.write((",".join(LABEL_COLUMNS) + "\n").encode())
        begin_us = None
        while packets:
            plan = self._traffic.advance()[:packets]
            self._write_packets(plan)
            self._write_labels(self._traffic.settle(plan))
            packets -= len(plan.time_us)
            if len(plan.time_us):
                begin_us = int(plan.time_us[0]) if begin_us is None else begin_us
                self.duration_us = int(plan.time_us[-1]) - begin_us
        begun = self._traffic.flows["packets"] > 0
        self._write_labels(self._traffic.flows[begun])

    def _write_packets(self, plan: Plan) -> None:
        flows, library = self._traffic.flows, self._library
        done = 0
        while done < len(plan.time_us):
            rest = plan[done:]
            count, size = write_records(
                self._buffer,
                rest.time_us,
                rest.flow,
                rest.step,
                flows,
                library.steps,
                library.prefixes,
                self._noise,
                self._pcapng,
            )
            self._capture.write(self._buffer[:size].data)
            self.bytes += size
            done += count

    def _write_labels(self, flows: Flows) -> None:
        flows = flows[np.argsort(flows["start_us"], kind="stable")]
        activities = self._traffic.activities
        lines = (_label(flow, activities[flow["activity"]]) for flow in flows)
        self._labels.write("".join(lines).encode())
        self.flows += len(flows)


def _label(flow: np.void, activity: Activity) -> str:
    client = f"{_address(flow['client_high'], flow['client_low'])},{flow['client_port']}"
    server = f"{_address(flow['server_high'], flow['server_low'])},{flow['server_port']}"
    start_us = EPOCH_S * 1_000_000 + flow["start_us"]
    label = "attack" if activity.attack else "benign"
    return (
        f"{client},{server},{flow['protocol']},{start_us},{flow['packets']},"
        f"{label},{activity.category}\n"
    )


def _address(high: np.uint64, low: np.uint64) -> str:
    if high:
        return str(IPv6Address((int(high) << 64) | int(low)))
    return str(IPv4Address(int(low) & 0xFFFFFFFF))
