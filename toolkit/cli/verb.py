"""Verbs of the command line: a function each, whose flags are made when it is called for.

Options come as dataclasses. A verb names them by where they stand, so that ``idskit --help`` and
the other verbs import none of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
import typer.core

from idskit.cli.flags import SET, built, parameters_of, set_parameter
from idskit.cli.strict_command import Strict
from idskit.errors import MissingExtra

PLAIN: dict[str, Any] = {  # of every typer.Typer here
    "rich_markup_mode": None,  # rich cuts words and options that a terminal has no room for
    "add_completion": False,
    "pretty_exceptions_enable": False,
}


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A function, and the dataclasses of options among its parameters."""

    run: Callable[..., None]
    options: tuple[str | type[Any], ...]
    extra: str | None = None  # of pip, that installs what the options import
    omit: tuple[str, ...] = ()  # options of theirs that the verb has no use for
    one_of: tuple[str, ...] = ()  # options of which exactly one is given

    @property
    def name(self) -> str:
        """What is typed for it."""
        return self.run.__name__

    def command(self) -> typer.core.TyperCommand:
        """Make the command with all its flags.

        Raises:
            MissingExtra: its options are of a package that is not installed.
        """
        app = typer.Typer(**PLAIN)
        app.command(self.name, cls=Strict)(self._with_flags())
        command: Any = typer.main.get_command(app)
        return command  # type: ignore[no-any-return]

    def _with_flags(self) -> Callable[..., None]:
        """Make a function with a parameter per flag, which calls the verb with built objects."""
        kinds = {kind.__name__: kind for kind in map(self._loaded, self.options)}
        own = inspect.signature(self.run, locals=kinds, eval_str=True).parameters
        objects = {name: one.annotation for name, one in own.items() if _is(one, kinds)}
        settings = list(objects.values())

        def call(**given: Any) -> None:
            self._require_one(given)
            words = given.pop(SET, None) or ()
            its_own = {name: given.pop(name) for name in own if name in given}
            self.run(**its_own, **dict(zip(objects, built(settings, given, words), strict=True)))

        flags: dict[str, inspect.Parameter] = {}
        for name, one in own.items():
            if name in objects:
                flags |= {
                    made.name: made for made in parameters_of(one.annotation, {*own, *self.omit})
                }
                if name == [*objects][-1]:
                    flags |= {made.name: made for made in set_parameter(settings)}
            else:
                flags[name] = one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        call.__signature__ = inspect.Signature([*flags.values()])  # type: ignore[attr-defined]
        call.__annotations__ = {name: flag.annotation for name, flag in flags.items()}
        call.__doc__ = self.run.__doc__
        return call

    def _require_one(self, given: Mapping[str, Any]) -> None:
        if self.one_of and len([name for name in self.one_of if given[name]]) != 1:
            flags = [param.opts[0] for param in self.command().params if param.name in self.one_of]
            raise typer.BadParameter(f"give one of {' and '.join(flags)}")

    def _loaded(self, options: str | type[Any]) -> type[Any]:
        if isinstance(options, type):
            return options
        module, _, name = options.partition(":")
        try:
            loaded: type[Any] = getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            if self.extra is None or str(error.name).startswith("idskit"):
                raise
            raise MissingExtra(
                f"idskit {self.name} needs {error.name}, which is not installed: "
                f"pip install 'idskit[{self.extra}]'"
            ) from error
        return loaded


def _is(parameter: inspect.Parameter, kinds: dict[str, type[Any]]) -> bool:
    return any(parameter.annotation is kind for kind in kinds.values())


def verb(*options: str | type[Any], **more: Any) -> Callable[[Callable[..., None]], Verb]:
    """Make a verb of a function.

    Args:
        options: the dataclasses of options among its parameters: ``"module:Class"``, imported when
            the verb is called for, or the class.
        more: see ``Verb``.
    """
    return lambda run: Verb(run=run, options=options, **more)


class Verbs(typer.core.TyperGroup):
    """The group of all verbs, which makes the command of the one that is called for."""

    verbs: ClassVar[dict[str, Verb]]  # by name, in the order of help

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.commands: dict[str, Any] = dict.fromkeys(self.verbs)  # the names that typos are near

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - click's signature
        """Return the command of a verb with its flags; None if there is no such verb."""
        return self.verbs[cmd_name].command() if cmd_name in self.verbs else None

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the verbs in the order of the path from packets to alerts."""
        return list(self.verbs)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write each verb with the whole first paragraph of its help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(one)) for name, one in self.verbs.items()])


def _summary(one: Verb) -> str:
    first, *_ = inspect.cleandoc(one.run.__doc__ or "").split("\n\n")
    return " ".join(first.split())
