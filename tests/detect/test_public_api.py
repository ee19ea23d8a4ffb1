"""What ``import idskit`` gives, and what it must not load."""

import subprocess
import sys

import idskit

PUBLIC = {
    "Alert",
    "CaptureError",
    "DataError",
    "Detector",
    "DeviceError",
    "FlowBatch",
    "GateRefused",
    "IdskitError",
    "Incident",
    "MissingExtra",
    "ModelError",
    "RunError",
    "Schema",
    "SchemaError",
    "__version__",
    "open_flows",
}
HEAVY = ("torch", "onnx", "pandas", "sklearn", "scipy", "lightgbm", "pyarrow")


def loaded_after(code: str) -> set[str]:
    code += "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_public_names() -> None:
    assert set(idskit.__all__) == PUBLIC


def test_every_public_name_is_there() -> None:
    assert all(getattr(idskit, name) is not None for name in PUBLIC)


def test_dir_lists_the_public_names() -> None:
    assert set(dir(idskit)) >= PUBLIC


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(idskit, "Detectr")


def test_import_is_light() -> None:
    assert not loaded_after("import idskit") & {*HEAVY, "numba", "onnxruntime", "rich", "typer"}


def test_the_gateway_half_needs_no_training_package() -> None:
    loaded = loaded_after(
        "from idskit import *; import idskit.detect.detect_flows, idskit.bench.run_bench"
    )
    assert loaded & set(HEAVY) <= {"scipy"}  # which numba imports by itself where it is installed
