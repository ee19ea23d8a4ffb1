"""Pictures of a run, as SVG files: ROC, reliability, confusion, loss, filter bank, seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.metrics import FALSE_POSITIVE_RATES, RocCurve, area_under
from idskit.models.frontend import SAMPLE_RATE_HZ, MelSpectrogram, mel_filter_bank
from idskit.report.picture import save_picture
from idskit.report.svg import Scale, Series, line_chart
from idskit.report.svg_rows import Dots, dot_chart, matrix_chart
from idskit.training.checkpoint import Epoch
from idskit.training.evaluation.comparison import Member
from idskit.training.views.training_tables import measure_name

LOWEST_RATE = 1e-4  # left end of the ROC's axis
_CONFIDENCE = Scale(label="confidence: probability of the most probable class", low=0.0, high=1.0)


def plot_roc(
    path: Path,
    curves: Mapping[str, RocCurve],
    *,
    alarm_rate: float | None,
    hit_rate: float | None,
    title: str,
) -> None:
    """Draw ROC curves over a logarithmic false-positive axis, where a gateway works.

    Args:
        path: of the SVG file.
        curves: by name, the run's own first.
        alarm_rate: false-positive rate at the run's threshold, marked; None marks nothing.
        hit_rate: true-positive rate there.
        title: of the picture.
    """
    series = [
        Series(name=f"{name}, AUC {area_under(curve):.3f}", points=_steps(curve), color=color)
        for color, (name, curve) in enumerate(curves.items())
    ]
    if alarm_rate is not None and hit_rate is not None:
        name = f"threshold: {100 * hit_rate:.1f} % at {100 * alarm_rate:.2f} % false positives"
        at = (100 * max(alarm_rate, LOWEST_RATE), 100 * hit_rate)
        series.append(Series(name=name, points=(at,), joined=False, color=None))
    chart = line_chart(
        series,
        Scale(
            label="false-positive rate in % (benign flows that raise an alert)",
            kind="log",
            low=100 * LOWEST_RATE,
            high=100.0,
        ),
        Scale(label="true-positive rate in %", low=0.0, high=102.0),
    )
    save_picture(path, title, [chart])


def _steps(curve: RocCurve) -> tuple[tuple[float, float], ...]:
    """Return a curve in per cent, which rises where its threshold is passed, not between."""
    x = 100 * np.maximum(curve.false_positive_rate, LOWEST_RATE)
    y = 100 * np.asarray(curve.true_positive_rate)
    corners = np.stack([np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]], axis=1)
    return tuple(map(tuple, corners.tolist()))


def plot_reliability(path: Path, summaries: Mapping[str, Mapping[str, Any]], *, title: str) -> None:
    """Draw how often predictions of a confidence are right, and how many rows have it.

    Args:
        path: of the SVG file.
        summaries: ``metrics.summary`` by name.
        title: of the picture.
    """
    right, rows = [], []
    for color, (name, summary) in enumerate(summaries.items()):
        bins, error = summary["reliability"], summary["calibration_error"]
        named = f"{name}, expected error {error:.3f}"
        right.append(_bins(named, bins["confidence"], bins["accuracy"], color))
        rows.append(_bins(name, bins["confidence"], bins["rows"], color))
    perfect = Series(name="perfect", points=((0, 0), (1, 1)), color=None, dashed=True)
    charts = [
        line_chart(
            [*right, perfect], _CONFIDENCE, Scale(label="share predicted right", low=0.0, high=1.02)
        ),
        line_chart(rows, _CONFIDENCE, Scale(label="test rows", kind="log")),
    ]
    save_picture(path, title, charts)


def _bins(
    name: str, confidence: Sequence[float], values: Sequence[float | None], color: int
) -> Series:
    """Return a series of the bins that hold any rows."""
    pairs = zip(confidence, values, strict=True)
    points = tuple((x, y) for x, y in pairs if x is not None and y)
    return Series(name=name, points=points, color=color)


def plot_seeds(path: Path, seeds: Mapping[str, Any], *, title: str) -> None:
    """Draw every seed's value of each measure between 0 and 1, network and baseline.

    Args:
        path: of the SVG file.
        seeds: ``network`` and ``baseline``, each measure to its ``values``.
        title: of the picture.
    """
    shares = [name for name, found in seeds["network"].items() if found["max"] <= 1]
    series = []
    for color, side in enumerate(("network", "baseline")):
        found = [seeds[side].get(name) for name in shares]
        series.append(
            Dots(
                name=side,
                values=tuple(() if of is None else tuple(of["values"]) for of in found),
                means=tuple(None if of is None else of["mean"] for of in found),
                color=color,
            )
        )
    names = [measure_name(name) for name in shares]
    save_picture(path, title, [dot_chart(names, series, "each dot is a seed, each bar their mean")])


def plot_confusion(
    path: Path, confusion: NDArray[np.int64], classes: Sequence[str], *, title: str
) -> None:
    """Draw a confusion matrix: counts, coloured by share of the true class."""
    chart = matrix_chart(
        classes, confusion.tolist(), rows="true class", columns="most probable class"
    )
    save_picture(path, title, [chart])


def plot_loss(path: Path, history: Sequence[Epoch], best_epoch: int, *, title: str) -> None:
    """Draw both losses by epoch and mark the epoch whose weights were kept."""
    losses = {
        "training rows": [epoch.train_loss for epoch in history],
        "validation rows": [epoch.validation_loss for epoch in history],
    }
    series = [
        Series(name=name, points=tuple(enumerate(values, start=1)), color=color)
        for color, (name, values) in enumerate(losses.items())
    ]
    best = history[best_epoch].validation_loss
    kept = Series(
        name=f"weights kept: epoch {best_epoch + 1}, {best:.4f}",
        points=((best_epoch + 1, best),),
        joined=False,
        color=None,
    )
    chart = line_chart(
        [*series, kept], Scale(label="epoch", whole=True), Scale(label="cross-entropy", kind="log")
    )
    save_picture(path, title, [chart])


def plot_filter_bank(path: Path, frontend: MelSpectrogram, *, title: str) -> None:
    """Draw the filters of the mel filter bank before and after training."""
    before = mel_filter_bank(frontend.settings.n_mels, frontend.n_fft).numpy()
    after = frontend.filter_bank().detach().numpy()
    series = [
        *_filters("before training", before, dashed=True),
        *_filters("after training", after, dashed=False),
    ]
    chart = line_chart(
        series, Scale(label="DFT bin, as Hz of the paper's scale"), Scale(label="weight")
    )
    save_picture(path, title, [chart])


def _filters(name: str, bank: NDArray[np.float32], *, dashed: bool) -> list[Series]:
    """Return a line for each filter of a bank (bins, filters); the legend has one of them."""
    hertz = np.linspace(0, SAMPLE_RATE_HZ / 2, len(bank)).tolist()
    return [
        Series(
            name=name,
            points=tuple(zip(hertz, weights, strict=True)),
            color=None if dashed else 0,
            dashed=dashed,
            named=index == 0,
        )
        for index, weights in enumerate(bank.T.tolist())
    ]


def plot_comparison(path: Path, members: Sequence[Member], *, title: str) -> None:
    """Draw quality by model, and quality against speed."""
    rate = f"{FALSE_POSITIVE_RATES[0]:g}"
    measures: dict[str, list[float | None]] = {
        "macro-F1": [member.macro_f1 for member in members],
        "AUC": [member.roc_auc for member in members],
        f"TPR at {100 * float(rate):g} % FPR": [member.tpr_at_fpr[rate] for member in members],
    }
    dots = [
        Dots(
            name=name,
            values=tuple(() if value is None else (value,) for value in values),
            color=color,
        )
        for color, (name, values) in enumerate(measures.items())
    ]
    speeds = [
        Series(
            name=member.name,
            points=((member.flows_per_second, member.macro_f1),),
            joined=False,
            color=color,
        )
        for color, member in enumerate(members)
    ]
    charts = [
        dot_chart([member.name for member in members], dots, "quality on test rows"),
        line_chart(speeds, Scale(label="flows/s, one thread", kind="log"), Scale(label="macro-F1")),
    ]
    save_picture(path, title, charts)
