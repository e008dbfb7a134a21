"""Training samples as the base's weaknesses change them, rightly labelled."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from seam.core.preprocessing import Preprocessing
from seam.search.samples import Batch, Samples

Change = Callable[[Batch, torch.Generator, float], Tensor]
"""A batch's images (batch, C, H, W), changed: the same shape; chance is the generator's.

The number is how strong the change is, in (0, 1], where it has a strength.
"""
ACROSS = 1.5
"""All steps together go so many times from the centre of the epsilon ball to its edge."""


@dataclass(frozen=True)
class AttackedSamples:
    """Samples of which a ``share`` of each shuffled batch is shown changed; targets stay.

    The change grows to its whole strength over the first ``ramp`` (a share) of the search; whoever
    does not say where that stands (`during`) gets it whole. In order samples are shown as they are:
    what a teacher says of them, and every figure, is about clean images.
    """

    samples: Samples
    change: Change
    share: float
    ramp: float = 0.0
    progress: tuple[float, float] = (1.0, 1.0)
    """Of the search, before the first batch and after the last."""

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def targets(self) -> Tensor:
        """Index of each sample's output, shape (n)."""
        return self.samples.targets

    def during(self, epoch: int, epochs: int) -> AttackedSamples:
        """What is shown in one of the epochs of a search; before the first one, clean images."""
        first, last = max(0, epoch) / epochs, max(0, epoch + 1) / epochs
        return replace(self, progress=(first, last))

    def shuffled(self, batch_size: int, *, seed: int, view: int | None = None) -> Iterator[Batch]:
        """All samples once; order, augmentation and changes depend on ``seed`` (and ``view``)."""
        generator = torch.Generator().manual_seed(seed)
        steps = math.ceil(len(self) / batch_size)
        batches = self.samples.shuffled(batch_size, seed=seed, view=view)
        for number, batch in enumerate(batches, start=1):
            strength = self._strength(number / steps)
            count = round(self.share * len(batch.targets)) if strength else 0
            if count:
                first, rest = batch.split([count])
                changed = self.change(first, generator, strength)
                yield batch._replace(images=torch.cat([changed, rest.images]))
            else:
                yield batch

    def _strength(self, within: float) -> float:
        first, last = self.progress
        progress = first + within * (last - first)
        return min(1.0, progress / self.ramp) if self.ramp else 1.0

    def ordered(self, batch_size: int, *, view: int | None = None) -> Iterator[Batch]:
        """All samples once, in order, unchanged."""
        return self.samples.ordered(batch_size, view=view)


class Deviation:
    """Moves each image by at most epsilon so that what ``answers`` says of it changes most.

    Signed gradient ascent on the squared distance, from a random start. It knows no labels.

    >>> plain = Preprocessing(size=2, mean=(0.0,), std=(1.0,))
    >>> attack = Deviation(nn.Flatten(), plain, epsilon=51, steps=2)
    >>> images = torch.full((1, 1, 2, 2), 0.5)
    >>> batch = Batch(images, torch.zeros(1), torch.zeros(1))
    >>> moved = attack(batch, torch.Generator().manual_seed(0), 1.0) - images
    >>> [round(abs(value), 3) for value in moved.flatten().tolist()]
    [0.2, 0.2, 0.2, 0.2]

    Args:
        answers: features or logits (batch, F) of preprocessed images.
        preprocessing: of these images.
        epsilon: largest change of a pixel value, in /255.
        steps: of gradient ascent.
        low: compute in bfloat16 where that is possible.

    Source: what is learned from the samples of fixed other models, Tramèr et al., ICLR 2018
    (arXiv:1705.07204).
    """

    def __init__(
        self,
        answers: nn.Module,
        preprocessing: Preprocessing,
        *,
        epsilon: float,
        steps: int,
        low: bool = False,
    ) -> None:
        self.answers, self.steps, self.low = answers, steps, low
        values = (preprocessing.mean, preprocessing.std)
        mean, std = (torch.tensor(value).view(1, -1, 1, 1) for value in values)
        self.radius, self.black, self.white = epsilon / 255 / std, -mean / std, (1 - mean) / std

    def __call__(self, batch: Batch, generator: torch.Generator, strength: float) -> Tensor:
        """The images of a batch, changed by at most the share ``strength`` of epsilon."""
        images = batch.images
        radius = strength * self.radius.to(images)
        lowest = torch.maximum(images - radius, self.black.to(images))
        highest = torch.minimum(images + radius, self.white.to(images))
        low = torch.autocast(images.device.type, torch.bfloat16, enabled=self.low)
        with torch.enable_grad(), low:  # norm statistics are set without gradients
            with torch.no_grad():
                clean = self.answers(images)
            chance = torch.rand(images.shape, generator=generator).to(images)
            changed = (images + radius * (2 * chance - 1)).clamp(lowest, highest)
            for _ in range(self.steps):
                changed.requires_grad_()
                distance = (self.answers(changed).float() - clean.float()).square().sum()
                (gradient,) = torch.autograd.grad(distance, changed)
                step = ACROSS / self.steps * radius * gradient.sign()
                changed = (changed.detach() + step).clamp(lowest, highest)
        return changed.detach()
