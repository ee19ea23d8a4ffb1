"""Every hostile model ends in one sentence, in bounded time and memory."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from tests.modelfile import hostile
from tests.modelfile.hostile_models import write_hostile

import idskit
from idskit.detect.detector import Detector
from idskit.errors import ModelError
from idskit.modelfile.model_file import check_model
from idskit.modelfile.model_path import model_path
from idskit.modelfile.onnx_file import read_onnx


def loaded_in_a_child(folder: Path, python: str = sys.executable) -> dict[str, list[str]]:
    """What becomes of each file of a folder, in a process with little memory and time."""
    parent = folder / "modules"
    parent.mkdir()
    (parent / "idskit").symlink_to(Path(idskit.__file__).parent)
    command = [python, hostile.__file__, str(folder), str(parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # nor does onnxruntime say anything by itself
    return json.loads(done.stdout)


def require_refused(found: dict[str, list[str]], words: dict[str, str]) -> None:
    wrong = {
        name: (found[name][1][-200:], word)
        for name, word in words.items()
        if found[name][:1] != ["ModelError"]
        or word not in found[name][1]
        or not found[name][1].isprintable()
        or len(found[name][1]) > 1000
    }
    assert not wrong


def test_each_ends_in_one_sentence(make_model, tmp_path) -> None:
    folder = tmp_path / "hostile"
    folder.mkdir()
    words = write_hostile(make_model, folder)
    (folder / "good.onnx").write_bytes(make_model().read_bytes())
    found = loaded_in_a_child(folder)
    assert found.pop("good") == []
    require_refused(found, words)


CASES = {
    "ext_hidden": "out of order",
    "loop_forever": "graph within a node",
    "golden_tol_inf": "tolerance is inf",
    "card_list": "no object",
    "class_surrogate": r"'\ud800bad' cannot be printed",
    "div_zero": "impossible shape",
    "conv_noshape": "kernel_shape",
    "one_row": "256 flows of 2 classes into (1, 2)",
    "out_nan": "nan to nan",
    "mem_fold": "field 4",
    "esc_class": r"scan\x1b]0;pwned\x07\x1b[2J",
}


def test_the_cases_that_testers_found(shared, tmp_path) -> None:
    for name in CASES:
        (tmp_path / f"{name}.onnx").symlink_to(shared / "cases" / "models" / f"{name}.onnx")
    require_refused(loaded_in_a_child(tmp_path), CASES)


def test_any_bytes_load_or_are_a_model_error(make_model) -> None:
    """Bytes changed, cut out, repeated and put in, at places drawn at random."""
    whole, rng = make_model().read_bytes(), random.Random(0)
    loaded, said = 0, []
    for _ in range(4000):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            at, size = rng.randrange(len(content)), rng.randint(1, 12)
            change = rng.choice(["flip", "put", "cut", "again"])
            if change == "flip":
                content[at] ^= 1 << rng.randrange(8)
            elif change == "put":
                content[at:at] = rng.randbytes(size)
            elif change == "cut":
                del content[at : at + size]
            else:
                content[at:at] = content[at : at + size]
        try:
            check_model(bytes(content), Path("m"))
            loaded += 1
        except ModelError as error:
            said.append(str(error))
    assert all(sentence.isprintable() for sentence in said)
    assert loaded  # a flipped bit of a weight


def test_what_is_loaded_is_what_onnx_reads(make_model) -> None:
    """The file written again holds the nodes and constants of the file, by another parser."""
    with model_path() as path:
        files = [path.read_bytes(), make_model().read_bytes()]
    for content in files:
        again = read_onnx(content).to_bytes()
        first, second = map(onnx.load_from_string, (content, again))
        onnx.checker.check_model(second)
        for before, after in zip(first.graph.node, second.graph.node, strict=True):
            for one in (before, after):
                one.ClearField("domain" if not one.domain else "doc_string")
                one.ClearField("name" if not one.name else "doc_string")
                ordered = sorted(one.attribute, key=lambda attribute: attribute.name)
                kept = [onnx.AttributeProto.FromString(a.SerializeToString()) for a in ordered]
                del one.attribute[:]
                one.attribute.extend(kept)
            assert before == after
        assert list(first.graph.initializer) == list(second.graph.initializer)
        assert list(first.graph.output) == list(second.graph.output)
        assert read_onnx(again).to_bytes() == again


def test_onnxruntime_gets_no_byte_of_the_file_itself(make_model, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(
        "idskit.detect.detector.open_session", lambda content, *_, **__: seen.append(content)
    )
    monkeypatch.setattr(Detector, "_run", lambda *_: None)
    path = make_model(facts={"secret": "of the card"})
    Detector.load(path)
    assert b"secret" not in seen[0]
    assert onnx.load_from_string(seen[0]).graph.node[0].op_type == "MatMul"


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin", "fifo"])
def test_what_is_no_file_is_not_waited_for(tmp_path, path) -> None:
    import os

    os.mkfifo(tmp_path / "fifo")
    read, write = os.pipe()
    code = (
        "import sys; from idskit.modelfile.model_file import read_model; from pathlib import Path\n"
        "try: read_model(Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / path)]
    done = subprocess.run(
        command, stdin=read, capture_output=True, text=True, check=True, timeout=60
    )
    os.close(read), os.close(write)
    assert done.stdout.startswith("ModelError model")
    assert "is a pipe or a device, not a file" in done.stdout
