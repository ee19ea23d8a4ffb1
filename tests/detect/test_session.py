"""The device asked for is the device used, or an error."""

import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import onnxruntime
import pytest

from idskit.detect import session
from idskit.errors import DeviceError, ModelError


def test_cpu_is_used_when_asked_for(make_model) -> None:
    opened = session.open_session(make_model().read_bytes(), Path("m"), device="cpu", threads=1)
    assert opened.get_providers() == ["CPUExecutionProvider"]


def test_threads_are_those_asked_for(make_model) -> None:
    opened = session.open_session(make_model().read_bytes(), Path("m"), threads=3)
    options = opened.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)


def test_threads_default_to_the_processors_this_process_may_use(make_model, monkeypatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {1, 4, 5})
    opened = session.open_session(make_model().read_bytes(), Path("m"))
    assert opened.get_session_options().intra_op_num_threads == 3


def test_no_threads_are_refused() -> None:
    with pytest.raises(DeviceError, match="0 threads were asked for"):
        session.session_options(0)


def test_unknown_device_is_refused() -> None:
    with pytest.raises(DeviceError, match="'tpu' is not one of cpu, cuda"):
        session.require_provider("tpu")


def test_cuda_without_its_provider_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(session, "version", versions(onnxruntime="1.31.1"))
    with pytest.raises(DeviceError, match=r"onnxruntime 1\.31\.1 has no CUDA.*pip install"):
        session.require_provider("cuda")


def test_packages_that_overwrote_each_other_are_named(monkeypatch) -> None:
    both = {"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.0"}
    monkeypatch.setattr(session, "version", versions(**both))
    words = "onnxruntime 1.31.1 and onnxruntime-gpu 1.31.0 (installed over each other)"
    with pytest.raises(DeviceError, match=re.escape(words)):
        session.require_provider("cuda")


def test_a_provider_that_did_not_load_is_an_error(monkeypatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    fallen_back = SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: fallen_back)
    with pytest.raises(DeviceError, match="did not load and onnxruntime chose CPU"):
        session.open_session(b"", Path("m"), device="cuda")


def test_what_onnxruntime_prints_of_a_gpu_stays_off_stdout(monkeypatch, capsys) -> None:
    def print_and_fall_back(*_: object, **__: object) -> SimpleNamespace:
        print("*** EP Error ***")
        return SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])

    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["TensorrtExecutionProvider"]
    )
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("failed"), raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", print_and_fall_back)
    with pytest.raises(DeviceError, match="TensorRT is missing"):
        session.open_session(b"", Path("m"), device="tensorrt")
    assert capsys.readouterr().out == ""


def test_cuda_from_python_packages_is_loaded_before_a_session(monkeypatch) -> None:
    calls = []
    loaded = SimpleNamespace(
        get_providers=lambda: ["CUDAExecutionProvider"], disable_fallback=lambda: None
    )
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: calls.append("preload"), raising=False)
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda *_, **__: calls.append("session") or loaded
    )
    assert session.open_session(b"", Path("m"), device="cuda") is loaded
    assert calls == ["preload", "session"]


def test_onnxruntimes_refusal_is_one_line() -> None:
    with pytest.raises(ModelError, match=r"m cannot be loaded by onnxruntime") as caught:
        session.open_session(b"\x08", Path("m"))
    assert "\n" not in str(caught.value)


def versions(**known: str):
    def version(name: str) -> str:
        if name not in known:
            raise PackageNotFoundError(name)
        return known[name]

    return version


@pytest.mark.parametrize("threads", [0, -1, 257, 100_000])
def test_threads_are_bounded(threads: int) -> None:
    with pytest.raises(DeviceError, match=f"{threads} threads were asked for: choose 1 to 256"):
        session.session_options(threads)


def test_threads_are_those_that_this_process_may_use(monkeypatch) -> None:
    monkeypatch.setattr(session.os, "sched_getaffinity", lambda _: set(range(300)))
    assert (session.thread_count(None), session.thread_count(3)) == (256, 3)
