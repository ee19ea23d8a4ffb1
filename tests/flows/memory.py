"""A flood against the flow table's budget: ``python -m tests.flows.memory --minutes 1``.

    1.488 million one-packet flows a second (10 Gbit/s of smallest frames, by the capture's clock)
    and TALKS flows that carry data ──> named pipe ──> open_flows ──> what became of each

Only the public reader is used, so that what is measured is what a user gets. The full run feeds 89
million packets and takes about as many seconds as the engine needs for them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tests.flows.capture_files import pcap
from tests.flows.frames import udp
from tests.flows.fuzz import resident_bytes

from idskit.flow import ENDS
from idskit.profiles import open_flows

FLOWS_PER_S = 1_488_000
TALKS = 1000  # each sends a packet with data every second
START_S = 1_700_000_000
_CHUNK = 1 << 12

_RECORD = np.dtype([("s", "<u4"), ("us", "<u4"), ("captured", "<u4"), ("wire", "<u4")])
_HEADERS = np.dtype([("link", "u1", 26), ("src", ">u4"), ("dst", ">u4"), ("sport", ">u2")])


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a flood did.

    Attributes:
        budget_mb: of the flow table.
        grown_mb: most that resident memory grew by while reading.
        packets: fed in.
        counted: in all flows that were emitted.
        flows: emitted.
        evicted: flows emitted as ``evicted``.
        evicted_says: the counter of the statistics.
        talks_evicted: of the flows evicted, those that carried data.
        flow_us: processor time a flow of the reading thread, the pipe and the counting here
            included, in each tenth of the flows.
    """

    budget_mb: int
    grown_mb: float
    packets: int
    counted: int
    flows: int
    evicted: int
    evicted_says: int
    talks_evicted: int
    flow_us: tuple[float, ...]

    @property
    def is_exact(self) -> bool:
        return self.counted == self.packets and self.evicted == self.evicted_says


def empty_packets(first: int, count: int) -> NDArray[np.void]:
    """Records of one UDP packet each without data, no two from one address and port."""
    frame = udp("0.0.0.0", "192.0.2.1", 0, 9)  # noqa: S104 - an address to be replaced
    rest = np.dtype([("rest", "u1", len(frame) - _HEADERS.itemsize)])
    made = np.zeros(count, np.dtype(_RECORD.descr + _HEADERS.descr + rest.descr))
    content = np.frombuffer(frame, np.uint8)
    made["link"], made["rest"] = content[:26], content[_HEADERS.itemsize :]
    numbers = np.arange(first, first + count)
    made["src"], made["sport"] = 0x0A000000 + numbers, numbers >> 24
    made["dst"] = 0xC0000201
    made["captured"] = made["wire"] = len(frame)
    stamp(made, numbers)
    return made


def stamp(records: NDArray[np.void], numbers: NDArray[np.int64]) -> None:
    """Times by the number of the packet in the flood."""
    records["s"] = START_S + numbers // FLOWS_PER_S
    records["us"] = numbers % FLOWS_PER_S * 1_000_000 // FLOWS_PER_S


def talks(second: int) -> bytes:
    """A packet with data of every talk, at the beginning of a second."""
    frames = [udp(f"172.16.{i >> 8}.{i & 255}", "192.0.2.2", 7, 443, b"data") for i in range(TALKS)]
    return pcap([(START_S + second, 0, frame) for frame in frames])[24:]


def feed(path: Path, packets: int) -> None:
    """Write the flood into a pipe."""
    with path.open("wb") as pipe:
        pipe.write(pcap([]))
        for second in range(-(-packets // FLOWS_PER_S)):
            pipe.write(talks(second))
            first, end = second * FLOWS_PER_S, min((second + 1) * FLOWS_PER_S, packets)
            for at in range(first, end, _CHUNK):
                pipe.write(empty_packets(at, min(_CHUNK, end - at)).tobytes())


def flood(packets: int, *, memory_mb: int, schema: str = "gateway") -> Outcome:
    """Feed so many packets without data, and the talks, into a table of so much memory."""
    with tempfile.TemporaryDirectory() as folder:
        _read(Path(folder), 1000, memory_mb, schema)  # loads the kernels, which are not its memory
        return _read(Path(folder), packets, memory_mb, schema)


def _read(folder: Path, packets: int, memory_mb: int, schema: str) -> Outcome:
    path = folder / f"{packets}.pipe"
    os.mkfifo(path)
    feeder = threading.Thread(target=feed, args=(path, packets))
    feeder.start()
    counted = given = evicted = talks_evicted = 0
    tenths = [time.thread_time()]
    with open_flows(path, schema, memory_mb=memory_mb) as flows:
        before = most = resident_bytes()
        for batch in flows.batches():
            rows = batch.flows
            gone = rows["end"] == ENDS.index("evicted")
            counted += int((rows["fwd_packets"] + rows["bwd_packets"]).sum())
            given += len(rows)
            evicted += int(gone.sum())
            talks_evicted += int((gone & (rows["dst_port"] == 443)).sum())
            most = max(most, resident_bytes())
            if given * 10 >= len(tenths) * packets:
                tenths.append(time.thread_time())
        statistics = flows.statistics
    feeder.join()
    return Outcome(
        budget_mb=memory_mb,
        grown_mb=(most - before) / (1 << 20),
        packets=packets + -(-packets // FLOWS_PER_S) * TALKS,
        counted=counted,
        flows=given,
        evicted=evicted,
        evicted_says=statistics.evicted,
        talks_evicted=talks_evicted,
        flow_us=tuple(np.diff(tenths) / packets * 1e7),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.flows.memory", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--memory-mb", type=int, default=256)
    parser.add_argument("--schema", default="gateway")
    given = parser.parse_args()
    packets = round(given.minutes * 60 * FLOWS_PER_S)
    found = flood(packets, memory_mb=given.memory_mb, schema=given.schema)
    share = found.grown_mb / found.budget_mb
    print(f"{found.packets:,} packets, {found.flows:,} flows, {found.evicted:,} of them evicted")
    print(f"memory grew by {found.grown_mb:.1f} MB, {share:.1%} of the {found.budget_mb} MB budget")
    print(f"counters {'exact' if found.is_exact else 'NOT EXACT'}")
    print(f"flows with data evicted: {found.talks_evicted:,} of {TALKS:,}")
    print("us a flow in each tenth:", " ".join(f"{spent:.3f}" for spent in found.flow_us))
    sys.exit(0 if found.is_exact and share <= 1.1 and not found.talks_evicted else 1)


if __name__ == "__main__":
    main()
