"""A small ONNX graph under construction: constants, nodes, and one file at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from idskit.modelfile.model_file import INPUT, OUTPUT

# The oldest pair that has every operator used here: onnxruntime 1.18 and later load it.
OPSET, IR_VERSION = 17, 8
CONTRIB = "com.microsoft"  # onnxruntime's own operators, in every build of it
ML = "ai.onnx.ml"  # trees
VERSIONS = {CONTRIB: 1, ML: 3}


class Graph:
    """Nodes in execution order and the constants they use, named by what they are."""

    def __init__(self, columns: int, classes: int) -> None:
        self.columns, self.classes = columns, classes
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.layers: list[str] = []  # nodes that a smaller precision may be chosen for
        self.taken_over: list[str] = []  # nodes of torch's own export of a body not lowered here
        self.ranged: dict[str, None] = {}  # values whose range int8 needs, in order

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant; float64 is stored as float32."""
        array = np.asarray(value, order="C")
        self.constants[name] = array.astype(np.float32) if array.dtype == np.float64 else array
        return name

    def node(
        self, operator: str, inputs: list[str], output: str, *, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node with one output and return the output's name."""
        node = helper.make_node(
            operator, inputs, [output], name=output, domain=domain, **attributes
        )
        self.nodes.append(node)
        return output

    def gemm(
        self, source: str, matrix: NDArray[Any], bias: NDArray[Any] | None, output: str
    ) -> str:
        """Add ``source @ matrix + bias`` for a source of two dimensions."""
        inputs = [source, self.constant(f"{output}.weight", matrix)]
        if bias is not None:
            inputs.append(self.constant(f"{output}.bias", bias))
        return self.node("Gemm", inputs, output)

    def cut(self, source: str, count: int, *, axis: int, output: str) -> str:
        """Add a slice of the first ``count`` indices along an axis."""
        ends = [
            self.constant(f"{output}.{name}", np.array([value], np.int64))
            for name, value in (("start", 0), ("end", count), ("axis", axis))
        ]
        return self.node("Slice", [source, *ends], output)

    def reshape(self, source: str, shape: tuple[int, ...], output: str) -> str:
        """Add a reshape to (rows, *shape), the number of rows left open."""
        target = self.constant(f"{output}.shape", np.array([-1, *shape], np.int64))
        return self.node("Reshape", [source, target], output)

    def _opsets(self) -> list[onnx.OperatorSetIdProto]:
        used = {node.domain for node in self.nodes}
        others = [(name, version) for name, version in VERSIONS.items() if name in used]
        return [helper.make_opsetid(*pair) for pair in [("", OPSET), *others]]

    def model(self, watch: tuple[str, ...] = ()) -> onnx.ModelProto:
        """Assemble the model; ``watch`` names inner values that become outputs as well."""
        outputs = [
            helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["rows", self.classes]),
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in watch),
        ]
        graph = helper.make_graph(
            self.nodes,
            "idskit",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", self.columns])],
            outputs,
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        return helper.make_model(
            graph,
            producer_name="idskit",
            ir_version=IR_VERSION,
            opset_imports=self._opsets(),
        )


def put_metadata(model: onnx.ModelProto, metadata: Mapping[str, str]) -> None:
    """Add metadata to a model that has none, in the order of its keys."""
    for key, value in sorted(metadata.items()):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
