"""idskit training."""

import os

from idskit.folders import cache_home

# Before anything here imports it: matplotlib keeps the fonts it found in two folders otherwise.
os.environ.setdefault("MPLCONFIGDIR", str(cache_home() / "matplotlib"))
