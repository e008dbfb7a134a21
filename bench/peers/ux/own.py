"""What the user has before the job: a trained module of their own, and an image folder.

`make` writes both into the current folder: `images/train/3/0012.png` and so on from scikit-learn's
digits (the first 1,200 train, the last 597 test), enlarged to 16 pixels; and `net.pt`, trained on
all ten.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LABELS = tuple("0123456789")
PIXELS = 16
MEAN = STD = (0.5,)
TRAIN = 1200
EPOCHS = 8


class Net(nn.Module):
    """A small residual network for grey images of 16 pixels."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.stem = _block(1, width)
        self.first = _block(width, width)
        self.down = _block(width, 2 * width, stride=2)
        self.second = _block(2 * width, 2 * width)
        self.classifier = nn.Linear(2 * width, len(LABELS))

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images)
        features = self.down(features + self.first(features))
        features = features + self.second(features)
        return self.classifier(features.mean((2, 3)))


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def net() -> Net:
    """The trained module, in evaluation mode."""
    found = Net()
    found.load_state_dict(torch.load("net.pt", weights_only=True))
    return found.eval()


def make() -> None:
    """Write the image folder, train the module on its training part, write its weights."""
    images, targets = _pictures()
    torch.manual_seed(0)
    module = Net()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.003)
    for _ in range(EPOCHS):
        for batch in torch.randperm(TRAIN).split(64):
            optimizer.zero_grad()
            F.cross_entropy(module(images[batch]), targets[batch]).backward()
            optimizer.step()
    torch.save(module.state_dict(), "net.pt")


def _pictures() -> tuple[Tensor, Tensor]:
    """Write the folder; return its training part as tensors."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    loaded = []
    for number, (values, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        small = Image.fromarray((values * 255 / 16).round().astype("uint8"))
        picture = small.resize((PIXELS, PIXELS), Image.Resampling.BILINEAR)
        folder = Path("images", "train" if number < TRAIN else "test", LABELS[label])
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"{number:04}.png")
        loaded.append(torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8))
    pixels = torch.stack(loaded[:TRAIN]).reshape(-1, 1, PIXELS, PIXELS) / 255
    return (pixels - MEAN[0]) / STD[0], torch.tensor(digits.target[:TRAIN])


if __name__ == "__main__":
    make()
