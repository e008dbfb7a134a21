"""CIFAR ResNets of He et al. 2016 (arXiv:1512.03385), section 4.2."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from seam.errors import ModelError
from seam.masking.sides import ChannelLayer

WIDTHS = (16, 32, 64)


class PadShortcut(ChannelLayer):
    """Every second pixel, and zeros for the channels that are new (option A of the paper).

    >>> import torch
    >>> PadShortcut(16, 32, stride=2)(torch.zeros(1, 16, 8, 8)).shape
    torch.Size([1, 32, 4, 4])

    Half of the new channels come before the old ones, half after.

    Shapes: ``(N, in_width, H, W)`` to ``(N, out_width, H / stride, W / stride)``.
    """

    def __init__(self, in_width: int, out_width: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.in_width = in_width
        self.before = (out_width - in_width) // 2
        self.after = out_width - in_width - self.before

    def forward(self, x: Tensor) -> Tensor:
        """The shortcut of a batch of feature maps."""
        picked = x[:, :, :: self.stride, :: self.stride]
        return F.pad(picked, (0, 0, 0, 0, self.before, self.after))

    def widths(self) -> tuple[int, int]:
        """Number of input and of output channels."""
        return self.in_width, self.before + self.in_width + self.after

    def coupled(self) -> list[tuple[int, int]]:
        """Each input channel with the output that it becomes."""
        return [(channel, self.before + channel) for channel in range(self.in_width)]

    def keep(self, inputs: Tensor, outputs: Tensor) -> None:
        """Go on with the channels of these numbers."""
        first, last = self.before, self.before + self.in_width
        self.before = int((outputs < first).sum())
        self.after = int((outputs >= last).sum())
        self.in_width = len(inputs)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters.

    >>> import torch
    >>> BasicBlock(16, 32, stride=2)(torch.zeros(1, 16, 8, 8)).shape
    torch.Size([1, 32, 4, 4])

    Shapes: ``(N, in_width, H, W)`` to ``(N, out_width, H / stride, W / stride)``.
    """

    def __init__(self, in_width: int, out_width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_width, out_width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_width)
        self.conv2 = nn.Conv2d(out_width, out_width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_width)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and in_width == out_width
            else PadShortcut(in_width, out_width, stride=stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The block's output for a batch of feature maps."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class CifarResNet(nn.Module):
    """ResNet of ``6 n + 2`` layers for 32-pixel images.

    >>> import torch
    >>> CifarResNet(depth=20)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])

    Parameters are named ``conv1 bn1 layer{1,2,3}.{i}.{conv1,bn1,conv2,bn2} linear``.

    Shapes: ``(N, 3, 32, 32)`` to logits ``(N, num_classes)``.

    Raises:
        ModelError: ``depth`` is not ``6 n + 2``.

    Source: He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2.
    """

    def __init__(self, *, depth: int, num_classes: int = 10) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ModelError(f"depth is {depth}; give 6 n + 2, such as 20, 32 or 56")
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], blocks=blocks, stride=1)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], blocks=blocks, stride=2)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], blocks=blocks, stride=2)
        self.linear = nn.Linear(WIDTHS[2], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        logits: Tensor = self.linear(out.mean(dim=(2, 3)))
        return logits


def cifar_resnet20(*, num_classes: int = 10) -> CifarResNet:
    """ResNet-20 for 32-pixel images, 0.27 million parameters.

    >>> cifar_resnet20(num_classes=3).linear.out_features
    3

    Shapes and source: see :class:`CifarResNet`.
    """
    return CifarResNet(depth=20, num_classes=num_classes)


def cifar_resnet32(*, num_classes: int = 10) -> CifarResNet:
    """ResNet-32 for 32-pixel images, 0.46 million parameters.

    >>> len(cifar_resnet32().layer1)
    5

    Shapes and source: see :class:`CifarResNet`.
    """
    return CifarResNet(depth=32, num_classes=num_classes)


def cifar_resnet56(*, num_classes: int = 10) -> CifarResNet:
    """ResNet-56 for 32-pixel images, 0.85 million parameters.

    >>> len(cifar_resnet56().layer1)
    9

    Shapes and source: see :class:`CifarResNet`.
    """
    return CifarResNet(depth=56, num_classes=num_classes)


def _stage(in_width: int, out_width: int, *, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_width, out_width, stride=stride)
    return nn.Sequential(first, *(BasicBlock(out_width, out_width) for _ in range(blocks - 1)))
