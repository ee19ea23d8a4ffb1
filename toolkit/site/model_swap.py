"""Try another model on the same flows, let it take the place of the one in use, and go back.

    prepare ──> shadow: both judge every batch, one counts ──> promote ──> roll back

All happens between two batches, so no packet, flow or incident is lost. The earlier model stays
loaded until it is replaced itself. onnxruntime gives back little of the memory of a model that is
closed (its issue 26831), so a service that swaps daily should restart now and then.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.detect.detector import CHUNK, Detector
from idskit.detect.detector_options import DetectorOptions
from idskit.errors import IdskitError, ModelError, SchemaError
from idskit.incidents.incident import Incident
from idskit.incidents.tracker import IncidentTracker
from idskit.modelfile.model_file import read_model
from idskit.profiles.flow_reader import FlowBatch
from idskit.schema import Schema

MOST_KEPT = 1_000  # incidents of a shadow that are compared

Pair = tuple[str | None, str | None]  # attacker and target


@dataclass(frozen=True, kw_only=True)
class ShadowReport:
    """What another model would have done.

    Attributes:
        flows: that both judged.
        extra: incidents that only it would have opened: attacker and target.
        missing: incidents that it would not have opened.
        cost: its time by the time of the model in use.
        failed: why it judged no longer; empty while it does.
    """

    flows: int
    extra: tuple[Pair, ...]
    missing: tuple[Pair, ...]
    cost: float
    failed: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain types."""
        named = {"extra": map(list, self.extra), "missing": map(list, self.missing)}
        lists = {name: list(pairs) for name, pairs in named.items()}
        return {"flows": self.flows, **lists, "cost": self.cost, "failed": self.failed}


@dataclass(kw_only=True, eq=False)
class _Shadow:
    detector: Detector
    version: int | None
    tracker: IncidentTracker
    flows: int = 0
    seconds: float = 0.0
    pairs: set[Pair] = field(default_factory=set)
    failed: str = ""

    def judge(self, batch: FlowBatch) -> None:
        """Judge a batch; what fails here is said and changes nothing else."""
        begin = time.perf_counter()
        try:
            probabilities = self.detector.flow_probabilities(batch)
        except IdskitError as error:
            self.failed = str(error)
            return
        self.seconds += time.perf_counter() - begin
        self.flows += len(batch)
        _note(self.pairs, self.tracker.observe(batch, probabilities))


class ModelSwap:
    """The model in use, the one that is tried, and the one before.

    Args:
        detector: in use.
        schema: of the flows that it judges.
        tracker: of the incidents.
        options: how a model is loaded; ``public_key`` and ``min_version`` hold for every one.

    Attributes:
        detector: in use now.
    """

    def __init__(
        self,
        detector: Detector,
        schema: Schema,
        tracker: IncidentTracker,
        options: DetectorOptions = DetectorOptions(),  # noqa: B008 - it is frozen
    ) -> None:
        self.detector = detector
        self._schema, self._tracker, self._options = schema, tracker, options
        self._version = options.min_version
        self._shadow: _Shadow | None = None
        self._previous: Detector | None = None
        self._seconds = 0.0
        self._pairs: set[Pair] = set()

    def observe(self, batch: FlowBatch) -> tuple[NDArray[np.float32], list[Incident]]:
        """Judge a batch: its probabilities (n, classes), and what they change of incidents."""
        begin = time.perf_counter()
        probabilities = self.detector.flow_probabilities(batch)
        self._seconds += time.perf_counter() - begin
        incidents = self._tracker.observe(batch, probabilities)
        if self._shadow is not None and not self._shadow.failed:
            _note(self._pairs, incidents)
            self._shadow.judge(batch)
        return probabilities, incidents

    def prepare(self, path: Path) -> None:
        """Load another model, verify it, and let it judge every batch from now on, too.

        Raises:
            ModelError: missing, damaged, not signed as asked, older than the model in use, or its
                golden vectors come out otherwise on this machine.
            SchemaError: it reads columns that these flows do not have.
        """
        options = self._options
        read = read_model(path, public_key=options.public_key, min_version=self._version)
        if read.card.schema.columns_in(self._schema) is None:
            raise SchemaError(
                f"{path} reads schema {read.card.schema.name} with other columns than these flows "
                f"have ({self._schema.name}): restart with this model to use it"
            )
        detector = Detector.from_file(
            read, device=options.device, threads=options.threads, threshold=options.threshold
        )
        _verify(detector, path)
        self._shadow = _Shadow(
            detector=detector,
            version=None if read.signature is None else read.signature.version,
            tracker=detector.tracker(self._schema, self._tracker.site),
        )
        self._seconds, self._pairs = 0.0, set()

    def report(self) -> ShadowReport:
        """Return what the other model would have done so far.

        Raises:
            IdskitError: none is tried.
        """
        shadow = self._tried()
        return ShadowReport(
            flows=shadow.flows,
            extra=_sorted(shadow.pairs - self._pairs),
            missing=_sorted(self._pairs - shadow.pairs),
            cost=shadow.seconds / self._seconds if self._seconds else 0.0,
            failed=shadow.failed,
        )

    def promote(self) -> Detector:
        """Let the model that is tried take the place of the one in use.

        Raises:
            IdskitError: none is tried, or it failed.
        """
        shadow = self._tried()
        if shadow.failed:
            raise IdskitError(f"the model that is tried failed: {shadow.failed}")
        self._previous, self._shadow = self.detector, None
        if shadow.version is not None:
            self._version = max(self._version or 0, shadow.version)
        return self._use(shadow.detector)

    def roll_back(self) -> Detector:
        """Use the model again that was in use before the last promotion.

        Raises:
            IdskitError: there is none.
        """
        if self._previous is None:
            raise IdskitError("there is no earlier model: none has been promoted since the start")
        earlier, self._previous = self._previous, None
        return self._use(earlier)

    def _use(self, detector: Detector) -> Detector:
        self.detector = detector
        self._tracker.judge_by(detector.card.classes, detector.threshold)
        return detector

    def _tried(self) -> _Shadow:
        if self._shadow is None:
            raise IdskitError("no other model is tried: prepare one first")
        return self._shadow


def _verify(detector: Detector, path: Path) -> None:
    """Replay golden vectors, and judge a whole batch once, which takes longest the first time."""
    difference, tolerance = detector.verify(), detector.card.golden.tolerance
    if difference > tolerance:
        raise ModelError(
            f"{path} answers its golden vectors with probabilities that differ by {difference:.3g} "
            f"on this machine, and at most {tolerance:g} is allowed: export it for this machine"
        )
    golden = detector.card.golden.flows
    detector.probabilities(np.resize(golden, (CHUNK, golden.shape[1])))


def _note(pairs: set[Pair], incidents: Sequence[Incident]) -> None:
    new = (one for one in incidents if one.type == "new")
    pairs.update([(one.attacker, one.target) for one in new][: MOST_KEPT - len(pairs)])


def _sorted(pairs: set[Pair]) -> tuple[Pair, ...]:
    return tuple(sorted(pairs, key=str))
