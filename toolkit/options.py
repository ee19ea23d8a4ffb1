"""Options: one dataclass field is one option, with its default, its range and its help.

The command line makes its flags from the fields, ``--set key=value`` reaches the advanced ones,
``run.json`` keeps them by the same names, and one check refuses what is out of range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from idskit.errors import IdskitError

_KEY = "option"


@dataclass(frozen=True, kw_only=True)
class Option:
    """What is known of one option beyond its name, type and default."""

    help: str
    choices: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    flag: str | None = None  # on the command line, where it is not ``--field-name``
    advanced: bool = False  # reached by ``--set``, without a flag of its own


def option(default: Any, help: str, **more: Any) -> Any:
    """Make a dataclass field that is an option: see ``Option`` for what else it takes."""
    return field(default=default, metadata={_KEY: Option(help=help, **more)})


def options_of(settings: Any) -> dict[str, tuple[Field[Any], Option]]:
    """Return the options of a dataclass, or of an object of one, by name and in order."""
    return {f.name: (f, f.metadata[_KEY]) for f in fields(settings) if _KEY in f.metadata}


def check_options(settings: Any, error: type[IdskitError] = IdskitError) -> None:
    """Refuse a value that is not among its option's choices, or out of its range.

    Raises:
        IdskitError: of the kind ``error``; None and unset options pass.
    """
    for name, (_, known) in options_of(settings).items():
        value = getattr(settings, name)
        if value is None:
            continue
        if known.choices and value not in known.choices:
            choices = ", ".join(map(str, known.choices))
            raise error(f"{name} {value!r} was asked for, but the choices are {choices}")
        low, high = known.low, known.high
        below = low is not None and not value >= low  # so that NaN is refused as well
        if below or (high is not None and not value <= high):
            raise error(f"{name} is {value}: choose {_range(low, high)}")


def _range(low: float | None, high: float | None) -> str:
    if high is None:
        return f"{low:,} or more"
    return f"at most {high:,}" if low is None else f"{low:,} to {high:,}"


def assigned(settings: type[Any], words: Sequence[str]) -> Mapping[str, Any]:
    """Read ``key=value`` words as options of the dataclass ``settings``.

    Raises:
        IdskitError: no such option, no ``=``, or a value that is not of its type; the message says
            what there is.
    """
    known, types = options_of(settings), get_type_hints(settings)
    read: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise IdskitError(f"--set {word} has no '=': write it as key=value")
        if name not in known:
            raise IdskitError(f"--set {name} is not an option: choose one of {', '.join(known)}")
        if name in read:
            raise IdskitError(f"--set {name} is given twice: give it once")
        read[name] = _value(name, text.strip(), types[name])
    return read


def _value(name: str, text: str, kind: Any) -> Any:
    """Read a value by the type of its field: the first of bool, int, float and text that fits.

    A sequence is written with commas between its items.
    """
    kinds = {kind, *get_args(kind)}
    for sequence in (each for each in kinds if get_origin(each) is Sequence):
        return tuple(_value(name, item, get_args(sequence)[0]) for item in text.split(",") if item)
    if Path in kinds:
        return Path(text)
    if bool in kinds:
        if text.casefold() in ("true", "yes", "on", "1"):
            return True
        if text.casefold() in ("false", "no", "off", "0"):
            return False
        raise IdskitError(f"--set {name}={text} was asked for: write true or false")
    for number in (int, float):
        if number in kinds:
            try:
                return number(text)
            except ValueError:
                if number is float or float not in kinds:
                    raise IdskitError(
                        f"--set {name}={text} was asked for, but {name} takes a number"
                    ) from None
    return text
