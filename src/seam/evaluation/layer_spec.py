"""A layer as a latency table sees it: its kind and sizes, without weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from seam.errors import ConfigError

Pair = tuple[int, int]
WIDTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072)
"""Channel counts at which layers are timed, up to their full width."""


@dataclass(frozen=True)
class LayerSpec:
    """A convolution or linear layer at its full width, with a ReLU after it.

    >>> LayerSpec("conv", 64, 128, kernel=(3, 3), padding=(1, 1), height=16, width=16).macs
    18874368

    ``height`` and ``width`` are those of the input; a linear layer is applied to that many rows.
    ``groups`` equal to both channel counts make a convolution depthwise.

    Raises:
        ConfigError: a size is not positive, or the groups do not divide the channels.
    """

    kind: str
    in_channels: int
    out_channels: int
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    groups: int = 1
    height: int = 1
    width: int = 1

    def __post_init__(self) -> None:
        sizes = (self.in_channels, self.out_channels, *self.kernel, *self.stride, self.groups)
        sound = self.kind in ("conv", "linear") and all(size > 0 for size in sizes)
        if not sound or min(self.padding) < 0 or min(self.output) < 1:
            raise ConfigError(f"{self} cannot be timed; give kind conv or linear and sizes above 0")
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ConfigError(f"{self} cannot be timed; its groups must divide both channel counts")

    @property
    def output(self) -> Pair:
        """Height and width of the output."""
        height, width = (
            (size + 2 * pad - kernel) // stride + 1
            for size, pad, kernel, stride in zip(
                (self.height, self.width), self.padding, self.kernel, self.stride, strict=True
            )
        )
        return height, width

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        weights = self.out_channels * (self.in_channels // self.groups)
        return weights * self.kernel[0] * self.kernel[1] * self.output[0] * self.output[1]

    def narrowed(self, in_channels: int, out_channels: int) -> LayerSpec:
        """This layer with fewer channels. Groups go as a whole: what stays has its full size.

        >>> LayerSpec("conv", 32, 32, groups=32).narrowed(8, 8).groups
        8
        """
        if self.groups == 1:
            return replace(self, in_channels=in_channels, out_channels=out_channels)
        kept = max(1, out_channels * self.groups // self.out_channels)
        return replace(
            self,
            in_channels=kept * self.in_channels // self.groups,
            out_channels=kept * self.out_channels // self.groups,
            groups=kept,
        )

    def grid(self, detail: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Input and output channels to time it at, ``detail`` of each at most.

        >>> LayerSpec("conv", 3, 64).grid(4)
        ((3,), (8, 24, 48, 64))

        With groups both sides go together: the inputs are their full number alone.
        """
        outputs = grid(self.out_channels, detail)
        return ((self.in_channels,) if self.groups > 1 else grid(self.in_channels, detail)), outputs

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {n: list(v) if isinstance(v, tuple) else v for n, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LayerSpec:
        """Inverse of `to_dict`."""
        plain: Any = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
        return cls(**plain)


def grid(full: int, detail: int) -> tuple[int, ...]:
    """Channel counts up to ``full``: at most ``detail``, denser where they are small.

    >>> grid(512, 6)
    (8, 24, 64, 192, 384, 512)
    >>> grid(10, 6)
    (8, 10)
    """
    below = [width for width in WIDTHS if width < full]
    most = max(1, detail - 1)
    if len(below) > most:
        last = len(below) - 1
        below = [below[round(i * last / max(1, most - 1))] for i in range(most)]
    return (*below, full)
