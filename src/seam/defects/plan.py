"""What of a result's defects is measured, and how hard it is attacked."""

from __future__ import annotations

from dataclasses import dataclass

from seam.core.checks import at_least, is_number, require
from seam.defects.backdoor import Trigger

PUBLISHED_EPSILON = 5.76
"""The published strength in /255: 0.1 of pixels that ImageNet's deviations (0.226 on average) have
normalised."""


@dataclass(frozen=True, kw_only=True)
class DefectsPlan:
    """Which defects are measured, on how many samples, how hard.

    >>> DefectsPlan(samples=200, epsilon=4).steps
    40

    Args:
        attacks: whether adversarial samples are made; without them only ``trigger`` is measured.
        samples: test samples that are drawn for the attacks.
        steps: of projected gradient descent.
        epsilon: largest change of a pixel value, in /255; a step is a tenth of it.
        autoattack: how many of the samples AutoAttack gets; 0 leaves it out.
        published: attack the base's features at the published strength, too.
        adaptive_features: attack the result's features, too, not its logits alone.
        feature_layer: the base's layer whose input are its penultimate features, where it cannot be
            found.
        trigger: a backdoor of the base.

    Raises:
        ConfigError: a value is out of range.
    """

    attacks: bool = True
    samples: int = 1000
    steps: int = 40
    epsilon: float = 8.0
    autoattack: int = 100
    published: bool = False
    adaptive_features: bool = False
    feature_layer: str | None = None
    trigger: Trigger | None = None

    def __post_init__(self) -> None:
        for name, least in (("samples", 1), ("steps", 1), ("autoattack", 0)):
            at_least(name, getattr(self, name), least, whole=True)
        require(
            is_number(self.epsilon) and 0 < self.epsilon <= 255,
            f"epsilon is {self.epsilon}; give a number of pixel values (of 255), above 0",
        )
        require(
            self.attacks or self.trigger is not None,
            "neither attacks nor a trigger are to be measured; name one of them",
        )
