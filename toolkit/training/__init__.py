"""idskit training."""

import os

from idskit.files.folders import COMPILED_TORCH, cache_home

# Before anything here imports them: matplotlib keeps the fonts it found in two folders otherwise,
# and torch makes one in /tmp, under a name that all can guess, even where it compiles nothing.
os.environ.setdefault("MPLCONFIGDIR", str(cache_home() / "matplotlib"))
os.environ.setdefault(COMPILED_TORCH, str(cache_home() / "torch"))
