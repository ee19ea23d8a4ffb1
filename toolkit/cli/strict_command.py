"""How the words of a command line are read, beyond what typer does with them."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

_CAPTURES = ("-r", "--read")
_MODEL = ".onnx"  # a word behind captures that ends so is the model


class Strict(TyperCommand):
    """A command that refuses what is given twice, and takes several captures behind one ``-r``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words; what is left over.

        Raises:
            click's UsageError: an option is given twice that is no list.
        """
        words = spread(args) if self._has_captures() else args
        _, _, given = self.make_parser(ctx).parse_args(list(words))
        seen = set()
        for option in given:
            if option.param_type_name != "option" or getattr(option, "multiple", False):
                continue
            if option.name in seen:
                ctx.fail(f"{'/'.join(option.opts)} is given twice: give it once")
            seen.add(option.name)
        return list(super().parse_args(ctx, words))

    def _has_captures(self) -> bool:
        return any(
            _CAPTURES[0] in option.opts and getattr(option, "multiple", False)
            for option in self.params
        )


def spread(words: list[str]) -> list[str]:
    """Give each of several captures behind one ``-r`` an ``-r`` of its own.

    Example:
        >>> spread(["-r", "a.pcap", "b.pcap", "model.onnx", "--debug"])
        ['-r', 'a.pcap', '-r', 'b.pcap', 'model.onnx', '--debug']
    """
    made: list[str] = []
    captures = 0  # read since the last -r; 0: the words belong to something else
    for at, word in enumerate(words):
        if word == "--":
            return made + words[at:]
        if word in _CAPTURES:
            captures = 1
        elif captures == 1:  # its own value, whatever it looks like
            captures = 2
        elif word.startswith("-") and word != "-":
            captures = 0
        elif captures == 2 and not word.endswith(_MODEL):
            made.append(_CAPTURES[0])
        made.append(word)
    return made
