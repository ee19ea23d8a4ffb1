"""What onnxruntime's profile says of a model: the providers of its nodes, and their shapes."""

from __future__ import annotations

import numpy as np

from idskit.bench.onnx_profile import node_shapes, placement, placement_text

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def test_on_the_cpu_all_nodes_run_there(make_model) -> None:
    nodes = placement(make_model().read_bytes(), CPU, ROWS)
    assert set(nodes) == {CPU}
    assert nodes[CPU] >= 2  # a product and a softmax


def test_nodes_that_were_left_to_the_cpu_are_counted() -> None:
    assert placement_text({CUDA: 3}) == CUDA
    assert placement_text({CUDA: 3, CPU: 1}) == f"{CUDA} (3 of 4 nodes), {CPU} (1 of 4 nodes)"


def test_every_node_has_its_shapes(make_model) -> None:
    nodes = node_shapes(make_model().read_bytes(), ROWS)
    assert nodes
    assert all(node["input_type_shape"] and node["op_name"] for node in nodes)
