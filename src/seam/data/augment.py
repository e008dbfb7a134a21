"""Random changes of training images: drawn for all of them at once, made batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Augment = Literal["none", "crop", "crop+flip"]


@dataclass(frozen=True)
class View:
    """What happens to each of n images; drawn once, so that the same view can be shown again.

    Corners are (2, n) pixels, from the top left of an image that ``padding`` was added to on all
    sides, or None; flips are (n) booleans, or None.
    """

    padding: int
    corners: Tensor | None
    flips: Tensor | None

    @classmethod
    def draw(cls, augment: Augment, count: int, padding: int, generator: torch.Generator) -> View:
        """A view of ``count`` images."""
        corners = flips = None
        if augment != "none":
            corners = torch.randint(0, 2 * padding + 1, (2, count), generator=generator)
        if augment == "crop+flip":
            flips = torch.rand(count, generator=generator) < 0.5
        return cls(padding, corners, flips)

    def of(self, images: Tensor, numbers: Tensor) -> Tensor:
        """The images (batch, C, H, W) with these sample numbers (batch), in this view."""
        if self.corners is not None:
            images = shifted(images, self.padding, self.corners[:, numbers])
        if self.flips is not None:
            images = mirrored(images, self.flips[numbers])
        return images


def shifted(images: Tensor, padding: int, corners: Tensor) -> Tensor:
    """Each image's crop, of its own size, at ``corners`` (2, batch) of itself padded with zeros."""
    count, _, height, width = images.shape
    padded = F.pad(images, (padding,) * 4)
    top, left = corners[..., None]
    rows = (torch.arange(height) + top).to(images.device)
    columns = (torch.arange(width) + left).to(images.device)
    which = torch.arange(count, device=images.device).view(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )


def mirrored(images: Tensor, flips: Tensor) -> Tensor:
    """The images, those where ``flips`` (batch) holds mirrored left to right."""
    return torch.where(flips.view(-1, 1, 1, 1).to(images.device), images.flip(3), images)
