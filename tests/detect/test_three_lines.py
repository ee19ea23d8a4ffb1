"""The three lines with onnxruntime alone, as export/README.md has them, without idskit."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from idskit.detect.detector import Detector

README = Path(__file__).resolve().parents[2] / "export" / "README.md"
# -S leaves site-packages and editable installs out; only these two packages' folder is put back,
# through a finder that knows nothing else.
ISOLATED = """\
import sys
from importlib.machinery import PathFinder

class Others:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "idskit":
            return None
        return PathFinder.find_spec(name, path or [{site!r}], target)

sys.meta_path.append(Others())
try:
    import idskit
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("idskit can be imported here")
import numpy
raw = numpy.load({rows!r})
{code}
numpy.save({out!r}, probabilities)
"""


def run_isolated(code: str, rows: np.ndarray, tmp_path: Path) -> np.ndarray:
    site = Path(onnxruntime.__file__).parents[1]
    np.save(tmp_path / "rows.npy", rows)
    program = ISOLATED.format(
        site=str(site), rows=str(tmp_path / "rows.npy"), out=str(tmp_path / "out.npy"), code=code
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return np.load(tmp_path / "out.npy")


def block(containing: str) -> str:
    """The Python block that contains a word."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (found,) = (text for text in blocks if containing in text)
    return found


def test_three_lines_need_no_idskit(make_model, tmp_path) -> None:
    model = make_model("ids.int8.onnx", weights=[[1, 2, 0], [0, -1, 1], [0.5, 0, 0]])
    rows = np.random.default_rng(0).normal(size=(6, 3))
    code = block("InferenceSession")
    assert len(code.splitlines()) == 3
    found = run_isolated(code, rows, tmp_path)  # in the folder of the model
    np.testing.assert_allclose(found, Detector.load(model).probabilities(rows), rtol=1e-6)
