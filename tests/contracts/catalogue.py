"""Architectures with random weights, by the name that a user would give, each as a base model.

A row of another source than one's own modules is loaded as a user loads it: from a weights file,
or, of transformers, from a folder that `save_pretrained` wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hf_models
import numpy as np
import torch
from architectures import uneven
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

import seam
from seam.core.preprocessing import Preprocessing
from seam.models.base import BaseModel
from seam.models.zoo import ZOO

LABELS = tuple("0123456789")
SIDE = 64


@dataclass(frozen=True)
class Row:
    """An architecture; ``args`` are its library's, ``side`` is in pixels."""

    source: str
    name: str
    side: int = SIDE
    args: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.source}:{self.name}"

    def base(self, folder: Path) -> BaseModel:
        """The base model; files that it is loaded from are written to ``folder``."""
        torch.manual_seed(0)
        return SOURCES[self.source](self, folder)

    def data(self) -> Any:
        """Few samples of each label, with a test split."""
        if self.name in hf_models.TEXT_CONFIGS:
            return hf_models.text_data(40, 20)
        return {"train": _images(30, self.side), "test": _images(20, self.side)}


def _images(count: int, side: int) -> list[tuple[Image.Image, str]]:
    """Noise, ten labels in turn."""
    generator = np.random.default_rng(count)
    pixels = generator.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return [(Image.fromarray(each), LABELS[i % 10]) for i, each in enumerate(pixels)]


def _by_name(row: Row, folder: Path) -> BaseModel:
    """From a library: random weights go to a file, which is loaded by the library's name."""
    args = {"num_classes": len(LABELS), **row.args}
    module = BUILDERS[row.source](row.name, args)
    weights, labels = folder / "weights.safetensors", folder / "labels.txt"
    state = {
        name: value.contiguous().clone() for name, value in uneven(module).state_dict().items()
    }
    save_file(state, weights)
    labels.write_text("\n".join(LABELS))
    return seam.load_base(
        row.id, weights=weights, model_args=args, labels_file=labels, size=row.side
    )


def _transformers(row: Row, folder: Path) -> BaseModel:
    if row.name in hf_models.TEXT_CONFIGS:
        return seam.load_base(f"hf:{hf_models.save_text_model(folder / 'hf', row.name)}")
    saved = hf_models.save_image_model(folder / "hf", row.name, labels=LABELS, **row.args)
    return seam.load_base(f"hf:{saved}", size=row.side)


def _own(row: Row, _folder: Path) -> BaseModel:
    return BaseModel(uneven(OWN[row.name]()), LABELS, Preprocessing(size=row.side))


def _zoo(name: str, args: dict[str, Any]) -> nn.Module:
    return ZOO[name].build(**args)


def _timm(name: str, args: dict[str, Any]) -> nn.Module:
    import timm

    made: nn.Module = timm.create_model(name, pretrained=False, **args)
    return made


def _torchvision(name: str, args: dict[str, Any]) -> nn.Module:
    from torchvision import models

    made: nn.Module = models.get_model(name, weights=None, **args)
    return made


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width)
        self.second = nn.Conv2d(2 * width, width, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = images + self.second(self.norm(self.first(images)).relu())
        return result.relu()


class Tokens(nn.Module):
    """Patches, PyTorch's own encoder, their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 8, 8)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 10)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        result: Tensor = self.head(self.encoder(tokens).mean(1))
        return result


def _plain() -> nn.Module:
    stages = [(3, 16), (16, 32), (32, 32)]
    layers = [
        nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2))
        for i, o in stages
    ]
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(32 * 16, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def _residual() -> nn.Module:
    ends = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), Residual(16), Residual(16), *ends)


OWN: dict[str, Callable[[], nn.Module]] = {
    "plain CNN": _plain,
    "residual CNN": _residual,
    "nn.TransformerEncoder": Tokens,
}
BUILDERS = {"timm": _timm, "torchvision": _torchvision, "zoo": _zoo}
SOURCES: dict[str, Callable[[Row, Path], BaseModel]] = {
    "timm": _by_name,
    "torchvision": _by_name,
    "zoo": _by_name,
    "transformers": _transformers,
    "own module": _own,
}


def _rows() -> list[Row]:
    timm_names = [
        *("resnet18", "resnet50", "mobilenetv2_100", "mobilenetv3_small_100", "efficientnet_b0"),
        *("convnext_atto", "regnetx_002", "densenet121", "mobilevit_s", "ghostnet_100"),
        *("repvgg_a0", "mobilenetv4_conv_small", "hgnetv2_b0", "mnasnet_small", "lcnet_050"),
        "edgenext_xx_small",
        *("poolformer_s12", "fastvit_t8", "hrnet_w18_small", "dla34", "res2net50_14w_8s"),
        *("pvt_v2_b0", "tiny_vit_5m_224", "repvit_m0_9", "mobileone_s0", "inception_next_atto"),
    ]
    square = {"img_size": SIDE}
    sized = [
        *("vit_tiny_patch16_224", "deit_tiny_patch16_224", "mixer_s32_224", "resmlp_12_224"),
        *("xcit_nano_12_p16_224", "cait_xxs24_224"),
    ]
    swin = {**square, "window_size": 2}
    vision = ("resnet18", "squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v2", "mnasnet0_5")
    more = (
        "mobilenet_v3_small",
        "regnet_y_400mf",
        "densenet121",
        "efficientnet_b0",
        "convnext_tiny",
    )
    ends = {"aux_logits": False, "init_weights": False}
    return [
        *(Row("zoo", name, 32) for name in ("cifar_resnet20", "cifar_vgg16", "wrn16_1")),
        *(Row("timm", name) for name in timm_names),
        *(Row("timm", name, args=square) for name in sized),
        Row("timm", "swin_tiny_patch4_window7_224", args=swin),
        *(Row("torchvision", name) for name in (*vision, *more)),
        Row("torchvision", "googlenet", args=ends),
        *(Row("transformers", name) for name in hf_models.TEXT_CONFIGS),
        *(Row("transformers", name, side) for name, side in hf_models.SIDES.items()),
        *(Row("own module", name, 32) for name in OWN),
    ]


ROWS = {row.id: row for row in _rows()}
