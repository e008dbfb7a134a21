"""Which samples are trained on, chosen by, and kept for the end: stratified, seeded, hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seam.data.config import DataConfig
from seam.errors import ConfigError

Numbers = NDArray[np.int64]
TEST_SHARE = 0.1
"""Share of the samples that is set aside for the test where the data has no test split."""
VALIDATION_SHARE = 0.1
UNSEEN_SHARE = 0.5
"""Share of a test split that choices are made by where they are to be made by unseen samples."""
ENOUGH = 200
"""Validation samples; fewer seldom tell that a small point is no worse (`seam.search.frontier`)."""


@dataclass(frozen=True)
class Split:
    """Sample numbers of the three parts; ``test`` counts in the data's own test split, if any."""

    train: Numbers
    validation: Numbers
    test: Numbers

    def hash(self) -> str:
        """SHA-256 over the three parts' sample numbers: equal hashes, equal splits."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(np.ascontiguousarray(part, dtype="<i8").tobytes())
        return digest.hexdigest()


def stratified(
    labels: NDArray[np.int64], shares: Sequence[float], rng: np.random.Generator
) -> list[Numbers]:
    """Split sample numbers by label into parts of the given ``shares`` (they sum to 1).

    Every part gets at least one sample of a label that has enough of them; a label that has fewer
    samples than there are parts goes to the first part whole.
    """
    parts: list[list[Numbers]] = [[] for _ in shares]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        counts = [max(1, round(share * len(members))) for share in shares[1:]]
        if len(members) < len(shares):
            counts = [0] * len(counts)
        while sum(counts) >= len(members):
            counts[counts.index(max(counts))] -= 1
        bounds = np.cumsum([len(members) - sum(counts), *counts])[:-1]
        for part, numbers in zip(parts, np.split(members, bounds), strict=True):
            part.append(numbers)
    return [np.sort(np.concatenate(part)) for part in parts]


def few(labels: NDArray[np.int64], shots: int, rng: np.random.Generator) -> Numbers:
    """At most ``shots`` sample numbers of each label."""
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[:shots] for label in np.unique(labels)
    ]
    return np.sort(np.concatenate(chosen))


def balance(labels: NDArray[np.int64], positive: int, rng: np.random.Generator) -> Numbers:
    """All samples of label ``positive`` and as many others, spread evenly over the other labels."""
    positives = np.flatnonzero(labels == positive)
    others = [label for label in np.unique(labels) if label != positive]
    pools = [rng.permutation(np.flatnonzero(labels == label)) for label in rng.permutation(others)]
    wanted = min(len(positives), sum(map(len, pools)))
    takes = [0] * len(pools)
    while sum(takes) < wanted:
        open_pools = [i for i, pool in enumerate(pools) if takes[i] < len(pool)]
        each, left = divmod(wanted - sum(takes), len(open_pools))
        for i in open_pools if each else open_pools[:left]:
            takes[i] = min(len(pools[i]), takes[i] + max(1, each))
    negatives = [pool[:take] for pool, take in zip(pools, takes, strict=True)]
    return np.sort(np.concatenate([positives, *negatives]))


def divide(
    numbers: dict[str, Numbers],
    labels: Mapping[str, NDArray[np.int64]],
    config: DataConfig,
    rng: np.random.Generator,
    one: int | None,
) -> None:
    """Take the parts that the data does not have out of its train split; few shots of each label.

    The test part comes first, so it depends on neither ``shots`` nor ``validation``; which of
    its negatives a one-vs-rest problem, that of label ``one``, draws does, for they come from the
    same generator.
    """

    def hold_out(part: str, share: float, out_of: str = "train") -> None:
        whole = numbers[out_of]
        left, held = stratified(labels[out_of][whole], [1 - share, share], rng)
        numbers[part], numbers[out_of] = whole[held], whole[left]

    def draw(part: str, shots: int) -> None:
        numbers[part] = numbers[part][few(labels[part][numbers[part]], shots, rng)]

    if config.validation_from == "test":
        _check_unseen(labels)
        hold_out("validation", config.validation or UNSEEN_SHARE, "test")
        labels = {**labels, "validation": labels["test"]}
    if "test" not in labels:
        hold_out("test", TEST_SHARE)
    given = config.validation if config.validation_from == "train" else None
    share = given or enough(labels["train"][numbers["train"]], config.shots, one)
    if config.shots is not None:
        held = 0
        if "validation" in labels:
            held = min(config.shots - 1, max(1, round(share * config.shots)))
            draw("validation", held)
        draw("train", config.shots - held)
    if "validation" not in labels:
        hold_out("validation", share)


def _check_unseen(splits: Mapping[str, object]) -> None:
    """That validation samples can be taken out of a test split."""
    if "validation" in splits:
        raise ConfigError(
            "the data has a validation split of its own, which choices are made by; leave "
            "--validation-from out"
        )
    if "test" not in splits:
        raise ConfigError(
            "the data has no test split to take validation samples from; leave --validation-from "
            "out, or add samples that the base has not seen as a test split"
        )


def enough(labels: NDArray[np.int64], shots: int | None, one: int | None) -> float:
    """The share of training samples that choices are made by: a tenth, but not too few to tell.

    >>> enough(np.repeat([0, 1], 500), None, None), enough(np.repeat([0, 1], 50), None, None)
    (0.2, 0.1)

    Of each label at most ``shots`` count; of the others than ``one``, a one-vs-rest problem's, as
    many as there are of it.
    """
    counts = np.minimum(np.bincount(labels), len(labels) if shots is None else shots)
    total = int(counts.sum())
    if one is not None:
        total = 2 * min(int(counts[one]), total - int(counts[one]))
    share = ENOUGH / max(1, total)
    return share if VALIDATION_SHARE < share <= 0.5 else VALIDATION_SHARE


def targets_of(labels: NDArray[np.int64], members: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Each sample's output, or -1 where its label is none of the problem's, or unknown (-1).

    >>> targets_of(np.array([0, 1, 2, -1]), ((1,), (2,))).tolist()
    [-1, 0, 1, -1]
    """
    highest = int(max(labels.max(initial=0), *map(max, members)))
    table = np.full(highest + 2, -1, dtype=np.int64)  # the last place is for unknown labels
    for output, group in enumerate(members):
        table[list(group)] = output
    return table[labels]
