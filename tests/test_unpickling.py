"""Nothing here ever unpickles: loading a model or a run must not run anybody's code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = {"pickle", "cPickle", "_pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve"}
# Of torch, numpy, pandas and torch.distributed: these unpickle what they are given.
CALLS = {
    *("torch.load", "torch.jit.load", "torch.package", "pandas.read_pickle", "pd.read_pickle"),
    *("broadcast_object_list", "all_gather_object", "gather_object", "scatter_object_list"),
}


def sources() -> list[Path]:
    return [path for room in ("toolkit", "export", "bench") for path in (ROOT / room).rglob("*.py")]


def unpickling(tree: ast.AST) -> Iterator[str]:
    """What of a module's text would unpickle."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in MODULES)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield str(node.module)
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            yield from (c for c in CALLS if name == c or name.endswith(f".{c}"))
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            yield "allow_pickle"


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load('x')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "from torch import distributed\ndistributed.broadcast_object_list([1])",
    ],
)
def test_the_search_finds_what_it_looks_for(text: str):
    assert list(unpickling(ast.parse(text)))


def test_no_module_unpickles():
    found = {
        str(path.relative_to(ROOT)): names
        for path in sources()
        if (names := list(unpickling(ast.parse(path.read_text()))))
    }
    assert len(sources()) > 100
    assert found == {}
