"""Options of an export; without torch or onnx, so that the command line's help needs neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from idskit.errors import IdskitError
from idskit.export.target import TARGETS
from idskit.options import check_options, option

QUANTIZATIONS = ("none", "int8", "fp16")
LANGUAGES = ("python", "c")


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What to write, for which machine, and what it may lose."""

    quantize: str = option(
        "none",
        "Precision of the weights: none (fp32), int8, or fp16 (--target cuda, jetson)",
        choices=QUANTIZATIONS,
    )
    target: str = option("auto", "Machine to export for", choices=("auto", *TARGETS))
    max_drop: float = option(
        0.5,
        "Macro-F1 that a smaller precision may lose on held-out rows; exit 3 beyond it",
        low=0,
        high=100,
        metavar="POINTS",
    )
    emit: Sequence[str] = option(
        (),
        "Also write code that runs the model: python (a script) or c (a header); repeatable",
        choices=LANGUAGES,
    )
    sign: Path | None = option(
        None,
        "Sign the file with this ed25519 private key (writes FILE.sig)",
        metavar="PEM",
    )
    model_version: int | None = option(
        None,
        "Version number to sign; today's date, such as 20261231, if omitted",
        low=0,
        metavar="N",
    )
    qdq: bool = option(False, "Write int8 as QDQ pairs, for runtimes other than onnxruntime")
    dry_run: bool = option(False, "Verify the export and write nothing")

    def check(self) -> None:
        """Refuse a value out of its range, and options that do not go together.

        Raises:
            IdskitError: which option, and what to choose.
        """
        check_options(self)
        if self.qdq and self.quantize != "int8":
            raise IdskitError(
                f"QDQ was asked for with quantize {self.quantize}, but it is a form of int8: add "
                "--quantize int8, or omit --qdq"
            )
