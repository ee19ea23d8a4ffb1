"""Options: what a field takes, what is refused, and how ``--set key=value`` is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from idskit.errors import IdskitError, RunError
from idskit.options import Kind, assigned, check_options, kinds_of, option, options_of


@dataclass(frozen=True, kw_only=True)
class Kettle:
    """One option of every type; a field that is none."""

    name: str = "kettle"
    tea: Literal["green", "black"] = option("green", "Tea to make")
    cups: Literal[1, 2, 4] = option(2, "Cups to fill")
    pot: Path | None = option(None, "Pot to use")
    degrees: float = option(80, "Water temperature", low=20, high=100)
    minutes: int | None = option(None, "Time to steep", low=1)
    lid: bool = option(False, "Close the lid")
    whistle: bool | None = option(None, "Whistle when it boils")
    spices: Sequence[str] = option((), "Spices to add", choices=("ginger", "clove"))
    recipes: Sequence[Path] = option((), "Recipes to follow")
    refills: tuple[int, ...] = option((), "Cups of each refill", low=1, high=9)
    weight: int | float = option(1, "Weight of the leaves")


def test_options_are_the_fields_made_by_option_in_order() -> None:
    names = ["tea", "cups", "pot", "degrees", "minutes", "lid", "whistle", "spices"]
    assert [*options_of(Kettle)] == [*names, "recipes", "refills", "weight"]
    assert [*options_of(Kettle())] == [*options_of(Kettle)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tea", Kind(scalar=str, choices=("green", "black"))),
        ("cups", Kind(scalar=int, choices=(1, 2, 4))),
        ("pot", Kind(scalar=Path)),
        ("degrees", Kind(scalar=float)),
        ("minutes", Kind(scalar=int)),
        ("lid", Kind(scalar=bool)),
        ("whistle", Kind(scalar=bool)),
        ("spices", Kind(scalar=str, several=True, choices=("ginger", "clove"))),
        ("recipes", Kind(scalar=Path, several=True)),
        ("refills", Kind(scalar=int, several=True)),
        ("weight", Kind(scalar=float)),
    ],
)
def test_the_kind_of_an_option_is_its_type(name: str, kind: Kind) -> None:
    assert kinds_of(Kettle)[name] == kind


def test_a_type_that_no_text_stands_for_is_a_defect() -> None:
    @dataclass
    class Odd:
        table: dict[str, int] = option(None, "A table")

    odd: Any = Odd
    odd.__annotations__["table"] = object
    with pytest.raises(TypeError, match="no option can be of type"):
        kinds_of(odd)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"tea": "black", "cups": 4, "degrees": 20, "minutes": 1},
        {"degrees": 100.0, "minutes": 1_000_000, "spices": ("clove", "ginger"), "refills": (1, 9)},
        {"minutes": None, "spices": [], "refills": ()},
    ],
)
def test_what_is_in_range_passes(change: dict[str, Any]) -> None:
    check_options(replace(Kettle(), **change))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tea": "white"}, "tea 'white' was asked for, but the choices are green, black"),
        ({"cups": 3}, "cups 3 was asked for, but the choices are 1, 2, 4"),
        ({"degrees": 19.9}, "degrees is 19.9: choose 20 to 100"),
        ({"degrees": 101}, "degrees is 101: choose 20 to 100"),
        ({"degrees": float("nan")}, "degrees is nan: choose 20 to 100"),
        ({"degrees": float("inf")}, "degrees is inf: choose 20 to 100"),
        ({"minutes": 0}, "minutes is 0: choose 1 or more"),
        ({"spices": ("clove", "salt")}, "spices 'salt' was asked for, but the choices are"),
        ({"refills": (3, 10)}, "refills is 10: choose 1 to 9"),
        ({"refills": [0]}, "refills is 0: choose 1 to 9"),
    ],
)
def test_what_is_out_of_range_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RunError) as refused:
        check_options(replace(Kettle(), **change), RunError)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("tea=black", "black"),
        ("tea=white", "white"),  # check_options refuses it, as for a flag
        ("cups=4", 4),
        ("pot=/a/b=c", Path("/a/b=c")),
        ("degrees=9e1", 90.0),
        ("degrees = 90", 90.0),
        ("minutes=3", 3),
        ("lid=true", True),
        ("lid=Yes", True),
        ("lid=on", True),
        ("lid=1", True),
        ("lid=False", False),
        ("lid=no", False),
        ("lid=off", False),
        ("whistle=0", False),
        ("spices=clove", ("clove",)),
        ("spices=ginger, clove", ("ginger", "clove")),
        ("spices=", ()),
        ("recipes=a.md,b c.md", (Path("a.md"), Path("b c.md"))),
        ("refills=1,2,3", (1, 2, 3)),
        ("weight=2", 2.0),
    ],
)
def test_a_word_is_read_by_the_type_of_its_field(word: str, value: Any) -> None:
    [(_, found)] = assigned(Kettle, [word]).items()
    assert found == value
    assert type(found) is type(value)


def test_dashes_are_underscores_and_several_words_are_several_options() -> None:
    @dataclass
    class Oven:
        heat_up: bool = option(False, "Heat up first")
        shelves: int = option(1, "Shelves")

    assert assigned(Oven, ["heat-up=on", "shelves=2"]) == {"heat_up": True, "shelves": 2}
    assert assigned(Oven, []) == {}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tea"], "--set tea has no '=': write it as key=value"),
        (["milk=1"], "--set milk is not an option: choose one of tea, cups, pot,"),
        (["name=x"], "--set name is not an option"),
        (["=x"], "is not an option"),
        (["cups=1", "cups=2"], "--set cups is given twice: give it once"),
        (["cups=many"], "--set cups=many was asked for, but cups takes a whole number"),
        (["minutes=2.5"], "--set minutes=2.5 was asked for, but minutes takes a whole number"),
        (["degrees=hot"], "--set degrees=hot was asked for, but degrees takes a number"),
        (["lid=maybe"], "--set lid=maybe was asked for: write true or false"),
        (["lid="], "--set lid= has no value"),
        (["pot="], "--set pot= has no value"),
        (["recipes=a,,b"], "--set recipes= has no value"),
        (["refills=1,x"], "--set refills=x was asked for, but refills takes a whole number"),
    ],
)
def test_a_word_that_cannot_be_read_says_what_to_write(words: list[str], sentence: str) -> None:
    with pytest.raises(IdskitError) as refused:
        assigned(Kettle, words)
    assert sentence in str(refused.value)
