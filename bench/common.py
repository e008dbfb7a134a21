"""What the experiments share: the bases and data of ../shared, provenance, results as JSON."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from seam.artefacts.environment import environment
from seam.core.config import Rates
from seam.jobs.observe import Silent
from seam.models.base import BaseModel
from seam.models.load import load_base
from seam.search.frontier import Point

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
WARM_UP = 3
VALUES_STAY: dict[str, Any] = {
    "start": "saliency",
    "rates": Rates(score=0.03, head=0.01, tune=0.005, method="normalized"),
    "tune": "norm",
    "norm": "frozen",
    "growth": 1.0,
    "distill": 0.5,
    "corrected": False,
    "graded": False,
    "temperature": 1.0,
    "views": 0,
}
"""Scale, shift and biases adapt, and nothing else: what preset `bitmask` was at first."""


class Log(Silent):
    """Prints a line an epoch."""

    def point(self, point: Point, epochs: int) -> None:
        print(point, epochs, flush=True)


def arguments(text: str | None) -> argparse.ArgumentParser:
    """Options that every experiment has."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--out", type=Path, default=None, help="JSON file of the results")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser


def resnet20(shared: Path) -> BaseModel:
    """The CIFAR ResNet-20 of ../shared."""
    weights = shared / "models" / "resnet20_cifar10.safetensors"
    return load_base("zoo:cifar_resnet20", weights=weights)


def vgg16(shared: Path) -> BaseModel:
    """The CIFAR VGG-16 of ../shared."""
    weights = shared / "models" / "vgg16_cifar10.safetensors"
    return load_base("zoo:cifar_vgg16", weights=weights)


def mobilenet(shared: Path, size: int = 224) -> BaseModel:
    """The ImageNet MobileNetV2 of ../shared, with its own preprocessing (x / 127.5 - 1)."""
    return load_base(
        "timm:mobilenetv2_100",
        weights=shared / "models" / "mobilenetv2_100_imagenet.safetensors",
        model_args={"pad_type": "same"},
        labels_file=shared / "models" / "imagenet1k_labels.txt",
        size=size,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        crop_fraction=1.0,
    )


def in_turns(
    before: Callable[[], float], after: Callable[[], float], rounds: int
) -> tuple[float, float, dict[str, Any]]:
    """Medians of two measured times that take turns; and their ratio, pair by pair."""
    pairs = [(before(), after()) for _ in range(rounds + WARM_UP)][WARM_UP:]
    low, middle, high = statistics.quantiles([late / early for early, late in pairs], n=4)
    first, second = (statistics.median(each) for each in zip(*pairs, strict=True))
    return first, second, {"ratio": middle, "ratio_quartiles": [low, high], "n": rounds}


def save(file: Path, values: dict[str, Any]) -> None:
    """Write results with the machine they were measured on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    cpu = platform.processor() or platform.machine()
    document = {**values, "environment": {**environment(), "cpu": cpu}}
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
