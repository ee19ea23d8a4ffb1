"""Flags: those that several verbs share, and those that are made from the fields of options."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import Field
from pathlib import Path
from typing import Annotated, Any

import typer

from idskit.errors import IdskitError
from idskit.options import (
    Kind,
    Option,
    assigned,
    check_options,
    key_of,
    kinds_of,
    options_of,
    range_of,
)


def _writable(file: Path | None) -> Path | None:
    """Refuse a file that could not be written, before the work that it is for."""
    if file is not None:
        from idskit.files.output import require_place

        require_place(file)
    return file


ModelArgument = Annotated[
    Path | None,
    typer.Argument(help="An .onnx file that idskit exported; the shipped model if omitted"),
]
Json = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE",
        callback=_writable,
        help="Write the result as JSON to FILE; - is stdout",
    ),
]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", callback=_writable, help="Write one page with plots to FILE"
    ),
]
Markdown = Annotated[
    Path | None,
    typer.Option(
        "--markdown", metavar="FILE", callback=_writable, help="Write Markdown tables to FILE"
    ),
]
ModelVersion = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Version number to sign; today's date, such as 20261231, if omitted",
    ),
]
Data = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder of a data set that is given by name; repeatable for captures; omit it for a "
        "table",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Device to run on, an error if it is missing: cpu, cuda or tensorrt"
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, show_default="all that this process may use", help="Number of threads"),
]
BenignLabel = Annotated[
    list[str] | None,
    typer.Option(
        "--benign-label",
        metavar="LABEL",
        help="Label of benign rows in a table; repeatable; found by usual names if omitted",
    ),
]

_METAVARS = {bool: None, float: "NUMBER", int: "N", Path: "PATH", str: "NAME"}
SET = "assignments"  # the parameter behind --set
Parameters = Iterator[inspect.Parameter]


def parameters_of(settings: type[Any], without: Collection[str] = ()) -> Parameters:
    """Make a command's parameter of every option that has a flag, for typer to read.

    Its module may state what a default of None stands for: ``shown_defaults()``, by name.
    """
    kinds, shown = kinds_of(settings), _shown_defaults(settings)
    for name, (field, known) in options_of(settings).items():
        if not known.advanced and name not in without:
            yield _parameter(field, known, kinds[name], shown.get(name))


def _shown_defaults(settings: type[Any]) -> Mapping[str, str]:
    named: Mapping[str, str] = getattr(sys.modules[settings.__module__], "shown_defaults", dict)()
    return named


def _parameter(
    field: Field[Any], known: Option, kind: Kind, shown: str | None
) -> inspect.Parameter:
    flag = typer.Option(
        *_spellings(field, known, kind),
        help=_help(known, kind),
        metavar=known.metavar or _METAVARS[kind.scalar],
        min=_bound(known.low, kind),
        max=_bound(known.high, kind),
        show_default=_default_shown(field, kind, shown),
    )
    value: Any = list[kind.scalar] if kind.several else kind.scalar  # type: ignore[name-defined]
    if kind.several or field.default is None:
        value |= None
    default = None if kind.several else field.default
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[value, flag],
    )


def _bound(limit: float | None, kind: Kind) -> float | None:
    """Return a bound for typer, which takes one of whole numbers as a whole number only."""
    if limit is None or kind.scalar not in (int, float):
        return None
    return int(limit) if kind.scalar is int else limit


def _spellings(field: Field[Any], known: Option, kind: Kind) -> Sequence[str]:
    """Return the names of a flag, both of them where it can be turned off as well."""
    if known.flag is not None:
        return known.flag.replace(",", " ").split()
    name = field.name.replace("_", "-")
    if kind.scalar is bool and field.default is not False:
        return [f"--{name}/--no-{name}"]
    return [f"--{name}"]


def _help(known: Option, kind: Kind) -> str:
    """Return the help of an option with its choices, where they are not in it anyway."""
    text = known.help.removesuffix(".")
    if all(str(choice) in text for choice in kind.choices):
        return text
    *others, last = map(str, kind.choices)
    return f"{text}: {', '.join(others)} or {last}" if others else f"{text}: {last}"


def _default_shown(field: Field[Any], kind: Kind, shown: str | None) -> bool | str:
    if shown is not None and not field.default:
        return shown
    if kind.several and field.default:
        return _text(field.default)
    return field.default is not None


def set_parameter(settings: Sequence[type[Any]]) -> Parameters:
    """Make ``--set``, where options are advanced; ``--set help`` lists them and ends."""
    count = len(_advanced(settings))
    if not count:
        return
    flag = typer.Option(
        "--set",
        metavar="KEY=VALUE",
        is_eager=True,
        callback=_listing(settings),
        help=f"Set one of {count} advanced options; repeatable; --set help lists them",
    )
    yield inspect.Parameter(
        SET,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[list[str] | None, flag],
    )


def _advanced(settings: Sequence[type[Any]]) -> list[str]:
    """Return the names of the options that --set reaches."""
    options = (option for kind in settings for option in options_of(kind).items())
    return [name for name, (_, known) in options if known.advanced]


def _listing(settings: Sequence[type[Any]]) -> Callable[..., Any]:
    """Make the callback that prints the advanced options when --set is asked for help."""

    def show(ctx: typer.Context, words: list[str] | None) -> list[str] | None:
        if "help" not in (words or ()):
            return words
        formatter = ctx.make_formatter()
        with formatter.section("Advanced options, for --set KEY=VALUE"):
            formatter.write_dl([line for kind in settings for line in _lines(kind)])
        typer.echo(formatter.getvalue().rstrip("\n"))
        raise typer.Exit

    return show


def _lines(settings: type[Any]) -> Iterator[tuple[str, str]]:
    """Yield a line of the list for each option: what to write; its help, range and default."""
    kinds, shown = kinds_of(settings), _shown_defaults(settings)
    for name, (field, known) in options_of(settings).items():
        if not known.advanced:
            continue
        default = shown.get(name) or _text(field.default)
        notes = "; ".join(filter(None, [range_of(known), f"default: {default}" * bool(default)]))
        metavar = known.metavar or _METAVARS[kinds[name].scalar] or "true|false"
        words = _help(known, kinds[name]) + f"  [{notes}]" * bool(notes)
        yield f"{name}={metavar}{',...' * kinds[name].several}", words


def _text(value: Any) -> str:
    """Return a value as --set takes it; nothing for none."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


def built(
    settings: Sequence[type[Any]], given: Mapping[str, Any], words: Sequence[str]
) -> list[Any]:
    """Make one object of each dataclass, of flags given by name and ``--set`` words.

    Raises:
        IdskitError: a word that names no advanced option, or a value that its option refuses.
    """
    owners: dict[type[Any], list[str]] = {kind: [] for kind in settings}
    for word in words:
        owners[_owner(settings, word)].append(word)
    objects = [
        kind(**_flag_values(kind, given), **assigned(kind, owners[kind])) for kind in settings
    ]
    for one in objects:
        check_options(one)
    return objects


def _owner(settings: Sequence[type[Any]], word: str) -> type[Any]:
    name = key_of(word)
    for kind in settings:
        if name in options_of(kind):
            field, known = options_of(kind)[name]
            if known.advanced:
                return kind
            flag = _spellings(field, known, kinds_of(kind)[name])[-1].partition("/")[0]
            raise IdskitError(f"--set {word} was asked for, but {name} has a flag: use {flag}")
    names = ", ".join(_advanced(settings))
    raise IdskitError(f"--set {name} is not an option: choose one of {names}")


def _flag_values(settings: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of flags that belong to a dataclass; what is None keeps its default."""
    return {
        name: tuple(given[name]) if kind.several else given[name]
        for name, kind in kinds_of(settings).items()
        if given.get(name) is not None
    }
