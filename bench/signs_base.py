"""A ResNet-20 for the 43 traffic signs of gtsrb, from nothing, on one thread.

    python bench/signs_base.py --out runs/signs     # where bench/search/run.py looks for it

Settings were fixed beforehand; the test split is measured once, after the last epoch. Images are
shifted by at most 4 pixels and never mirrored.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from common import ROOT, arguments
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from seam.models.base import BaseModel
from seam.models.load import load_base
from seam.models.zoo import ZOO

FOLDER = ROOT / "runs" / "signs"
BATCH, RATE, WEIGHT_DECAY, SHIFT = 64, 0.2, 5e-4, 4
WEIGHTS, LABELS = "resnet20_gtsrb.safetensors", "labels.txt"


def signs_resnet20(_shared: Path) -> BaseModel:
    """What this file trained, as a base."""
    if not (FOLDER / WEIGHTS).exists():
        raise SystemExit("there is no base for gtsrb yet; run bench/signs_base.py first")
    labels = FOLDER / LABELS
    return load_base(
        "zoo:cifar_resnet20",
        weights=FOLDER / WEIGHTS,
        labels_file=labels,
        model_args={"num_classes": len(labels.read_text(encoding="utf-8").splitlines())},
    )


def tensors(split: Any) -> tuple[Tensor, Tensor]:
    """Normalised images (n, 3, 32, 32) and labels (n)."""
    preparation = ZOO["cifar_resnet20"].preprocessing
    pixels = np.stack([np.asarray(image.convert("RGB")) for image in split["image"]])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(part).view(3, 1, 1) for part in (preparation.mean, preparation.std))
    return (images - mean) / std, torch.tensor(split["label"])


def shifted(images: Tensor) -> Tensor:
    """A batch moved as one by up to ``SHIFT`` pixels each way."""
    down, across = torch.randint(2 * SHIFT + 1, (2,)).tolist()
    wide = F.pad(images, (SHIFT,) * 4, mode="replicate")
    return wide[:, :, down : down + images.shape[2], across : across + images.shape[3]]


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images whose highest logit is their label's."""
    model.eval()
    answers = torch.cat([model(part).argmax(1) for part in images.split(256)])
    return float((answers == labels).float().mean())


def train(shared: Path, out: Path, *, epochs: int, seed: int) -> dict[str, Any]:
    """Train and write weights and labels; returns what was measured."""
    start = time.process_time()
    torch.manual_seed(seed)
    data = datasets.load_dataset(str(shared / "data" / "gtsrb"))
    names = data["train"].features["label"].names
    images, labels = tensors(data["train"])
    model = ZOO["cifar_resnet20"].build(num_classes=len(names))
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=RATE, momentum=0.9, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    steps = epochs * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for epoch in range(epochs):
        model.train()
        for numbers in torch.randperm(len(images)).split(BATCH):
            loss = F.cross_entropy(model(shifted(images[numbers])), labels[numbers])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(epoch, round(loss.item(), 3), round(time.process_time() - start), flush=True)
    found = accuracy(model, *tensors(data["test"]))
    out.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, out / WEIGHTS)
    (out / LABELS).write_text("\n".join(names) + "\n", encoding="utf-8")
    return {"test_accuracy": found, "n": len(data["test"]), "seed": seed, "epochs": epochs}


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = train(args.shared, args.out or FOLDER, epochs=args.epochs, seed=args.seed)
    print(json.dumps(found, indent=1))
