"""What a model costs: weights, and multiply-accumulates an image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.utils.flop_counter import FlopCounterMode

from seam.masking.axes import Axis
from seam.masking.parametrization import join
from seam.masking.sides import Place, side_sizes, tensors_along


def executed_macs(model: nn.Module, example: Tensor) -> int:
    """Multiply-accumulates that a dense runtime executes for one image.

    >>> executed_macs(nn.Linear(4, 2), torch.zeros(1, 4))
    8

    Counted by PyTorch's own flop counter (matrix products and convolutions, biases and element-wise
    work left out), half of its floating-point operations. ``example`` is a batch of one.
    """
    with torch.no_grad(), _seen(model), FlopCounterMode(display=False) as counter:
        model(example)
    return int(counter.get_total_flops()) // 2


@contextmanager
def _seen(model: nn.Module) -> Iterator[None]:
    """What PyTorch's counter needs: layer by layer, and no parameter that wants a gradient.

    In its fused encoder layer neither the counter nor hooks see products; and the counter fails
    where a parameter is itself the input of a layer that wants gradients.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    wanting = [each for each in model.parameters() if each.requires_grad]
    torch.backends.mha.set_fastpath_enabled(False)
    for each in wanting:
        each.requires_grad_(False)
    try:
        yield
    finally:
        for each in wanting:
            each.requires_grad_(True)
        torch.backends.mha.set_fastpath_enabled(before)


@dataclass(frozen=True)
class LayerUses:
    """How often each weight element is multiplied for one image, by the weight's name."""

    uses: Mapping[str, float]
    dense: int

    def theoretical(self, kept: Mapping[str, int], sizes: Mapping[str, int]) -> int:
        """Multiply-accumulates left when only ``kept`` of each masked weight's ``sizes`` remain."""
        removed = sum(
            (sizes[name] - kept[name]) * uses for name, uses in self.uses.items() if name in kept
        )
        return round(self.dense - removed)

    def merged(self, module: nn.Module) -> LayerUses:
        """With every use of a parameter of ``module`` under the first of its names.

        >>> uses = LayerUses({"0.weight": 1, "1.weight": 2}, dense=3)
        >>> layer = nn.Linear(1, 1)
        >>> uses.merged(nn.Sequential(layer, layer)).uses
        {'0.weight': 3}
        """
        first: dict[int, str] = {}
        names = {
            name: first.setdefault(id(value), name)
            for name, value in module.named_parameters(remove_duplicate=False)
        }
        uses: dict[str, float] = {}
        for name, count in self.uses.items():
            own = names.get(name, name)
            uses[own] = uses.get(own, 0) + count
        return replace(self, uses=uses)


@dataclass(frozen=True)
class MacsMeter:
    """Multiply-accumulates of a network from its layers' widths, as a share of ``base``.

    ``layers`` has, for each conv and linear layer, its MACs and its widths when nothing is removed.
    """

    base: int
    constant: float
    layers: Mapping[str, tuple[float, Mapping[Place, int]]]

    @classmethod
    def of(cls, module: nn.Module, example: Tensor, *, base: int) -> MacsMeter:
        """Run ``module`` once, whole, and count."""
        found = layer_uses(module, example)
        layers = {}
        for weight, uses in found.uses.items():
            owner = weight.rpartition(".")[0]
            layer = module.get_submodule(owner)
            if not isinstance(layer, (_ConvNd, nn.Linear)):
                continue
            sizes = side_sizes(layer)
            macs = uses * layer.weight.numel()
            places: dict[Place, int] = {
                (owner, side): size
                for side, size in sizes.items()
                if any(name == "weight" for name, _ in tensors_along(layer, side))
            }
            layers[owner] = (macs, places)
        constant = found.dense - sum(macs for macs, _ in layers.values())
        return cls(base, constant, layers)

    def __call__(self, widths: Mapping[Place, int]) -> float:
        """The share that a network with these widths has; sides not named are whole."""
        total = self.constant
        for macs, places in self.layers.values():
            share = math.prod(widths.get(place, size) / size for place, size in places.items())
            total += macs * share
        return total / self.base


@dataclass(frozen=True)
class WeightsMeter:
    """Density of a network from its layers' widths: the kept share of what has a mask.

    ``layers`` has the number of elements of each parameter of the base that some axis runs along,
    with the widths it has when nothing is removed.
    """

    layers: Sequence[tuple[int, Mapping[Place, int]]]

    @classmethod
    def of(cls, model: nn.Module, axes: Sequence[Axis]) -> WeightsMeter:
        """Count the parameters of a headed model's backbone: its new head has no masks."""
        found: dict[str, tuple[int, dict[Place, int]]] = {}
        for owner, side in {slot.place: None for axis in axes for slot in axis.slots}:
            layer = model.get_submodule(owner)
            for name, _ in tensors_along(layer, side) if owner.startswith("backbone.") else ():
                value = getattr(layer, name)
                if isinstance(value, nn.Parameter):
                    _, places = found.setdefault(join(owner, name), (value.numel(), {}))
                    places[owner, side] = side_sizes(layer)[side]
        return cls(tuple(found.values()))

    def __call__(self, widths: Mapping[Place, int]) -> float:
        """The density of a network with these widths; sides not named are whole."""
        kept = sum(
            count * math.prod(widths.get(place, size) / size for place, size in places.items())
            for count, places in self.layers
        )
        return kept / sum(count for count, _ in self.layers)


def layer_uses(module: nn.Module, example: Tensor) -> LayerUses:
    """Run ``module`` once and count how often each layer's weight elements are used.

    A weight element of a convolution is used once at each output position, of a linear layer once
    for each row it is applied to. ``example`` is a batch of one image.
    """
    uses: dict[str, float] = {}
    hooks = []
    for owner, layer in module.named_modules():
        if isinstance(layer, (_ConvNd, nn.Linear)):

            def count(each: nn.Module, inputs: Any, output: Any, owner: str = owner) -> None:
                name = join(owner, "weight")
                uses[name] = uses.get(name, 0) + _positions(each, inputs[0], output)

            hooks.append(layer.register_forward_hook(count))
        elif isinstance(layer, nn.MultiheadAttention):

            def count_attention(
                each: nn.Module, _inputs: Any, output: Any, owner: str = owner
            ) -> None:
                tokens = output[0].numel() // output[0].shape[-1]
                for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
                    if getattr(each, name) is not None:
                        uses[join(owner, name)] = uses.get(join(owner, name), 0) + tokens
                name = join(owner, "out_proj.weight")
                uses[name] = uses.get(name, 0) + tokens

            hooks.append(layer.register_forward_hook(count_attention))
    try:
        dense = executed_macs(module, example)
    finally:
        for hook in hooks:
            hook.remove()
    return LayerUses(uses, dense)


def _positions(layer: nn.Module, inputs: Tensor, output: Tensor) -> float:
    if isinstance(layer, _ConvTransposeNd):
        return inputs.numel() / inputs.shape[1]
    if isinstance(layer, _ConvNd):
        return output.numel() / output.shape[1]
    return output.numel() / output.shape[-1]
