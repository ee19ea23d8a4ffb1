"""Flags made from options: what help shows, what a verb gets, and what is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner

from idskit.cli.entry import VERBS
from idskit.cli.flags import Json
from idskit.cli.verb import PLAIN, Verb, Verbs, verb
from idskit.errors import IdskitError, MissingExtra
from idskit.options import option, options_of


@dataclass(frozen=True, kw_only=True)
class Brew:
    """Options with every kind of flag, and two advanced ones."""

    tea: Literal["green", "black"] = option("green", "Tea to make.")
    degrees: float | None = option(None, "Water temperature", low=20, high=100, metavar="CELSIUS")
    cups: int = option(2, "Cups to fill", low=1)
    lid: bool = option(False, "Close the lid")
    rinse: bool = option(True, "Rinse the pot first")
    pots: Sequence[Path] = option((), "Pot to use; repeatable", flag="-p --pot")
    spices: Sequence[str] = option(("clove",), "Spice to add; repeatable", flag="--spice")
    steep_s: float = option(180.0, "Time to steep", low=0, metavar="SECONDS", advanced=True)
    filters: Sequence[str] = option((), "Filters to try", advanced=True)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Options of a second thing."""

    cups: int = option(2, "Cups to fill", low=1)
    seats: int = option(4, "Seats at the table")
    strainer: bool = option(False, "Use a strainer")
    cloth: bool = option(False, "Lay a cloth", advanced=True)


def shown_defaults() -> dict[str, str]:
    """What help shows in place of None."""
    return {"degrees": "80; black: 95"}


served: list[tuple[Any, ...]] = []


@verb(Brew, Table, omit=("strainer",))
def serve(
    guest: Annotated[str, typer.Argument(help="Guest to serve")],
    *,
    brew: Brew,
    table: Table,
    seats: Annotated[int, typer.Option(help="Seats of the verb itself")] = 7,
    json_file: Json = None,
) -> None:
    """Serve tea.

    Nothing else.
    """
    served.append((guest, brew, table, seats, json_file))


@verb("idskit.no_such_module:Options", extra="train")
def broken() -> None:
    """Never runs."""


class _Group(Verbs):
    verbs = {"serve": serve, "broken": broken}  # noqa: RUF012 - as in the entry


app = typer.Typer(cls=_Group, **PLAIN)


@app.callback()
def _callback() -> None: ...


def run(*words: str) -> Any:
    served.clear()
    return CliRunner().invoke(app, ["serve", *words], env={"COLUMNS": "200"})


def options_in(text: str) -> dict[str, str]:
    """The flags of a help text by their first name, on one line each."""
    parts = re.split(r"\n  (?=-)", text)[1:]
    return {re.split(r"[, ]", part)[0]: " ".join(part.split()) for part in parts}


def test_flags_become_one_frozen_object_each() -> None:
    words = "Ada --tea black --degrees 95 --cups 3 --lid --no-rinse -p a --pot b --json -"
    assert run(*words.split()).exit_code == 0
    [(guest, brew, table, seats, json_file)] = served
    assert (guest, seats, json_file) == ("Ada", 7, Path("-"))
    assert brew == Brew(
        tea="black", degrees=95, cups=3, lid=True, rinse=False, pots=(Path("a"), Path("b"))
    )
    assert table == Table(cups=3)  # one flag, for both


def test_without_flags_the_defaults_are_those_of_the_dataclass() -> None:
    assert run("Ada").exit_code == 0
    assert served == [("Ada", Brew(), Table(), 7, None)]


def test_help_shows_each_flag_with_choices_range_and_default() -> None:
    shown = options_in(run("--help").stdout)
    assert shown["--tea"] == "--tea NAME Tea to make: green or black [default: green]"
    assert (
        "--degrees CELSIUS Water temperature [default: (80; black: 95); 20<=x<=100]"
        in shown["--degrees"]
    )
    assert "[default: 2; x>=1]" in shown["--cups"]
    assert shown["--rinse"].startswith("--rinse / --no-rinse")
    assert "Pot to use; repeatable" in shown["-p"]
    assert "[default: (clove)]" in shown["--spice"]
    assert "Seats of the verb itself" in shown["--seats"]
    assert "Set one of 3 advanced options; repeatable; --set help lists them" in shown["--set"]
    assert not {"--steep-s", "--filters", "--cloth", "--strainer"} & set(shown)


def test_set_reaches_the_advanced_options_of_every_dataclass() -> None:
    words = ["Ada", "--set", "steep-s=60", "--set", "cloth=yes", "--set", "filters=a,b"]
    assert run(*words).exit_code == 0
    [(_, brew, table, *_)] = served
    assert (brew.steep_s, brew.filters, table.cloth) == (60, ("a", "b"), True)


def test_set_help_lists_them_and_ends() -> None:
    result = run("--set", "help")
    assert result.exit_code == 0
    assert not served
    assert "steep_s=SECONDS Time to steep [0 or more; default: 180.0]" in " ".join(
        result.stdout.split()
    )
    assert "filters=NAME,... Filters to try" in " ".join(result.stdout.split())
    assert "cloth=true|false Lay a cloth [default: false]" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--tea", "white"], "tea 'white' was asked for, but the choices are green, black"),
        (
            ["--set", "sugar=1"],
            "--set sugar is not an option: choose one of steep_s, filters, cloth",
        ),
        (["--set", "cups=1"], "--set cups=1 was asked for, but cups has a flag: use --cups"),
        (["--set", "pots=a"], "pots has a flag: use --pot"),
        (["--set", "steep_s"], "--set steep_s has no '='"),
        (["--set", "steep_s=-1"], "steep_s is -1.0: choose 0 or more"),
        (["--set", "cloth=1", "--set", "cloth=0"], "--set cloth is given twice"),
    ],
)
def test_a_value_that_its_option_refuses_is_one_sentence(words: list[str], sentence: str) -> None:
    result = run("Ada", *words)
    assert isinstance(result.exception, IdskitError)
    assert sentence in str(result.exception)
    assert not served


@pytest.mark.parametrize("words", [["--cups", "0"], ["--degrees", "101"], ["--cups", "x"], []])
def test_numbers_out_of_range_and_a_missing_argument_are_usage_errors(words: list[str]) -> None:
    assert run(*(["Ada", *words] if words else [])).exit_code == 2


def test_flags_given_twice_are_refused_but_for_lists() -> None:
    assert run("Ada", "--cups", "1", "--cups", "2").exit_code == 2
    assert run("Ada", "--spice", "a", "--spice", "b").exit_code == 0


def test_a_defect_in_a_module_of_options_is_no_missing_extra() -> None:
    result = CliRunner().invoke(app, ["broken", "--help"])
    assert isinstance(result.exception, ModuleNotFoundError)


def test_options_of_a_package_that_is_not_installed_name_the_command(
    tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "needy_options.py").write_text("import surely_not_installed")
    monkeypatch.syspath_prepend(str(tmp_path))
    needy = Verb(run=broken.run, options=("needy_options:Options",), extra="train")
    with pytest.raises(MissingExtra, match=r"needs surely_not_installed.*pip install 'idskit\[tr"):
        needy.command()


def test_verbs_are_listed_by_their_first_paragraph() -> None:
    shown = CliRunner().invoke(app, ["--help"]).stdout
    assert "  serve   Serve tea.\n" in shown


def test_a_verb_misspelt_is_suggested() -> None:
    result = CliRunner().invoke(app, ["serv"])
    assert result.exit_code == 2
    assert "Did you mean 'serve'?" in result.output


# The verbs of the program itself.
MOST_FLAGS = 22


@pytest.mark.parametrize("one", VERBS, ids=lambda one: one.name)
def test_a_verb_has_few_flags_and_each_says_what_it_does(one: Verb) -> None:
    params: Any = one.command().params
    flags = [param for param in params if param.param_type_name == "option"]
    assert len(flags) <= MOST_FLAGS
    for flag in flags:
        assert flag.help, flag.name
        assert flag.help[0].isupper(), flag.help
        assert not flag.help.startswith(("Of ", "What ", "Where ", "At ")), flag.help
        assert not flag.help.endswith("."), flag.help
        assert "leave it away" not in flag.help


HEAVY = ("numba", "torch", "pandas", "onnxruntime", "sklearn", "rich", "lightgbm", "numpy")


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        ("--help", ()),
        ("--version", ()),
        ("extract --help", ("numpy",)),
        ("detect --help", ("numpy",)),
    ],
)
def test_help_starts_lightly(words: str, allowed: tuple[str, ...]) -> None:
    code = (
        "import sys; from idskit.cli import main\n"
        "try: main()\n"
        "finally: print(*(m for m in sys.modules if '.' not in m), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not set(done.stderr.split()) & set(HEAVY) - set(allowed)


def test_every_setting_of_training_is_an_option() -> None:
    from idskit.training.settings import TrainingSettings

    options = {*options_of(TrainingSettings)}
    if not options:
        pytest.skip("the settings of training are no options yet")
    assert options == {field.name for field in fields(TrainingSettings)} - {"dataset"}
