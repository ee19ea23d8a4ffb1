"""One table of measured numbers as a file of its own: what stands in ``bench/results``.

``idskit.bench.views.results_page`` makes ``bench/RESULTS.md`` and the table of the README from
these files and from nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from subprocess import run
from typing import Any

from idskit.errors import DataError
from idskit.files.output import write_whole

PERCENT, SCORE = "%", "score"  # units of what lies between 0 and 1: as per cent, and as it is
TIMES = "x"  # as long, or as much, as idskit


@dataclass(frozen=True, kw_only=True)
class Number:
    """A measured number and how sure it is; what was not measured is None.

    Attributes:
        value: in the unit of its row; of per cent, a share from 0 to 1.
        low: lower end of its 95 % interval.
        high: upper end of its 95 % interval.
        spread: standard deviation over training seeds.
        hits: of a share: how many of them.
        of: of a share: out of how many.
    """

    value: float
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    hits: int | None = None
    of: int | None = None

    def text(self, unit: str) -> str:
        """Return the number for people, with its unit.

        Example:
            >>> Number(value=40 / 1193, low=0.0240, high=0.0453, hits=40, of=1193).text("%")
            '3.4 % (2.4 to 4.5), 40 of 1,193'
            >>> Number(value=0.929, spread=0.001).text("score")
            '0.929 ± 0.001'
        """
        words = _digits(self.value, unit)
        if self.spread is not None:
            words += f" ± {_digits(self.spread, unit)}"
        words += "" if unit in ("", SCORE) else unit if unit == TIMES else f" {unit}"
        if self.low is not None and self.high is not None:
            words += f" ({_digits(self.low, unit)} to {_digits(self.high, unit)})"
        return words if self.of is None else f"{words}, {self.hits:,} of {self.of:,}"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure of one table: our number, and the same of whatever it is compared with."""

    measure: str
    unit: str  # PERCENT, SCORE, a unit such as "flows/s", or nothing for a count
    idskit: Number
    others: Mapping[str, Number] = field(default_factory=dict)  # by name, the best first

    def cells(self, most: int | None = None) -> tuple[str, str, str]:
        """Return measure, our number and the others (at most so many of them), for people."""
        others = [f"{name} {number.text(self.unit)}" for name, number in self.others.items()]
        return self.measure, self.idskit.text(self.unit), "; ".join(others[:most])

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, without what was not measured."""
        numbers = {name: _known(number) for name, number in self.others.items()}
        row = {"measure": self.measure, "unit": self.unit, "idskit": _known(self.idskit)}
        return {**row, "others": numbers} if numbers else row


@dataclass(frozen=True, kw_only=True)
class MeasuredTable:
    """Measures of one kind, that the same commands printed.

    Attributes:
        title: heading on the page.
        about: what was measured on what.
        commands: that repeat it.
        revision: of idskit, that was measured.
        machine: on which it was measured.
        rows: the measures.
        notes: what a reader must know to judge them.
    """

    title: str
    about: str
    commands: tuple[str, ...]
    revision: str
    machine: str
    rows: tuple[Measure, ...]
    notes: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        """Write the table as JSON, one row a line, so that a change of one number is one line."""
        head = {name: value for name, value in asdict(self).items() if name != "rows"}
        lines = [f"  {json.dumps(k)}: {_line(v)}," for k, v in head.items()]
        rows = ",\n".join(f"    {_line(row.to_json())}" for row in self.rows)
        text = "\n".join(["{", *lines, '  "rows": [', rows, "  ]", "}", ""])
        write_whole(path, lambda file: file.write_text(text, encoding="utf-8"))

    @staticmethod
    def load(path: Path) -> MeasuredTable:
        """Read what ``save`` wrote, or a person in the same form.

        Raises:
            DataError: the file cannot be read as a table of measures.
        """
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            rows = tuple(map(_row, found.pop("rows")))
            commands, notes = (tuple(found.pop(name)) for name in ("commands", "notes"))
            return MeasuredTable(rows=rows, commands=commands, notes=notes, **found)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} cannot be read as a table of measures: {error}") from error


def checked_out() -> str:
    """Return the revision of the checkout that this runs in."""
    command = ("git", "rev-parse", "--short", "HEAD")
    return run(command, capture_output=True, text=True, check=True).stdout.strip()


def _digits(value: float, unit: str) -> str:
    if unit == PERCENT:
        share = 100 * value
        return f"{share:.2f}" if 0 < share < 1 else f"{share:.1f}"
    return f"{value:.3f}" if unit == SCORE else f"{value:,}"


def _row(found: dict[str, Any]) -> Measure:
    others = {name: Number(**number) for name, number in found.pop("others", {}).items()}
    return Measure(idskit=Number(**found.pop("idskit")), others=others, **found)


def _known(number: Number) -> dict[str, float]:
    return dict(_rounded(number))


def _rounded(number: Number) -> Iterator[tuple[str, float]]:
    for name, value in asdict(number).items():
        if value is not None:
            yield name, round(value, 5) if isinstance(value, float) else value


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
