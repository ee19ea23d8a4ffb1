"""Run a script, which ends by itself: ``play SCRIPT SERVER COUNT PAUSE [MORE...]``."""

from __future__ import annotations

import sys

from idskit.lab.play import (  # noqa: F401 - they fill SCRIPTS
    play_attacks,
    play_covert,
    play_devices,
    play_exploits,
    play_floods,
    play_names,
    play_office,
    play_web,
)
from idskit.lab.play.script import RANDOM, SCRIPTS


def main(words: list[str]) -> None:
    """Run a script by name."""
    name, server, count, pause, *more = words
    RANDOM.seed(" ".join(words))
    SCRIPTS[name](server, int(count), float(pause), *more)


if __name__ == "__main__":
    main(sys.argv[1:])
