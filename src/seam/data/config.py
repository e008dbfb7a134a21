"""How the samples of a problem are chosen and split: a frozen config, checked when built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from seam.core.checks import is_number, one_of, require
from seam.data.augment import Augment


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """How samples are chosen and split.

    Args:
        validation: share of a split that choices are made by; by default a tenth of the training
            split, or as much as makes 200 samples where half is enough for that, and half of a test
            split. Data with a validation split of its own keeps that.
        validation_from: the split that it is a share of, ``train`` or ``test``. A base is nearly
            always right about what it was trained on, which makes every smaller point look worse
            than it is: ``test`` takes samples that the base has not seen, and does not test on.
        shots: at most so many samples of each label, training and validation together.
        negatives: one-vs-rest: ``balanced`` trains on as many others as there are positives,
            ``all`` on all of them, weighted to count as much. Validation and test are balanced.
        augment: of training images: ``none``, ``crop`` or ``crop+flip``; by default the last.
            Texts are not augmented.
        skip_bad: leave out images that cannot be read, and count them.
        rename: data label to base label, for names that differ.
    """

    validation: float | None = None
    validation_from: Literal["train", "test"] = "train"
    shots: int | None = None
    negatives: Literal["balanced", "all"] = "balanced"
    augment: Augment | None = None
    skip_bad: bool = False
    rename: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(
            self.validation is None or (is_number(self.validation) and 0 < self.validation < 1),
            f"validation is {self.validation!r}; give a share in (0, 1)",
        )
        require(
            self.shots is None or (isinstance(self.shots, int) and self.shots >= 2),
            f"shots is {self.shots!r}; give a whole number, at least 2 (training and validation)",
        )
        if self.augment is not None:
            one_of("augment", self.augment, get_args(Augment))
        one_of("validation_from", self.validation_from, ("train", "test"))
        one_of("negatives", self.negatives, ("balanced", "all"))
        require(
            isinstance(self.skip_bad, bool),
            f"skip_bad is {self.skip_bad!r}; give true or false",
        )
        require(
            isinstance(self.rename, Mapping),
            f"rename is {self.rename!r}; give a dictionary, as {{'plane': 'airplane'}}",
        )

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values."""
        return asdict(self)
