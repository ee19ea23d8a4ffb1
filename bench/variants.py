"""The ways in which every model of a benchmark is run, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idskit.bench.backends import Candidate, open_candidate
from idskit.detect.session import thread_count
from idskit.errors import DeviceError, IdskitError

FIXED_BATCHES = ("single-stream", "offline")  # scenarios in which every call has as many rows


@dataclass(frozen=True, kw_only=True)
class Ways:
    """What was asked for; the arguments of ``idskit.bench.run_bench.bench`` of these names."""

    device: str = "cpu"
    threads: tuple[int, ...] = ()
    compiled: bool = False
    half: bool = False
    cuda_graph: bool = False

    @property
    def first_threads(self) -> int | None:
        """Threads of what is measured with one count only; None: all usable processors."""
        return self.threads[0] if self.threads else None

    def check(self, models: Sequence[Path], scenarios: Sequence[str]) -> None:
        """Make sure that all of it can be measured.

        Raises:
            IdskitError: a way that none of these models, or that a scenario, does not have.
            DeviceError: a way that the device does not have, or too many threads.
        """
        for count in self.threads:
            thread_count(count)
        runs = [path for path in models if path.is_dir()]
        self._check_torch(runs)
        moving = [name for name in scenarios if name not in FIXED_BATCHES]
        if self.cuda_graph and len(runs) == len(models) > 0:
            raise IdskitError("--cuda-graph was given without an ONNX file: it is onnxruntime's")
        if self.cuda_graph and self.device != "cuda":
            raise DeviceError(
                f"--cuda-graph was given on device {self.device}: add --device cuda, or measure "
                "without"
            )
        if self.cuda_graph and moving:
            raise IdskitError(
                f"--cuda-graph was given with scenario {moving[0]}, whose batches differ in size "
                "while a graph has one: ask for --scenario single-stream --scenario offline"
            )

    def _check_torch(self, runs: Sequence[Path]) -> None:
        for flag, asked in (("compiled", self.compiled), ("half", self.half)):
            if asked and not runs:
                raise IdskitError(
                    f"--{flag} was given without a training run: it is torch's, name a run's folder"
                )
        if self.half and self.device != "cuda":
            raise DeviceError(
                f"--half was given on device {self.device}: half precision is for GPUs, add "
                "--device cuda"
            )
        if len(self.threads) > 1 and runs:
            raise IdskitError(
                f"{len(self.threads)} thread counts were asked for with the training run {runs[0]}:"
                " torch has one count a process, measure runs with one --threads"
            )

    def open(self, paths: Sequence[Path]) -> Iterator[tuple[Path, Candidate]]:
        """Load every model in every way.

        Raises:
            ModelError, RunError, DeviceError, MissingExtra: as loading says.
        """
        for path in paths:
            for options in self._of_run() if path.is_dir() else self._of_file():
                yield path, open_candidate(path, device=self.device, **options)

    def _of_run(self) -> Iterator[dict[str, Any]]:
        yield {"threads": self.first_threads}
        if self.half:
            yield {"threads": self.first_threads, "half": True}
        if self.compiled:
            yield {"threads": self.first_threads, "compiled": True}

    def _of_file(self) -> Iterator[dict[str, Any]]:
        for count in self.threads or (None,):
            yield {"threads": count}
            if self.cuda_graph:
                yield {"threads": count, "cuda_graph": True}
