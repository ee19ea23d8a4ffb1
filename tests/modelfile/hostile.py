"""Model files made to harm who loads them, and a child process that loads them within limits.

python hostile.py FOLDER IDSKIT_PARENT    what becomes of each .onnx file there, as JSON
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

MEMORY = 3 << 30  # of addresses, of which onnxruntime alone takes a part
SECONDS = 60  # of the processor, for all files


def what_becomes_of(path: Path) -> list[str]:
    """Kind and words of the error that ends loading, verifying and answering; empty if none."""
    import numpy as np

    from idskit.detect.detector import Detector

    try:
        detector = Detector.load(path, threads=1)
        detector.verify()
        detector.probabilities(np.ones((300, len(detector.schema))))
    except Exception as error:
        return [type(error).__name__, str(error)]
    return []


def main(folder: str, idskit_parent: str) -> None:
    """Load every file of a folder."""
    sys.path.insert(0, idskit_parent)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    files = sorted(Path(folder).glob("*.onnx"))
    print(json.dumps({file.stem: what_becomes_of(file) for file in files}))


if __name__ == "__main__":
    main(*sys.argv[1:])
