"""What students inherit of a base: attacks made once on the base, tried on each of them."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from seam.core.preprocessing import Preprocessing
from seam.data.images import ImageSamples
from seam.defects.adversarial import Strength, feature_attack, logit_attack
from seam.defects.inheritance import flip_rate
from seam.defects.pixels import feature_layer, features_on_pixels, on_pixels, predicted
from seam.defects.subjects import Subjects, drawn
from seam.jobs.defects import subjects_of
from seam.jobs.task import Task
from seam.masking.parametrization import MaskSet
from seam.search.attacked import Deviation
from seam.search.saliency import saliency
from seam.search.samples import Batch
from seam.search.strategy import Look, by_saliency

STRENGTH = Strength()
ADAPTIVE = replace(STRENGTH, steps=20)
AWAY = 0.5
"""How much of the relevance to attacks is taken from the relevance to the problem."""


@dataclass(frozen=True)
class Attacked:
    """Images before and after attacks on a base, by attack, and how often those flip the base."""

    images: Tensor
    truth: Tensor
    changed: dict[str, Tensor]
    base: dict[str, dict[str, Any]]


class Inherited:
    """Rates at which students are flipped by attacks that were made on their base.

    One set of attacked images for all students of a base, data and seed; the attacks are those of
    `seam evaluate --defects`, on as many ``samples`` of the test data, or of the validation data
    where settings are chosen.
    """

    def __init__(self, samples: int, *, validation: bool = False) -> None:
        self.samples, self.validation = samples, validation
        self._made: Attacked | None = None

    def __call__(self, student: nn.Module, task: Task) -> dict[str, Any]:
        """Flips by the base's features and logits, and by the student's own logits."""
        subjects = self._subjects(task, student)
        if self._made is None:
            self._made = self._attacked(subjects)
        images, truth = self._made.images, self._made.truth
        model = on_pixels(student, subjects.preprocessing)
        clean = predicted(model, images)
        found: dict[str, Any] = {
            name: {
                **flip_rate(clean, predicted(model, changed), truth).to_dict(),
                "base": self._made.base[name],
            }
            for name, changed in self._made.changed.items()
        }
        right = clean == truth
        own = logit_attack(
            model, images[right], truth[right], strength=ADAPTIVE, seed=subjects.seed
        )
        found["adaptive"] = flip_rate(truth[right], predicted(model, own), truth[right]).to_dict()
        where = "validation" if self.validation else "test"
        return {**found, "epsilon": STRENGTH.epsilon, "attacked": len(images), "on": where}

    def _subjects(self, task: Task, student: nn.Module) -> Subjects:
        subjects = subjects_of(task, student)
        shown = task.data.search.validation
        if not self.validation:
            return subjects
        assert isinstance(shown, ImageSamples)
        return replace(subjects, test=shown)

    def _attacked(self, subjects: Subjects) -> Attacked:
        numbers = drawn(len(subjects.test), self.samples, subjects.seed)
        images, truth = subjects.test.scaled(numbers).cpu(), subjects.test.targets[numbers].cpu()
        layer = feature_layer(subjects.base, subjects.example(), name=subjects.head_layer)
        features = features_on_pixels(subjects.base, layer, subjects.preprocessing)
        answers = on_pixels(subjects.answers, subjects.preprocessing)
        seed = subjects.seed
        changed = {
            "features": feature_attack(features, images, strength=STRENGTH, seed=seed),
            "logits": logit_attack(answers, images, truth, strength=STRENGTH, seed=seed),
        }
        before = predicted(answers, images)
        base = {
            name: flip_rate(before, predicted(answers, after), truth).to_dict()
            for name, after in changed.items()
        }
        return Attacked(images, truth, changed, base)


def away_from_attacks(look: Look, preprocessing: Preprocessing) -> dict[str, Tensor]:
    """A start of scores: relevance to the problem less relevance to attacks on the base.

    Both in units of their own mean. A weight is relevant to attacks where its removal changes how
    far the features of a moved image get from those of the image.
    """
    own = by_saliency(look)
    assert isinstance(look.masks, MaskSet)
    backbone = look.masks.module
    features = copy.deepcopy(backbone).requires_grad_(False)
    attack = Deviation(features, preprocessing, epsilon=STRENGTH.epsilon, steps=2)
    generator = torch.Generator().manual_seed(0)

    def distance(batch: Batch) -> Tensor:
        moved = attack(batch, generator, 1.0)
        with torch.no_grad():
            clean = features(batch.images)
        return (backbone(moved) - clean).square().sum(1).mean()

    theirs = saliency(look.masks, (lambda batch=batch: distance(batch) for batch in look.batches()))
    units = [
        torch.cat([each.sqrt().flatten() for each in s.values()]).mean() for s in (own, theirs)
    ]
    return {
        name: (value.sqrt() / units[0] - AWAY * theirs[name].sqrt() / units[1])
        .clamp_min(0)
        .square()
        for name, value in own.items()
    }
