"""Which tensors of a layer run along its output channels, and which along its inputs."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from seam.masking.attention import TABLE, attention_of, bias_heads, head_count, heads_changed

Side = Literal["out", "in"]
Place = tuple[str, Side]
"""A layer's name and one of its sides. Layers whose two sides are one (norms) have only ``out``."""


class ChannelLayer(nn.Module):
    """A layer without weights that hands channels on in its own way."""

    def widths(self) -> tuple[int, int]:
        """Number of input and of output channels."""
        raise NotImplementedError

    def coupled(self) -> list[tuple[int, int]]:
        """Pairs of an input and an output channel that are one and the same."""
        raise NotImplementedError

    def keep(self, inputs: Tensor, outputs: Tensor) -> None:
        """Shrink in place to the channels of these numbers (long, rising)."""
        raise NotImplementedError


def tensors_along(layer: nn.Module, side: Side) -> list[tuple[str, int]]:
    """Names of a layer's parameters and buffers along ``side``, each with its dimension.

    >>> tensors_along(nn.Linear(4, 2), "out")
    [('weight', 0), ('bias', 0)]
    """
    if isinstance(layer, ChannelLayer):
        return []
    if isinstance(layer, _BatchNorm):
        names = ["weight", "bias", "running_mean", "running_var"]
        found = [(name, 0) for name in names]
    elif attention_of(layer) or bias_heads(layer):
        found = [(TABLE, 1)]
    elif side == "in":
        found = [("weight", 1)] if getattr(layer, "groups", 1) == 1 else []
    else:
        found = [("weight", 0), ("bias", 0)]
    return [(name, dim) for name, dim in found if getattr(layer, name, None) is not None]


def side_sizes(layer: nn.Module) -> dict[Side, int]:
    """Number of channels on each side that can be removed; empty for a layer of another kind.

    >>> side_sizes(nn.Conv2d(3, 8, 3))
    {'out': 8, 'in': 3}

    The heads of an attention block are its ``out`` side.
    """
    found: dict[Side, int] = {}
    if isinstance(layer, ChannelLayer):
        found["in"], found["out"] = layer.widths()
    elif isinstance(layer, _ConvNd) and not isinstance(layer, _ConvTransposeNd):
        found = {"out": layer.out_channels, "in": layer.in_channels}
    elif isinstance(layer, nn.Linear):
        found = {"out": layer.out_features, "in": layer.in_features}
    elif isinstance(layer, _BatchNorm):
        found["out"] = layer.num_features
    elif kind := attention_of(layer):
        found["out"] = head_count(layer, kind)
    elif heads := bias_heads(layer):
        found["out"] = heads
    return found


@torch.no_grad()
def keep_channels(layer: nn.Module, kept: dict[Side, Tensor]) -> None:
    """Shrink one layer in place to the ``kept`` indices (long, rising) of its sides.

    >>> layer = nn.Linear(4, 2)
    >>> keep_channels(layer, {"in": torch.tensor([0, 3])})
    >>> layer.weight.shape, layer.in_features
    (torch.Size([2, 2]), 2)
    """
    before = side_sizes(layer)
    if isinstance(layer, ChannelLayer):
        whole = {side: torch.arange(size) for side, size in before.items()}
        layer.keep(**{f"{side}puts": each for side, each in {**whole, **kept}.items()})
        return
    for side, indices in kept.items():
        for name, dim in tensors_along(layer, side):
            set_tensor(layer, name, _select(getattr(layer, name), dim, indices))
    after = {side: len(kept[side]) if side in kept else size for side, size in before.items()}
    for name, value in _attributes(layer, before, after).items():
        owner, _, attribute = name.rpartition(".")
        setattr(layer.get_submodule(owner), attribute, value)


def set_tensor(layer: nn.Module, name: str, value: Tensor) -> None:
    """Put ``value`` in the place of a layer's parameter or buffer, whatever its shape was."""
    if name in layer._parameters:
        old = layer._parameters[name]
        wanted = old is None or old.requires_grad
        layer._parameters[name] = nn.Parameter(value, requires_grad=wanted)
    else:
        layer._buffers[name] = value


def _select(value: Tensor, dim: int, indices: Tensor) -> Tensor:
    chosen = value.detach().index_select(dim, indices.to(value.device))
    if value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last):
        return chosen.contiguous(memory_format=torch.channels_last)
    return chosen.contiguous()


def _attributes(
    layer: nn.Module, before: dict[Side, int], after: dict[Side, int]
) -> dict[str, Any]:
    """The plain attributes that say how many channels a layer has, by name."""
    if isinstance(layer, _ConvNd):
        groups = layer.groups
        groups = groups if groups == 1 else groups * after["out"] // before["out"]
        return {"out_channels": after["out"], "in_channels": after["in"], "groups": groups}
    if isinstance(layer, nn.Linear):
        return {"out_features": after["out"], "in_features": after["in"]}
    if isinstance(layer, _BatchNorm):
        return {"num_features": after["out"]}
    kind = attention_of(layer)
    return heads_changed(layer, kind, after["out"]) if kind else {}
