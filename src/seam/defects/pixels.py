"""Models as an attacker sees them: functions of unnormalised pixels in [0, 1]."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from seam.core.preprocessing import Preprocessing
from seam.errors import ModelError, nearest
from seam.masking.head import Headed, find_classifier

ATTACK_BATCH = 64
ATTACK_PIXELS = 2**20  # of one batch with gradients: bounds memory, 64 images at 128 pixels a side


class OnPixels(nn.Module):
    """A module with its normalisation in front of it.

    >>> double = OnPixels(nn.Flatten(), Preprocessing(size=1, mean=(0.0,), std=(0.5,)))
    >>> double(torch.ones(1, 1, 1, 1)).item()
    2.0

    Takes images (batch, C, H, W) in [0, 1]; gives what ``module`` gives for preprocessed ones.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, module: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """The module's output for images in [0, 1]."""
        result: Tensor = self.module((images - self.mean) / self.std)
        return result


class Features(nn.Module):
    """What goes into a layer of a module, flattened: (batch, F).

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> Features(net, "1")(torch.ones(1, 1, 2, 2)).shape
    torch.Size([1, 4])
    """

    def __init__(self, module: nn.Module, layer: str) -> None:
        super().__init__()
        self.module = module
        self._seen: list[Tensor] = []
        module.get_submodule(layer).register_forward_pre_hook(self._see)

    def _see(self, _layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._seen = [inputs[0]]

    def forward(self, images: Tensor) -> Tensor:
        """Run the module; returns the layer's input."""
        self.module(images)
        return self._seen.pop().flatten(1)


def on_pixels(module: nn.Module, preprocessing: Preprocessing) -> OnPixels:
    """A frozen copy of ``module`` in evaluation mode that takes pixels in [0, 1].

    >>> model = on_pixels(nn.Flatten(), Preprocessing(size=2, mean=(0.5,), std=(0.5,)))
    >>> model(torch.ones(1, 1, 2, 2)).tolist()
    [[1.0, 1.0, 1.0, 1.0]]

    Raises:
        ModelError: it is no PyTorch module, so it has no gradients to attack with.
    """
    return _frozen(_own_copy(module), preprocessing)


def features_on_pixels(module: nn.Module, layer: str, preprocessing: Preprocessing) -> OnPixels:
    """A frozen copy of ``module`` that gives the input of ``layer`` for pixels in [0, 1].

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> features = features_on_pixels(net, "1", Preprocessing(size=2, mean=(0.0,), std=(1.0,)))
    >>> features(torch.ones(1, 1, 2, 2)).tolist()
    [[1.0, 1.0, 1.0, 1.0]]

    Raises:
        ModelError: as `on_pixels`.
    """
    return _frozen(Features(_own_copy(module), layer), preprocessing)


def feature_layer(module: nn.Module, example: Tensor, *, name: str | None = None) -> str:
    """Name of the layer whose input are a classifier's penultimate features.

    >>> feature_layer(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.zeros(1, 4))
    '1'

    Args:
        module: gives (batch, N) logits.
        example: one batch of images, for a trial run.
        name: the layer, where it cannot be found or another is wanted.

    Raises:
        ModelError: no linear layer gives the logits, or there is no layer of that name.
    """
    if name is not None:
        names = [each for each, _ in module.named_modules() if each]
        if name not in names:
            raise ModelError(
                f"the base model has no layer '{name}'"
                + (nearest(name, names) or f"; its last one is '{names[-1] if names else ''}'")
            )
        return name
    try:
        return find_classifier(module, example)
    except ModelError as error:
        raise ModelError(
            "the base model's penultimate features are unknown: no torch.nn.Linear was found whose "
            "output is the model's logits; name the layer that takes them with --feature-layer NAME"
        ) from error


def same_layer(result: nn.Module, layer: str) -> str | None:
    """Where the base's ``layer`` is in a result; None where the result has no such layer.

    >>> same_layer(Headed(nn.Sequential(nn.Linear(2, 2)), nn.Identity()), "0")
    'backbone.0'

    A classifier that a head has replaced is an identity there: its input is the same.
    """
    inside = result.backbone if isinstance(result, Headed) else result
    if layer not in dict(inside.named_modules()):
        return None
    prefix = "backbone" if isinstance(result, Headed) else ""
    return ".".join(part for part in (prefix, layer) if part)


@torch.no_grad()
def predicted(model: nn.Module, images: Tensor) -> Tensor:
    """The output that is largest, (n) on the CPU, for images (n, C, H, W) in [0, 1].

    >>> predicted(nn.Flatten(), torch.tensor([[[[0.1, 0.9]]]])).tolist()
    [1]
    """
    if not len(images):
        return torch.zeros(0, dtype=torch.long)
    device = device_of(model)
    parts = images.split(batch_size(images))
    return torch.cat([model(part.to(device)).argmax(1).cpu() for part in parts])


def batch_size(images: Tensor) -> int:
    """How many of these images (n, C, H, W) are attacked together.

    >>> batch_size(torch.zeros(1, 3, 224, 224))
    20
    """
    return max(1, min(ATTACK_BATCH, ATTACK_PIXELS // (images.shape[-1] * images.shape[-2])))


def device_of(module: nn.Module) -> torch.device:
    """Where a module is; one without tensors is on the CPU.

    >>> device_of(nn.Flatten())
    device(type='cpu')
    """
    tensors = [*module.parameters(), *module.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")


def _frozen(module: nn.Module, preprocessing: Preprocessing) -> OnPixels:
    pixels = OnPixels(module, preprocessing)
    return pixels.to(device_of(module)).eval().requires_grad_(False)


def _own_copy(module: object) -> nn.Module:
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"an attack needs gradients, which an exported model ({type(module).__name__}) has "
            "not got; attack the run itself"
        )
    return copy.deepcopy(module)
