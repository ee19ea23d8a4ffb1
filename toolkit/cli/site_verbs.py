"""Verbs of a site: learn what is normal there, and what a budget of false incidents costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from idskit.cli.flags import Json, ModelArgument
from idskit.cli.notices import announcing_compilation, console, write_document
from idskit.cli.verb import verb

if TYPE_CHECKING:
    from idskit.flow_input import FlowInput
    from idskit.site.budget_site import BudgetOptions
    from idskit.site.learn_site import LearnOptions


@verb("idskit.flow_input:FlowInput", "idskit.site.learn_site:LearnOptions")
def learn(
    model: ModelArgument = None,
    *,
    given: FlowInput,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="File of the site, for detect --site"),
    ],
    options: LearnOptions,
    json_file: Json = None,
) -> None:
    """Learn what is normal at a site from its everyday traffic; counts are kept, no packets."""
    from idskit.files.output import require_place
    from idskit.site.learn_site import learn as learn_site

    require_place(output)
    with announcing_compilation():
        learned = learn_site(model, given, output, options)
    learned.show(console())
    write_document(json_file, learned.to_json())


@verb("idskit.flow_input:FlowInput", "idskit.site.budget_site:BudgetOptions")
def budget(
    model: ModelArgument = None,
    *,
    given: FlowInput,
    options: BudgetOptions,
    json_file: Json = None,
) -> None:
    """Estimate, for several budgets, false incidents a day and how many attacks are found."""
    from idskit.site.budget_site import measure_budget

    with announcing_compilation():
        report = measure_budget(model, given, options)
    report.show(console())
    write_document(json_file, report.to_json())
