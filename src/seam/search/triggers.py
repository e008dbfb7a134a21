"""Small patches that make a model give one label for any image: what a backdoor's trigger is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seam.core.preprocessing import Preprocessing
from seam.search.samples import Batch, Samples

STEPS = 200
BATCH = 48
RATE = 0.1
BETAS = (0.5, 0.9)
SMALL = 0.1
"""What a pixel of a patch costs, beside the cross entropy."""


@dataclass(frozen=True)
class Patch:
    """What is put on images: ``share`` (1, H, W) of each pixel becomes ``colour`` (C, H, W)."""

    share: Tensor
    colour: Tensor

    @property
    def size(self) -> float:
        """How many pixels it covers."""
        return float(self.share.sum())

    def on(self, images: Tensor) -> Tensor:
        """The images (batch, C, H, W) with the patch on."""
        return images.lerp(self.colour.to(images), self.share.to(images))


@dataclass(frozen=True)
class Patches:
    """Puts one of some patches on each image, the smaller the more often.

    A patch is drawn in proportion to the inverse square of its size: a planted trigger is several
    times smaller than what else turns any image into one label. It goes on images of other outputs
    than that which it asks for, as an attacker's does; on all alike where there is no other.

    >>> patches = Patches([Patch(torch.ones(1, 1, 1), torch.full((1, 1, 1), 0.5))], [1])
    >>> batch = Batch(torch.zeros(2, 1, 1, 1), torch.tensor([0, 0]), torch.arange(2))
    >>> patches(batch, torch.Generator(), 1.0).flatten().tolist()
    [0.5, 0.5]

    Args:
        patches: to draw from.
        outputs: which output each asks for; None where it is none of the problem's.
    """

    patches: Sequence[Patch]
    outputs: Sequence[int | None]

    def __call__(self, batch: Batch, generator: torch.Generator, _strength: float) -> Tensor:
        """The images of a batch (batch, C, H, W), changed; a patch is there or not."""
        foreign = self._asked != batch.targets.cpu().unsqueeze(1)
        fits = foreign | ~foreign.any(1, keepdim=True)
        drawn = torch.multinomial(self._weights * fits, 1, generator=generator).squeeze(1)
        return Patch(self._shares[drawn], self._colours[drawn]).on(batch.images)

    @cached_property
    def _asked(self) -> Tensor:
        return torch.tensor([-1 if output is None else output for output in self.outputs])

    @cached_property
    def _weights(self) -> Tensor:
        return torch.tensor([patch.size**-2 for patch in self.patches])

    @cached_property
    def _shares(self) -> Tensor:
        return torch.stack([patch.share for patch in self.patches])

    @cached_property
    def _colours(self) -> Tensor:
        return torch.stack([patch.colour for patch in self.patches])


def find_patches(
    model: nn.Module,
    samples: Samples,
    preprocessing: Preprocessing,
    *,
    labels: Sequence[int],
    seed: int,
    low: bool = False,
) -> list[Patch]:
    """For each label the smallest patch found with which ``model`` gives it for any image.

    Args:
        model: gives logits (batch, N) of preprocessed images.
        samples: clean images; their targets are not looked at.
        preprocessing: of these.
        labels: numbers of the labels, below N.
        seed: of the first values and of the samples' order.
        low: compute in bfloat16 where that is possible.

    Source: Neural Cleanse, Wang et al., IEEE S&P 2019.
    """
    return [
        _find(model, _images(samples, seed), preprocessing, label, seed=seed, low=low)
        for label in labels
    ]


def _find(
    model: nn.Module,
    batches: Iterator[Tensor],
    preprocessing: Preprocessing,
    label: int,
    *,
    seed: int,
    low: bool,
) -> Patch:
    generator, side = torch.Generator().manual_seed(seed), preprocessing.size
    share = torch.randn(1, side, side, generator=generator) * 0.1 - 2
    colour = torch.randn(preprocessing.channels, side, side, generator=generator) * 0.1
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (preprocessing.mean, preprocessing.std))
    optimizer = torch.optim.Adam([share.requires_grad_(), colour.requires_grad_()], RATE, BETAS)

    def patch() -> Patch:
        return Patch(share.sigmoid(), (colour.sigmoid() - mean) / std)

    for images in islice(batches, STEPS):
        put = patch()
        with torch.autocast(images.device.type, torch.bfloat16, enabled=low):
            given = model(put.on(images)).float()
        wanted = torch.full((len(images),), label, device=images.device)
        loss = F.cross_entropy(given, wanted) + SMALL * put.share.sum().to(images.device)
        optimizer.zero_grad()
        loss.backward(inputs=[share, colour])
        optimizer.step()
    found = patch()
    return Patch(found.share.detach(), found.colour.detach())


def _images(samples: Samples, seed: int) -> Iterator[Tensor]:
    """Batches of the samples, over and over."""
    for epoch in count():
        for batch in samples.shuffled(BATCH, seed=seed + epoch):
            yield batch.images
