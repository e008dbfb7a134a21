"""Splitting: stratified, seeded, disjoint and hashed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seam.data.split import Split, balance, few, stratified, targets_of

labels_lists = st.lists(st.integers(0, 4), min_size=1, max_size=80).map(np.array)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(labels_lists, st.floats(0.01, 0.99), st.integers(0, 9))
def test_parts_are_disjoint_and_cover_all(labels: np.ndarray, share: float, seed: int) -> None:
    first, second = stratified(labels, [1 - share, share], rng(seed))
    assert sorted([*first, *second]) == list(range(len(labels)))
    for label in np.unique(labels):
        count, held = int((labels == label).sum()), int((labels[second] == label).sum())
        if count == 1:
            assert held == 0  # a lonely sample is trained on
        else:
            assert 1 <= held <= count - 1
            assert abs(held - share * count) <= 1


def test_three_parts_have_their_shares() -> None:
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    parts = stratified(labels, [0.7, 0.2, 0.1], rng())
    counts = [np.bincount(labels[part], minlength=3).tolist() for part in parts]
    assert counts == [[70, 35, 7], [20, 10, 2], [10, 5, 1]]


def test_split_depends_on_the_seed_alone() -> None:
    labels = np.arange(200) % 3
    one, again, other = (stratified(labels, [0.8, 0.2], rng(seed))[1] for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_hash_tells_splits_apart() -> None:
    a, b, c = np.arange(3), np.arange(3, 5), np.arange(5, 6)
    splits = [
        Split(a, b, c),
        Split(a, c, b),
        Split(a, np.concatenate([b, c]), np.array([], dtype=np.int64)),
        Split(a[::-1], b, c),
    ]
    assert len({split.hash() for split in splits}) == 4
    assert Split(a.astype(np.int32), b, c).hash() == splits[0].hash()
    assert len(splits[0].hash()) == 64


def test_few_takes_at_most_so_many_and_more_shots_add_to_fewer() -> None:
    labels = np.repeat([0, 1, 2], [50, 3, 7])
    five, nine = few(labels, 5, rng()), few(labels, 9, rng())
    assert np.bincount(labels[five]).tolist() == [5, 3, 5]
    assert np.bincount(labels[nine]).tolist() == [9, 3, 7]
    assert set(five) <= set(nine)


def test_balance_spreads_evenly_over_the_other_labels() -> None:
    labels = np.repeat(np.arange(10), 100)
    chosen = balance(labels, 3, rng())
    counts = np.bincount(labels[chosen])
    assert counts[3] == 100
    others = np.delete(counts, 3)
    assert others.sum() == 100
    assert (others.min(), others.max()) == (11, 12)
    assert len(np.unique(chosen)) == 200


@given(labels_lists, st.integers(0, 4), st.integers(0, 9))
def test_balance_takes_what_there_is(labels: np.ndarray, positive: int, seed: int) -> None:
    chosen = balance(labels, positive, rng(seed))
    positives = int((labels == positive).sum())
    taken = np.bincount(labels[chosen], minlength=5)
    have = np.bincount(labels, minlength=5)
    assert taken[positive] == positives
    assert len(chosen) - positives == min(positives, len(labels) - positives)
    highest = max((taken[i] for i in range(5) if i != positive), default=0)
    for i in range(5):  # a label gives less than the others only where it has no more
        assert i == positive or taken[i] >= min(have[i], highest - 1)


def test_the_extra_negatives_do_not_always_come_from_the_same_labels() -> None:
    labels = np.repeat(np.arange(10), 12)
    extra = set()
    for seed in range(20):
        counts = np.bincount(labels[balance(labels, 0, rng(seed))])
        extra |= set(np.flatnonzero(counts == 2))
    assert extra == set(range(1, 10))


@pytest.mark.parametrize(
    ("labels", "members", "targets"),
    [
        ([0, 1, 2, 3], ((1,), (3,)), [-1, 0, -1, 1]),
        ([0, 1, 2, -1], ((0, 2), (1,)), [0, 1, 0, -1]),
        ([-1, -1], ((0,), (1,)), [-1, -1]),  # unknown labels are not the last output's
        ([], ((0,), (1,)), []),
        ([0], ((0,), (9,)), [0]),
    ],
)
def test_targets(
    labels: list[int], members: tuple[tuple[int, ...], ...], targets: list[int]
) -> None:
    assert targets_of(np.array(labels, dtype=np.int64), members).tolist() == targets
