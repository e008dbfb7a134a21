"""The attacks of a report: on the base, to see what the result inherits, and on the result."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

from seam.core.figures import Share
from seam.defects.adversarial import Strength, auto_attack, feature_attack, logit_attack
from seam.defects.inheritance import flip_rate, repeated_mistakes
from seam.defects.pixels import (
    feature_layer,
    features_on_pixels,
    on_pixels,
    predicted,
    same_layer,
)
from seam.defects.plan import PUBLISHED_EPSILON, DefectsPlan
from seam.defects.subjects import SHOWN, Examples, Subjects, drawn, named, spread
from seam.evaluation.accuracy import outputs_of
from seam.exporting.extras import needs

FIRST_STEPS = 10
"""Of an attack on the result: most samples are flipped by then, and need no more."""

Attack = Callable[[Tensor, Strength], Tensor]
"""Sample numbers and a strength in, changed images of those samples out."""


class Attacks:
    """Adversarial samples of a base and of its result, on the same drawn test samples.

    >>> found = Attacks(subjects, DefectsPlan()).figures()  # doctest: +SKIP
    >>> found["inheritance"]["features"]["value"]  # doctest: +SKIP

    Only samples that the result gets right are attacked: all rates are shares of those.
    ``examples`` holds a few images of each attack on the base.

    Args:
        subjects: base, result and test samples.
        plan: how hard, and how many samples.
        stage: told what begins.
        progress: told how many of how many batches of it are done.

    Raises:
        ModelError: the base's penultimate features cannot be found, or a model has no gradients.
        MissingExtraError: adversarial-robustness-toolbox is not installed.
    """

    def __init__(
        self,
        subjects: Subjects,
        plan: DefectsPlan,
        *,
        stage: Callable[[str], None] = lambda _text: None,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> None:
        needs("art", extra="defects")
        self.subjects, self.plan, self.stage, self.progress = subjects, plan, stage, progress
        self.strength = Strength(epsilon=plan.epsilon, steps=plan.steps)
        self.base = on_pixels(subjects.answers, subjects.preprocessing)
        self.result = on_pixels(subjects.result, subjects.preprocessing)
        known = plan.feature_layer or subjects.head_layer
        self.layer = feature_layer(subjects.base, subjects.example(), name=known)
        numbers = drawn(len(subjects.test), plan.samples, subjects.seed)
        images, truth = subjects.test.scaled(numbers).cpu(), subjects.test.targets[numbers].cpu()
        right = predicted(self.result, images) == truth
        self.drawn, self.images, self.truth = len(numbers), images[right], truth[right]
        self.before = predicted(self.base, self.images)
        self.flipped = torch.zeros(len(self.images), dtype=torch.bool)  # in the result, so far
        self.examples: list[Examples] = []

    def figures(self) -> dict[str, Any]:
        """``inheritance``, ``adaptive``, and in ``defects`` what they were measured with."""
        return {
            "inheritance": self._inheritance(),
            "adaptive": self._adaptive(),
            "defects": {
                "samples": self.drawn,
                "seed": self.subjects.seed,
                "feature_layer": self.layer,
                "step": self.strength.step,
                "toolbox": version("adversarial-robustness-toolbox"),
            },
        }

    def _inheritance(self) -> dict[str, Any]:
        subjects = self.subjects
        features = features_on_pixels(subjects.base, self.layer, subjects.preprocessing)
        found = {"features": self._inherited("features", self._on(features), self.strength)}
        if self.plan.published:
            strength = Strength(epsilon=PUBLISHED_EPSILON, steps=self.plan.steps)
            found["features_published"] = self._inherited("features", self._on(features), strength)
        found["logits"] = self._inherited("logits", self._on_logits(self.base), self.strength)
        answers = outputs_of(subjects.answers, subjects.test).argmax(1)
        ours = outputs_of(subjects.result, subjects.test).argmax(1)
        mistakes = repeated_mistakes(answers, ours, subjects.test.targets.cpu())
        return {**found, "mistakes": mistakes.to_dict()}

    def _inherited(self, what: str, attack: Attack, strength: Strength) -> dict[str, Any]:
        """Attack the base; how often does that flip the result, and how often the base?"""
        self.stage(f"attacking the base's {what}, epsilon {strength.epsilon:g}/255")
        changed = self._run(attack, torch.arange(len(self.images)), strength)
        base, result = predicted(self.base, changed), predicted(self.result, changed)
        if strength is self.strength:
            self.flipped |= result != self.truth
            self._show(what, changed, base, result)
        return {
            **flip_rate(self.truth, result, self.truth).to_dict(),
            "base": flip_rate(self.before, base, self.truth).to_dict(),
            "epsilon": strength.epsilon,
            "steps": strength.steps,
        }

    def _adaptive(self) -> dict[str, Any]:
        """The attacks made on the result itself, and AutoAttack."""
        found, subjects = {}, self.subjects
        attacks = {"logits": self._on_logits(self.result)}
        layer = same_layer(subjects.result, self.layer)
        if self.plan.adaptive_features and layer is not None:
            features = features_on_pixels(subjects.result, layer, subjects.preprocessing)
            attacks = {"features": self._on(features), **attacks}
        for what, attack in attacks.items():
            self.stage(f"attacking the result's {what}, epsilon {self.plan.epsilon:g}/255")
            fooled = self._fooled(attack)
            found[what] = self._share(fooled) | {"steps": self.plan.steps}
            self.flipped |= fooled
        if self.plan.autoattack:
            self.stage(f"AutoAttack on the result, epsilon {self.plan.epsilon:g}/255")
            found["autoattack"] = self._share(self._auto())
        return found

    def _fooled(self, attack: Attack) -> Tensor:
        """Which samples an attack on the result flips: in few steps, or else from anew in all."""
        flipped = torch.zeros(len(self.images), dtype=torch.bool)
        for steps in sorted({min(FIRST_STEPS, self.plan.steps), self.plan.steps}):
            left = (~flipped).nonzero().flatten()
            strength = Strength(epsilon=self.plan.epsilon, steps=steps)
            changed = self._run(attack, left, strength)
            flipped[left] = predicted(self.result, changed) != self.truth[left]
        return flipped

    def _auto(self) -> Tensor:
        """Which of some samples are flipped, by the attacks so far or else by AutoAttack."""
        chosen = spread(len(self.images), self.plan.autoattack)
        left = chosen[~self.flipped[chosen]]
        if len(left):
            images, truth = self.images[left], self.truth[left]
            changed = auto_attack(
                self.result,
                images,
                truth,
                epsilon=self.plan.epsilon,
                seed=self.subjects.seed,
                progress=self.progress,
            )
            self.flipped[left] = predicted(self.result, changed) != truth
        return self.flipped[chosen]

    def _share(self, flipped: Tensor) -> dict[str, Any]:
        share = Share.of(int(flipped.sum()), len(flipped))
        return {**share.to_dict(), "epsilon": self.plan.epsilon}

    def _on(self, features: nn.Module) -> Attack:
        return lambda numbers, strength: feature_attack(
            features,
            self.images[numbers],
            strength=strength,
            seed=self.subjects.seed,
            progress=self.progress,
        )

    def _on_logits(self, model: nn.Module) -> Attack:
        return lambda numbers, strength: logit_attack(
            model,
            self.images[numbers],
            self.truth[numbers],
            strength=strength,
            seed=self.subjects.seed,
            progress=self.progress,
        )

    def _run(self, attack: Attack, numbers: Tensor, strength: Strength) -> Tensor:
        return attack(numbers, strength) if len(numbers) else self.images[numbers]

    def _show(self, what: str, changed: Tensor, base: Tensor, result: Tensor) -> None:
        """Keep a few of the images, whatever became of them."""
        chosen = spread(len(changed), SHOWN)
        names = self.subjects.outputs
        self.examples.append(
            Examples(
                name=what,
                title=f"attack on the base's {what}, epsilon {self.plan.epsilon:g}/255",
                clean=self.images[chosen],
                changed=changed[chosen],
                truth=named(names, self.truth[chosen]),
                base=(named(names, self.before[chosen]), named(names, base[chosen])),
                result=(named(names, self.truth[chosen]), named(names, result[chosen])),
            )
        )
