"""Which samples are trained on, chosen by, and kept for the end: stratified, seeded, hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


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
