"""From data on disk to a problem's three parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seam.core.preprocessing import Preprocessing
from seam.core.problem import Problem
from seam.data.config import DataConfig
from seam.data.decode import CorruptImageError
from seam.data.prepare import ProblemData, choose, prepare
from seam.data.split import enough
from seam.errors import ConfigError, DataError, LabelError
from seam.models.zoo import CIFAR10_LABELS

DIGITS = tuple("0123456789")
GREY = Preprocessing(size=8, mean=(0.5,), std=(0.5,))


def prepared(data: Any, problem: Problem, seed: int = 0, **settings: Any) -> ProblemData:
    labels = settings.pop("base_labels", DIGITS)
    return prepare(
        data,
        problem,
        base_labels=labels,
        preprocessing=settings.pop("preprocessing", GREY),
        config=DataConfig(**settings),
        seed=seed,
        device=torch.device("cpu"),
    )


def chosen(data: Any, problem: Problem, base_labels: tuple[str, ...], **settings: Any) -> Any:
    """The sample numbers of the three parts, and the labels that go with them."""
    seed = settings.pop("seed", 0)
    parts, split = choose(
        data,
        problem,
        problem.members(base_labels),
        base_labels=base_labels,
        config=DataConfig(**settings),
        seed=seed,
    )
    return split, {name: images.labels for name, images in parts.items()}


def test_digits_one_against_the_rest() -> None:
    data = prepared("digits", Problem.one_vs_rest("7"))
    for samples in (data.search.train, data.search.validation, data.test):
        ones = int(samples.targets.sum())
        assert len(samples) == 2 * ones
    others = data.test_labels[data.test_labels != 7]
    counts = np.bincount(others, minlength=10)[[0, 1, 2, 3, 4, 5, 6, 8, 9]]
    assert counts.max() - counts.min() <= 1
    assert data.sizes() == {"train": 212, "validation": 24, "test": 122, "skipped": 0}
    assert data.test_labels[data.test.targets.numpy() == 1].tolist() == [7] * 61
    [batch] = data.test.ordered(1000)
    assert batch.images.shape == (122, 1, 8, 8)


def test_all_negatives_are_kept_on_demand() -> None:
    data = prepared("digits", Problem.one_vs_rest("7"), negatives="all")
    assert data.sizes()["train"] == 1080  # nine tenths of 1,200
    for part in (data.search.validation, data.test):
        assert part.targets.float().mean() == 0.5  # a constant answer must not look good


def test_subset_and_groups() -> None:
    data = prepared("digits", Problem.subset(["8", "3"]))
    assert np.unique(data.test_labels).tolist() == [3, 8]
    assert data.test.targets.tolist() == [int(label == 3) for label in data.test_labels]
    groups = Problem.groups({"even": ["0", "2"], "odd": ["1"]})
    data = prepared("digits", groups)
    assert data.test.targets.tolist() == [int(label == 1) for label in data.test_labels]


def test_split_is_disjoint_and_its_hash_says_which_it_is() -> None:
    problem = Problem.subset(["3", "5", "8"])
    split, labels = chosen("digits", problem, DIGITS)
    assert not set(split.train) & set(split.validation)
    shares = np.bincount(labels["validation"])[[3, 5, 8]] / np.bincount(labels["train"])[[3, 5, 8]]
    assert np.allclose(shares, 1 / 9, atol=0.01)
    hashes = [
        prepared("digits", problem).split_hash,
        prepared("digits", problem).split_hash,
        prepared("digits", problem, seed=1).split_hash,
        prepared("digits", problem, validation=0.2).split_hash,
        prepared("digits", Problem.subset(["3", "5"])).split_hash,
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 4


def test_test_split_is_kept_for_the_end() -> None:
    split, labels = chosen("digits", Problem.subset(["3", "5"]), DIGITS)
    other, _ = chosen("digits", Problem.subset(["3", "5"]), DIGITS, seed=9, shots=4)
    assert np.array_equal(split.test, other.test)
    from seam.data.digits import load_digits

    expected = [label for label in load_digits()["test"]["label"] if label in (3, 5)]
    assert labels["test"].tolist() == expected


ANIMALS = ("bird", "cat", "dog")
RGB = Preprocessing(size=8, mean=(0.5,) * 3, std=(0.5,) * 3)
CATS = Problem.subset(["cat", "dog"])


def test_without_a_test_split_a_tenth_is_set_aside(image_folder: Any) -> None:
    folder = image_folder({"": {"cat": 40, "dog": 40, "newt": 5}})
    split, labels = chosen(folder, CATS, ANIMALS)
    assert [len(labels[part]) for part in ("train", "validation", "test")] == [64, 8, 8]
    together = np.concatenate([split.train, split.validation, split.test])
    assert len(set(together)) == 80
    wide, _ = chosen(folder, CATS, ANIMALS, validation=0.5, shots=10)
    assert np.array_equal(wide.test, split.test)  # it does not depend on the other settings
    assert (len(wide.train), len(wide.validation)) == (10, 10)


def test_labels_that_the_base_does_not_have_are_left_out(image_folder: Any) -> None:
    folder = image_folder({"": {"cat": 10, "newt": 20, "zebra": 20}})
    _, labels = chosen(
        folder, Problem.groups({"a": ["cat"], "b": ["dog"]}), ANIMALS, rename={"newt": "dog"}
    )
    assert sum(len(each) for each in labels.values()) == 30
    with pytest.raises(LabelError, match="data label 'newt' is not among the base model's 3"):
        chosen(folder, Problem.one_vs_rest("cat"), ANIMALS)


def test_own_validation_split_is_used(parquet_folder: Any) -> None:
    names = [1, 2] * 20
    folder = parquet_folder({"train": names, "validation": names, "test": names}, list(ANIMALS))
    split, _ = chosen(folder, CATS, ANIMALS)
    assert [len(each) for each in (split.train, split.validation, split.test)] == [40, 40, 40]
    split, labels = chosen(folder, CATS, ANIMALS, shots=10, validation=0.3)
    assert np.bincount(labels["train"]).tolist() == [0, 7, 7]
    assert np.bincount(labels["validation"]).tolist() == [0, 3, 3]
    assert len(split.test) == 40


@pytest.mark.parametrize(("settings", "validation"), [({}, 20), ({"validation": 0.25}, 10)])
def test_samples_that_the_base_has_not_seen_choose(
    parquet_folder: Any, settings: dict[str, Any], validation: int
) -> None:
    folder = parquet_folder({"train": [1, 2] * 30, "test": [1, 2] * 20}, list(ANIMALS))
    split, labels = chosen(folder, CATS, ANIMALS, validation_from="test", **settings)
    assert len(split.train) == 60  # whole
    assert len(split.validation) == validation
    assert sorted(np.concatenate([split.validation, split.test])) == list(range(40))
    assert np.bincount(labels["validation"]).tolist() == [0, validation // 2, validation // 2]
    few, labels = chosen(folder, CATS, ANIMALS, validation_from="test", shots=10, **settings)
    assert np.array_equal(few.test, split.test)  # whatever the shots
    assert np.bincount(labels["train"])[1] + np.bincount(labels["validation"])[1] == 10


def test_one_against_the_rest_chosen_by_unseen_samples(parquet_folder: Any) -> None:
    folder = parquet_folder({"train": [0, 1, 2] * 30, "test": [0, 1, 2] * 20}, list(ANIMALS))
    cat = Problem.one_vs_rest("cat")
    split, labels = chosen(folder, cat, ANIMALS, validation_from="test")
    assert not set(split.validation) & set(split.test)
    for part in ("validation", "test"):
        assert np.bincount(labels[part]).tolist() == [5, 10, 5]


def test_unseen_samples_must_be_there(parquet_folder: Any, image_folder: Any) -> None:
    names = [1, 2] * 20
    own = parquet_folder({"train": names, "validation": names, "test": names}, list(ANIMALS))
    with pytest.raises(ConfigError, match="has a validation split of its own"):
        chosen(own, CATS, ANIMALS, validation_from="test")
    with pytest.raises(ConfigError, match="no test split to take validation samples from"):
        chosen(image_folder({"": {"cat": 9, "dog": 9}}), CATS, ANIMALS, validation_from="test")


def test_shots_count_training_and_validation_together(parquet_folder: Any) -> None:
    names = [0, 1, 2] * 20
    folder = parquet_folder({"train": names, "test": names}, list(ANIMALS))
    for shots, expected in ((2, (1, 1)), (10, (9, 1)), (100, (18, 2))):
        _, labels = chosen(folder, CATS, ANIMALS, shots=shots)
        counts = [np.bincount(labels[part]).tolist()[1:] for part in ("train", "validation")]
        assert counts == [[each] * 2 for each in expected]


def test_hash_changes_with_the_bytes_of_an_image(image_folder: Any) -> None:
    folder = image_folder({"train": {"cat": 4, "dog": 4}, "test": {"cat": 1, "dog": 1}})
    arguments = {"base_labels": ANIMALS, "preprocessing": RGB}
    before = prepared(folder, CATS, **arguments).split_hash
    assert prepared(folder, CATS, **arguments).split_hash == before
    first, second = folder / "train/cat/0000.png", folder / "train/cat/0001.png"
    first.write_bytes(second.read_bytes())
    assert prepared(folder, CATS, **arguments).split_hash != before


def test_grey_images_for_an_rgb_model_and_the_other_way_round(image_folder: Any) -> None:
    folder = image_folder({"": {"cat": 20, "dog": 20}}, channels=1, side=11)
    data = prepared(folder, CATS, base_labels=ANIMALS, preprocessing=RGB)
    [batch] = data.test.ordered(9)
    assert batch.images.shape == (4, 3, 8, 8)
    data = prepared(folder, CATS, base_labels=ANIMALS)
    [batch] = data.test.ordered(9)
    assert batch.images.shape == (4, 1, 8, 8)


def test_damaged_images_are_named_or_skipped_and_counted(image_folder: Any) -> None:
    folder: Path = image_folder({"train": {"cat": 10, "dog": 10}, "test": {"cat": 2, "dog": 2}})
    (folder / "train/dog/0012.png").write_bytes(b"damaged")
    (folder / "test/cat/0020.png").write_bytes(b"")
    arguments = {"base_labels": ANIMALS, "preprocessing": RGB}
    with pytest.raises(CorruptImageError, match=r"0012\.png' cannot be read"):
        prepared(folder, CATS, **arguments)
    data = prepared(folder, CATS, skip_bad=True, **arguments)
    assert data.sizes() == {"train": 17, "validation": 2, "test": 3, "skipped": 2}
    assert [Path(name).name for name in data.skipped] == ["0012.png", "0020.png"]
    assert len(data.test_labels) == len(data.test.targets) == 3


def test_parts_that_lack_a_class_are_refused(image_folder: Any) -> None:
    folder = image_folder({"train": {"cat": 10, "dog": 1}, "test": {"cat": 2, "dog": 2}})
    with pytest.raises(DataError, match="the validation data has no sample of 'dog'; give data"):
        prepared(folder, CATS, base_labels=ANIMALS, preprocessing=RGB)


def test_test_split_that_lacks_a_class_is_refused(image_folder: Any) -> None:
    folder = image_folder({"train": {"cat": 10, "dog": 9}, "test": {"cat": 2}})
    with pytest.raises(LabelError, match=r"'dog' of .* is absent from the data's test split"):
        prepared(folder, CATS, base_labels=ANIMALS, preprocessing=RGB)


@pytest.mark.parametrize(
    ("rename", "told"),
    [
        ({"dog": "wolf"}, "absent from the data's train split, for it is renamed to 'wolf'; leave"),
        ({}, "absent from the data's test split, which has no samples of it; give data that has"),
    ],
)
def test_why_a_label_is_absent(image_folder: Any, rename: dict[str, str], told: str) -> None:
    folder = image_folder({"train": {"cat": 9, "dog": 9, "fox": 1}, "test": {"cat": 2, "fox": 1}})
    with pytest.raises(LabelError, match=told):
        prepared(folder, CATS, base_labels=ANIMALS, preprocessing=RGB, rename=rename)


def test_a_label_that_nothing_is_like_is_told_what_there_is(image_folder: Any) -> None:
    folder = image_folder({"train": {"x1": 9, "x2": 9}})
    with pytest.raises(LabelError, match="; the data's labels are x1, x2 "):
        prepared(folder, CATS, base_labels=ANIMALS, preprocessing=RGB)


def test_only_positives_are_refused(image_folder: Any) -> None:
    folder = image_folder({"": {"cat": 10, "dog": 10}})
    (folder / "dog").rename(folder / "rest")
    with pytest.raises(DataError, match="no sample of 'not cat'"):
        prepared(
            folder,
            Problem.one_vs_rest("cat"),
            base_labels=ANIMALS,
            preprocessing=RGB,
            rename={"rest": "cat"},
        )


def test_labels_unknown_or_absent_are_refused() -> None:
    with pytest.raises(LabelError, match="'17' is not among the base model's 10 labels"):
        prepared("digits", Problem.subset(["1", "17"]))
    with pytest.raises(LabelError, match="'ten' of the problem is absent"):
        prepared("digits", Problem.subset(["1", "ten"]), base_labels=(*DIGITS, "ten"))
    with pytest.raises(LabelError, match="cannot rename 'eleven'"):
        prepared("digits", Problem.subset(["1", "2"]), rename={"eleven": "1"})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"validation": 0}, r"validation is 0; give a share in \(0, 1\)"),
        ({"validation": "some"}, "validation is 'some'"),
        ({"shots": 1}, "shots is 1; give a whole number, at least 2"),
        ({"shots": 2.5}, "shots is 2.5"),
        ({"validation_from": "dev"}, "validation_from is 'dev'; give one of train, test"),
        ({"negatives": "some"}, "negatives is 'some'; give one of balanced, all"),
        ({"augment": "flip"}, "augment is 'flip'; give one of none, crop, crop"),
    ],
)
def test_bad_settings_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        DataConfig(**values)


def test_shared_cifar10_few_shots(shared: Path) -> None:
    split, labels = chosen(
        shared / "data/cifar10", Problem.one_vs_rest("ship"), CIFAR10_LABELS, shots=20
    )
    assert [len(each) for each in (split.train, split.validation, split.test)] == [36, 4, 2000]
    assert np.bincount(labels["test"])[8] == 1000


@pytest.mark.parametrize(
    ("samples", "shots", "share"),
    [(2000, None, 0.1), (500, None, 0.2), (2000, 500, 0.2), (199, None, 0.1), (2000, 20, 0.1)],
)
def test_validation_is_a_tenth_but_not_too_few_to_tell(
    samples: int, shots: int | None, share: float
) -> None:
    labels = np.repeat([1, 2], samples)
    assert enough(labels, shots, None) == share
    rest = np.repeat([0, 1, 2, 3], samples)
    assert enough(rest, shots, 2) == share  # of three labels against one, as many count as of it
