"""Folding: norm layers into the convolutions before them, where nothing else reads those."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from seam.errors import ModelError, in_line

REST = "act"
"""What a norm layer with an activation in it, as timm builds it, calls that activation."""


def fold_norms(module: nn.Module, example: Tensor) -> tuple[nn.Module, list[str]]:
    """A copy whose norm layers are folded into convolutions where they can be, and their names.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()
    >>> folded, names = fold_norms(net, torch.zeros(1, 3, 8, 8))
    >>> names, type(folded[1]).__name__
    (['1'], 'Identity')

    Which norm follows which convolution is read from PyTorch's own export of the module, which
    takes seconds; a module without such norms needs none.

    Raises:
        ModelError: the module cannot be exported.
    """
    folded = copy.deepcopy(module).eval()
    if not any(isinstance(layer, _BatchNorm) for layer in folded.modules()):
        return folded, []
    pairs, names = _pairs(folded, example), []
    with torch.no_grad():
        for conv_name, norm_name in pairs.items():
            conv, norm = folded.get_submodule(conv_name), folded.get_submodule(norm_name)
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, _BatchNorm)
            if norm.running_mean is None or norm.running_var is None:
                continue
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight,
                conv.bias,
                norm.running_mean,
                norm.running_var,
                norm.eps,
                norm.weight,
                norm.bias,
            )
            drop_norm(folded, norm_name)
            names.append(norm_name)
    return folded, sorted(names)


def drop_norm(module: nn.Module, name: str) -> None:
    """Put what is left of a folded norm layer in its place: its activation, or nothing.

    >>> net = nn.Sequential(nn.BatchNorm2d(8))
    >>> drop_norm(net, "0")
    >>> type(net[0]).__name__
    'Identity'
    """
    rest = getattr(module.get_submodule(name), REST, None)
    module.set_submodule(name, rest if isinstance(rest, nn.Module) else nn.Identity())


def _pairs(module: nn.Module, example: Tensor) -> dict[str, str]:
    """Convolutions whose only reader is a norm layer, with its name; each is used once."""
    try:
        graph = torch.export.export(module, (example,)).graph
    except Exception as error:  # export runs the model's code, which fails as it likes
        raise ModelError(
            f"the model cannot be exported by torch.export ({in_line(error)})"
        ) from error
    uses: Counter[str] = Counter()
    found: dict[str, str] = {}
    for node in graph.nodes:
        owner = _owner(node)
        if node.op != "call_function" or owner is None:
            continue
        kind = str(node.target)
        uses[owner] += kind.startswith(("aten.conv2d", "aten.batch_norm"))
        if kind.startswith("aten.batch_norm"):
            source = node.args[0]
            if str(source.target).startswith("aten.conv2d") and len(source.users) == 1:
                found[_owner(source) or ""] = owner
    layers = dict(module.named_modules())
    return {
        conv: norm
        for conv, norm in found.items()
        if uses[conv] == uses[norm] == 1
        and isinstance(layers.get(conv), nn.Conv2d)
        and isinstance(layers.get(norm), _BatchNorm)
    }


def _owner(node: Any) -> str | None:
    """Name of the innermost layer whose code made a node of an exported graph."""
    stack: Mapping[str, tuple[str, Any]] = node.meta.get("nn_module_stack") or {}
    return list(stack.values())[-1][0] if stack else None
