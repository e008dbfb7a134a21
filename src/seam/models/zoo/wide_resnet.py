"""Pre-activation wide ResNets of Zagoruyko and Komodakis 2016 (arXiv:1605.07146)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from seam.errors import ModelError


class PreActBlock(nn.Module):
    """Norm and ReLU before each of two 3x3 convolutions.

    >>> import torch
    >>> PreActBlock(16, 32, stride=2)(torch.zeros(1, 16, 8, 8)).shape
    torch.Size([1, 32, 4, 4])

    Where the widths differ, the shortcut is a 1x1 convolution of the normalised input; where they
    are equal, it is the input itself.

    Shapes: ``(N, in_width, H, W)`` to ``(N, out_width, H / stride, W / stride)``.
    """

    def __init__(self, in_width: int, out_width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_width)
        self.conv1 = nn.Conv2d(in_width, out_width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_width)
        self.conv2 = nn.Conv2d(out_width, out_width, 3, padding=1, bias=False)
        # The name is that of the published weights.
        self.convShortcut = (
            None
            if in_width == out_width
            else nn.Conv2d(in_width, out_width, 1, stride=stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The block's output for a batch of feature maps."""
        active = F.relu(self.bn1(x))
        shortcut = x if self.convShortcut is None else self.convShortcut(active)
        branch: Tensor = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return shortcut + branch


class PreActStage(nn.Module):
    """Blocks of one width, the first of which may stride; they are named ``layer.{i}``.

    >>> len(PreActStage(16, 32, blocks=2, stride=2).layer)
    2

    Shapes: as :class:`PreActBlock`.
    """

    def __init__(self, in_width: int, out_width: int, *, blocks: int, stride: int) -> None:
        super().__init__()
        first = PreActBlock(in_width, out_width, stride=stride)
        rest = (PreActBlock(out_width, out_width) for _ in range(blocks - 1))
        self.layer = nn.Sequential(first, *rest)

    def forward(self, x: Tensor) -> Tensor:
        """The stage's output for a batch of feature maps."""
        out: Tensor = self.layer(x)
        return out


class WideResNet(nn.Module):
    """Wide ResNet of ``6 n + 4`` layers for 32-pixel images.

    >>> import torch
    >>> WideResNet(depth=16, width=1)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])

    Parameters are named
    ``conv1 block{1,2,3}.layer.{i}.{bn1,conv1,bn2,conv2[,convShortcut]} bn1 fc``.

    Shapes: ``(N, 3, 32, 32)`` to logits ``(N, num_classes)``.

    Raises:
        ModelError: ``depth`` is not ``6 n + 4``, or ``width`` is below 1.

    Source: Zagoruyko and Komodakis 2016, "Wide Residual Networks", section 3.
    """

    def __init__(self, *, depth: int, width: int, num_classes: int = 10) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise ModelError(f"depth is {depth}; give 6 n + 4, such as 16 or 28")
        if width < 1:
            raise ModelError(f"width factor is {width}; give at least 1")
        blocks = (depth - 4) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.block1 = PreActStage(16, 16 * width, blocks=blocks, stride=1)
        self.block2 = PreActStage(16 * width, 32 * width, blocks=blocks, stride=2)
        self.block3 = PreActStage(32 * width, 64 * width, blocks=blocks, stride=2)
        self.bn1 = nn.BatchNorm2d(64 * width)
        self.fc = nn.Linear(64 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        out = self.block3(self.block2(self.block1(self.conv1(x))))
        logits: Tensor = self.fc(F.relu(self.bn1(out)).mean(dim=(2, 3)))
        return logits


def wrn16_1(*, num_classes: int = 10) -> WideResNet:
    """WRN-16-1 for 32-pixel images, 0.18 million parameters.

    >>> wrn16_1(num_classes=3).fc.out_features
    3

    Shapes and source: see :class:`WideResNet`.
    """
    return WideResNet(depth=16, width=1, num_classes=num_classes)
