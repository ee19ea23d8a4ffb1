"""A report on a terminal and as Markdown: its machine, its tables, its verdict."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from idskit.bench.result import Report
from idskit.bench.views.bench_page import machine_line, save_page
from idskit.bench.views.bench_tables import sections
from idskit.files.output import write_whole
from idskit.report.section import markdown_section, show_sections


def write_views(
    report: Report,
    console: Console,
    *,
    json: Path | None = None,
    html: Path | None = None,
    markdown: Path | None = None,
) -> None:
    """Write the result file and every view that was asked for, then print the tables.

    Raises:
        IdskitError: a file cannot be written.
    """
    if json is not None:
        write_text(json, report.to_json() + "\n")
    if html is not None:
        save_page(html, {"": report})
    if markdown is not None:
        write_text(markdown, markdown_report(report))
    show_report(report, console)


def write_text(file: Path, text: str) -> None:
    """Write a text to a file, which appears only when complete, or to stdout for ``-``.

    Raises:
        IdskitError: the file cannot be written.
    """
    if str(file) == "-":
        sys.stdout.write(text)
    else:
        write_whole(file, lambda partial: partial.write_text(text))


def show_report(report: Report, console: Console) -> None:
    """Print the tables of a report, then its verdict."""
    console.print(f"[bold]machine[/bold]: {escape(machine_line(report))}", highlight=False)
    show_sections(sections(report), console)
    for sentence in report.verdict:
        console.print(escape(sentence), highlight=False)


def markdown_report(report: Report) -> str:
    """Return the same tables and sentences as Markdown."""
    packages = report.machine["packages"]
    parts = [
        f"Machine: {machine_line(report)}. idskit {packages.get('idskit')}, "
        f"onnxruntime {packages.get('onnxruntime')}, {report.created:%Y-%m-%d}.",
        *map(markdown_section, sections(report)),
        "\n".join(f"- {sentence}" for sentence in report.verdict),
    ]
    return "\n\n".join(parts) + "\n"
