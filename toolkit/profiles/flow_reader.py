"""Captures and interfaces to batches of finished flows: the flow engine as one object.

open_flows ──> FlowReader ──> FlowBatch, FlowBatch, ...
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.capture.capture_file import CHUNK_FRAMES, WAIT_MS
from idskit.capture.frame_source import FrameSource, are_interfaces, open_source
from idskit.decode.address_claims import read_claims
from idskit.decode.datagrams import bytes_of, make_datagrams
from idskit.decode.layers import SKIP_REASONS, decode
from idskit.decode.reassembly import fragment_counts, give_up, reassemble
from idskit.errors import CaptureError, IdskitError, SchemaError
from idskit.flow import CAPTURE_END, VERDICT, addresses
from idskit.flow_input import FlowInput
from idskit.flows.flow_records import Output, Settings, new_output, open_slots
from idskit.packet import FRAME, PACKET, Frames
from idskit.profiles.flow_settings import settings_for
from idskit.profiles.reading_statistics import FlowStatistics
from idskit.profiles.registry import Profile, profile_named
from idskit.profiles.slot_memory import SlotMemory
from idskit.schema import Schema
from idskit.schemas.catalog import NAMES

MAX_WAIT_MS = 1000.0
RING_US = 100_000  # a packet may lie that long in the ring of an interface before it is read
FRAGMENTS_SHARE = 16  # of the memory, one part in so many is for datagrams that are not whole


@dataclass(frozen=True, kw_only=True)
class FlowBatch:
    """Finished flows and their features.

    Attributes:
        schema: names and units of the feature columns.
        flows: (n,) FLOW records: who spoke with whom, when, how much (``FLOW``).
        features: (n, len(schema)) float64.
        first_row: number of the first flow in its capture, from 0.
    """

    schema: Schema
    flows: NDArray[np.void]
    features: NDArray[np.float64]
    first_row: int = 0

    def __len__(self) -> int:
        return len(self.flows)

    def with_columns_of(self, schema: Schema) -> FlowBatch:
        """Return the same flows with the columns that a model reads, which are among these.

        Raises:
            SchemaError: one is missing.
        """
        columns = schema.columns_in(self.schema)
        if columns is None:
            raise SchemaError(
                f"the model reads schema {schema.name} ({schema.sha256[:12]}), but the "
                f"flows are of {self.schema.name} ({self.schema.sha256[:12]}): open them with "
                "detector.schema, or use a model of theirs"
            )
        return replace(self, schema=schema, features=self.features[:, columns])

    def sources(self) -> list[str]:
        """Source addresses as text, one a flow."""
        return addresses(self.flows["src_high"], self.flows["src_low"])

    def destinations(self) -> list[str]:
        """Destination addresses as text, one a flow."""
        return addresses(self.flows["dst_high"], self.flows["dst_low"])


def open_flows(
    source: str | Path | Sequence[str | Path],
    schema: str | Schema = "gateway",
    *,
    memory_mb: int = 256,
    idle_timeout_s: float | None = None,
    verdict_at_s: Sequence[float] = (),
    hash_key: bytes | None = None,
    live: bool | None = None,
    filter: str | None = None,
) -> FlowReader:
    """Open captures or network interfaces as a source of flows.

    Args:
        source: a pcap or pcapng file, a folder or a pattern of such (``day-*.pcap``), ``-`` for
            standard input, or several of these: they are read as one capture, in the order of their
            first packets. The name of an interface where there is no such file, or several.
        schema: which features: a name (see ``idskit.profiles.NAMES``), or the schema that a
            model carries: columns of a profile of this version, in the model's own order.
        memory_mb: budget of the flow table, at least 1. When it is full, a flow is emitted early
            for every new one, those without payload first, and counted.
        idle_timeout_s: a flow without a packet for longer ends; 120 by default. Only ``gateway``
            and ``packets`` have it: by definition CICFlowMeter's flows never idle out.
        verdict_at_s: ages in seconds at which to emit the features of an open flow, too, with
            ``VERDICT`` as its ``end``; what has not changed since is not emitted again.
        hash_key: secret of the hash that places flows; random if not given. Results do not depend
            on it.
        live: ``source`` is an interface, whatever files there are; never one if False.
        filter: of an interface, which frames to read: ``tcp port 80``, as tcpdump takes it (needs
            libpcap), or what ``tcpdump -ddd`` prints.

    Returns:
        A context manager; its ``batches()`` reads the capture once.

    Raises:
        CaptureError: the file is missing, unreadable or not a capture, or the interface cannot be
            read.
        SchemaError: there is no such schema, or this version does not compute all its columns.
        IdskitError: a setting that the schema does not have, or one out of range.

    Example:
        >>> with open_flows("no such.pcap") as flows:
        ...     found = sum(len(batch) for batch in flows.batches())
        Traceback (most recent call last):
        idskit.errors.CaptureError: cannot read no such.pcap: no such file
    """
    if live is None:
        live = are_interfaces(source)
    named: Any = {"interface" if live else "capture": source}
    given = FlowInput(
        **named,
        memory_mb=memory_mb,
        idle_timeout_s=idle_timeout_s,
        verdict_at_s=tuple(verdict_at_s),
        hash_key=hash_key,
        filter=filter,
    )
    return open_input(given, schema)


def open_input(
    given: FlowInput,
    schema: str | Schema = "gateway",
    *,
    verdict_at_s: Sequence[float] = (),
) -> FlowReader:
    """Open the captures or interfaces of a ``FlowInput``; see ``open_flows``.

    ``verdict_at_s`` holds where the input does not state it and the schema's flows have verdicts.

    Raises:
        CaptureError, SchemaError: as ``open_flows``.
        IdskitError: the input is a table, or has an option that the schema does not have.
    """
    if given.flows is not None:
        raise IdskitError(
            f"{given.flows} is a table of flows, but packets are needed here: name captures (-r) "
            "or interfaces (-i)"
        )
    profile, wanted = _profile_of(schema)
    settings = settings_for(profile, given, verdict_at_s)
    capture = open_source(given)
    try:
        return FlowReader(capture, profile, settings, wanted)
    except BaseException:
        capture.close()
        raise


def _profile_of(schema: str | Schema) -> tuple[Profile, Schema]:
    """Return the profile that computes the columns asked for, and these columns."""
    if isinstance(schema, str):
        profile = profile_named(schema)
        return profile, profile.SCHEMA
    if schema.name not in NAMES:
        raise SchemaError(
            f"the model reads the columns of {schema.name}, which packets cannot give: let it read "
            f"a table of them (--flows), or train with --schema ({', '.join(NAMES)})"
        )
    profile = profile_named(schema.name)
    missing = [f.name for f in schema.features if f not in profile.SCHEMA.features]
    if missing:
        raise SchemaError(
            f"the model reads {len(missing)} columns of {schema.name} that this version of idskit "
            f"does not compute (first {missing[0]}): train again, or use the version that the "
            "model was made with"
        )
    return profile, schema


class FlowReader:
    """An open capture or interface, read as batches of flows.

    Attributes:
        schema: of the features that ``batches`` gives.
        interfaces: names of the interfaces read, which ``FLOW["interface"]`` is an index of; none
            of a file.
        on_drops: called while an interface is read, each time that the kernel dropped more frames,
            with how many it has dropped by then.
        on_claims: called with what frames say of addresses by ARP, (n,) CLAIM, where there are any.
        memory: what gives the memory of flows that ended back to the system, when asked to look.
    """

    def __init__(
        self,
        capture: FrameSource,
        profile: Profile,
        settings: Settings,
        schema: Schema | None = None,
    ) -> None:
        self._capture = capture
        self._profile = profile
        self._datagrams = None
        if profile.REASSEMBLES:
            share = settings.memory_bytes // FRAGMENTS_SHARE
            self._datagrams = make_datagrams(share, settings.key)
            rest = settings.memory_bytes - bytes_of(self._datagrams)
            settings = replace(settings, memory_bytes=rest)
        self._state = profile.make(settings)
        self.memory = SlotMemory(self._state)
        self._packets = np.zeros(CHUNK_FRAMES, PACKET)
        self._skipped = np.zeros(len(SKIP_REASONS), np.int64)
        self._decoded = self._given = self._verdicts = 0
        self.schema = profile.SCHEMA if schema is None else schema
        self.interfaces = capture.interfaces
        self.on_drops: Callable[[int], object] | None = None
        self.on_claims: Callable[[NDArray[np.void]], object] | None = None
        self._width = len(profile.SCHEMA)
        self._columns = self.schema.columns_in(profile.SCHEMA)

    def __enter__(self) -> FlowReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the capture."""
        self._capture.close()

    def stop(self) -> None:
        """End an interface or a pipe: ``batches`` emits the open flows and ends.

        A file ends by itself. May be called from a signal handler or another thread.
        """
        self._capture.stop()

    @property
    def is_live(self) -> bool:
        """Whether an interface or a pipe is read: ``stop`` ends it."""
        return self._capture.is_live

    @property
    def capacity(self) -> int:
        """Most flows open at once: their ``slot`` is less."""
        return int(self._state.table.state["capacity"][0])

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes of the capture file read so far, and its size."""
        return self._capture.bytes_read, self._capture.bytes_total

    @property
    def statistics(self) -> FlowStatistics:
        """What was read so far; complete once ``batches`` is exhausted."""
        skipped = zip(SKIP_REASONS, self._skipped.tolist(), strict=True)
        return FlowStatistics(
            source=self._capture.name,
            schema=self.schema.name,
            frames=self._decoded + int(self._skipped.sum()),
            packets=self._decoded,
            skipped={reason: count for reason, count in skipped if count},
            flows=self._given - self._verdicts + int(self._state.table.state["settled"][0]),
            verdicts=self._verdicts,
            evicted=int(self._state.table.state["evicted"][0]),
            truncated=self._capture.truncated,
            dropped=self._capture.dropped,
            not_read=self._capture.not_read,
            fragments={} if self._datagrams is None else fragment_counts(self._datagrams),
            late=int(self._state.table.state["late"][0]),
        )

    def batches(self, size: int = 1024, max_wait_ms: float = MAX_WAIT_MS) -> Iterator[FlowBatch]:
        """Yield the flows in the order in which they end, then those open at the capture's end.

        An interface has no end before ``stop``, or before it disappears: then too the open flows
        are emitted.

        Args:
            size: most flows in a batch; of a file, only the last one has fewer.
            max_wait_ms: of an interface or a pipe, how long a flow may wait for its batch to fill.

        Raises:
            IdskitError: ``size`` is not positive, or ``max_wait_ms`` is negative.
            CaptureError: the disk failed to deliver the file, or the interface disappeared.
        """
        if size < 1:
            raise IdskitError(f"size is {size}, but a batch holds at least one flow")
        if not max_wait_ms >= 0:
            raise IdskitError(f"max_wait_ms is {max_wait_ms}, but a flow cannot wait less than 0")
        batch = _Filling(self, size)
        if self._capture.is_live:
            yield from self._watch(self._capture, batch, max_wait_ms)
        else:
            for frames in self._capture.frames():
                yield from self._feed(frames, batch)
        yield from self._finish(batch)
        if self.interfaces and self._capture.truncated:
            raise CaptureError(f"{self._capture.truncated}; the flows before that are valid")

    def _watch(
        self, capture: FrameSource, batch: _Filling, max_wait_ms: float
    ) -> Iterator[FlowBatch]:
        self._compile(batch)
        since = time.monotonic()  # when the batch was last empty
        dropped = 0
        for frames in capture.frames():
            before = self._decoded
            if capture.dropped > dropped and self.on_drops is not None:
                dropped = capture.dropped
                self.on_drops(dropped)
            yield from self._feed(frames, batch)
            if self._decoded == before:  # else the packets' times move the clock
                yield from self._expire(batch, capture.now_us() - RING_US)
            if batch.filled and (time.monotonic() - since) * 1000 >= max_wait_ms:
                yield batch.take()
            if not batch.filled:
                since = time.monotonic()
            capture.wait_ms = min(max_wait_ms, WAIT_MS) if batch.filled else WAIT_MS

    def _compile(self, batch: _Filling) -> None:
        """Compile now what a capture needs until its end: a signal to end it should not wait."""
        packets, slots = self._packets[:0], np.zeros(0, np.int64)
        read_claims(Frames(data=np.zeros(0, np.uint8), records=np.zeros(0, FRAME)))
        if self._datagrams is not None:
            give_up(self._datagrams, packets, self._skipped)
        self._profile.advance(self._state, batch.output, packets, 0)
        self._profile.finish(self._state, batch.output, slots, 0, CAPTURE_END)

    def _expire(self, batch: _Filling, now_us: int) -> Iterator[FlowBatch]:
        """Emit the flows that have idled out by the clock, where flows idle out at all."""
        if not self._profile.IDLE_US:
            return
        yield from self._give_up(batch, now_us)
        while not self._profile.expire(self._state, batch.output, now_us):
            yield batch.take()

    def _feed(self, frames: Frames, batch: _Filling) -> Iterator[FlowBatch]:
        if self.on_claims is not None and len(claims := read_claims(frames)):
            self.on_claims(claims)
        first = 0
        while first < len(frames.records):
            first, packets = self._decode(frames, first)
            yield from self._take(packets, batch)

    def _decode(self, frames: Frames, first: int) -> tuple[int, NDArray[np.void]]:
        """Decode frames from ``first`` on: the first that there was no room for, and packets."""
        if self._datagrams is None:
            count = decode(frames, self._packets, self._skipped)
            self._decoded += count
            packets = self._profile.reread(frames, self._packets[:count])
            packets["interface"] = frames.interface
            return len(frames.records), packets
        first, count = reassemble(frames, first, self._packets, self._skipped, self._datagrams)
        self._decoded += count
        self._state = self._profile.look_at(self._state, frames.data, self._datagrams.kept)
        return first, self._packets[:count]

    def _give_up(self, batch: _Filling, now_us: int | None = None) -> Iterator[FlowBatch]:
        """Take datagrams whose time is over, or all, as the packets that they will not become."""
        if self._datagrams is None:
            return
        count = len(self._packets)
        while count == len(self._packets):
            count = give_up(self._datagrams, self._packets, self._skipped, now_us)
            self._decoded += count
            yield from self._take(self._packets[:count], batch)

    def _take(self, packets: NDArray[np.void], batch: _Filling) -> Iterator[FlowBatch]:
        first = 0
        while first < len(packets):
            first = self._profile.advance(self._state, batch.output, packets, first)
            if batch.is_full:
                yield batch.take()
            elif first < len(packets):
                self._state = self._profile.grow(self._state)

    def _finish(self, batch: _Filling) -> Iterator[FlowBatch]:
        yield from self._give_up(batch)
        slots, first = open_slots(self._state.table), 0
        while first < len(slots):
            first = self._profile.finish(self._state, batch.output, slots, first, CAPTURE_END)
            if batch.is_full:
                yield batch.take()
        while batch.filled:
            yield batch.take()


class _Filling:
    """The batch being filled. One row more than it emits: a packet can end two flows."""

    def __init__(self, reader: FlowReader, size: int) -> None:
        self._reader, self._size = reader, size
        self._state = reader._state.table.state[0]
        self.output = self._empty()

    def _empty(self) -> Output:
        return new_output(self._size + 1, self._reader._width)

    @property
    def filled(self) -> int:
        return int(self._state["emitted"])

    @property
    def is_full(self) -> bool:
        return self.filled >= self._size

    def take(self) -> FlowBatch:
        """Return what is there, at most a batch; the arrays belong to whoever gets them."""
        count, full = min(self.filled, self._size), self.output
        features = full.features.reshape(full.rows, -1)
        self.output = self._empty()
        rest = self.filled - count
        self.output.flows[:rest] = full.flows[count : count + rest]
        self.output.features[: rest * features.shape[1]] = features[count : count + rest].ravel()
        self._state["emitted"] = rest
        first_row = self._reader._given
        self._reader._given += count
        self._reader._verdicts += int(np.count_nonzero(full.flows["end"][:count] == VERDICT))
        return FlowBatch(
            schema=self._reader.schema,
            flows=full.flows[:count],
            features=features[:count, self._reader._columns],
            first_row=first_row,
        )
