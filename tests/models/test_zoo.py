"""The zoo builds what its weights expect, and the weights do what was measured."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from seam.core.preprocessing import Preprocessing
from seam.data.digits import load_digits
from seam.errors import MissingExtraError, ModelError
from seam.models.zoo import ZOO, shipped_weights
from seam.models.zoo.cifar_resnet import CifarResNet
from seam.models.zoo.wide_resnet import WideResNet

COUNT = 500

# Weights file, zoo model, and the accuracy that the shared README states. The first two agree with
# all 10,000 test images, the WRN's with the first 4,000 (on all: 0.758, 0.764, 0.734).
SHARED = [
    ("resnet20_cifar10", "cifar_resnet20", 0.883),
    ("vgg16_cifar10", "cifar_vgg16", 0.884),
    ("wrn16_1_cifar10_backdoored", "wrn16_1", 0.762),
    ("wrn16_1_cifar10_clean", "wrn16_1", 0.761),
    ("wrn16_1_cifar10_repaired", "wrn16_1", 0.738),
]
# As built here; the ResNets' agree with the 0.27, 0.46 and 0.85 million of He et al., table 6.
PARAMETERS = {
    "cifar_resnet20": 269_722,
    "cifar_resnet32": 464_154,
    "cifar_resnet56": 853_018,
    "cifar_vgg16": 15_253_578,
    "wrn16_1": 175_066,
    "digits": 75_370,
}


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)


def normalised(pixels: Tensor, expected: Preprocessing) -> Tensor:
    mean = torch.tensor(expected.mean).view(-1, 1, 1)
    std = torch.tensor(expected.std).view(-1, 1, 1)
    return (pixels / 255 - mean) / std


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.inference_mode():
        return float((model(images).argmax(dim=1) == labels).double().mean())


def cifar10_test(shared: Path) -> tuple[Tensor, Tensor]:
    table = pq.read_table(shared / "data/cifar10/data/test-00000-of-00001.parquet").slice(0, COUNT)
    images = [
        np.asarray(Image.open(io.BytesIO(row["bytes"])).convert("RGB"))
        for row in table.column("image").to_pylist()
    ]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return pixels, torch.tensor(table.column("label").to_pylist())


@pytest.mark.parametrize("name", list(ZOO))
def test_entry_builds_with_its_shapes_and_size(name: str) -> None:
    entry = ZOO[name]
    model = entry.build()
    expected = entry.preprocessing
    images = torch.zeros(2, expected.channels, expected.size, expected.size)
    assert model(images).shape == (2, len(entry.labels))
    assert sum(weight.numel() for weight in model.parameters()) == PARAMETERS[name]
    assert len(set(entry.labels)) == 10


@pytest.mark.parametrize("name", list(ZOO))
def test_number_of_classes_is_free(name: str) -> None:
    expected = ZOO[name].preprocessing
    model = ZOO[name].build(num_classes=7).eval()
    images = torch.zeros(1, expected.channels, expected.size, expected.size)
    assert model(images).shape == (1, 7)


@pytest.mark.parametrize("depth", [20, 32, 56])
def test_resnet_has_the_layers_of_its_name(depth: int) -> None:
    model = ZOO[f"cifar_resnet{depth}"].build()
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth


@pytest.mark.parametrize(
    "build",
    [
        lambda: CifarResNet(depth=21),
        lambda: CifarResNet(depth=2),
        lambda: WideResNet(depth=18, width=1),
        lambda: WideResNet(depth=16, width=0),
    ],
)
def test_impossible_size_is_refused(build: Callable[[], nn.Module]) -> None:
    with pytest.raises(ModelError, match="; give "):
        build()


@pytest.mark.parametrize(("file", "name", "stated"), SHARED, ids=[row[0] for row in SHARED])
def test_shared_weights_reach_their_stated_accuracy(
    shared: Path, file: str, name: str, stated: float
) -> None:
    model = ZOO[name].build()
    model.load_state_dict(load_file(shared / "models" / f"{file}.safetensors"), strict=True)
    assert all(weight.dtype == torch.float32 for weight in model.parameters())
    pixels, labels = cifar10_test(shared)
    found = accuracy(model.eval(), normalised(pixels, ZOO[name].preprocessing), labels)
    # Three standard errors of a share measured on 500 images: 0.043 to 0.059.
    assert abs(found - stated) < 3 * math.sqrt(stated * (1 - stated) / COUNT)


def test_digits_base_knows_unseen_digits() -> None:
    entry = ZOO["digits"]
    model = entry.build()
    model.load_state_dict(shipped_weights("digits"), strict=True)
    split = load_digits()["test"]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in split["image"]]))[:, None]
    images = normalised(pixels, entry.preprocessing)
    found = accuracy(model.eval(), images, torch.tensor(split["label"]))
    assert found > 0.9

    path = resources.files("seam.models.zoo") / "digits.safetensors"
    assert isinstance(path, Path)
    assert path.stat().st_size < 1_000_000
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert tuple(json.loads(metadata["labels"])) == entry.labels
    # One image may fall on the other side under another torch build.
    assert float(metadata["test_accuracy"]) == pytest.approx(found, abs=1.5 / len(split))


def test_digits_normalisation_is_that_of_the_training_split() -> None:
    pixels = np.stack([np.asarray(image) for image in load_digits()["train"]["image"]]) / 255
    expected = ZOO["digits"].preprocessing
    assert expected.mean[0] == pytest.approx(pixels.mean(), abs=1e-3)
    assert expected.std[0] == pytest.approx(pixels.std(), abs=1e-3)


def test_digits_data_is_scikit_learns_in_order() -> None:
    from sklearn.datasets import load_digits as sklearn_digits

    raw, data = sklearn_digits(), load_digits()
    assert [len(data["train"]), len(data["test"])] == [1200, 597]
    assert data["train"].features["label"].names == list("0123456789")
    first = data["test"][0]["image"]
    assert (first.mode, first.size) == ("L", (8, 8))
    assert np.array_equal(np.asarray(first), np.round(raw.images[1200] * 255 / 16))
    assert data["train"]["label"][:] + data["test"]["label"][:] == raw.target.tolist()


def test_missing_scikit_learn_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'seam\[demo\]'"):
        load_digits()


def test_weights_that_are_not_shipped_say_so() -> None:
    with pytest.raises(ModelError, match="no weights are shipped for 'wrn16_1'"):
        shipped_weights("wrn16_1")
    with pytest.raises(ModelError, match="did you mean 'digits'"):
        shipped_weights("digit")
