"""Attacks by the adversarial-robustness-toolbox, in pixel units on images in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seam.defects.pixels import ATTACK_BATCH, batch_size, device_of
from seam.exporting.extras import needs

Progress = Callable[[int, int], None]
"""Told how many of how many batches are done."""

FAR = 1000.0
"""Where feature 0 is pushed to; no network's features get there."""
OTHERS = 0.1
"""Weight of the other features, which are pushed to 0."""
STEPS_ACROSS = 10
"""Steps from the centre of the epsilon ball to its edge, as published."""
APGD_STEPS = 100
SQUARE_QUERIES = 1000


@dataclass(frozen=True, kw_only=True)
class Strength:
    """How hard an attack tries.

    >>> Strength(epsilon=8).step
    0.8

    ``epsilon``, ``step``: largest change of a pixel value, over all and in one step, in /255.
    """

    epsilon: float = 8.0
    steps: int = 40

    @property
    def step(self) -> float:
        """Change of a pixel value in one step, in /255."""
        return self.epsilon / STEPS_ACROSS


class FarFeatures(nn.Module):
    """The loss that a feature attack maximises: feature 0 near ``FAR``, all others near 0.

    >>> near, far = torch.zeros(1, 3), torch.tensor([[5.0, 0.0, 0.0]])
    >>> bool(FarFeatures()(far, None) > FarFeatures()(near, None))
    True

    Source: the task-agnostic attack of Rezaei and Liu, ICLR 2020, as ReMoS and SeaM use it.
    """

    def forward(self, features: Tensor, _labels: Tensor | None) -> Tensor:
        """A number for features (batch, F)."""
        distance = (features[:, 0] - FAR) ** 2
        if features.shape[1] > 1:
            distance = distance + OTHERS * (features[:, 1:] ** 2).mean(1)
        return -distance.sum()


def feature_attack(
    features: nn.Module,
    images: Tensor,
    *,
    strength: Strength,
    seed: int,
    progress: Progress | None = None,
) -> Tensor:
    """Images whose features are far off: projected gradient descent, L-infinity, random start.

    >>> far = feature_attack(nn.Flatten(), torch.zeros(1, 1, 1, 2), strength=Strength(), seed=0)
    >>> (255 * far).round().tolist()
    [[[[8.0, 0.0]]]]

    Args:
        features: gives (batch, F) for images in [0, 1]; see `features_on_pixels`.
        images: (n, C, H, W) in [0, 1].
        strength: epsilon and steps.
        seed: of the random starts.
        progress: told about finished batches.

    Returns:
        Images of the same shape on the CPU, in [0, 1], at most epsilon away.

    Raises:
        MissingExtraError: adversarial-robustness-toolbox is not installed.
    """
    width = max(2, _width(features, images))  # the library knows no classifier with one output
    labels = torch.zeros(len(images), dtype=torch.long)
    attack = _pgd(_estimator(features, FarFeatures(), images, width), strength)
    return _attacked(attack, images, labels, width, strength.epsilon, seed, progress)


def logit_attack(
    answers: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    strength: Strength,
    seed: int,
    progress: Progress | None = None,
) -> Tensor:
    """Images that ``answers`` gets wrong: untargeted projected gradient descent, L-infinity.

    >>> images, targets = torch.tensor([[[[0.51, 0.49]]]]), torch.tensor([0])
    >>> wrong = logit_attack(nn.Flatten(), images, targets, strength=Strength(), seed=0)
    >>> nn.Flatten()(wrong).argmax(1).tolist()
    [1]

    Args:
        answers: gives (batch, K) logits for images in [0, 1].
        images: (n, C, H, W) in [0, 1].
        targets: the right outputs, (n).
        strength: epsilon and steps.
        seed: of the random starts.
        progress: told about finished batches.

    Returns, raises: as `feature_attack`.
    """
    width = _width(answers, images)
    loss = nn.CrossEntropyLoss(reduction="sum")  # a sample's gradient knows no batch
    attack = _pgd(_estimator(answers, loss, images, width), strength)
    return _attacked(attack, images, targets, width, strength.epsilon, seed, progress)


def auto_attack(
    answers: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    epsilon: float,
    seed: int,
    progress: Progress | None = None,
) -> Tensor:
    """Images that ``answers`` gets wrong, by AutoAttack's parts, each on what the last left right.

    APGD on the cross-entropy, APGD on the difference of logits ratio (from three outputs on), then
    Square, which needs no gradients. The published fourth part, FAB, is not in the library.

    >>> images, targets = torch.tensor([[[[0.51, 0.49]]]]), torch.tensor([0])
    >>> wrong = auto_attack(nn.Flatten(), images, targets, epsilon=8, seed=0)
    >>> nn.Flatten()(wrong).argmax(1).tolist()
    [1]

    Square gets 1,000 queries an image here. ``epsilon`` is in /255; all else is as for
    `logit_attack`. Source: Croce and Hein, ICML 2020.
    """
    needs("art", extra="defects")
    from art.attacks.evasion import AutoAttack

    width = _width(answers, images)
    estimator = _estimator(answers, nn.CrossEntropyLoss(), images, width)
    bounds = {"norm": np.inf, "eps": epsilon / 255, "batch_size": batch_size(images)}
    with _seeded(seed):  # building the parts draws numbers, too
        parts = _parts(estimator, bounds, width)
        attack = AutoAttack(estimator, **bounds, eps_step=0.1, attacks=parts)
    return _attacked(attack, images, targets, width, epsilon, seed, progress)


def _parts(estimator: Any, bounds: dict[str, Any], width: int) -> list[Any]:
    """What AutoAttack tries, in turn."""
    from art.attacks.evasion import AutoProjectedGradientDescent, SquareAttack

    losses = ["cross_entropy", "difference_logits_ratio"][: 1 if width < 3 else 2]
    descents = [
        AutoProjectedGradientDescent(
            estimator,
            **bounds,
            eps_step=2 * bounds["eps"],
            max_iter=APGD_STEPS,
            nb_random_init=1,
            loss_type=loss,
            verbose=False,
        )
        for loss in losses
    ]
    queries = {"max_iter": SQUARE_QUERIES, "p_init": 0.8, "nb_restarts": 1, "verbose": False}
    return [*descents, SquareAttack(estimator, **bounds, **queries)]


def _pgd(estimator: Any, strength: Strength) -> Any:
    needs("art", extra="defects")
    from art.attacks.evasion import ProjectedGradientDescentPyTorch

    return ProjectedGradientDescentPyTorch(
        estimator,
        norm=np.inf,
        eps=strength.epsilon / 255,
        eps_step=strength.step / 255,
        max_iter=strength.steps,
        num_random_init=1,
        batch_size=ATTACK_BATCH,  # it is given one batch at a time
        verbose=False,
    )


def _estimator(model: nn.Module, loss: nn.Module, images: Tensor, width: int) -> Any:
    """The library's view of a module; its only preprocessing is in the module."""
    needs("art", extra="defects")
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        model,
        loss,
        input_shape=tuple(images.shape[1:]),
        nb_classes=width,
        clip_values=(0.0, 1.0),
        device_type="gpu" if device_of(model).type == "cuda" else "cpu",
    )


def _attacked(
    attack: Any,
    images: Tensor,
    targets: Tensor,
    width: int,
    epsilon: float,
    seed: int,
    progress: Progress | None,
) -> Tensor:
    """Run an attack batch by batch."""
    images, found = images.cpu(), []
    labels = nn.functional.one_hot(targets.cpu(), width).float()
    parts = list(
        zip(images.split(batch_size(images)), labels.split(batch_size(images)), strict=True)
    )
    with _seeded(seed):
        for number, (clean, label) in enumerate(parts):
            changed = torch.from_numpy(attack.generate(clean.numpy(), label.numpy()))
            found.append(_within(changed, clean, epsilon / 255))
            if progress is not None:
                progress(number + 1, len(parts))
    return torch.cat(found) if found else images


def _within(changed: Tensor, clean: Tensor, epsilon: float) -> Tensor:
    """The nearest images in [0, 1] and within epsilon: rounding has moved some out of it."""
    return changed.clamp((clean - epsilon).clamp_min(0), (clean + epsilon).clamp_max(1))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The library draws from NumPy's and PyTorch's global generators; put them back afterwards."""
    before = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(before)


@torch.no_grad()
def _width(model: nn.Module, images: Tensor) -> int:
    """How many outputs a module has."""
    outputs: Tensor = model(images[:1].to(device_of(model)))
    return outputs.shape[1]
