"""Norm layers, and their statistics of the data at hand: of a model as it came, or has become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from seam.masking.parametrization import join

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def norms(module: nn.Module) -> dict[str, _BatchNorm]:
    """The batch norms that keep running statistics, by name.

    >>> [*norms(nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2, track_running_stats=False)))]
    ['0']
    """
    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None
    }


def norm_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """Scales and shifts of the module's norm layers, by name; shared ones once, by the first."""
    theirs = {
        id(parameter)
        for layer in module.modules()
        if isinstance(layer, NORMS)
        for parameter in layer._parameters.values()
    }
    return {name: each for name, each in module.named_parameters() if id(each) in theirs}


@torch.no_grad()
def calibrate(
    module: nn.Module, parameters: Mapping[str, nn.Parameter], batches: Iterable[Tensor]
) -> None:
    """Set every batch norm's running statistics to those of ``batches``, scale and shift to match.

    Afterwards the module gives the outputs it gave before, to rounding, in evaluation mode; and in
    training mode nearly those, even where its statistics had been folded into scale and shift, as
    in models that come back from a quantized format.

    >>> norm = nn.BatchNorm1d(2).eval()
    >>> images = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    >>> before = norm(images)
    >>> calibrate(norm, dict(norm.named_parameters()), [images])
    >>> norm.running_mean.tolist(), torch.allclose(norm(images), before, atol=1e-5)
    ([2.0, 4.0], True)

    Args:
        module: in evaluation mode; changed in place.
        parameters: its scales and shifts, by their names in the plain module.
        batches: inputs.
    """
    movable = {
        name: layer
        for name, layer in norms(module).items()
        if {join(name, "weight"), join(name, "bias")} <= parameters.keys()
    }
    sums = {name: torch.zeros(3, layer.num_features).double() for name, layer in movable.items()}
    hooks = [
        layer.register_forward_pre_hook(
            lambda _layer, inputs, name=name: _add(sums[name], inputs[0])
        )
        for name, layer in movable.items()
    ]
    try:
        for images in batches:
            module(images)
    finally:
        for hook in hooks:
            hook.remove()
    for name, layer in movable.items():
        count, total, squares = sums[name]
        if bool((count > 1).all()):
            mean = total / count
            variance = (squares / count - mean.square()).clamp_min(0)
            _move(layer, parameters, name, mean, variance)


@torch.no_grad()
def recalibrate(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set every batch norm's running statistics to the mean of those of ``batches``.

    A moving average is behind a network that has just lost most of its weights, the more so the
    deeper the layer, until the network seems worth nothing. Without a batch all stays as it is.
    Source: Wu and Johnson, Rethinking "Batch" in BatchNorm, 2021, section 3; of pruned networks Li
    et al., EagleEye, ECCV 2020.

    >>> norm = nn.BatchNorm1d(1)
    >>> recalibrate(norm, [torch.tensor([[1.0], [3.0]]), torch.tensor([[4.0], [8.0]])])
    >>> norm.running_mean.tolist(), norm.running_var.tolist()
    ([4.0], [5.0])

    Args:
        module: its norm layers are left in training mode, all else in the mode that it is in.
        batches: inputs, each of two samples or more.
    """
    layers = [*norms(module).values()]
    usual = [layer.momentum for layer in layers]
    for number, images in enumerate(batches):
        if number == 0:
            for layer in layers:
                layer.train()
                layer.reset_running_stats()
                layer.momentum = None  # the mean of all batches
        module(images)
    for layer, momentum in zip(layers, usual, strict=True):
        layer.momentum = momentum


def _add(sums: Tensor, inputs: Tensor) -> None:
    channels = inputs.detach().transpose(0, 1).flatten(1).cpu().double()
    sums += torch.stack(
        [
            torch.full((len(channels),), float(channels.shape[1])).double(),
            channels.sum(1),
            channels.square().sum(1),
        ]
    )


def _move(
    layer: Any, parameters: Mapping[str, nn.Parameter], name: str, mean: Tensor, variance: Tensor
) -> None:
    """Other statistics, and the scale and shift that make up for them."""
    scale, shift = parameters[join(name, "weight")], parameters[join(name, "bias")]
    mean, variance = (value.to(layer.running_mean) for value in (mean, variance))
    slope = scale / (layer.running_var + layer.eps).sqrt()
    shift.add_(slope * (mean - layer.running_mean))
    scale.copy_(slope * (variance + layer.eps).sqrt())
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(variance)
