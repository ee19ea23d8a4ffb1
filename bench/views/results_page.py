"""Make bench/RESULTS.md and the table of the README from the files in bench/results.

python -m idskit.bench.views.results_page          # in a checkout; prints what it wrote
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from idskit.bench.views.measured_table import Measure, MeasuredTable
from idskit.errors import DataError
from idskit.files.output import write_whole

ORDER = (  # of the tables on the page: networks never seen first
    "incidents_unseen", "flows_unseen", "flows_unseen_network", "unseen_site", "real_tools", "load",
    "disguises", "explanations",
    "shipped_captures", "nsl_kdd", "other_tables", "model_speed", "small_network",
    "paper_network", "flow_engine", "flow_programs",
)  # fmt: skip
IN_README = (  # file, and measure as it stands there
    ("incidents_unseen", "public repositories: attack captures with an incident"),
    ("incidents_unseen", "public repositories: benign captures with an incident"),
    ("incidents_unseen", "lab: attack captures with an incident"),
    ("incidents_unseen", "lab: benign captures with an incident"),
    ("real_tools", "real tools, shipped file: attack captures with an incident"),
    ("nsl_kdd", "KDDTest+: accuracy at the threshold"),
    ("paper_network", "the paper's network, int8: a flow, 256 at once"),
    ("flow_programs", "packets to flows: processor time, 1 M mixed packets"),
)
_README_HEAD = "| measure | idskit | best rival |\n"  # of the one table that is replaced
_INTRODUCTION = """# Results

Made from the files in [results](results) by `python -m idskit.bench.views.results_page`: change
those, not this page ([how](README.md#published-numbers)). Intervals in brackets are of 95 %; ± is
the standard deviation over training seeds.
"""


def load_tables(folder: Path) -> dict[str, MeasuredTable]:
    """Return the tables of a folder in the order of the page, by the names of their files.

    Raises:
        DataError: a file is missing, is not named in ``ORDER``, or cannot be read.
    """
    found = {path.stem for path in folder.glob("*.json")}
    if found != set(ORDER):
        wrong = ", ".join(sorted(found ^ set(ORDER)))
        raise DataError(f"{folder} and the order of results_page.py differ in {wrong}: mend either")
    return {name: MeasuredTable.load(folder / f"{name}.json") for name in ORDER}


def results_page(tables: Mapping[str, MeasuredTable]) -> str:
    """Return the page of all tables, in Markdown."""
    return "\n".join([_INTRODUCTION, *map(_section, tables.values())])


def readme_table(tables: Mapping[str, MeasuredTable]) -> str:
    """Return the table of the README, in Markdown.

    Raises:
        DataError: a measure that it shows is in no table.
    """
    rows = (_measure(tables[name], name, measure) for name, measure in IN_README)
    return _markdown("best rival", (row.cells(most=1) for row in rows))


def with_table(readme: str, table: str) -> str:
    """Return the README with its table of measures replaced.

    Raises:
        DataError: it has no such table, or several.
    """
    old = re.compile(re.escape(_README_HEAD) + r"(\|.*\n)*")
    made, count = old.subn(lambda _: f"{table}\n", readme)
    if count != 1:
        raise DataError(f"README.md has {count} tables of measures and rivals, and one is needed")
    return made


def _measure(table: MeasuredTable, name: str, measure: str) -> Measure:
    for row in table.rows:
        if row.measure == measure:
            return row
    raise DataError(f"{name}.json has no measure {measure!r}, which the README shows")


def _section(table: MeasuredTable) -> str:
    commands = "\n".join(f"    {command}" for command in table.commands)
    origin = f"Revision {table.revision}; {table.machine}."
    parts = [
        f"## {table.title}",
        table.about,
        commands,
        _markdown("compared with", (row.cells() for row in table.rows)),
    ]
    return "\n\n".join([*parts, *table.notes, origin]) + "\n"


def _markdown(heading: str, rows: Iterable[tuple[str, str, str]]) -> str:
    """Return rows in Markdown; the last column is left out where it is empty."""
    cells = [("measure", "idskit", heading), ("---", "---", "---"), *rows]
    columns = 3 if any(other for _, _, other in cells[2:]) else 2
    return "\n".join("| " + " | ".join(row[:columns]) + " |" for row in cells)


def main(root: Path) -> None:
    """Write both pages of a checkout anew."""
    tables = load_tables(root / "bench" / "results")
    readme = root / "README.md"
    _write(root / "bench" / "RESULTS.md", results_page(tables))
    _write(readme, with_table(readme.read_text(encoding="utf-8"), readme_table(tables)))


def _write(path: Path, text: str) -> None:
    write_whole(path, lambda file: file.write_text(text, encoding="utf-8"))
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main(Path.cwd())
