"""Take the numbers of networks never seen out of a result of ``idskit train captures``.

    idskit train captures --data ... --labels family --leave-out repositories --json unseen.json
    python -m idskit.bench.views.unseen_results unseen.json "idskit train captures --data ..."
    python -m idskit.bench.views.results_page

The second line, in a checkout, writes ``incidents_unseen.json`` and ``flows_unseen.json`` into
``bench/results``; its second argument is the command that the first line was, as readers can repeat
it, and a third one may name the revision that was measured (the one checked out, if none is
named). The third line makes the pages.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from idskit.bench.views.measured_table import (
    PERCENT,
    SCORE,
    Measure,
    MeasuredTable,
    Number,
    checked_out,
)
from idskit.errors import DataError
from idskit.machine.machine_facts import machine_facts
from idskit.metrics import exact_interval

MODELS = {"network": "network and trees", "trees": "trees alone", "lightgbm": "LightGBM"}
LAB, TOOLS = "lab", "tools"  # repositories that are this project's own
PARTS: Mapping[str, Callable[[str], bool]] = {
    "public repositories": lambda repository: repository not in (LAB, TOOLS),
    "real tools": lambda repository: repository == TOOLS,
    "lab": lambda repository: repository == LAB,
}
SHOWN_IN = {"host": "a host's flows", "payload": "payloads", "none": "nothing that is visible"}
INCIDENTS, FLOWS = "incidents_unseen", "flows_unseen"  # files
KINDS = ("attack", "benign")

Found = Mapping[str, Any]  # what ``unseen_captures.report`` returns
Reader = Callable[[Found], Number]


def unseen_tables(result: Found, command: str, revision: str) -> dict[str, MeasuredTable]:
    """Return the tables of incidents and of flows, by the names of their files.

    Args:
        result: the document that ``idskit train captures --leave-out repositories --json`` wrote.
        command: that wrote it.
        revision: of idskit, that was measured.

    Raises:
        DataError: the document is no such result.
    """
    try:
        left_out = result["repositories"]
        models = {MODELS[name]: left_out[name] for name in MODELS if name in left_out}
        first = next(iter(models.values()))
        about = _about(first["judged"], next(iter(models)), len(left_out["folds"]))
        rows = {
            INCIDENTS: [
                *_rows(models, _incident_readers(first["incidents"])),
                _areas(
                    {name: found["incidents"] for name, found in models.items()}, ", by evidence"
                ),
            ],
            FLOWS: [_areas(models), *_rows(models, _flow_readers(first))],
        }
    except (KeyError, TypeError, StopIteration) as error:
        raise DataError(
            f"the result lacks {error}: pass the --json file of idskit train captures "
            "--leave-out repositories"
        ) from error
    return {
        name: MeasuredTable(
            title=_TITLES[name],
            about=about,
            commands=(command,),
            revision=revision,
            machine=str(machine_facts()["cpu"]),
            rows=tuple(measures),
            notes=_NOTES[name],
        )
        for name, measures in rows.items()
    }


_TITLES = {INCIDENTS: "Incidents in networks never seen", FLOWS: "Flows in networks never seen"}
_NOTES = {
    INCIDENTS: (
        "The kinds of sequential tests and their numbers were chosen with these captures in view "
        "([incidents](../toolkit/incidents/README.md)), so their part of the result is flattered; "
        "thresholds and models are not. LightGBM: the same tests and incidents, with its scores of "
        "flows in place of idskit's. `LAB` is a folder that "
        "`idskit lab -o LAB --link lan --link wan --link lte` wrote.",
    ),
    FLOWS: (
        "A capture is found by its highest flow score; what is found at a rate of benign captures "
        "is found when as many of them are flagged. Intervals of the ROC AUC are drawn over "
        "repositories, because captures of one repository are alike.",
    ),
}


def _about(judged: Sequence[Found], model: str, folds: int) -> str:
    counted = [item for item in judged if not item["probe"]]
    attacks = sum(item["category"] != "benign" for item in counted)
    public = {item["repository"] for item in counted} - {LAB, TOOLS}
    return (
        f"{len(counted):,} captures ({len(counted) - attacks:,} benign, {attacks} attacks) of "
        f"{len(public)} public repositories, of real tools, and of `idskit lab`, left out of "
        f"training in turn ({folds} folds); thresholds from repositories that are neither trained "
        f"on nor judged. The column idskit is: {model}."
    )


def _incident_readers(found: Found) -> dict[str, Reader]:
    """Return what reads each measure of incidents from the result of a model, by its name."""
    at = "all: attack captures found by evidence at {:g} % of benign captures"
    name = "{}: {} captures with an incident"
    by_tests = "{}: {} captures with an incident without the model, by tests alone"
    by_flows = "all: attack captures that flow scores find when as many benign ones are flagged"
    return {
        **{name.format(*of): _captures(*of, "incidents") for of in product(PARTS, KINDS)},
        **{name.format("all", kind): _stored("incidents", kind) for kind in KINDS},
        **{by_tests.format(*of): _captures(*of, "by_tests") for of in product(PARTS, KINDS)},
        by_flows: _stored("incidents", "attack_by_flows"),
        **{
            at.format(100 * float(rate)): _stored("incidents", "found_at", rate)
            for rate in found["found_at"]
        },
    }


def _flow_readers(found: Found) -> dict[str, Reader]:
    """Return what reads each measure of flows from the result of a model, by its name."""
    name = "{}: {} captures with a flow flagged"
    at = "all: attack captures found at {:g} % of benign captures"
    seen = "attacks that a reader of the packets saw in {}: found at 5 % of benign captures"
    shown = {where: words for where, words in SHOWN_IN.items() if where in found["where"]}
    return {
        **{name.format(*of): _captures(*of, "flagged") for of in product(PARTS, KINDS)},
        **{name.format("all", kind): _stored("captures", kind) for kind in KINDS},
        "all: benign flows flagged": _stored("benign_flows"),
        **{at.format(100 * float(rate)): _stored("found_at", rate) for rate in found["found_at"]},
        **{seen.format(words): _above("where", where) for where, words in shown.items()},
    }


def _rows(models: Mapping[str, Found], readers: Mapping[str, Reader]) -> list[Measure]:
    return [
        _row(name, PERCENT, {model: read(found) for model, found in models.items()})
        for name, read in readers.items()
    ]


def _row(name: str, unit: str, numbers: Mapping[str, Number]) -> Measure:
    """Return a row in which the first model's number is ours, and LightGBM's is the first other."""
    (_, ours), *others = numbers.items()
    return Measure(measure=name, unit=unit, idskit=ours, others=dict(reversed(others)))


def _areas(models: Mapping[str, Found], by: str = "") -> Measure:
    areas = {}
    for name, found in models.items():
        low, high = found["roc_auc_interval"] or (None, None)
        areas[name] = Number(value=found["roc_auc"], low=low, high=high)
    return _row(f"all: ROC AUC over captures{by}", SCORE, areas)


def _captures(part: str, kind: str, count: str) -> Reader:
    """Count the captures of a part that have incidents, or flows that are flagged."""

    def read(found: Found) -> Number:
        chosen = [
            item[count] > 0
            for item in found["judged"]
            if PARTS[part](item["repository"])
            and not item["probe"]
            and (item["category"] == "benign") == (kind == "benign")
        ]
        return _number(sum(chosen), len(chosen))

    return read


def _stored(*path: str) -> Reader:
    """Read a share that the result holds already."""
    return lambda found: _number(*(_at(found, path)[name] for name in ("raised", "of")))


def _above(*path: str) -> Reader:
    """Read the share of captures above the last of the rates of benign captures."""
    return lambda found: _number(*(_at(found, path)[name] for name in ("found", "of")))


def _at(found: Found, path: Sequence[str]) -> Found:
    for name in path:
        found = found[name]
    return found


def _number(hits: int, of: int) -> Number:
    if not of:
        raise DataError("the result lacks captures of public repositories, real tools or the lab")
    low, high = exact_interval(hits, of)
    return Number(value=hits / of, low=low, high=high, hits=hits, of=of)


def main() -> None:
    """Write the tables of a result into ``bench/results`` of the checkout that this runs in."""
    parser = ArgumentParser("python -m idskit.bench.views.unseen_results", description=__doc__)
    parser.add_argument("result", type=Path, help="the --json file of idskit train captures")
    parser.add_argument("command", help="that wrote it, as readers can repeat it")
    parser.add_argument(
        "revision", nargs="?", help="that was measured; what is checked out if omitted"
    )
    given = parser.parse_args()
    folder = Path("bench/results")
    if not folder.is_dir():
        parser.error(f"{folder} is not here: run this at the top of a checkout")
    document = json.loads(given.result.read_text(encoding="utf-8"))
    try:
        tables = unseen_tables(document, given.command, given.revision or checked_out())
    except DataError as error:
        parser.error(str(error))
    for name, table in tables.items():
        table.save(folder / f"{name}.json")
        sys.stdout.write(f"{folder / name}.json\n")


if __name__ == "__main__":
    main()
