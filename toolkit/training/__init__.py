"""idskit training."""

import os

from idskit.files.folders import COMPILED_TORCH, cache_home

# Before anything here imports torch, which makes a folder in /tmp otherwise, under a name that
# everybody can guess, even if it compiles nothing.
os.environ.setdefault(COMPILED_TORCH, str(cache_home() / "torch"))
