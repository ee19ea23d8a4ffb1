"""What a graph is made of, against onnx and against a graph whose work is known."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from idskit.modelfile.graph_facts import graph_facts
from idskit.modelfile.model_file import read_model
from idskit.modelfile.model_path import model_path
from idskit.modelfile.onnx_file import read_onnx


def facts_of(model):
    return graph_facts(read_onnx(model.SerializeToString()))


def test_graph_facts_are_those_onnx_reads(make_model) -> None:
    facts = graph_facts(read_model(make_model(opset=18)).graph)
    assert facts.opset == 18
    assert dict(facts.operators) == {"MatMul": 1, "Softmax": 1}
    assert facts.precision == "fp32"


def test_the_shipped_graph_has_the_nodes_and_weights_onnx_sees() -> None:
    with model_path() as path:
        graph, facts = onnx.load(path).graph, graph_facts(read_model(path).graph)
    assert facts.operators.total() == len(graph.node)
    assert facts.precision == "int8"
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer}
    place = {"Gemm": 1, "Conv": 1, "QGemm": 3, "QLinearConv": 3}  # of the weights among the inputs
    products = [node for node in graph.node if node.op_type in place]
    weights = [sizes[node.input[place[node.op_type]]] for node in products]
    assert len(weights) > 20
    assert [product.weights for product in facts.products] == weights


def test_a_product_of_folded_rows_counts_them(make_model) -> None:
    """Three flows' values a row become six rows of two, as the mel bank's frames do."""
    constants = {
        "a": np.ones((5, 6), np.float32),
        "b": np.ones((2, 7), np.float32),
        "shape": np.array([-1, 2], np.int64),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["flows", "a"], ["first"], name="first"),
            helper.make_node("Reshape", ["first", "shape"], ["folded"]),
            helper.make_node("Gemm", ["folded", "b"], ["second"], name="second"),
        ],
        "folding",
        [helper.make_tensor_value_info("flows", TensorProto.FLOAT, ["n", 5])],
        [helper.make_tensor_value_info("second", TensorProto.FLOAT, ["m", 7])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    facts = facts_of(helper.make_model(graph))
    assert [(p.name, p.weights, p.multiply_adds) for p in facts.products] == [
        ("first", 30, 30),
        ("second", 14, 42),
    ]
    assert facts.multiply_adds == 72


def test_a_convolution_counts_its_places(make_model) -> None:
    """Five frames of three places from a series of eleven, then a filter of each."""
    constants = {
        "frames": np.ones((4, 1, 1, 3), np.float32),
        "filters": np.ones((2, 4, 1, 1), np.float32),
        "shape": np.array([-1, 1, 1, 11], np.int64),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["flows", "shape"], ["series"]),
            helper.make_node(
                "Conv", ["series", "frames"], ["a"], kernel_shape=[1, 3], strides=[1, 2]
            ),
            helper.make_node("Mul", ["a", "a"], ["squares"]),
            helper.make_node("Conv", ["squares", "filters"], ["b"], kernel_shape=[1, 1]),
        ],
        "framing",
        [helper.make_tensor_value_info("flows", TensorProto.FLOAT, ["n", 11])],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, ["n", 2, 1, 5])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph)
    onnx.checker.check_model(model, full_check=True)
    facts = facts_of(model)
    assert [p.multiply_adds for p in facts.products] == [5 * 4 * 3, 5 * 2 * 4]


def test_a_graph_with_quantised_values_is_int8(make_model) -> None:
    model = onnx.load(make_model())
    scale, zero = np.float32(1), np.uint8(0)
    model.graph.initializer.extend(map(numpy_helper.from_array, (scale, zero), ("s", "z")))
    model.graph.node.append(helper.make_node("QuantizeLinear", ["flows", "s", "z"], ["y"]))
    assert facts_of(model).precision == "int8"


def test_a_graph_with_half_constants_is_fp16(make_model) -> None:
    model = onnx.load(make_model())
    model.graph.initializer.append(numpy_helper.from_array(np.ones(2, np.float16), "halves"))
    assert facts_of(model).precision == "fp16"
