"""The detector: raw features in, calibrated probabilities and alerts out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from idskit.alerts.alert import Alert, Flow
from idskit.detect.detector_options import DetectorOptions
from idskit.detect.session import open_session
from idskit.errors import IdskitError, ModelError
from idskit.modelfile.model_file import (
    INPUT,
    OUTPUT,
    ModelCard,
    ModelFile,
    are_probabilities,
    read_model,
)
from idskit.modelfile.model_path import model_path
from idskit.schema import Schema

if TYPE_CHECKING:
    from idskit.incidents.incident import Incident
    from idskit.incidents.tracker import IncidentTracker, Levels
    from idskit.profiles.flow_reader import FlowBatch, FlowReader

CHUNK = 256  # rows of one inference: their activations stay in the processor's cache


class Detector:
    """A model file, loaded and checked.

    Attributes:
        session: the onnxruntime session, for profilers and I/O binding.
        card: what the file says about itself.
        sha256: of the file.
        threshold: alerts begin here.

    Example:
        >>> detector = Detector.load("ids.int8.onnx", device="cpu", threads=2)  # doctest: +SKIP
        >>> detector.probabilities(flows)  # (n, features) -> (n, classes)  # doctest: +SKIP
    """

    def __init__(
        self,
        session: InferenceSession,
        card: ModelCard,
        *,
        sha256: str,
        threshold: float | None = None,
    ) -> None:
        self.session = session
        self.card = card
        self.sha256 = sha256
        self.threshold = _checked_threshold(card.threshold if threshold is None else threshold)

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        device: str = "cpu",
        threads: int | None = None,
        threshold: float | None = None,
        public_key: str | Path | None = None,
        min_version: int | None = None,
    ) -> Detector:
        """Load a model that ``idskit export`` wrote.

        Args:
            path: the ONNX file; None for the model that idskit ships.
            device: ``cpu`` or ``cuda``; what is asked for is what runs.
            threads: of one inference; all usable processors when None.
            threshold: alert when 1 - P(benign) reaches it; the model's own when None.
            public_key: PEM file of the ed25519 key that must have signed the file; nobody must when
                None.
            min_version: lowest version that the signature may name.

        Raises:
            ModelError: missing, damaged, foreign or unsafe file, or not signed as asked.
            DeviceError: the device is not available.
            MissingExtra: a signature was asked for and cryptography is not installed.
        """
        options = DetectorOptions(
            device=device,
            threads=threads,
            threshold=threshold,
            public_key=public_key,
            min_version=min_version,
        )
        return cls.open(path, options)

    @classmethod
    def open(
        cls,
        path: str | Path | None = None,
        options: DetectorOptions = DetectorOptions(),  # noqa: B008 - it is frozen
    ) -> Detector:
        """Load a model by options; otherwise as ``load``."""
        with model_path(path) as file:
            read = read_model(file, public_key=options.public_key, min_version=options.min_version)
        return cls.from_file(
            read, device=options.device, threads=options.threads, threshold=options.threshold
        )

    @classmethod
    def from_file(
        cls,
        file: ModelFile,
        *,
        device: str = "cpu",
        threads: int | None = None,
        threshold: float | None = None,
    ) -> Detector:
        """Load what ``read_model`` read; otherwise as ``load``."""
        session = open_session(file.canonical, file.path, device=device, threads=threads)
        detector = cls(session, file.card, sha256=file.sha256, threshold=threshold)
        golden = file.card.golden.flows
        detector._run(golden[:1] if len(golden) else np.zeros((1, len(file.card.schema)), "f4"))
        return detector

    @property
    def schema(self) -> Schema:
        """Return what the columns of a feature matrix are."""
        return self.card.schema

    @property
    def provider(self) -> str:
        """Return the execution provider in use."""
        return str(self.session.get_providers()[0])

    @property
    def threads(self) -> int:
        """Return the threads of one inference."""
        return int(self.session.get_session_options().intra_op_num_threads)

    def probabilities(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Return calibrated probabilities (n, classes) of raw features (n, features).

        Raises:
            SchemaError: wrong width, NaN or infinity.
        """
        return self._infer(self.schema.check(features))

    def _infer(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        out = np.empty((len(rows), len(self.card.classes)), np.float32)
        for start in range(0, len(rows), CHUNK):
            part = slice(start, start + CHUNK)
            out[part] = self._run(rows[part])
        return out

    def _run(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities of at most CHUNK rows; whatever else comes back is an error."""
        try:
            found = self.session.run([OUTPUT], {INPUT: rows})[0]
        except Exception as error:  # onnxruntime's errors share no base class
            raise ModelError(
                f"model {self.sha256[:12]} fails on {len(rows)} flows "
                f"({' '.join(str(error).split())[:300]}): export it again"
            ) from error
        expected = len(rows), len(self.card.classes)
        if found.shape != expected or found.dtype != np.float32 or not are_probabilities(found):
            raise ModelError(
                f"model {self.sha256[:12]} answers {expected[0]} flows with an array of shape "
                f"{found.shape} and sums {_sums(found)}, which are no probabilities of "
                f"{expected[1]} classes: it is damaged; export it again"
            )
        return np.asarray(found)

    def flow_probabilities(self, batch: FlowBatch) -> NDArray[np.float32]:
        """Return probabilities (n, classes) of flows; NaN for those that cannot be judged.

        These are flows whose features the tool of their schema leaves infinite or undefined
        (``cic-original`` divides by a duration of 0).

        Raises:
            SchemaError: the batch was made for another schema.
        """
        rows = self.schema.as_rows(batch.with_columns_of(self.schema).features)
        judged = np.isfinite(rows).all(axis=1)
        out = np.full((len(batch), len(self.card.classes)), np.nan, np.float32)
        out[judged] = self._infer(rows[judged])
        return out

    def alerts(self, batch: FlowBatch) -> list[Alert]:
        """Return alerts of a batch of flows, in the order of the flows; see ``flow_probabilities``.

        Raises:
            SchemaError: the batch was made for another schema.
        """
        probabilities = self.flow_probabilities(batch)
        return self.judge(probabilities, batch.flows, first_row=batch.first_row)

    @cached_property
    def flow_schema(self) -> Schema:
        """Columns to open flows with: the model's, then those that only tests of incidents read."""
        from idskit.incidents.sequential.sequential_tests import with_tested_columns

        return with_tested_columns(self.schema)

    def incidents(self, flows: FlowReader) -> Iterator[Incident]:
        """Yield incidents as they begin, grow and end, until the flows do.

        Args:
            flows: as ``open_flows`` opened them, with ``detector.flow_schema`` and with ages at
                which open flows are judged: ``verdict_at_s=(1, 5, 30)``.

        Raises:
            SchemaError: the flows are of another schema.
        """
        tracker = self.tracker(flows.schema)
        flows.on_claims = tracker.observe_claims
        for batch in flows.batches():
            yield from tracker.observe(batch, self.flow_probabilities(batch))
        yield from tracker.finish()

    def tracker(self, schema: Schema, site: Levels | None = None) -> IncidentTracker:
        """Return a tracker of what this model judges, without incidents.

        Args:
            schema: of the flows; it may have more columns than the model reads.
            site: what a site changes; nothing if None.
        """
        from idskit.incidents.tracker import SHIPPED_LEVELS, IncidentTracker

        return IncidentTracker(schema, self.card.classes, self.threshold, site or SHIPPED_LEVELS)

    def judge(
        self,
        probabilities: NDArray[np.float32],
        flows: NDArray[np.void] | None = None,
        *,
        ends_us: NDArray[np.int64] | None = None,
        first_row: int = 0,
    ) -> list[Alert]:
        """Turn probabilities (n, classes) into alerts.

        Args:
            probabilities: of n flows; NaN raises no alert.
            flows: (n,) FLOW records that say who spoke with whom; None where nobody knows.
            ends_us: (n,) times of their last packets, where only these are known.
            first_row: number of the first flow in its capture or table.
        """
        scores = 1 - probabilities[:, 0]
        chosen = np.flatnonzero(scores >= self.threshold)
        labels = 1 + probabilities[chosen, 1:].argmax(axis=1)
        return [
            Alert(
                flow=None if flows is None else Flow.from_record(flows[row]),
                row=first_row + row,
                label=self.card.classes[label],
                score=float(scores[row]),
                threshold=self.threshold,
                model=self.sha256[:12],
                end_us=None if ends_us is None else int(ends_us[row]),
            )
            for row, label in zip(chosen.tolist(), labels.tolist(), strict=True)
        ]

    def verify(self) -> float:
        """Replay the golden vectors: largest difference from what the exporter saw.

        Compare it with ``card.golden.tolerance``; int8 models differ a little between processors
        (onnxruntime issues 5849, 14642).

        Raises:
            ModelError: the file carries no golden vectors, or not as many inputs as outputs.
        """
        golden = self.card.golden
        if not len(golden.flows) or len(golden.flows) != len(golden.probabilities):
            raise ModelError(
                f"the model carries {len(golden.flows)} golden inputs and "
                f"{len(golden.probabilities)} outputs, so nothing can be verified: export it again"
            )
        difference = self.probabilities(golden.flows) - golden.probabilities
        return float(np.abs(difference).max())


def _sums(found: NDArray[Any]) -> str:
    """Return the least and the largest sum of a row; NaN where there is one."""
    sums = np.atleast_1d(found.sum(axis=-1, dtype=np.float64))
    return f"{sums.min():.3g} to {sums.max():.3g}" if sums.size else "of nothing"


def _checked_threshold(threshold: float) -> float:
    if not 0 <= threshold <= 1:
        raise IdskitError(f"threshold {threshold} was asked for: choose one in [0, 1]")
    return threshold
