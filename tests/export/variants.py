"""Networks with less work than the paper's, as int8 files, beside what others make of the paper's.

    python -m tests.export.variants

Random weights: they do not change the speed. All take turns in one process, on one thread, by the
processor's time, as in ``tests.export.speed``. How accurate the variants are is for training to say
(toolkit/training/DECISIONS.md).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from tests.export.speed import processor_times, random_run, share

from idskit.bench.peers.model_peers import open_peers
from idskit.bench.subject import Rows, Subject, open_subject, realistic_rows
from idskit.export import export
from idskit.models.resnet import Attention
from idskit.models.saved_run import save_run

# Attention, and share of its channels inside a block: the paper's network first.
VARIANTS: tuple[tuple[Attention, float], ...] = (
    ("both", 1.0),
    ("squeeze", 1.0),
    ("both", 0.5),
    ("squeeze", 0.5),
    ("both", 0.25),
    ("squeeze", 0.25),
    ("squeeze", 0.125),
)


def export_variant(
    folder: Path, columns: int, classes: int, *, width: int, attention: Attention, inner: float
) -> Path:
    """An int8 file; the run that it is made of lies beside it, under the same name."""
    made = folder / f"{attention} {inner:g}"
    save_run(random_run(columns, classes, width=width, attention=attention, inner=inner), made)
    model = folder / f"{made.name}.onnx"
    export(made, model, quantize="int8", max_drop=100)
    return model


def table(ours: list[Subject], others: list[Subject], times: dict[int, dict[str, Rows]]) -> Table:
    """Of each variant: bytes, microseconds a flow, and how many times as long others take."""
    shown = Table("int8 file", "bytes", title="x: " + " / ".join(o.model.name for o in others))
    for batch in times:
        shown.add_column(f"us, batch {batch}")
        shown.add_column(f"x, batch {batch}")
    for subject in ours:
        cells = [subject.model.name, f"{subject.model.bytes:,}"]
        for by_name in times.values():
            us = by_name[subject.model.name][1]
            ratios = [by_name[other.model.name][1] / us for other in others]
            cells += [f"{us:.1f}", " / ".join(f"{ratio:.1f}" for ratio in ratios)]
        shown.add_row(*cells)
    return shown


def main(
    width: Annotated[int, typer.Option()] = 64,
    columns: Annotated[int, typer.Option()] = 78,
    classes: Annotated[int, typer.Option()] = 8,
    batch: Annotated[int, typer.Option()] = 256,
) -> None:
    """Export every variant and measure it beside the peers of the first."""
    with tempfile.TemporaryDirectory() as name:
        models = [
            export_variant(Path(name), columns, classes, width=width, attention=a, inner=i)
            for a, i in VARIANTS
        ]
        ours = [open_subject(model, threads=1) for model in models]
        others, missing = open_peers(models[0].with_suffix(""), threads=1)
        paper = random_run(columns, classes, width=width, attention="both", inner=1.0)
        rows = realistic_rows(paper.held.flows, paper.schema, batch, seed=0)
        times = {n: processor_times([*ours, *others], rows[:n]) for n in (batch, 1)}
        used = [
            f"{model.stem}: {share(model.read_bytes(), rows, times[batch][model.stem][1])}"
            for model in models
        ]
    Console(width=180).print(table(ours, others, times))
    print("\n".join((*used, *missing)))


if __name__ == "__main__":
    typer.run(main)
