"""Measure every shared CIFAR-10 weights file on the CIFAR-10 test images.

For example ``python bench/check_zoo.py --out zoo.json``.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from seam.core.preprocessing import Preprocessing
from seam.models.zoo import ZOO

FILES = {
    "resnet20_cifar10": "cifar_resnet20",
    "vgg16_cifar10": "cifar_vgg16",
    "wrn16_1_cifar10_backdoored": "wrn16_1",
    "wrn16_1_cifar10_clean": "wrn16_1",
    "wrn16_1_cifar10_repaired": "wrn16_1",
}
"""Weights file (without its ending) and the zoo model that it fits."""


def main() -> None:
    """Measure and write JSON."""
    parser = argparse.ArgumentParser(description="Measure the shared CIFAR-10 models.")
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--limit", type=int, default=None, help="first N test images; default all")
    parser.add_argument("--out", type=Path, default=None, help="JSON file; default: print only")
    args = parser.parse_args()

    torch.set_num_threads(1)
    pixels, labels = test_images(args.shared / "data/cifar10", limit=args.limit)
    results = []
    for file, name in FILES.items():
        weights = args.shared / "models" / f"{file}.safetensors"
        correct = count_correct(load(name, weights), pixels, labels, ZOO[name].preprocessing)
        results.append(
            {
                "weights": file,
                "model": name,
                "n": len(labels),
                "correct": correct,
                "accuracy": correct / len(labels),
            }
        )
    report = {"data": "cifar10 test", "torch": torch.__version__, "results": results}
    text = json.dumps(report, indent=2) + "\n"
    print(text, end="")
    if args.out is not None:
        args.out.write_text(text)


def test_images(folder: Path, *, limit: int | None) -> tuple[Tensor, Tensor]:
    """Pixels ``(N, 3, 32, 32)``, 0 to 255, and labels ``(N,)`` of the first ``limit`` images."""
    table = pq.read_table(folder / "data/test-00000-of-00001.parquet").slice(0, limit)
    images = [
        np.asarray(Image.open(io.BytesIO(row["bytes"])).convert("RGB"))
        for row in table.column("image").to_pylist()
    ]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return pixels, torch.tensor(table.column("label").to_pylist())


def load(name: str, weights: Path) -> nn.Module:
    """The zoo model ``name`` with the given weights, which may be stored in half precision."""
    model = ZOO[name].build()
    model.load_state_dict(load_file(weights), strict=True)  # copies into float32
    return model.eval()


def count_correct(model: nn.Module, pixels: Tensor, labels: Tensor, expected: Preprocessing) -> int:
    """Number of images whose highest logit is the label's."""
    mean = torch.tensor(expected.mean).view(-1, 1, 1)
    std = torch.tensor(expected.std).view(-1, 1, 1)
    with torch.inference_mode():
        batches = torch.split(pixels, 250)
        guesses = torch.cat([model((x / 255 - mean) / std).argmax(dim=1) for x in batches])
    return int((guesses == labels).sum())


if __name__ == "__main__":
    main()
