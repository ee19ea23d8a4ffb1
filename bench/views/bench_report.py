"""A report on a terminal and as Markdown: its machine, its tables, its verdict."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from idskit.bench.result import Report
from idskit.bench.views.bench_tables import sections
from idskit.bench.views.section import markdown_section, show_sections


def show(report: Report, console: Console) -> None:
    """Print the tables of a report, then its verdict."""
    console.print(f"[bold]machine[/bold]: {escape(machine_line(report))}", highlight=False)
    show_sections(sections(report), console)
    for sentence in report.verdict:
        console.print(escape(sentence), highlight=False)


def markdown(report: Report) -> str:
    """The same tables and sentences, for a README."""
    parts = [
        f"Machine: {machine_line(report)}. idskit {report.machine['packages'].get('idskit')}, "
        f"onnxruntime {report.machine['packages'].get('onnxruntime')}, "
        f"{report.created:%Y-%m-%d}.",
        *map(markdown_section, sections(report)),
        "\n".join(f"- {sentence}" for sentence in report.verdict),
    ]
    return "\n\n".join(parts) + "\n"


def machine_line(report: Report) -> str:
    """The machine in one line."""
    machine = report.machine
    features = [name for name, there in machine["features"].items() if there]
    words = [
        machine["cpu"] or machine["model"] or machine["architecture"],
        f"{len(machine['affinity'])} of {machine['cores']} cores usable",
        f"int8 instructions: {', '.join(features) or 'none'}",
    ]
    return "; ".join(words)
