"""Loading: what `datasets` finds in folders, and one line for what it does not."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seam.data.load import LabelledImages, align, check_renames, load_splits
from seam.errors import DataError, LabelError


def labels_of(images: LabelledImages) -> list[str]:
    return [images.names[i] for i in images.labels]


def test_image_folder_with_and_without_a_test_split(
    image_folder: Any, png_of: Callable[[int], bytes]
) -> None:
    folder = image_folder({"train": {"cat": 2, "dog": 1}, "test": {"cat": 1}})
    splits = load_splits(folder)
    assert list(splits) == ["train", "test"]
    assert labels_of(splits["train"]) == ["cat", "cat", "dog"]
    assert labels_of(splits["test"]) == ["cat"]
    assert splits["train"].source.read(1) == png_of(1)
    assert splits["train"].source.name(1) == str(folder / "train/cat/0001.png")
    assert list(load_splits(str(folder / "train"))) == ["train"]


def test_parquet_folder(parquet_folder: Any, png_of: Callable[[int], bytes]) -> None:
    folder = parquet_folder({"train": [1, 0, 1], "validation": [0], "test": [1, 1]}, ["a", "b"])
    splits = load_splits(folder)
    assert {name: len(images.labels) for name, images in splits.items()} == {
        "train": 3,
        "validation": 1,
        "test": 2,
    }
    assert labels_of(splits["train"]) == ["b", "a", "b"]
    assert splits["train"].source.read(2) == png_of(2)
    assert splits["train"].source.name(2) == "train split, row 2"


def test_labels_that_are_words(parquet_folder: Any) -> None:
    folder = parquet_folder({"train": ["dog", "cat", None, "dog"]}, None, column="labels")
    images = load_splits(folder)["train"]
    assert images.names == ("cat", "dog")
    assert images.labels.tolist() == [1, 0, -1, 1]


def test_missing_labels_belong_to_no_class(parquet_folder: Any) -> None:
    images = load_splits(parquet_folder({"train": [0, -1, None, 1]}, ["a", "b"]))["train"]
    assert images.labels.tolist() == [0, -1, -1, 1]
    aligned = align(images, ("b", "a", "c"), needed=["a"], rename={}, strict=False)
    assert aligned.labels.tolist() == [1, -1, -1, 0]


def test_digits_and_splits_by_name() -> None:
    splits = load_splits("digits")
    assert len(splits["train"].labels) == 1200
    import datasets

    raw = datasets.DatasetDict({"valid": _small(2), "training": _small(3), "other": _small(1)})
    assert {name: len(images.labels) for name, images in load_splits(raw).items()} == {
        "train": 3,
        "validation": 2,
    }


def _small(count: int) -> Any:
    from seam.data.digits import load_digits

    return load_digits()["test"].select(range(count))


def test_shared_parquet_folder(shared: Path) -> None:
    splits = load_splits(shared / "data/cifar10")
    assert [len(splits[name].labels) for name in ("train", "test")] == [50_000, 10_000]
    assert splits["test"].names[:2] == ("airplane", "automobile")
    assert np.bincount(splits["test"].labels).tolist() == [1000] * 10


def test_selection_and_source_pickle(parquet_folder: Any, png_of: Callable[[int], bytes]) -> None:
    images = load_splits(parquet_folder({"train": [0, 1, 1]}, ["a", "b"]))["train"]
    picked = pickle.loads(pickle.dumps(images.select(np.array([2, 0]))))
    assert picked.source.read(0) == png_of(2)
    assert picked.source.name(1) == "train split, row 0"
    assert (picked.source.count, picked.labels.tolist()) == (2, [1, 0])


def test_stray_files_are_left_out(image_folder: Any) -> None:
    folder = image_folder({"train": {"cat": 4, "dog": 4}})
    for place in ("notes.txt", "train/labels.json", "train/cat/.DS_Store", "train/dog/Thumbs.db"):
        (folder / place).write_text("nothing")
    assert len(load_splits(folder)["train"].labels) == 8


# -------------------------------------------------------------------------------------- refusals


def refused(data: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        load_splits(data)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_folders_that_hold_nothing(tmp_path: Path, png_of: Callable[[int], bytes]) -> None:
    (tmp_path / "empty/inside").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    (tmp_path / "odd[1]").mkdir()
    (tmp_path / "odd[1]/a.png").write_bytes(png_of(0))
    refused(tmp_path / "nowhere", "does not exist; check the path")
    refused("./nowhere", "does not exist")
    refused("~/nowhere-of-that-name", "does not exist")
    refused(tmp_path / "empty/inside", "is empty")
    refused(tmp_path / "empty", "cannot be loaded: .* doesn't contain any data files")
    refused(tmp_path / "file", "is a file; give the folder that holds it")
    refused(tmp_path / "odd[1]", "rename it")


def test_folder_of_damaged_parquet(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"PAR1 and then nothing")
    refused(tmp_path, "cannot be loaded: .*; check its files")


def test_folder_of_one_class_has_no_labels(image_folder: Any) -> None:
    refused(image_folder({"train": {"cat": 3}}), "no label column, only image; .* class folders")


def test_image_beside_the_class_folders(image_folder: Any, png_of: Callable[[int], bytes]) -> None:
    folder = image_folder({"": {"cat": 3, "dog": 3}})
    (folder / "stray.png").write_bytes(png_of(0))
    refused(folder, "no label column")


def test_no_image_column_no_train_split_and_no_rows(parquet_folder: Any) -> None:
    import datasets

    texts = datasets.Dataset.from_dict({"text": ["a"], "label": [0]})
    refused({"train": texts}, "train split has no image column, only text, label")
    refused({"test": _small(2)}, "no train split, only test")
    refused({}, "no train split, only nothing")
    refused({"train": _small(0)}, "train split is empty")
    refused({"train": _small(2).remove_columns("label")}, "no label column, only image")
    refused(_small(2), "the data is a Dataset; give a folder, a hub name")


def test_hub_name_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def fail(name: str) -> None:
        raise ConnectionError(f"Couldn't reach '{name}' on the Hub\n(Max retries exceeded)" * 9)

    monkeypatch.setattr(datasets, "load_dataset", fail)
    start = time.monotonic()
    refused("someone/pictures", "hub data set 'someone/pictures' cannot be loaded: Couldn't reach")
    assert time.monotonic() - start < 1


# ------------------------------------------------------------------------------------- alignment


@pytest.fixture
def animals(parquet_folder: Any) -> LabelledImages:
    folder = parquet_folder({"train": [0, 1, 2, 2]}, ["Cat", "house_dog", "newt"])
    return load_splits(folder)["train"]


def test_labels_are_counted_as_the_base_counts_them(animals: LabelledImages) -> None:
    base = ("house dog, Canis", "bird", "cat")
    aligned = align(animals, base, needed=["cat"], rename={}, strict=False)
    assert aligned.labels.tolist() == [2, 0, -1, -1]
    assert aligned.names == base
    renamed = align(animals, base, needed=["bird"], rename={"newt": "bird"}, strict=True)
    assert renamed.labels.tolist() == [2, 0, 1, 1]


def test_labels_that_do_not_fit_are_refused(animals: LabelledImages) -> None:
    base = ("house dog", "cats", "cat")
    with pytest.raises(LabelError, match=r"'cats' of .* absent from the data; did you mean"):
        align(animals, base, needed=["cats"], rename={}, strict=False)
    with pytest.raises(LabelError, match="data label 'newt' is not among the base model's 3"):
        align(animals, base, needed=["cat"], rename={}, strict=True)
    with pytest.raises(LabelError, match="absent from the data's test split"):
        align(animals, base, needed=["cats"], rename={}, strict=False, where="data's test split")
    with pytest.raises(LabelError, match=r"cannot rename 'newts'.*; did you mean 'newt'"):
        check_renames({"newts": "bird"}, {"train": animals})
    check_renames({"newt": "bird"}, {"train": animals})


def test_an_ambiguous_label_matters_only_where_it_is_needed(animals: LabelledImages) -> None:
    base = ("newt", "cat", "newt")
    aligned = align(animals, base, needed=["cat"], rename={}, strict=False)
    assert aligned.labels.tolist() == [1, -1, -1, -1]
    for needed, strict in (["newt"], False), (["cat"], True):
        with pytest.raises(LabelError, match="stands for 2 of the base model's labels"):
            align(animals, base, needed=needed, rename={}, strict=strict)
