"""The configuration file: TOML to settings, each wrong line named, and settings to commented TOML.

    [capture]
    interfaces = ["eth0"]

A section is a dataclass of options, a key is one of its fields: what the file may say, its ranges
and its comments follow from the options and cannot differ from them.
"""

from __future__ import annotations

import json
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from idskit.errors import IdskitError
from idskit.files.output import reason
from idskit.gateway.service_options import ServiceOptions, sections
from idskit.options import Kind, Option, check_options, kinds_of, options_of, range_of

MAX_BYTES = 1 << 20
_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
}
_OPENING, _CLOSING = "[{", "]}"
_Path = tuple[str, ...]


class ConfigurationError(IdskitError):
    """A configuration that cannot be used; ``problems`` has a sentence for each wrong line."""

    exit_code = 2  # as a wrong command line: starting again does not help

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def read_configuration(path: Path) -> ServiceOptions:
    """Read a configuration file.

    Raises:
        ConfigurationError: it cannot be read, or has wrong lines: all are named.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            [f"{path} cannot be read: {reason(error)}; check the path, or omit -c"]
        ) from error
    if len(content) > MAX_BYTES:
        raise ConfigurationError([f"{path} is larger than {MAX_BYTES:,} bytes: name another file"])
    try:
        return parse_configuration(content.decode(), str(path))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError([f"{path} line {line} is not UTF-8: write it in UTF-8"]) from error


def parse_configuration(text: str, name: str) -> ServiceOptions:
    """Read the text of a configuration file that messages call ``name``.

    Raises:
        ConfigurationError: it has wrong lines; all are named.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([_not_toml(name, text, str(error))]) from error
    except RecursionError as error:
        raise ConfigurationError(
            [f"{name} is nested too deep: a section has plain keys"]
        ) from error
    reading = _Reading(name, _lines_of(text))
    made = {
        section: reading.section(section, kind, found.pop(section, {}))
        for section, kind in sections().items()
    }
    for key in found:
        reading.refuse((key,), _unknown_section(key))
    if reading.problems:
        raise ConfigurationError(reading.sorted())
    return ServiceOptions(**made)


def _not_toml(name: str, text: str, message: str) -> str:
    """Return what the parser says, with the line where all messages have it."""
    what, _, where = message.rpartition(" (at ")
    line = where.partition("line ")[2].partition(",")[0] or str(max(len(text.splitlines()), 1))
    return f"{name} line {line}: this is not TOML: {what or message}"


class _Reading:
    """What was wrong, with the lines that said it."""

    def __init__(self, name: str, lines: Mapping[_Path, int]) -> None:
        self._name, self._lines = name, lines
        self.problems: list[tuple[int, str]] = []

    def sorted(self) -> list[str]:
        return [sentence for _, sentence in sorted(self.problems)]

    def refuse(self, path: _Path, sentence: str) -> None:
        line = next((self._lines[path[:n]] for n in (2, 1) if path[:n] in self._lines), 1)
        self.problems.append((line, f"{self._name} line {line}: {sentence}"))

    def section(self, section: str, kind: type[Any], given: Any) -> Any:
        """Make the options of one section, as far as they are right."""
        if not isinstance(given, dict):
            self.refuse((section,), f"{section} is a section: write [{section}]")
            return kind()
        kinds, right = kinds_of(kind), {}
        for key, value in given.items():
            try:
                right[key] = _checked(kind, kinds, key, value)
            except _Unknown:
                self.refuse((section, key), _unknown_key(section, key))
            except IdskitError as error:
                self.refuse((section, key), str(error))
        try:
            return kind(**right)
        except IdskitError as error:  # values that do not go together
            self.refuse((section,), str(error))
            return kind()


class _Unknown(Exception):
    """A key that the section does not have."""


def _checked(kind: type[Any], kinds: Mapping[str, Kind], key: str, value: Any) -> Any:
    """Return a value as its option takes it.

    Raises:
        _Unknown: there is no such option.
        IdskitError: the value is of another type, or out of range.
    """
    if key not in kinds:
        raise _Unknown
    wanted = kinds[key]
    if wanted.several:
        if not isinstance(value, list):
            raise IdskitError(f"{key} takes a list: write {key} = [{_sample(value)}]")
        right: Any = tuple(_scalar(key, one, wanted.scalar) for one in value)
    else:
        right = _scalar(key, value, wanted.scalar)
    try:
        check_options(kind(**{key: right}))
    except TypeError as error:
        raise IdskitError(f"{key} cannot be {value!r}") from error
    return right


def _sample(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str | int | float) else '"..."'


def _scalar(key: str, value: Any, scalar: type[Any]) -> Any:
    if scalar is float and type(value) is int:
        return float(value)
    if scalar is Path and isinstance(value, str) and value and "\0" not in value:
        return Path(value)
    if type(value) is not scalar:
        raise IdskitError(f"{key} is {_shown(value)}, but takes {_KINDS[scalar]}")
    if scalar is str and not value.isprintable():
        raise IdskitError(f"{key} has characters that cannot be seen: remove them")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."


def _unknown_section(key: str) -> str:
    inside = [section for section, kind in sections().items() if key in options_of(kind)]
    if inside:
        return f"{key} belongs to section [{inside[0]}]: write it below that"
    return f"there is no section [{key}]: {_nearest(key, list(sections()))}"


def _unknown_key(section: str, key: str) -> str:
    own = list(options_of(sections()[section]))
    near = get_close_matches(key, own, 1)
    others = [name for name, kind in sections().items() if key in options_of(kind)]
    if not near and others:
        return f"{key} is no setting of [{section}]: it belongs to [{others[0]}]"
    return f"{key} is no setting of [{section}]: {_nearest(key, own)}"


def _nearest(word: str, known: list[str]) -> str:
    near = get_close_matches(word, known, 1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"choose one of {', '.join(known)}"


# Where a key stands: the parser of the standard library does not say.


def _lines_of(text: str) -> dict[_Path, int]:
    """Return the line of every section and key, by (section,) and (section, key)."""
    lines: dict[_Path, int] = {}
    above: _Path = ()
    for line, statement in _statements(text):
        if statement.startswith("["):
            above = _leaf(tomllib.loads(statement))
            lines.setdefault(above[:2], line)
            continue
        path = (*above, *_leaf(tomllib.loads(statement)))
        for length in range(1, len(path) + 1):
            lines.setdefault(path[:length], line)
    return lines


def _leaf(found: Any) -> _Path:
    """Return the keys that lead to the only value of a document."""
    path: list[str] = []
    while isinstance(found, dict) and len(found) == 1:
        ((key, found),) = found.items()
        path.append(key)
        found = found[0] if isinstance(found, list) and found == [{}] else found
    return tuple(path)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield the first line's number and the text of each header and assignment of valid TOML."""
    depth, begin, at, line, first = 0, 0, 0, 1, 1
    while at <= len(text):
        char = text[at : at + 1]
        if char in ('"', "'") and char:
            end = _after_string(text, at)
            line += text.count("\n", at, end)
            at = end
            continue
        if char == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
            continue
        depth += (char in _OPENING) - (char in _CLOSING) if char else 0
        if char in ("\n", "") and depth == 0:
            statement = text[begin:at].strip()
            if statement and not statement.startswith("#"):
                yield first, statement
            begin, first = at + 1, line + 1
        line += char == "\n"
        at += 1


def _after_string(text: str, at: int) -> int:
    """Return the position after the string that begins at ``at``."""
    quote = text[at] * 3 if text[at : at + 3] == text[at] * 3 else text[at]
    end = at + len(quote)
    while end < len(text) and not text.startswith(quote, end):
        end += 2 if text[end] == "\\" and quote[0] == '"' else 1
    end += len(quote)
    while len(quote) == 3 and text[end : end + 1] == quote[0]:  # """a"""" ends with a quote
        end += 1
    return end


# Writing.


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting as people read it."""

    field: str  # section.key
    value: Any
    default: Any
    help: str


def settings_of(options: ServiceOptions) -> list[Setting]:
    """Return every setting with its value, for the page and for messages."""
    return [
        Setting(
            field=f"{section.name}.{name}",
            value=_plain(getattr(getattr(options, section.name), name)),
            default=_plain(known.default),
            help=described.help,
        )
        for section in fields(options)
        for name, (known, described) in options_of(getattr(options, section.name)).items()
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def commented_configuration(options: ServiceOptions | None = None) -> str:
    """Return a configuration file that says what is set, each setting with its help.

    Example:
        >>> parse_configuration(commented_configuration(), "itself") == ServiceOptions()
        True
    """
    options = ServiceOptions() if options is None else options
    parts = ["# Configuration of idskit run. What is omitted has the value written here.\n"]
    for section in fields(options):
        parts.append("\n".join(_section_lines(section.name, getattr(options, section.name))))
    return "\n".join(parts)


def _section_lines(name: str, options: Any) -> Iterator[str]:
    kinds = kinds_of(type(options))
    doc = (type(options).__doc__ or "").partition("\n")[0]
    yield f"# {doc}\n[{name}]"
    for key, (_, known) in options_of(options).items():
        yield from textwrap.wrap(
            _comment(known, kinds[key]), 98, initial_indent="# ", subsequent_indent="# "
        )
        value = getattr(options, key)
        yield f"# {key} =\n" if value is None else f"{key} = {_toml(value)}\n"


def _comment(known: Option, kind: Kind) -> str:
    notes = [known.help.rstrip(".")]
    if kind.choices:
        notes.append("one of " + ", ".join(map(str, kind.choices)))
    if range_of(known):
        notes.append(range_of(known))
    return "; ".join(notes) + "."


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str | Path):
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
