"""What a base model expects of an image: size, scaling and normalisation."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from seam.errors import ConfigError

MAX_SIDE = 4096
"""Largest side in pixels to which an image is resized: more would take all memory."""
Content = Literal["image", "text"]
"""What a sample is."""


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How an image becomes the tensor a base model was trained on.

    >>> Preprocessing(size=32, mean=(0.5,), std=(0.5,)).channels
    1

    An image is resized so that its shorter side is ``size / crop_fraction`` pixels, cropped in the
    centre to ``size`` x ``size`` pixels, scaled to [0, 1], and normalised per channel with ``mean``
    and ``std`` (both in units of that scale).

    Raises:
        ConfigError: a value is out of range, or ``mean`` and ``std`` differ in length.
    """

    content: ClassVar[Content] = "image"

    size: int
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    crop_fraction: float = 1.0
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        whole = isinstance(self.size, int) and not isinstance(self.size, bool)
        if not whole or not 1 <= self.size <= MAX_SIDE:
            raise ConfigError(
                f"input size is {self.size} pixels; give a whole number from 1 to {MAX_SIDE}"
            )
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise ConfigError(
                f"mean has {len(self.mean)} values and std {len(self.std)}; give 1 or 3 of each"
            )
        if not all(map(math.isfinite, self.mean)):
            raise ConfigError(f"mean is {self.mean}; every value must be a number")
        if not all(0 < value < math.inf for value in self.std):
            raise ConfigError(f"std is {self.std}; every value must be above 0")
        if not 0 < self.crop_fraction <= 1:
            raise ConfigError(f"crop fraction is {self.crop_fraction}; give a value in (0, 1]")
        if self.size > MAX_SIDE * self.crop_fraction:
            raise ConfigError(
                f"images of {self.size} pixels and a crop fraction of {self.crop_fraction} would "
                f"be resized to more than {MAX_SIDE}; give a smaller size, or a larger fraction"
            )
        if self.interpolation not in ("bicubic", "bilinear", "nearest"):
            raise ConfigError(
                f"interpolation is '{self.interpolation}'; give bicubic, bilinear or nearest"
            )

    @property
    def channels(self) -> int:
        """Number of image channels: 1 (grey) or 3 (RGB)."""
        return len(self.mean)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for YAML and JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocessing:
        """Inverse of :meth:`to_dict`."""
        return cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})
