"""PyTorch's own data sets and loaders in place of folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset
from torch.utils.data import WeightedRandomSampler as Weighted
from torchvision import datasets as torchvision_datasets
from torchvision.transforms import v2

from seam.core.preprocessing import Preprocessing
from seam.core.problem import Problem
from seam.data import own
from seam.data.config import DataConfig
from seam.data.load import labels_of, load_splits
from seam.data.prepare import ProblemData, prepare
from seam.errors import DataError

NAMES = ("cat", "dog")
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 9, 8, 3), dtype=np.uint8)
TO_TENSOR = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])


class Pairs(Dataset[Any]):
    """Twelve cats and twelve dogs in one of the forms that users have."""

    def __init__(self, form: Callable[[np.ndarray[Any, Any]], Any], labels: Any = None) -> None:
        self.form = form
        self.labels = [i % 2 for i in range(24)] if labels is None else labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> Any:
        return self.form(PIXELS[i]), self.labels[i]


FORMS: dict[str, Callable[[np.ndarray[Any, Any]], Any]] = {
    "PIL": Image.fromarray,
    "array": lambda pixels: pixels,
    "uint8 tensor": lambda pixels: torch.from_numpy(pixels).permute(2, 0, 1),
    "float tensor": lambda pixels: TO_TENSOR(Image.fromarray(pixels)),
    "bfloat16 tensor": lambda pixels: (torch.from_numpy(pixels).permute(2, 0, 1) > 127).bfloat16(),
}


def prepared(data: Any) -> ProblemData:
    return prepare(
        data,
        Problem.of(NAMES),
        base_labels=NAMES,
        preprocessing=Preprocessing(size=8),
        config=DataConfig(validation=0.3, augment="none"),
        seed=0,
        device=torch.device("cpu"),
    )


@pytest.mark.parametrize("form", ["PIL", "array", "uint8 tensor", "float tensor"])
def test_every_form_gives_the_same_pixels_and_the_same_hash(form: str) -> None:
    data = {"train": Pairs(FORMS[form]), "labels": NAMES}
    found, expected = prepared(data), prepared({"train": Pairs(FORMS["PIL"]), "labels": NAMES})
    assert found.split_hash == expected.split_hash
    numbers = torch.arange(len(found.test))
    assert torch.equal(found.test.raw(numbers), expected.test.raw(numbers))


def test_they_equal_an_image_folder_of_the_same_pictures(tmp_path: Path) -> None:
    for i, pixels in enumerate(PIXELS):
        place = tmp_path / "images" / ("train" if i < 16 else "test") / NAMES[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{i:02}.png")
    folders = {
        part: torchvision_datasets.ImageFolder(tmp_path / "images" / part)
        for part in ("train", "test")
    }
    found, expected = prepared(folders), prepared(tmp_path / "images")
    assert found.sizes() == expected.sizes()
    for one, other in ((found.search.train, expected.search.train), (found.test, expected.test)):
        numbers = torch.arange(len(one))
        assert torch.equal(one.raw(numbers), other.raw(numbers))
        assert torch.equal(one.targets, other.targets)


def test_loaders_subsets_and_tensors() -> None:
    whole = Pairs(FORMS["uint8 tensor"])
    tensors = TensorDataset(
        torch.from_numpy(PIXELS).permute(0, 3, 1, 2), torch.tensor(whole.labels)
    )
    hashes = {
        prepared({"train": train, "labels": NAMES}).split_hash
        for train in (
            whole,
            DataLoader(whole, batch_size=5, shuffle=True),
            Subset(whole, range(24)),
            tensors,
            [whole[i] for i in range(24)],
        )
    }
    assert len(hashes) == 1


def test_names_of_the_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    words = Pairs(FORMS["PIL"], [NAMES[i % 2] for i in range(24)])
    assert load_splits({"train": words})["train"].names == NAMES
    named = Pairs(FORMS["PIL"])
    named.classes = ["cat", "dog", "fish"]  # type: ignore[attr-defined]
    assert labels_of({"train": Subset(named, [0, 1, 2])}) == NAMES
    grey = Pairs(lambda pixels: Image.fromarray(pixels[..., 0]), list(torch.arange(24) % 2))
    assert load_splits({"train": grey, "labels": NAMES})["train"].labels.tolist() == [0, 1] * 12


def test_images_that_do_not_fit_in_memory_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"train": Pairs(FORMS["PIL"]), "labels": NAMES}
    expected = prepared(data).split_hash
    monkeypatch.setattr(own, "KEPT_BYTES", 1000)
    assert prepared(data).split_hash == expected


def normalised(pixels: np.ndarray[Any, Any]) -> torch.Tensor:
    return v2.Normalize([0.5] * 3, [0.25] * 3)(TO_TENSOR(Image.fromarray(pixels)))


class Random(Pairs):
    def __getitem__(self, i: int) -> Any:
        return np.random.default_rng().integers(0, 256, (8, 8, 3), dtype=np.uint8), i % 2


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        yield from Pairs(FORMS["PIL"])


PIL = FORMS["PIL"]


@pytest.mark.parametrize(
    ("train", "told"),
    [
        (Pairs(normalised), r"train split, sample 0 .* from -\S+ to .*; .*leave Normalize out"),
        (Pairs(lambda pixels: pixels.astype(np.float32)), r"from 0 to 255; give 8-bit pixels or"),
        (Pairs(lambda pixels: pixels.astype(np.int64)), "pixels of type int64"),
        (Pairs(lambda pixels: pixels[..., :2]), r"shape \(9, 8, 2\); give one or three channels"),
        (Pairs(lambda pixels: "x.png"), "has an image that is a str; give a PIL image"),
        (Pairs(PIL, [torch.tensor([0.0, 1.0])] * 24), r"a Tensor of shape \(2,\); several labels"),
        (Pairs(PIL, [[0, 1]] * 24), "a label that is a list; several labels an image, boxes and"),
        (Pairs(PIL, [{"boxes": []}] * 24), "a label that is a dict; several labels"),
        (Pairs(PIL, [0.5] * 24), "a label that is a float"),
        (Pairs(PIL, [-1] * 24), "has label -1; give numbers from 0"),
        (Pairs(PIL, [0, "cat"] * 12), "are numbers and some are names"),
        (Pairs(PIL, [2] * 24), "has label 2, but only 2 labels have names"),
        (Pairs(PIL, []), "the train split is empty"),
        ([{"image": 1}], r"is a dict, not a pair \(image, label\); only classification"),
        (Random(PIL), "gives another image each time it is asked; leave random transforms out"),
        (Endless(), "has no length; give a data set with"),
        (DataLoader(Pairs(PIL), sampler=Weighted([1.0] * 24, 5)), "a sampler of its own; give the"),
        (3, "the train split is a int; give a datasets.Dataset, or a PyTorch"),
    ],
)
def test_what_is_refused(train: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        load_splits({"train": train, "labels": NAMES})


def test_numbers_need_names() -> None:
    with pytest.raises(DataError, match=r"numbers without names; .*'labels': \['cat', 'dog'\]"):
        load_splits({"train": Pairs(PIL)})
