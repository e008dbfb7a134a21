"""Whose defects are measured, and the images that show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seam.core.preprocessing import Preprocessing
from seam.data.images import ImageSamples

SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Subjects:
    """A base, a result made from it, and the problem that both answer.

    Args:
        base: gives (batch, N) logits of its own labels for preprocessed images.
        answers: the base's own outputs for the problem, (batch, K): restricted, or of a new head.
        result: gives (batch, K) outputs.
        base_labels: the N labels.
        outputs: names of the K outputs.
        members: the base labels that each output stands for; empty where they are not the base's.
        preprocessing: what all three expect of an image.
        test: the problem's test samples.
        labels: the base label of each of them, (n); -1 where it is none of the base's.
        seed: of the draw of samples and of the attacks.
        head_layer: the base's layer that gives its logits, where that is known.
    """

    base: nn.Module
    answers: nn.Module
    result: nn.Module
    base_labels: Sequence[str]
    outputs: Sequence[str]
    members: Sequence[Sequence[int]]
    preprocessing: Preprocessing
    test: ImageSamples
    labels: Tensor
    seed: int
    head_layer: str | None = None

    def example(self) -> Tensor:
        """A batch of one blank image on the samples' device."""
        side = self.preprocessing.size
        return torch.zeros(1, self.preprocessing.channels, side, side, device=self.test.device)


@dataclass(frozen=True, kw_only=True)
class Examples:
    """A few images (n, C, H, W) in [0, 1] before and after a change, and what was predicted.

    ``base`` and ``result`` hold the predicted labels, before and after.
    """

    name: str
    title: str
    clean: Tensor
    changed: Tensor
    truth: list[str]
    base: tuple[list[str], list[str]]
    result: tuple[list[str], list[str]]


def drawn(available: int, wanted: int, seed: int) -> Tensor:
    """Numbers of ``wanted`` samples (or all there are), in order, that depend on ``seed`` alone.

    >>> len(drawn(100, 10, seed=0)), drawn(3, 10, seed=0).tolist()
    (10, [0, 1, 2])
    """
    order = torch.randperm(available, generator=torch.Generator().manual_seed(seed))
    return order[:wanted].sort().values


def spread(available: int, wanted: int) -> Tensor:
    """Numbers of ``wanted`` samples (or all there are) at even distances.

    >>> spread(9, 3).tolist(), spread(2, 3).tolist()
    ([0, 3, 6], [0, 1])
    """
    count = min(available, wanted)
    return torch.arange(count) * available // max(1, count)


def named(labels: Sequence[str], numbers: Tensor) -> list[str]:
    """Names of some labels.

    >>> named(["cat", "dog"], torch.tensor([1, 0]))
    ['dog', 'cat']
    """
    return [labels[number] for number in numbers.tolist()]
