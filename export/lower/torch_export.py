"""Operators of a body that is not lowered, as torch exports them, in float."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from idskit.export.lower.arithmetic import Floats
from idskit.export.lower.graph_parts import OPSET
from idskit.export.lower.lower_resnet import padded_columns
from idskit.models.lowering import Size
from idskit.models.resnet import SmallConv2d

_PREFIX = "body."


def torch_body(ops: Floats, body: nn.Module, temperature: Tensor, image: str, size: Size) -> str:
    """Return logits of an image (rows, height * padded width), divided by the temperature."""
    graph = ops.graph
    height, width = size
    wide = ops.view(ops.floats(image), (-1, height, padded_columns(width)))
    shown = graph.cut(wide, width, axis=2, output="image.shown") if width % 4 else wide
    exported = _exported(body, size)
    names = {exported.input[0].name: shown}

    def renamed(name: str) -> str:
        return names.get(name, f"{_PREFIX}{name}" if name else "")

    for tensor in exported.initializer:
        graph.constant(renamed(tensor.name), numpy_helper.to_array(tensor))
    for node in exported.node:
        made = onnx.NodeProto()
        made.CopyFrom(node)
        made.name = renamed(node.name or node.output[0])
        made.input[:] = [renamed(name) for name in node.input]
        made.output[:] = [renamed(name) for name in node.output]
        graph.nodes.append(made)
        graph.taken_over.append(made.name)
    kelvin = graph.constant("temperature", temperature.detach().numpy())
    return graph.node("Div", [renamed(exported.output[0].name), kelvin], "logits")


def _exported(body: nn.Module, size: Size) -> onnx.GraphProto:
    """Torch's export of a body, convolutions as convolutions, weights folded where they can be."""
    dense = [m for m in body.modules() if isinstance(m, SmallConv2d) and m.dense]
    for module in dense:
        module.dense = False
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            file = Path(folder, "body.onnx")
            warnings.simplefilter("ignore")  # the exporter warns of its own deprecation
            torch.onnx.export(
                body.eval(),
                (torch.zeros(2, *size),),
                file,
                input_names=["image"],
                output_names=["logits"],
                dynamic_axes={"image": {0: "rows"}, "logits": {0: "rows"}},
                opset_version=OPSET,
                dynamo=False,
            )
            return onnx.load(file).graph
    finally:
        for module in dense:
            module.dense = True
