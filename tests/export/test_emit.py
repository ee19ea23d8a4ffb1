"""What is emitted beside a model decides as the detector does, without idskit."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from idskit.detect.detector import Detector
from idskit.errors import IdskitError
from idskit.export import export
from idskit.export.emit import emit

COMPILER = shutil.which("cc")
# Runs a script as its own main program where only its own two packages may be imported.
WITHOUT_IDSKIT = """
import runpy, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("idskit", "onnx", "torch", "pandas"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def model(run_folder, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("emitted") / "toy.int8.onnx"
    report = export(
        run_folder, file, quantize="int8", target="x86-64", max_drop=5, emit=["python", "c"]
    )
    assert [Path(name).name for name in report.extra_files] == ["toy_int8.py", "toy_int8.h"]
    return file


def script(model, *arguments, check=True):
    command = [sys.executable, "-c", WITHOUT_IDSKIT, model.with_name("toy_int8.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert not check or done.returncode == 0, done.stderr
    return done


def expected(model, flows) -> list[tuple[str, float]]:
    detector = Detector.load(model)
    found = detector.probabilities(flows)
    labels = {alert.row: alert.label for alert in detector.judge(found)}
    benign = detector.card.classes[0]
    return [(labels.get(row, benign), float(1 - p[0])) for row, p in enumerate(found)]


def same(text, verdicts) -> None:
    rows = list(csv.DictReader(text.splitlines()))
    assert [(row["row"], row["verdict"]) for row in rows] == [
        (str(place), verdict) for place, (verdict, _) in enumerate(verdicts)
    ]
    scores = [float(row["score"]) for row in rows]
    np.testing.assert_allclose(scores, [score for _, score in verdicts], atol=1e-6)


def test_the_script_gives_the_detectors_verdicts(model, run, tmp_path):
    flows = np.concatenate([Detector.load(model).card.golden.flows, run.held.flows])
    np.save(tmp_path / "flows.npy", flows)
    verdicts = expected(model, flows)
    assert {verdict for verdict, _ in verdicts} == set(run.classes)
    same(script(model, tmp_path / "flows.npy").stdout, verdicts)


def test_the_script_finds_columns_by_name_and_knows_categories(model, run, tmp_path):
    flows = run.held.flows[:20]
    names = [*reversed(run.schema.names), "another"]
    with (tmp_path / "flows.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(names)
        for flow in flows.astype(np.float64):
            cells = dict(zip(run.schema.names, flow.tolist(), strict=True)) | {"another": "x"}
            code = int(cells["service"])
            cells["service"] = "gopher" if code < 0 else ("http", "ssh", "dns")[code]
            out.writerow([cells[name] for name in names])
    same(script(model, tmp_path / "flows.csv").stdout, expected(model, flows))


def test_a_table_without_rows_gives_none(model, run, tmp_path):
    (tmp_path / "flows.csv").write_text(",".join(run.schema.names) + "\n")
    assert script(model, tmp_path / "flows.csv").stdout == "row,verdict,score\n"


def test_the_script_replays_the_golden_vectors(model):
    assert re.match(r"\d+ golden vectors differ by at most ", script(model, "--check").stdout)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("number0\n1\n", "lacks 21 columns: number1, number2"),
        ("{header}\n" + "1," * 21 + "nan\n", "finite numbers are needed"),
        ("{header}\n" + "1," * 21 + "much\n", "column constant holds 'much'"),
        ("{header}\n1,2\n", "column number2 holds ''"),
    ],
)
def test_the_script_names_what_is_wrong_with_a_table(model, run, tmp_path, text, sentence):
    table = tmp_path / "flows.csv"
    table.write_text(text.replace("{header}", ",".join(run.schema.names)))
    done = script(model, table, check=False)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_script_refuses_another_model(model, tmp_path):
    for name in ("toy_int8.py", "toy.int8.onnx"):
        shutil.copy(model.with_name(name), tmp_path / name)
    content = (tmp_path / model.name).read_bytes()
    (tmp_path / model.name).write_bytes(content + b"\x00")
    done = script(tmp_path / model.name, "--check", check=False)
    assert "is not the model that this script was written for" in done.stderr


PRINTING = r"""
#include <stdio.h>
#include "toy_int8.h"
int main(void) {
    printf("%s\n%s\n%s\n%s\n", TOY_INT8_FILE, TOY_INT8_SHA256, TOY_INT8_SCHEMA,
           TOY_INT8_SCHEMA_SHA256);
    printf("%s %s %.9g %.9g\n", TOY_INT8_INPUT, TOY_INT8_OUTPUT, TOY_INT8_THRESHOLD,
           TOY_INT8_TOLERANCE);
    for (int i = 0; i < TOY_INT8_FEATURES; i++)
        printf("%s|%s\n", toy_int8_features[i], toy_int8_units[i]);
    for (int i = 0; i < 3; i++) printf("%s\n", toy_int8_categories_20[i]);
    for (int i = 0; i < TOY_INT8_CLASSES; i++) printf("%s\n", toy_int8_classes[i]);
    for (int g = 0; g < TOY_INT8_GOLDEN; g++) {
        for (int i = 0; i < TOY_INT8_FEATURES; i++) printf("%.9g ", toy_int8_golden_flows[g][i]);
        for (int i = 0; i < TOY_INT8_CLASSES; i++)
            printf("%.9g ", toy_int8_golden_probabilities[g][i]);
        printf("%s\n", toy_int8_classes[toy_int8_verdict(toy_int8_golden_probabilities[g])]);
    }
    return 0;
}
"""


def compiled(folder, source) -> str:
    (folder / "main.c").write_text(source)
    strict = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-Wtrigraphs"]
    built = subprocess.run(
        [COMPILER, *strict, "-o", folder / "main", folder / "main.c"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return subprocess.run([folder / "main"], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(COMPILER is None, reason="needs a C compiler (cc)")
def test_the_header_compiles_strictly_and_says_what_the_card_says(model, tmp_path):
    shutil.copy(model.with_name("toy_int8.h"), tmp_path)
    lines = compiled(tmp_path, PRINTING).splitlines()
    detector = Detector.load(model)
    card, golden = detector.card, detector.card.golden
    schema = card.schema
    assert lines[:4] == [model.name, detector.sha256, schema.name, schema.sha256]
    assert lines[4].split()[:2] == ["flows", "probabilities"]
    limits = np.array(lines[4].split()[2:], np.float32)
    np.testing.assert_array_equal(limits, np.float32([card.threshold, golden.tolerance]))
    assert lines[5:27] == [f"{f.name}|{f.unit}" for f in schema.features]
    assert lines[27:30] == ["http", "ssh", "dns"]
    assert lines[30:33] == list(card.classes)
    verdicts = {a.row: a.label for a in detector.judge(golden.probabilities)}
    assert len(lines) == 33 + len(golden.flows)
    for row, line in enumerate(lines[33:]):
        *numbers, verdict = line.split()
        expected_row = [*golden.flows[row], *golden.probabilities[row]]
        np.testing.assert_array_equal(np.array(numbers, np.float32), expected_row)
        assert verdict == verdicts.get(row, card.classes[0])


@pytest.mark.skipif(COMPILER is None, reason="needs a C compiler (cc)")
def test_names_cannot_break_out_of_the_header(make_model, tmp_path):
    odd = ("benign", 'a"; int x; //', "??/ */ größe\\7")
    path = make_model("0 odd.onnx", classes=odd)
    detector = Detector.load(path)
    header = emit("c", path, detector.card, detector.sha256)
    assert header.name == "model_0_odd.h"
    source = (
        f'#include <stdio.h>\n#include "{header.name}"\nint main(void) {{ for (int i = 0; '
        'i < 3; i++) printf("%s\\n", model_0_odd_classes[i]); return 0; }\n'
    )
    assert compiled(tmp_path, source).splitlines() == list(odd)


def test_emitting_again_gives_the_same_bytes(model, tmp_path):
    detector = Detector.load(model)
    for language, name in (("python", "toy_int8.py"), ("c", "toy_int8.h")):
        first = model.with_name(name).read_bytes()
        again = emit(language, tmp_path / model.name, detector.card, detector.sha256)
        assert again.read_bytes() == first


def test_an_unknown_language_is_one_sentence(run_folder, tmp_path):
    with pytest.raises(
        IdskitError, match="emit 'rust' was asked for, but the choices are python, c"
    ):
        export(run_folder, tmp_path / "model.onnx", emit=["rust"])
    assert not list(tmp_path.iterdir())


def test_a_threshold_between_two_floats_decides_alike(make_model, tmp_path):
    """The detector compares in float32: the script and the header must as well."""
    path = make_model(threshold=0.1 + 1e-9)
    detector = Detector.load(path)
    scores = np.float32(0.1) + np.spacing(np.float32(0.1)) * np.arange(-3, 4, dtype=np.float32)
    rows = np.stack([1 - scores, scores, 0 * scores], axis=1)
    alerts = {alert.row for alert in detector.judge(rows)}
    text = emit("python", path, detector.card, detector.sha256)
    names: dict = {"__name__": "emitted", "__file__": str(text)}
    exec(compile(text.read_text(), text, "exec"), names)  # noqa: S102
    found = {row for row, (verdict, _) in enumerate(names["verdicts"](rows)) if verdict != "benign"}
    assert found == alerts
