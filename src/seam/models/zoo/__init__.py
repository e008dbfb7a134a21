"""Base models that the package can build by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

from torch import Tensor, nn

from seam.core.preprocessing import Preprocessing
from seam.errors import ModelError, nearest
from seam.models.zoo.cifar_resnet import cifar_resnet20, cifar_resnet32, cifar_resnet56
from seam.models.zoo.digits import digits
from seam.models.zoo.vgg import cifar_vgg16
from seam.models.zoo.wide_resnet import wrn16_1

__all__ = ["ZOO", "ZooEntry", "shipped_weights"]


@dataclass(frozen=True, kw_only=True)
class ZooEntry:
    """How one base model is built and what it expects.

    >>> ZOO["digits"].build(num_classes=2).fc.out_features
    2

    ``build`` takes the keyword ``num_classes`` (10 if absent) and gives an untrained model in
    training mode. ``labels`` are the class names in the order of the logits that the usual weights
    give. ``weights`` names the safetensors file shipped beside this module, if there is one.
    """

    build: Callable[..., nn.Module]
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    weights: str | None = None


CIFAR10_LABELS = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_IMAGENET_NORM = Preprocessing(size=32)
_UNIT_SCALE = Preprocessing(size=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
# Mean and standard deviation of the pixels of the training split.
_DIGITS_NORM = Preprocessing(size=8, mean=(0.306,), std=(0.375,))


def _cifar(
    build: Callable[..., nn.Module], preprocessing: Preprocessing = _IMAGENET_NORM
) -> ZooEntry:
    return ZooEntry(build=build, preprocessing=preprocessing, labels=CIFAR10_LABELS)


ZOO: dict[str, ZooEntry] = {
    "cifar_resnet20": _cifar(cifar_resnet20),
    "cifar_resnet32": _cifar(cifar_resnet32),
    "cifar_resnet56": _cifar(cifar_resnet56),
    "cifar_vgg16": _cifar(cifar_vgg16),
    "wrn16_1": _cifar(wrn16_1, _UNIT_SCALE),
    "digits": ZooEntry(
        build=digits,
        preprocessing=_DIGITS_NORM,
        labels=tuple("0123456789"),
        weights="digits.safetensors",
    ),
}


def shipped_weights(name: str) -> dict[str, Tensor]:
    """The trained weights that the package ships for the zoo model ``name``.

    >>> model = ZOO["digits"].build()
    >>> model.load_state_dict(shipped_weights("digits"))
    <All keys matched successfully>

    Shapes and types are those of the model's state dict, on the CPU.

    Raises:
        ModelError: the name is unknown, or the package ships no weights for it.
    """
    from safetensors.torch import load

    entry = ZOO.get(name)
    if entry is None:
        hint = nearest(name, list(ZOO)) or f"; give one of {', '.join(ZOO)}"
        raise ModelError(f"zoo model '{name}' is unknown{hint}")
    if entry.weights is None:
        raise ModelError(f"no weights are shipped for '{name}'; give a weights file")
    return load(resources.files(__name__).joinpath(entry.weights).read_bytes())
