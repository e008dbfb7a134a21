"""How samples are changed so that a result does not learn what its base is weak against."""

from __future__ import annotations

from dataclasses import replace

from seam.core.config import SearchConfig
from seam.core.preprocessing import Preprocessing
from seam.core.problem import Problem
from seam.errors import ConfigError
from seam.jobs.compared import Compared
from seam.models.base import BaseModel
from seam.search.attacked import AttackedSamples, Change, Deviation
from seam.search.samples import SearchData
from seam.search.triggers import Patches, find_patches

MOST_LABELS = 20
"""So many labels of the base are tried as a trigger's target, the problem's own first."""


def shown(
    base: BaseModel, problem: Problem, compared: Compared, config: SearchConfig, *, seed: int
) -> SearchData:
    """What a search is shown: the samples, some of them changed as its ``safer`` asks."""
    samples, safer = compared.samples, config.safer
    if safer is None:
        return samples
    preprocessing, low = base.preprocessing, config.precision == "bfloat16"
    assert isinstance(preprocessing, Preprocessing)
    change: Change
    if safer.against == "attacks":
        change = Deviation(
            compared.answers, preprocessing, epsilon=safer.epsilon, steps=safer.steps, low=low
        )
    else:
        asked = tried(base, problem)
        found = find_patches(
            base.module, samples.train, preprocessing, labels=list(asked), seed=seed, low=low
        )
        change = Patches(found, list(asked.values()))
    ramp = config.ramp(len(samples.train))
    return replace(samples, train=AttackedSamples(samples.train, change, safer.share, ramp))


def check_images(base: BaseModel, config: SearchConfig) -> None:
    """That there are pixels to change, where ``safer`` asks for it.

    Raises:
        ConfigError: the base takes texts.
    """
    if config.safer is not None and not isinstance(base.preprocessing, Preprocessing):
        raise ConfigError("--safer changes pixels, and the base model takes texts; leave it out")


def tried(base: BaseModel, problem: Problem) -> dict[int, int | None]:
    """Numbers of the base's labels that are tried as a trigger's target, each with its output."""
    own = () if problem.kind == "new-labels" else problem.members(base.labels)
    output = {label: number for number, group in enumerate(own) for label in group}
    first = [label for group in own[::-1] for label in group]
    labels = list(dict.fromkeys([*first, *range(len(base.labels))]))[:MOST_LABELS]
    return {label: output.get(label) for label in labels}
