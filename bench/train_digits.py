"""Train the digits base model that the package ships.

Ordinary training with settings fixed beforehand, on the training split alone; the test split is
measured once, after the last epoch, and chooses nothing. The same seed gives the same weights on
the same machine and torch version (safetensors does not fix the order of the metadata).

For example ``python bench/train_digits.py --epochs 20``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import datasets
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from seam.data.digits import load_digits
from seam.models.zoo import ZOO

OUT = Path(__file__).resolve().parents[1] / "src/seam/models/zoo/digits.safetensors"
BATCH_SIZE = 64
LEARNING_RATE = 0.05
WEIGHT_DECAY = 5e-4


def main() -> None:
    """Train, measure and write the weights."""
    parser = argparse.ArgumentParser(description="Train the digits base model.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT, help="weights file to write")
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()

    torch.set_num_threads(1)
    data = load_digits()
    model = train(*tensors(data["train"]), seed=args.seed, epochs=args.epochs)
    test_accuracy = accuracy(model, *tensors(data["test"]))
    metadata = {
        "labels": json.dumps(ZOO["digits"].labels),
        "trained_on": "first 1,200 of scikit-learn's handwritten digits",
        "seed": str(args.seed),
        "epochs": str(args.epochs),
        "test_accuracy": f"{test_accuracy:.4f}",
    }
    save_file(model.state_dict(), args.out, metadata=metadata)
    print(f"test accuracy {test_accuracy:.4f}, {args.out.stat().st_size} bytes, {args.out.name}")


def train(images: Tensor, labels: Tensor, *, seed: int, epochs: int) -> nn.Module:
    """A trained digits model; each batch is shifted by at most a pixel each way."""
    torch.manual_seed(seed)
    model = ZOO["digits"].build()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=WEIGHT_DECAY
    )
    batches = -(-len(images) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches)
    for epoch in range(epochs):
        for chosen in torch.split(torch.randperm(len(images)), BATCH_SIZE):
            loss = F.cross_entropy(model(shifted(images[chosen])), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}: loss of the last batch {loss.item():.4f}")
    return model.eval()


def shifted(images: Tensor) -> Tensor:
    """The batch moved by -1, 0 or 1 pixel in each direction; the paper's colour fills the rim."""
    down, right = torch.randint(0, 3, (2,)).tolist()
    height, width = images.shape[-2:]
    padded = F.pad(images, (1, 1, 1, 1), value=images.min().item())
    return padded[..., down : down + height, right : right + width]


def tensors(split: datasets.Dataset) -> tuple[Tensor, Tensor]:
    """Normalised images ``(N, 1, 8, 8)`` and labels ``(N,)`` of a split."""
    expected = ZOO["digits"].preprocessing
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in split["image"]]))
    images = (pixels[:, None] / 255 - expected.mean[0]) / expected.std[0]
    return images, torch.tensor(split["label"])


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images whose highest logit is the label's."""
    with torch.inference_mode():
        return float((model(images).argmax(dim=1) == labels).double().mean())


if __name__ == "__main__":
    main()
