"""Options: one dataclass field is one option, with its default, its range and its help.

The command line makes its flags from the fields, ``--set key=value`` reaches the advanced ones,
``run.json`` keeps them by the same names, and one check refuses what is out of range.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from idskit.errors import IdskitError

_KEY = "option"
_SCALARS = (bool, float, int, Path, str)  # of a union, the first that it has
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True, kw_only=True)
class Option:
    """What is known of one option beyond its name, type and default."""

    help: str
    choices: tuple[Any, ...] = ()  # those of a Literal need not be repeated
    low: float | None = None
    high: float | None = None
    flag: str | None = None  # on the command line, where it is not ``--field-name``
    metavar: str | None = None  # what stands for the value in help: SECONDS, RUN
    advanced: bool = False  # reached by ``--set``, without a flag of its own


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The type of an option's values, taken apart."""

    scalar: type[Any]  # bool, float, int, Path or str
    several: bool = False  # a sequence of scalars
    choices: tuple[Any, ...] = ()


def option(default: Any, help: str, **more: Any) -> Any:
    """Make a dataclass field that is an option: see ``Option`` for what else it takes."""
    return field(default=default, metadata={_KEY: Option(help=help, **more)})


def options_of(settings: Any) -> dict[str, tuple[Field[Any], Option]]:
    """Return the options of a dataclass, or of an object of one, by name and in order.

    A field that a subclass declares again, with a narrower type, stays the option that it was.
    """
    kind = settings if isinstance(settings, type) else type(settings)
    bases = [base for base in reversed(kind.__mro__) if is_dataclass(base)]
    declared = [f for base in bases for f in fields(base) if _KEY in f.metadata]
    return {f.name: (f, f.metadata[_KEY]) for f in declared}


def kinds_of(settings: type[Any]) -> Mapping[str, Kind]:
    """Return what values the options of a dataclass take, by name and in order."""
    hints = get_type_hints(settings)
    return {
        name: _kind(hints[name], known.choices) for name, (_, known) in options_of(settings).items()
    }


def _kind(hint: Any, choices: tuple[Any, ...]) -> Kind:
    """Take a type hint apart, such as ``Sequence[Path] | None`` or ``Literal["a", "b"]``.

    Raises:
        TypeError: it is of no type that a command line could give.
    """
    if get_origin(hint) in (Union, UnionType):
        alternatives = [one for one in get_args(hint) if one is not NoneType]
        if len(alternatives) == 1:
            return _kind(alternatives[0], choices)
        plain = [scalar for scalar in _SCALARS if scalar in alternatives]
        if len(plain) == len(alternatives):
            return Kind(scalar=plain[0], choices=choices)
    elif get_origin(hint) is Literal:
        values = get_args(hint)
        return Kind(scalar=type(values[0]), choices=choices or values)
    elif hint in _SCALARS:
        return Kind(scalar=hint, choices=choices)
    elif isinstance(get_origin(hint), type) and issubclass(get_origin(hint), Collection):
        inner = _kind(get_args(hint)[0], choices)
        return Kind(scalar=inner.scalar, several=True, choices=inner.choices)
    raise TypeError(f"no option can be of type {hint}")


def check_options(settings: Any, error: type[IdskitError] = IdskitError) -> None:
    """Refuse a value that is not among its option's choices, or out of its range.

    Every value of a sequence is checked; None and empty sequences pass.

    Raises:
        IdskitError: of the kind ``error``.
    """
    kinds = kinds_of(type(settings))
    for name, (_, known) in options_of(settings).items():
        given = getattr(settings, name)
        for value in given if isinstance(given, (tuple, list)) else (given,):
            if value is not None:
                _check(name, value, known, kinds[name].choices, error)


def _check(
    name: str, value: Any, known: Option, choices: tuple[Any, ...], error: type[IdskitError]
) -> None:
    if choices and value not in choices:
        listed = ", ".join(map(str, choices))
        raise error(f"{name} {value!r} was asked for, but the choices are {listed}")
    low, high = known.low, known.high
    below = low is not None and not value >= low  # so that NaN is refused as well
    if below or (high is not None and not value <= high):
        raise error(f"{name} is {value}: choose {range_of(known)}")


def range_of(known: Option) -> str:
    """Say which numbers an option takes; nothing if it takes any."""
    low, high = known.low, known.high
    if low is None:
        return "" if high is None else f"at most {high:,}"
    return f"{low:,} or more" if high is None else f"{low:,} to {high:,}"


def assigned(settings: type[Any], words: Sequence[str]) -> Mapping[str, Any]:
    """Read ``key=value`` words as options of the dataclass ``settings``.

    Example:
        >>> @dataclass
        ... class Brew:
        ...     minutes: float = option(3, "Time to steep")
        ...     spices: Sequence[str] = option((), "Spices to add")
        >>> assigned(Brew, ["minutes=4.5", "spices=ginger,clove"])
        {'minutes': 4.5, 'spices': ('ginger', 'clove')}

    Raises:
        IdskitError: no such option, no ``=``, or a value that is not of its type; the message says
            what there is.
    """
    kinds = kinds_of(settings)
    read: dict[str, Any] = {}
    for word in words:
        name, equals, text = key_of(word), "=" in word, word.partition("=")[2].strip()
        if not equals:
            raise IdskitError(f"--set {word} has no '=': write it as key=value")
        if name not in kinds:
            raise IdskitError(f"--set {name} is not an option: choose one of {', '.join(kinds)}")
        if name in read:
            raise IdskitError(f"--set {name} is given twice: give it once")
        read[name] = _value(name, text, kinds[name])
    return read


def key_of(word: str) -> str:
    """Return the name of the field that a ``key=value`` word assigns to."""
    return word.partition("=")[0].strip().replace("-", "_")


def _value(name: str, text: str, kind: Kind) -> Any:
    """Read a text as a value of a kind; several values stand between commas."""
    if kind.several:
        parts = [part.strip() for part in text.split(",")] if text else []
        return tuple(_scalar(name, part, kind.scalar) for part in parts)
    return _scalar(name, text, kind.scalar)


def _scalar(name: str, text: str, scalar: type[Any]) -> Any:
    if not text:
        raise IdskitError(f"--set {name}= has no value: write it as key=value")
    if scalar is bool:
        if text.casefold() not in _TRUE + _FALSE:
            raise IdskitError(f"--set {name}={text} was asked for: write true or false")
        return text.casefold() in _TRUE
    try:
        return scalar(text)
    except ValueError:
        whole = "a whole number" if scalar is int else "a number"
        raise IdskitError(f"--set {name}={text} was asked for, but {name} takes {whole}") from None
