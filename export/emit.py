"""Code that runs a model where idskit is not installed: a Python script, or a C header.

Both are made of the model's card alone, name the model by its hash, and decide as the detector
does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idskit.files.output import write_whole
from idskit.modelfile.model_file import INPUT, OUTPUT, ModelCard

_OF_THE_MODEL = re.compile(
    r"^# Of the model:\n.*?^# End of the model\.\n", re.DOTALL | re.MULTILINE
)


def emit(language: str, model: Path, card: ModelCard, sha256: str) -> Path:
    """Write the script or header of ``model`` into its folder and return its path.

    ``kdd.int8.onnx`` gets ``kdd_int8.py`` and ``kdd_int8.h``: both names are identifiers.

    Raises:
        IdskitError: the file cannot be written.
    """
    suffix, text_of = EMITTERS[language]
    path = model.with_name(_identifier(model.stem) + suffix)
    text = text_of(model, card, sha256)
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))
    return path


def python_script(model: Path, card: ModelCard, sha256: str) -> str:
    """Return the script of standalone.py with this model's constants."""
    categories = {f.name: f.categories for f in card.schema.features if f.categories}
    constants = {
        "MODEL": model.name,
        "SHA256": sha256,
        "FEATURES": card.schema.names,
        "CATEGORIES": categories,
        "CLASSES": card.classes,
        "THRESHOLD": card.threshold,
    }
    lines = "".join(f"{name} = {value!r}\n" for name, value in constants.items())
    script = files("idskit.export").joinpath("standalone.py").read_text(encoding="utf-8")
    return _OF_THE_MODEL.sub(lambda _: f"# Of the model:\n{lines}# End of the model.\n", script)


def c_header(model: Path, card: ModelCard, sha256: str) -> str:
    """Return a C99 header: schema, classes, threshold, verdict and golden vectors."""
    name = _identifier(model.stem)
    golden, big = card.golden, name.upper()
    features, classes = f"[{big}_FEATURES]", f"[{big}_CLASSES]"
    return f"""\
/* {_comment(model.name)}, as `idskit export --emit c` wrote it: for firmware that runs the model
 * with onnxruntime's C API. Input: float [flows][{big}_FEATURES], raw and finite, in the order of
 * {name}_features. Output: float [flows][{big}_CLASSES], probabilities. Call
 * setenv("ORT_DISABLE_TELEMETRY", "1", 0) before the first call of that API: version 1.29 and
 * later connect to the network and write below the cache folder otherwise. */
#ifndef {big}_H
#define {big}_H

#define {big}_FILE {_string(model.name)}
#define {big}_SHA256 {_string(sha256)}
#define {big}_SCHEMA {_string(card.schema.name)}
#define {big}_SCHEMA_SHA256 {_string(card.schema.sha256)}
#define {big}_INPUT {_string(INPUT)}
#define {big}_OUTPUT {_string(OUTPUT)}
#define {big}_FEATURES {len(card.schema)}
#define {big}_CLASSES {len(card.classes)}
#define {big}_THRESHOLD {_float(card.threshold)} /* alert when 1 - probabilities[0] reaches it */
#define {big}_GOLDEN {len(golden.flows)}
#define {big}_TOLERANCE {_float(golden.tolerance)} /* of a probability, on another machine */

static const char *const {name}_features{features} = {_strings(card.schema.names)};
static const char *const {name}_units{features} = {_strings(f.unit for f in card.schema.features)};
{_categories(name, card)}
static const char *const {name}_classes{classes} = {_strings(card.classes)};

/* Flows for a self-test, and the probabilities that the exporter saw. */
static const float {name}_golden_flows[{big}_GOLDEN]{features} = {_rows(golden.flows)};
static const float {name}_golden_probabilities[{big}_GOLDEN]{classes} =
{_rows(golden.probabilities)};

/* The class of a flow: 0, or the likeliest attack where the score reaches the threshold. */
static inline int {name}_verdict(const float probabilities{classes}) {{
    int best = 1;
    if (!(1.0f - probabilities[0] >= {big}_THRESHOLD)) return 0;
    for (int i = 2; i < {big}_CLASSES; i++)
        if (probabilities[i] > probabilities[best]) best = i;
    return best;
}}

#endif
"""


EMITTERS: dict[str, tuple[str, Callable[[Path, ModelCard, str], str]]] = {
    "python": (".py", python_script),
    "c": (".h", c_header),
}


def _identifier(text: str) -> str:
    name = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_")
    return name if name[:1].isalpha() else f"model_{name}"


def _categories(name: str, card: ModelCard) -> str:
    """Return the categories of the nominal columns: a code is an index in its list, else -1."""
    return "\n".join(
        f"/* Codes of {_comment(feature.name)}; any other category is -1. */\n"
        f"static const char *const {name}_categories_{place}[{len(feature.categories)}] = "
        f"{_strings(feature.categories)};"
        for place, feature in enumerate(card.schema.features)
        if feature.categories
    )


def _comment(text: str) -> str:
    """Return text that cannot end a comment."""
    return re.sub(r"[^ -~]|\*/|/\*", "_", text)


def _string(text: str) -> str:
    """Return a C string: whatever is not plain becomes octal bytes of UTF-8."""
    plain = {ord(c) for c in map(chr, range(32, 127))} - set(b'"\\?')
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode()) + '"'


def _strings(texts: Iterable[str]) -> str:
    return "{\n" + "".join(f"    {_string(text)},\n" for text in texts) + "}"


def _rows(matrix: NDArray[np.float32]) -> str:
    rows = (", ".join(map(_float, row)) for row in matrix)
    return "{\n" + "".join(f"    {{{row}}},\n" for row in rows) + "}"


def _float(value: float) -> str:
    """Return the shortest C constant that is this float32."""
    return f"{np.format_float_scientific(np.float32(value), unique=True)}f"
