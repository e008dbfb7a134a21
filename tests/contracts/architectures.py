"""The architectures that channels are removed from, each row with untrained but uneven weights."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seam.models.zoo import ZOO

Case = tuple[nn.Module, Tensor]


def zoo(name: str) -> Callable[[], Case]:
    def build() -> Case:
        entry = ZOO[name]
        side = entry.preprocessing.size
        return entry.build(), torch.randn(2, entry.preprocessing.channels, side, side)

    return build


def timm_model(name: str, side: int, **settings: Any) -> Callable[[], Case]:
    def build() -> Case:
        import timm

        model = timm.create_model(name, pretrained=False, num_classes=10, **settings)
        return model, torch.randn(1, 3, side, side)

    return build


CHANNEL_ARCHITECTURES: dict[str, Callable[[], Case]] = {
    **{name: zoo(name) for name in ("cifar_resnet20", "cifar_vgg16", "wrn16_1", "digits")},
    "resnet18": timm_model("resnet18", 64),
    "resnet50": timm_model("resnet50", 64),
    "mobilenetv2_100": timm_model("mobilenetv2_100", 64),
    "mobilenetv3_small_100": timm_model("mobilenetv3_small_100", 64),
    "efficientnet_b0": timm_model("efficientnet_b0", 64),
    "convnext_atto": timm_model("convnext_atto", 64),
    "regnetx_002": timm_model("regnetx_002", 64),
    "densenet121": timm_model("densenet121", 64),
    "vit_tiny_patch16_224": timm_model("vit_tiny_patch16_224", 64, img_size=64),
    "deit_tiny_patch16_224": timm_model("deit_tiny_patch16_224", 64, img_size=64),
    "swin_tiny_patch4_window7_224": timm_model(
        "swin_tiny_patch4_window7_224", 64, img_size=64, window_size=2
    ),
    "mobilevit_s": timm_model("mobilevit_s", 64),
}


def built(build: Callable[[], Case], seed: int = 0) -> Case:
    """A row's module, uneven, and images; those of the table are made once, and copied."""
    if build not in CHANNEL_ARCHITECTURES.values():
        return _made(build, seed)
    model, images = _kept(build, seed)
    torch.manual_seed(seed)
    return copy.deepcopy(model), images.clone()


def _made(build: Callable[[], Case], seed: int) -> Case:
    torch.manual_seed(seed)
    model, images = build()
    return uneven(model), images


_kept = functools.cache(_made)


@torch.no_grad()
def uneven(model: nn.Module) -> nn.Module:
    """``model`` in evaluation mode; no norm layer is neutral, so that no error hides behind a 0."""
    for layer in model.modules():
        if isinstance(layer, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm)):
            layer.weight.uniform_(0.5, 1.5)
            layer.bias.uniform_(-0.5, 0.5)
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.uniform_(-0.5, 0.5)
            layer.running_var.uniform_(0.5, 1.5)
    return model.eval()
