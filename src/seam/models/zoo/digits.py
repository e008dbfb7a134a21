"""A small convolutional net for 8-pixel grey handwritten digits."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class DigitsNet(nn.Module):
    """Three 3x3 convolutions with batch normalisation, then the mean over positions.

    >>> import torch
    >>> DigitsNet()(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])

    Parameters are named ``conv1 bn1 conv2 bn2 conv3 bn3 fc``.

    Shapes: ``(N, 1, 8, 8)`` to logits ``(N, num_classes)``.

    Source: ours; the weights that the package ships are made by ``bench/train_digits.py``.
    """

    def __init__(self, *, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.conv3 = nn.Conv2d(64, 96, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(96)
        self.fc = nn.Linear(96, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.max_pool2d(F.relu(self.bn2(self.conv2(out))), 2)
        out = F.relu(self.bn3(self.conv3(out)))
        logits: Tensor = self.fc(out.mean(dim=(2, 3)))
        return logits


def digits(*, num_classes: int = 10) -> DigitsNet:
    """Small net for 8-pixel grey digits, 75 thousand parameters.

    >>> digits(num_classes=2).fc.out_features
    2

    Shapes and source: see :class:`DigitsNet`.
    """
    return DigitsNet(num_classes=num_classes)
