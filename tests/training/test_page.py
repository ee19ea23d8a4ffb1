"""The report page: everything in one file, and what it says."""

from __future__ import annotations

import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from idskit.cli import main
from idskit.training.views.training_tables import unresolved

FLAGS = (
    "--set width=8 --epochs 1 --set batch=64 --threads 1 --set novelty=none --leave-one-attack-out"
)


@pytest.fixture(scope="module")
def report(nsl_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, Path]:
    """A page of the command line with its defaults, its metrics.json, and the run's folder."""
    output = tmp_path_factory.mktemp("report")
    places = [
        "--data",
        str(nsl_folder),
        "-o",
        str(output / "run"),
        "--html",
        str(output / "p.html"),
    ]
    with pytest.raises(SystemExit) as done:
        main(["train", "nsl-kdd", *places, *FLAGS.split()])
    assert done.value.code == 0
    document = json.loads((output / "run" / "metrics.json").read_text())
    return (output / "p.html").read_text(), document, output / "run"


def text_of(page: str) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", page))


def test_a_report_is_of_five_seeds(report: tuple[str, Any, Path]):
    page, document, _ = report
    assert document["seeds"]["seeds"] == [0, 1, 2, 3, 4]
    spread = document["seeds"]["network"]["roc_auc"]
    assert f"{spread['mean']:.4f} ± {spread['std']:.4f}".replace("0.", ".") in text_of(page)
    assert f"Kept: seed {document['seeds']['kept']}" in text_of(page)


def test_nothing_is_fetched_from_elsewhere(report: tuple[str, Any, Path]):
    class Sources(HTMLParser):
        found: list[str] = []  # noqa: RUF012 - of this test alone

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in {"script", "link", "iframe", "object"}
            self.found += [value or "" for name, value in attrs if name in ("src", "href")]

    sources = Sources()
    sources.feed(report[0])
    assert len(sources.found) == 6
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources.found)
    assert "url(" not in report[0]


def test_every_measure_asked_for_is_there(report: tuple[str, Any, Path]):
    text = text_of(report[0])
    for name in (
        *("ROC AUC", "TPR at 1 % FPR", "TPR at 0.1 % FPR", "TPR at 0.01 % FPR"),
        *("expected calibration error", "macro-F1, most probable class", "F1 attack"),
        *("false alerts an hour at 100 flows/s", "false alerts an hour at 1,000 flows/s"),
        *("Leave one attack out", "Reliability", "Confusion", "Alerts by group"),
    ):
        assert name in text


def test_rates_that_the_rows_cannot_resolve_are_marked(report: tuple[str, Any, Path]):
    page, document, _ = report
    assert document["test"]["benign_rows"] == 80
    assert "80 benign rows cannot resolve this rate" in text_of(page)
    assert re.search(r"TPR at 0\.01 % FPR\s+[\d.]+\*", text_of(page))


def test_rates_that_the_rows_resolve_are_not_marked():
    summary = {
        "least_false_positive_rate": 3e-5,
        "benign_rows": 100_000,
        "tpr_at_fpr": {"0.0001": 1},
    }
    assert unresolved([summary]) == []


def test_each_attack_was_left_out(report: tuple[str, Any, Path]):
    left_out = report[1]["left_out"]
    assert {name: found["rows"] for name, found in left_out["attacks"].items()} == {
        "neptune": 240,  # of the training, validation and test rows
        "satan": 100,
    }
    mean = sum(found["found"] for found in left_out["attacks"].values()) / 2
    assert left_out["mean"]["found"] == pytest.approx(mean)


def test_a_report_is_taken_up_again(
    report: tuple[str, Any, Path], nsl_folder: Path, capsys: pytest.CaptureFixture[str]
):
    """All is finished: nothing is trained again, and the same page is made of it."""
    page, _, folder = report
    again = folder.parent / "again.html"
    places = ["--data", str(nsl_folder), "-o", str(folder), "--html", str(again), "--resume"]
    with pytest.raises(SystemExit) as done:
        main(["train", "nsl-kdd", *places, *FLAGS.replace("--leave-one-attack-out", "").split()])
    assert done.value.code == 0
    assert "Leave one attack out" not in again.read_text()
    assert text_of(again.read_text())[:200] == text_of(page)[:200]
    assert "left_out" not in json.loads((folder / "metrics.json").read_text())


@pytest.mark.parametrize("flag", ["--html=page.html", "--seeds=2", "--leave-one-attack-out"])
def test_a_comparison_of_models_has_no_report(nsl_folder: Path, flag: str):
    with pytest.raises(SystemExit) as done:
        main(["train", "nsl-kdd", "--data", str(nsl_folder), "--model", "gru,kernel", flag])
    assert done.value.code == 2
