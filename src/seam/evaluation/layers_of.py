"""The layers of a network as a latency table sees them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seam.evaluation.layer_spec import LayerSpec


@torch.no_grad()
def layers_of(module: nn.Module, example: Tensor) -> list[tuple[str, LayerSpec]]:
    """Name and sizes of every convolution and linear layer, in the order in which they run.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.Flatten(), nn.Linear(72, 2))
    >>> [(name, spec.output, spec.macs) for name, spec in layers_of(net, torch.zeros(1, 3, 8, 8))]
    [('0', (3, 3), 1944), ('2', (1, 1), 144)]

    A layer that runs twice stands there twice. Padding is that which gives the output its size,
    however the layer finds it. Products of activations, as in attention, are left out.

    Args:
        module: any module; called once, in the mode that it is in.
        example: a batch of one input.
    """
    found: list[tuple[str, LayerSpec]] = []
    hooks = []
    for name, layer in module.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):

            def note(each: nn.Module, inputs: Any, output: Tensor, name: str = name) -> None:
                found.append((name, _spec(each, inputs[0], output)))

            hooks.append(layer.register_forward_hook(note))
    try:
        module(example)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _spec(layer: nn.Module, images: Tensor, output: Tensor) -> LayerSpec:
    if isinstance(layer, nn.Linear):
        rows = output.numel() // output.shape[-1]
        return LayerSpec("linear", layer.in_features, layer.out_features, height=rows)
    assert isinstance(layer, nn.Conv2d)
    kernel = (layer.kernel_size[0], layer.kernel_size[1])
    stride = (layer.stride[0], layer.stride[1])
    sides = zip(images.shape[2:], output.shape[2:], kernel, stride, strict=True)
    # Rounded up, as "same" padding may add one more at the end than at the start.
    needed = [max(0, -(-((out - 1) * step + size - have) // 2)) for have, out, size, step in sides]
    return LayerSpec(
        "conv",
        layer.in_channels,
        layer.out_channels,
        kernel,
        stride,
        (needed[0], needed[1]),
        layer.groups,
        images.shape[2],
        images.shape[3],
    )
