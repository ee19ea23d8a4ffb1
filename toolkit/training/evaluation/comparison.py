"""What a comparison of models found, as one table (terminal, JSON, Markdown)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from idskit.metrics import FALSE_POSITIVE_RATES
from idskit.report.section import Section, markdown_section, show_sections
from idskit.report.text import visible

COLUMNS = (
    "model",
    "front\nend",
    "macro\nF1",
    "AUC",
    *(f"TPR\n{100 * rate:g} %" for rate in FALSE_POSITIVE_RATES),
    "flows/s",
    "MB",
    "parameters",
    "seconds",
)
SHOWN = len(COLUMNS) - 2  # in a terminal, which may be eighty characters wide
METHOD = (
    "macro-F1: of the most probable class. TPR: share of attacks found at that false-positive "
    "rate. Only networks learn from synthetic negatives (--set contrast) and have the novelty "
    "member. flows/s: median of 30 calls with 256 flows on one thread after each training, from "
    "raw rows to probabilities, in the library that trained the model (torch, LightGBM, "
    "scikit-learn); other load on the machine slows it: idskit bench gives times to rely on. "
    "parameters: trained numbers; of trees, splits and leaves. MB: of the file that holds the "
    "model. seconds: of training and measuring"
)


@dataclass(frozen=True, kw_only=True)
class Member:
    """One model, trained and measured on the test rows."""

    name: str
    frontend: str | None  # None: raw columns
    parameters: int  # of trees: splits and leaves
    bytes: int  # of the file that holds the model
    flows_per_second: float
    seconds: float
    macro_f1: float  # of the most probable class
    roc_auc: float | None
    tpr_at_fpr: Mapping[str, float | None]

    def row(self) -> tuple[str, ...]:
        """Return what ``COLUMNS`` name, for people."""
        return (
            self.name,
            self.frontend or "-",
            f"{self.macro_f1:.4f}",
            _share(self.roc_auc),
            *(_share(self.tpr_at_fpr[f"{rate:g}"]) for rate in FALSE_POSITIVE_RATES),
            f"{self.flows_per_second:,.0f}",
            f"{self.bytes / 1e6:.2f}",
            f"{self.parameters:,}",
            f"{self.seconds:,.0f}",
        )


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Every model that was asked for: measured, or failed and why."""

    dataset: str
    protocol: str
    seed: int
    rows: Mapping[str, int]  # train, validation, test
    notes: tuple[str, ...]
    members: tuple[Member, ...]
    failed: Mapping[str, str]  # reason by model

    @property
    def title(self) -> str:
        """Return what was compared on what."""
        rows = f"{self.rows['test']:,} test rows"
        return f"{self.dataset}, protocol {self.protocol}, seed {self.seed}: {rows}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "method": METHOD}

    def section(self, columns: int = len(COLUMNS)) -> Section:
        """Return the table of the models, with the first of the columns."""
        rows = tuple(member.row()[:columns] for member in self.members)
        return Section(title=self.title, columns=COLUMNS[:columns], rows=rows, words=2)

    def to_markdown(self) -> str:
        """Return the table, the failures and the notes."""
        remarks = "".join(f"- {line}\n" for line in self._remarks())
        return f"{markdown_section(self.section())}\n\n{remarks}"

    def show(self, console: Console) -> None:
        """Print for people."""
        show_sections([self.section(SHOWN)], console)
        for line in self._remarks():
            console.print(visible(line), highlight=False, markup=False)

    def _remarks(self) -> list[str]:
        failures = [f"{name} failed: {reason}" for name, reason in self.failed.items()]
        return [*failures, METHOD, *(f"note: {note}" for note in self.notes)]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
