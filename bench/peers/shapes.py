"""Networks of other widths: rebuilt from their tensors, or the base's scaled all alike."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from seam.masking.head import Headed, find_classifier
from seam.masking.sides import set_tensor
from seam.models.zoo.cifar_resnet import PadShortcut

ROUND_TO = 8


class Gather(nn.Module):
    """A `PadShortcut` whose outputs each name the input they come from, or none (zeros).

    So inputs and outputs can be removed apart, which is how torch-pruning sees the layer.
    """

    def __init__(self, inputs: int, source: Tensor, *, stride: int) -> None:
        super().__init__()
        self.stride, self.inputs = stride, inputs
        self.register_buffer("source", source)

    @classmethod
    def of(cls, layer: PadShortcut) -> Gather:
        """The same function."""
        inputs, outputs = layer.widths()
        source = torch.full((outputs,), inputs)
        for come, go in layer.coupled():
            source[go] = come
        return cls(inputs, source, stride=layer.stride)

    def forward(self, x: Tensor) -> Tensor:
        picked = x[:, :, :: self.stride, :: self.stride]
        return F.pad(picked, (0, 0, 0, 0, 0, 1)).index_select(1, self.source)

    def remove_inputs(self, numbers: Sequence[int]) -> None:
        """Outputs that came from these become zeros."""
        left = [each for each in range(self.inputs) if each not in set(numbers)]
        table = torch.full((self.inputs + 1,), len(left))
        table[left] = torch.arange(len(left))
        self.source, self.inputs = table[self.source], len(left)

    def remove_outputs(self, numbers: Sequence[int]) -> None:
        left = [each for each in range(len(self.source)) if each not in set(numbers)]
        self.source = self.source[left]

    def plain(self) -> nn.Module:
        """A `PadShortcut` where that does the same."""
        zero = int(self.source.max())  # the number behind the last input, if any output is zero
        inner = (self.source != zero).nonzero()[:, 0]
        same = len(inner) == zero and bool((self.source[inner] == torch.arange(zero)).all())
        if not same or not zero or int(inner[-1] - inner[0]) + 1 != zero:
            return self
        pad = PadShortcut(zero, len(self.source), stride=self.stride)
        pad.before, pad.after = int(inner[0]), len(self.source) - int(inner[-1]) - 1
        return pad


def with_gathers(module: nn.Module) -> nn.Module:
    """Put a `Gather` in the place of every `PadShortcut`, in place."""
    for name, layer in list(module.named_modules()):
        if isinstance(layer, PadShortcut):
            module.set_submodule(name, Gather.of(layer))
    return module


def without_gathers(module: nn.Module) -> nn.Module:
    """Put plain shortcuts back wherever they do the same, in place."""
    for name, layer in list(module.named_modules()):
        if isinstance(layer, Gather):
            module.set_submodule(name, layer.plain())
    return module


def resized(module: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Give ``module`` these parameters and buffers, whatever their shapes, in place."""
    for name, value in tensors.items():
        owner, _, key = name.rpartition(".")
        set_tensor(module.get_submodule(owner), key, value.detach().clone())
    for layer in module.modules():
        _fit(layer)
    return module


def _fit(layer: Any) -> None:
    """Make a layer's plain attributes say what its tensors are."""
    if isinstance(layer, _ConvNd):
        layer.out_channels = layer.weight.shape[0]
        layer.groups = layer.out_channels if layer.groups > 1 else 1  # depthwise, or one group
        layer.in_channels = layer.weight.shape[1] * layer.groups
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    elif isinstance(layer, _BatchNorm):
        layer.num_features = len(layer.running_mean)


def scaled(model: Headed, factor: float, example: Tensor) -> Headed:
    """A copy whose every width is ``factor`` times as large, to a multiple of 8; all weights 0.

    The images' channels and the outputs stay.
    """
    last = _classifier(model, example)
    smaller = copy.deepcopy(model)

    def width(size: int) -> int:
        return max(ROUND_TO, ROUND_TO * round(size * factor / ROUND_TO))

    tensors = {}
    for name, layer in list(smaller.named_modules()):
        if isinstance(layer, PadShortcut):
            ins, outs = map(width, layer.widths())
            smaller.set_submodule(name, PadShortcut(ins, outs, stride=layer.stride))
        if not isinstance(layer, (_ConvNd, nn.Linear, _BatchNorm)):
            continue
        for key, value in layer.state_dict().items():
            shape = list(value.shape)
            if shape and name != last:
                shape[0] = width(shape[0])
            if len(shape) > 1 and shape[1] not in (1, example.shape[1]):
                shape[1] = width(shape[1])
            tensors[f"{name}.{key}"] = value.new_zeros(shape)
    resized(smaller, tensors)
    return smaller


def _classifier(model: Headed, example: Tensor) -> str:
    """Name of the linear layer that gives the outputs, or the base's logits."""
    if isinstance(model.head, nn.Linear):
        return "head"
    return f"backbone.{find_classifier(model.backbone, example)}"


@torch.no_grad()
def reset(model: nn.Module, *, seed: int) -> None:
    """First weights as He et al. 2015 draw them; norms that change nothing; biases zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in model.modules():
            if isinstance(layer, (_ConvNd, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight)
            elif isinstance(layer, _BatchNorm):
                layer.reset_parameters()
    for name, value in model.named_parameters():
        if name.endswith("bias"):
            value.zero_()
