"""VGG-16 with batch normalisation for 32-pixel images (arXiv:1409.1556, configuration D)."""

from __future__ import annotations

from torch import Tensor, nn

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Width and number of convolutions of each stage; a 2x2 max-pool ends each."""


class CifarVgg16(nn.Module):
    """VGG-16-BN whose five pools reduce a 32-pixel image to one position.

    >>> import torch
    >>> CifarVgg16().eval()(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 10])

    Parameters are named ``features.N`` (convolution with bias, norm, ReLU, pool, numbered through)
    and ``classifier.{0,3,6}`` (512-512-``num_classes``).

    Shapes: ``(N, 3, 32, 32)`` to logits ``(N, num_classes)``.

    Source: Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", table 1, column D; narrow classifier and batch normalisation as usual on CIFAR.
    """

    def __init__(self, *, num_classes: int = 10) -> None:
        super().__init__()
        self.features = _features()
        width = STAGES[-1][0]
        self.classifier = nn.Sequential(
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(width, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        logits: Tensor = self.classifier(self.features(x).flatten(1))
        return logits


def cifar_vgg16(*, num_classes: int = 10) -> CifarVgg16:
    """VGG-16-BN for 32-pixel images, 15.3 million parameters.

    >>> cifar_vgg16(num_classes=3).classifier[6].out_features
    3

    Shapes and source: see :class:`CifarVgg16`.
    """
    return CifarVgg16(num_classes=num_classes)


def _features() -> nn.Sequential:
    layers: list[nn.Module] = []
    in_width = 3
    for width, convolutions in STAGES:
        for _ in range(convolutions):
            layers += [nn.Conv2d(in_width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            in_width = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)
