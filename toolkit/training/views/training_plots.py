"""Pictures of a run, as PNG files: ROC, reliability, confusion, loss, filter bank, seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from idskit.files.output import write_whole
from idskit.metrics import FALSE_POSITIVE_RATES, RocCurve, area_under
from idskit.models.frontend import SAMPLE_RATE_HZ, MelSpectrogram, mel_filter_bank
from idskit.training.checkpoint import Epoch
from idskit.training.evaluation.comparison import Member
from idskit.training.views.training_tables import measure_name

INK, GRID = "#22272e", "#d8dee4"
COLOURS = ("#0b62a4", "#d1600a", "#3c7d3e", "#8250a4")
LOWEST_RATE = 1e-4  # left end of the ROC's axis
LABEL_GAP = 0.04  # between names in a plot, as a share of its axis


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
        path: of the PNG file.
        curves: by name, the run's own first.
        alarm_rate: false-positive rate at the run's threshold, marked; None marks nothing.
        hit_rate: true-positive rate there.
        title: of the picture.
    """
    figure, axes = _figure(6.4, 4.8, title)
    for (name, curve), colour in zip(curves.items(), COLOURS, strict=False):
        label = f"{name}, AUC {area_under(curve):.3f}"
        x = np.maximum(curve.false_positive_rate, LOWEST_RATE)
        axes.step(x, curve.true_positive_rate, where="post", color=colour, lw=1.8, label=label)
    if alarm_rate is not None and hit_rate is not None:
        label = f"threshold: {100 * hit_rate:.1f} % at {100 * alarm_rate:.2f} % false positives"
        axes.plot(max(alarm_rate, LOWEST_RATE), hit_rate, "o", color=COLOURS[0], label=label)
    axes.set_xscale("log")
    axes.set_xlim(LOWEST_RATE, 1)
    axes.set_ylim(0, 1.02)
    ticks = (*reversed(FALSE_POSITIVE_RATES), 0.1, 1)
    axes.set_xticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
    axes.set_xlabel("false-positive rate (share of benign flows that raise an alert)")
    axes.set_ylabel("true-positive rate (share of attack flows found)")
    axes.legend(loc="best", frameon=True, framealpha=0.9, edgecolor=GRID, fontsize=9)
    _save(figure, path)


def plot_reliability(path: Path, summaries: Mapping[str, Mapping[str, Any]], *, title: str) -> None:
    """Draw how often predictions of a confidence are right, and how many rows have it.

    Args:
        path: of the PNG file.
        summaries: ``metrics.summary`` by name.
        title: of the picture.
    """
    figure, _ = _figure(9.6, 4.2, title, columns=2)
    curve, rows = figure.axes
    curve.plot([0, 1], [0, 1], color=INK, lw=1, ls="--", label="perfect")
    for (name, summary), colour in zip(summaries.items(), COLOURS, strict=False):
        bins, error = summary["reliability"], summary["calibration_error"]
        label = f"{name}, expected error {error:.3f}"
        curve.plot(bins["confidence"], bins["accuracy"], "o-", color=colour, lw=1.8, label=label)
        rows.plot(bins["confidence"], bins["rows"], "o-", color=colour, lw=1.8)
    curve.set_ylim(0, 1.02)
    curve.set_ylabel("share predicted right")
    curve.legend(loc="best", frameon=True, framealpha=0.9, edgecolor=GRID, fontsize=9)
    rows.set_yscale("log")
    rows.set_ylabel("test rows (logarithmic)")
    for axes in (curve, rows):
        axes.set_xlim(0, 1.02)
        axes.set_xlabel("confidence: probability of the most probable class")
    _save(figure, path)


def plot_seeds(path: Path, seeds: Mapping[str, Any], *, title: str) -> None:
    """Draw every seed's value of each measure between 0 and 1, network beside baseline.

    Args:
        path: of the PNG file.
        seeds: ``network`` and ``baseline``, each measure to its ``values``.
        title: of the picture.
    """
    shares = [name for name, of in seeds["network"].items() if of["max"] <= 1]
    figure, axes = _figure(8.4, 1.6 + 0.3 * len(shares), title)
    for side, colour, lift in zip(("network", "baseline"), COLOURS, (-0.15, 0.15), strict=False):
        found = [(name, seeds[side].get(name)) for name in shares]
        for row, (_, of) in enumerate(found):
            values = [] if of is None else of["values"]
            axes.plot(values, [row + lift] * len(values), "o", color=colour, alpha=0.6, ms=5)
            if of is not None:
                axes.plot([of["mean"]], [row + lift], "|", color=colour, ms=14, mew=2)
        axes.plot([], [], "o", color=colour, label=side)
    axes.set_yticks(range(len(shares)), [measure_name(name) for name in shares])
    axes.invert_yaxis()
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("each dot a seed, the bar their mean")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False, fontsize=9)
    _save(figure, path)


def plot_confusion(
    path: Path, confusion: NDArray[np.int64], classes: Sequence[str], *, title: str
) -> None:
    """Draw a confusion matrix: counts, coloured by share of the true class."""
    size = 2.6 + 0.85 * len(classes)
    figure, axes = _figure(size + 0.8, size, title)
    totals = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    shares = confusion / totals
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*confusion.shape):
        share = shares[row, column]
        text = f"{confusion[row, column]:,}\n{100 * share:.1f} %"
        colour = "white" if share > 0.55 else INK
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(classes)), classes, rotation=30 if len(classes) > 4 else 0)
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("most probable class")
    axes.set_ylabel("true class")
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    _save(figure, path)


def plot_loss(path: Path, history: Sequence[Epoch], best_epoch: int, *, title: str) -> None:
    """Draw both losses by epoch and mark the epoch whose weights were kept."""
    figure, axes = _figure(6.4, 4.2, title)
    epochs = np.arange(1, len(history) + 1)
    curves = {
        "training rows": [epoch.train_loss for epoch in history],
        "validation rows": [epoch.validation_loss for epoch in history],
    }
    for (name, losses), colour in zip(curves.items(), COLOURS, strict=False):
        axes.plot(epochs, losses, color=colour, lw=1.8, marker=".", label=name)
    best = history[best_epoch].validation_loss
    label = f"weights kept: epoch {best_epoch + 1}, {best:.4f}"
    axes.axvline(best_epoch + 1, color=INK, lw=1, ls="--")
    axes.plot(best_epoch + 1, best, "o", ms=9, mfc="none", mec=INK, label=label)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("cross-entropy (logarithmic)")
    axes.legend(frameon=True, framealpha=0.9, edgecolor=GRID, fontsize=9)
    _save(figure, path)


def plot_filter_bank(path: Path, frontend: MelSpectrogram, *, title: str) -> None:
    """Draw the mel filter bank before and after training, on one colour scale."""
    before = mel_filter_bank(frontend.settings.n_mels, frontend.n_fft).numpy()
    after = frontend.filter_bank().detach().numpy()
    figure, _ = _figure(9.6, 4.2, title, columns=3)
    panels = {"before": before, "after": after, "change": after - before}
    top = SAMPLE_RATE_HZ / 2
    for axes, (name, bank) in zip(figure.axes, panels.items(), strict=False):
        limit = float(np.abs(bank).max()) or 1.0
        scale = (
            {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
            if name == "change"
            else {"cmap": "viridis", "vmin": 0, "vmax": max(before.max(), after.max())}
        )
        image = axes.imshow(
            bank.T,
            aspect="auto",
            origin="lower",
            extent=(0, top, 0.5, bank.shape[1] + 0.5),
            **scale,
        )
        axes.set_title(name, fontsize=10, color=INK)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("DFT bin, as Hz of the paper's scale")
        axes.grid(visible=False)
        figure.colorbar(image, ax=axes, shrink=0.9)
    figure.axes[0].set_ylabel("filter")
    _save(figure, path)


def plot_comparison(path: Path, members: Sequence[Member], *, title: str) -> None:
    """Draw quality by model, and quality against speed; a larger dot is a larger file."""
    figure, _ = _figure(11, 1.8 + 0.45 * max(len(members), 4), title, columns=2)
    quality, speed = figure.axes
    rate = f"{FALSE_POSITIVE_RATES[0]:g}"
    measures: dict[str, list[float | None]] = {
        "macro-F1": [member.macro_f1 for member in members],
        "AUC": [member.roc_auc for member in members],
        f"TPR at {100 * float(rate):g} % FPR": [member.tpr_at_fpr[rate] for member in members],
    }
    rows = np.arange(len(members))
    for (name, values), colour in zip(measures.items(), COLOURS, strict=False):
        known = [np.nan if value is None else value for value in values]
        quality.plot(known, rows, "o", color=colour, label=name)
    quality.set_yticks(rows, [member.name for member in members])
    quality.invert_yaxis()
    quality.set_xlim(0, 1.02)
    quality.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False, fontsize=9)
    for member in members:
        x, y = member.flows_per_second, member.macro_f1
        speed.scatter(x, y, s=(member.bytes / 100) ** 0.5, color=COLOURS[0], alpha=0.45, lw=0)
    speed.set_xscale("log")
    speed.margins(0.15)
    _name_dots(speed, members)
    speed.set_xlabel("flows a second, one thread (a larger dot is a larger file)")
    speed.set_ylabel("macro-F1")
    _save(figure, path)


def _name_dots(axes: Axes, members: Sequence[Member]) -> None:
    """Write the name of each model beside its dot, with a line to it where others are near."""
    low, high = axes.get_ylim()
    scores = np.array([member.macro_f1 for member in members])
    heights = _apart(scores, LABEL_GAP * (high - low))
    line = {"arrowstyle": "-", "color": INK, "lw": 0.4, "alpha": 0.5}
    for member, height in zip(members, heights.tolist(), strict=True):
        at = (member.flows_per_second, member.macro_f1)
        place = (1.3 * member.flows_per_second, height)
        label = axes.annotate(member.name, at, place, va="center", arrowprops=line)
        label.set(fontsize=9, color=INK, in_layout=False)


def _apart(values: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Values moved up where needed so that any two are at least ``gap`` apart, in their order."""
    order = np.argsort(values, kind="stable")
    steps = gap * np.arange(len(values))
    moved = np.empty(len(values))
    moved[order] = np.maximum.accumulate(values[order] - steps) + steps
    return moved


def _figure(width: float, height: float, title: str, columns: int = 1) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=140, layout="constrained", facecolor="white")
    figure.suptitle(title, fontsize=11, color=INK)
    for axes in np.ravel(figure.subplots(1, columns)):
        axes.grid(color=GRID, lw=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(colors=INK, labelsize=9)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    return figure, figure.axes[0]


def _save(figure: Figure, path: Path) -> None:
    write_whole(path, lambda partial: figure.savefig(partial, format="png"))
