"""How much faster the exported network is than what else runs it, as ratios from one run.

    python -m tests.export.speed --width 64 --columns 78
    python -m tests.export.speed runs/kdd

Without a training run the weights are random: they do not change the speed. All subjects take
turns in one process, on one thread. What is counted is the processor's time, so that a machine that
others use as well gives the same ratios; ``idskit bench RUN MODEL --peers`` counts wall time.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from idskit.bench.int8_peak import SIZE, count_macs, product_call
from idskit.bench.peers.model_peers import open_peers
from idskit.bench.subject import Rows, Subject, open_subject, realistic_rows
from idskit.export import export
from idskit.models.network import Network, NetworkSettings
from idskit.models.preparation import fit_preparation
from idskit.models.resnet import Attention
from idskit.models.saved_run import LabelledRows, Run, load_run, save_run
from idskit.schema import Feature, Schema

OURS = "int8"
TURNS, MIN_TURNS, CALLS = 25, 3, 10
LIMIT_S = 4.0  # of a subject, but for MIN_TURNS


def random_run(
    columns: int, classes: int, *, width: int, attention: Attention, inner: float
) -> Run:
    """A run of random weights whose batch norms have seen rows of that many numbers."""
    torch.manual_seed(0)
    names = tuple(Feature(name=f"number{i}", unit="count") for i in range(columns))
    train, held = _rows(columns, classes, 2048, seed=1), _rows(columns, classes, 1024, seed=2)
    schema = Schema(name="random", features=names)
    preparation = fit_preparation(train.flows, schema)
    settings = NetworkSettings(width=width, attention=attention, inner=inner)
    network = Network(preparation, classes, settings).train()
    with torch.no_grad():
        for part in torch.from_numpy(train.flows).split(256):
            network.logits(preparation(part))
    return Run(
        network=network.eval(),
        schema=schema,
        classes=tuple(f"class{i}" for i in range(classes)),
        threshold=0.5,
        facts={"dataset": "random"},
        calibration=train,
        held=held,
    )


def _rows(columns: int, classes: int, count: int, *, seed: int) -> LabelledRows:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    flows = random.lognormal(1, 2, (count, columns))
    flows[np.arange(count), labels] = random.lognormal(6, 1, count)
    return LabelledRows(flows=flows.astype(np.float32), labels=labels.astype(np.int64))


def processor_times(subjects: list[Subject], rows: Rows) -> dict[str, Rows]:
    """Microseconds of processor time a row: quartiles of calls that take turns."""
    spent: dict[str, list[float]] = {subject.model.name: [] for subject in subjects}
    for subject in subjects:
        subject.infer(rows)
    for turn in range(TURNS):
        for subject in subjects:
            seen = spent[subject.model.name]
            if turn < MIN_TURNS or sum(seen) < LIMIT_S:
                for _ in range(1 if len(rows) > 1 else CALLS):
                    start = time.process_time()
                    subject.infer(rows)
                    seen.append(time.process_time() - start)
    return {
        name: 1e6 / len(rows) * np.percentile(values, [25, 50, 75])
        for name, values in spent.items()
    }


def table(subjects: list[Subject], times: dict[int, dict[str, Rows]]) -> Table:
    """Median, quartiles and ratio to ours of every subject."""
    heads = [head for batch in times for head in (f"us, batch {batch}", "quartiles", "x")]
    shown = Table("subject", "bytes", *heads)
    for subject in subjects:
        name, cells = subject.model.name, []
        for by_name in times.values():
            low, middle, high = by_name[name]
            ratio = middle / by_name[OURS][1]
            cells += [f"{middle:.1f}", f"{low:.1f}-{high:.1f}", f"{ratio:.2f}"]
        shown.add_row(name, f"{subject.model.bytes:,}", *cells)
    return shown


class Use(NamedTuple):
    """What a file asks of the machine, by the processor's time."""

    macs: int  # of one flow
    reached: float  # GMAC/s
    possible: float  # GMAC/s of one large product of bytes, in the same run

    @property
    def share(self) -> float:
        return self.reached / self.possible

    def __str__(self) -> str:
        return (
            f"{self.macs / 1e6:.2f} M multiply-adds a flow, {self.reached:.0f} GMAC/s of "
            f"{self.possible:.0f} (MatMulInteger {SIZE} x {SIZE}, U8S8): {self.share:.0%}"
        )


def measured_use(content: bytes, rows: Rows, us_a_row: float) -> Use:
    """How much of the machine's int8 product the int8 file uses."""
    product = product_call("U8S8", 1)
    product()
    spent = []
    for _ in range(TURNS):
        start = time.process_time()
        product()
        spent.append(time.process_time() - start)
    macs = count_macs(content, rows)
    return Use(macs, macs / us_a_row / 1e3, SIZE**3 / statistics.median(spent) / 1e9)


def main(
    run: Annotated[Path | None, typer.Argument(help="A training run instead.")] = None,
    width: Annotated[int, typer.Option()] = 64,
    attention: Annotated[str, typer.Option()] = "both",
    inner: Annotated[float, typer.Option()] = 1.0,
    columns: Annotated[int, typer.Option()] = 78,
    classes: Annotated[int, typer.Option()] = 8,
    target: Annotated[str, typer.Option()] = "auto",
    batch: Annotated[int, typer.Option()] = 256,
) -> None:
    """Export a network and measure it beside its peers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shape: Any = {"width": width, "attention": attention, "inner": inner}
        trained = random_run(columns, classes, **shape) if run is None else load_run(run)
        save_run(trained, folder / "torch")
        models = [folder / f"{name}.onnx" for name in (OURS, "fp32")]
        export(folder / "torch", models[0], quantize="int8", target=target, max_drop=100)
        export(folder / "torch", models[1])
        peers, missing = open_peers(folder / "torch", threads=1)
        subjects = [*(open_subject(model, threads=1) for model in models), *peers]
        rows = realistic_rows(trained.held.flows, trained.schema, batch, seed=0)
        times = {n: processor_times(subjects, rows[:n]) for n in (batch, 1)}
        used = measured_use(models[0].read_bytes(), rows, times[batch][OURS][1])
    console = Console(width=130)
    console.print(table(subjects, times))
    console.print("\n".join((str(used), *missing)))


if __name__ == "__main__":
    typer.run(main)
