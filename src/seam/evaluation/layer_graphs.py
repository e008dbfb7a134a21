"""Programs of one layer repeated, to time the layer as it runs inside a network.

All copies read the same input and each adds its output to that of the one before,
``y = relu(conv(x) + y)``: a form that the runtimes compute as one operation, for any channels,
stride and groups. Two such programs, of one copy and of several, differ by the layer alone: the
call, the copies of input and output and their reordering into the runtime's blocked layout are in
both.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from seam.evaluation.layer_spec import LayerSpec
from seam.evaluation.runtimes import Program, quiet_onnx, without_grad
from seam.exporting.extras import needs
from seam.exporting.session import open_session

Call = Callable[[], Any]
OPSET = 18
IR_VERSION = 9
"""Old enough for every ONNX Runtime that is supported."""


def repeated(spec: LayerSpec, runtime: str, copies: int, *, batch: int, threads: int) -> Call:
    """A program of ``copies`` of a layer, ready to be called.

    >>> repeated(LayerSpec("linear", 4, 2), "torch", 3, batch=5, threads=1)().shape
    torch.Size([5, 2])

    Args:
        spec: the layer.
        runtime: torch, onnxruntime or openvino.
        copies: how many.
        batch: images in a call; the programs take any number, as exported ones do.
        threads: that the runtime may use; PyTorch uses those that are set.

    Raises:
        MissingExtraError: the runtime is not installed.
    """
    images = torch.from_numpy(_values((batch * _rows(spec), *input_shape(spec)), 0))
    if runtime == "torch":
        program: Program = _torch(spec, copies)
    else:
        program = (_onnx if runtime == "onnxruntime" else _openvino)(spec, copies, threads)
    return lambda: program(images)


def input_shape(spec: LayerSpec) -> tuple[int, ...]:
    """Of one input, without the batch."""
    if spec.kind == "linear":
        return (spec.in_channels,)
    return (spec.in_channels, spec.height, spec.width)


def _rows(spec: LayerSpec) -> int:
    return spec.height * spec.width if spec.kind == "linear" else 1


def _weights(spec: LayerSpec, copy: int) -> tuple[Any, Any]:
    """Weight and bias of a copy."""
    inputs = spec.in_channels // spec.groups
    kernel = () if spec.kind == "linear" else spec.kernel
    weight = _values((spec.out_channels, inputs, *kernel), 1 + copy)
    return weight, _values((spec.out_channels,), 1 + copy)


def _values(shape: tuple[int, ...], start: int) -> Any:
    """Small numbers, float32; another ``start`` gives others. Never zero, never denormal."""
    count = int(np.prod(shape))
    return np.resize(np.roll(_pool(), -start), count).reshape(shape)


@cache
def _pool() -> Any:
    found = np.random.default_rng(0).uniform(0.01, 0.02, 65_537).astype(np.float32)
    return found * np.where(np.arange(len(found)) % 2, 1, -1).astype(np.float32)


class _Chain(nn.Module):
    """The layers one after the other, as eager PyTorch runs them; nothing needs adding here."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            result = torch.relu_(layer(images))
        return result


def _torch(spec: LayerSpec, copies: int) -> Program:
    def layer() -> nn.Module:
        if spec.kind == "linear":
            return nn.Linear(spec.in_channels, spec.out_channels)
        return nn.Conv2d(
            spec.in_channels,
            spec.out_channels,
            spec.kernel,
            spec.stride,
            spec.padding,
            groups=spec.groups,
        )

    return without_grad(_Chain([layer() for _ in range(copies)]).eval())


def _onnx(spec: LayerSpec, copies: int, threads: int) -> Program:
    needs("onnx", "onnxruntime", extra="onnx")
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []
    for i in range(copies):
        weight, bias = _weights(spec, i)
        constants.append(numpy_helper.from_array(weight, f"w{i}"))
        constants.append(numpy_helper.from_array(bias, f"b{i}"))
        before = f"y{i - 1}"
        if spec.kind == "linear":
            inputs = ["x", f"w{i}", before if i else "b0"]
            nodes.append(helper.make_node("Gemm", inputs, [f"s{i}"], transB=1))
        else:
            inputs, pads = ["x", f"w{i}", f"b{i}"], [*spec.padding, *spec.padding]
            made: Any = {"strides": spec.stride, "pads": pads, "group": spec.groups}
            nodes.append(helper.make_node("Conv", inputs, [f"c{i}" if i else "s0"], **made))
            if i:
                nodes.append(helper.make_node("Add", [f"c{i}", before], [f"s{i}"]))
        nodes.append(helper.make_node("Relu", [f"s{i}"], [f"y{i}"]))
    shape: list[str | int | None] = ["batch", *input_shape(spec)]
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"y{copies - 1}", TensorProto.FLOAT, None)],
        constants,
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
    return quiet_onnx(model.SerializeToString(), threads)


def _openvino(spec: LayerSpec, copies: int, threads: int) -> Program:
    needs("openvino", extra="openvino")
    import openvino
    from openvino import opset13 as ops

    images = ops.parameter([-1, *input_shape(spec)], np.float32)
    total = None
    for i in range(copies):
        weight, bias = _weights(spec, i)
        if spec.kind == "linear":
            found = ops.matmul(images, ops.constant(weight), False, True)
            bias = bias[None]
        else:
            pads = [*spec.padding]
            places = ([*spec.stride], pads, pads, [1, 1])
            if spec.groups > 1:
                weight = weight.reshape(spec.groups, -1, *weight.shape[1:])
                found = ops.group_convolution(images, ops.constant(weight), *places)
            else:
                found = ops.convolution(images, ops.constant(weight), *places)
            bias = bias[None, :, None, None]
        found = ops.add(found, ops.constant(bias))
        total = ops.relu(found if total is None else ops.add(found, total))
    model = openvino.Model([total], [images], "layer")
    with tempfile.TemporaryDirectory(prefix="seam-layer-") as folder:
        file = Path(folder) / "layer.xml"
        openvino.save_model(model, file, compress_to_fp16=False)
        return open_session(file, threads=threads)
