"""Base models by name: what is built, labelled, preprocessed and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import seam
from seam.core.preprocessing import Preprocessing
from seam.errors import ConfigError, LabelError, ModelError
from seam.models.base import BaseModel, fingerprint
from seam.models.load import BaseSpec, load_base, parse_model_args
from seam.models.weights import load_weights, read_weights
from seam.models.zoo import shipped_weights


def save_timm(folder: Path, name: str, **settings: Any) -> Path:
    import timm

    torch.manual_seed(0)
    file = folder / "weights.safetensors"
    save_file(timm.create_model(name, pretrained=False, **settings).state_dict(), str(file))
    return file


def test_zoo_with_its_own_weights() -> None:
    base = load_base("zoo:digits")
    assert base.labels == tuple("0123456789")
    assert base.source == "zoo:digits"
    assert not base.module.training
    for name, value in base.module.state_dict().items():
        assert torch.equal(value, shipped_weights("digits")[name])


def test_timm_with_local_weights(tmp_path: Path) -> None:
    base = load_base("timm:resnet10t", weights=save_timm(tmp_path, "resnet10t"))
    assert len(base.labels) == 1000
    assert base.labels[0].startswith("tench")
    assert base.preprocessing.mean == (0.485, 0.456, 0.406)
    assert (base.preprocessing.size, base.preprocessing.interpolation) == (176, "bicubic")
    assert base.check().shape == (1, 1000)


def test_timm_with_own_labels_and_preprocessing(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\n\n dog \nschool bus\n")
    base = load_base(
        "timm:resnet10t",
        weights=save_timm(tmp_path, "resnet10t", num_classes=3),
        model_args={"num_classes": 3},
        labels_file=labels,
        size=64,
        mean=(0.5, 0.5, 0.5),
    )
    assert base.labels == ("cat", "dog", "school bus")
    assert base.preprocessing.size == 64
    assert base.preprocessing.mean == (0.5, 0.5, 0.5)
    assert base.preprocessing.std == (0.229, 0.224, 0.225)


def test_labels_that_nobody_knows(tmp_path: Path) -> None:
    file = save_timm(tmp_path, "resnet10t", num_classes=3)
    with pytest.raises(LabelError, match=r"unknown; give a --labels-file"):
        load_base("timm:resnet10t", weights=file, model_args={"num_classes": 3})


def test_torchvision_with_local_weights(tmp_path: Path) -> None:
    from torchvision import models

    file = tmp_path / "weights.safetensors"
    save_file(models.get_model("squeezenet1_1", weights=None).state_dict(), str(file))
    base = load_base("torchvision:squeezenet1_1", weights=file, size=64)
    assert base.labels[0] == "tench"
    assert base.preprocessing.crop_fraction == pytest.approx(224 / 256)
    assert base.check().shape == (1, 1000)


def test_weights_files_are_of_the_modules_own_layout(tmp_path: Path) -> None:
    from torchvision import models

    torch.manual_seed(0)
    module = models.get_model("mnasnet0_5", weights=None, num_classes=3)
    file = tmp_path / "weights.safetensors"
    save_file(module.state_dict(), str(file))  # which keeps no versions
    given = {"model_args": {"num_classes": 3, "dropout": 0.0}}
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\n")
    base = load_base("torchvision:mnasnet0_5", weights=file, labels_file=labels, size=32, **given)
    for name, value in base.module.state_dict().items():
        assert torch.equal(value, module.state_dict()[name])


def test_labels_from_the_weights_metadata(tmp_path: Path) -> None:
    file, state = str(tmp_path / "w.safetensors"), shipped_weights("digits")
    save_file(state, file, {"labels": '["a","b","c","d","e","f","g","h","i","j"]'})
    assert load_base("zoo:digits", weights=file).labels == tuple("abcdefghij")
    save_file(state, file, {"labels": "a, b"})
    with pytest.raises(LabelError, match="give a --labels-file"):
        load_base("zoo:digits", weights=file)


@pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
def test_pickled_state_dicts(wrap: str | None, tmp_path: Path) -> None:
    state = shipped_weights("digits")
    torch.save(state if wrap is None else {wrap: state, "epoch": 3}, tmp_path / "weights.pt")
    found, metadata = read_weights(str(tmp_path / "weights.pt"))
    assert metadata == {}
    assert all(torch.equal(found[name], value) for name, value in state.items())


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, torch.zeros(3)])
def test_pickles_that_are_no_state_dict(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match=r"holds no state dict; save model\.state_dict\(\)"):
        read_weights(str(tmp_path / "weights.pt"))


def test_a_whole_pickled_module_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="holds code, which is never run"):
        read_weights(str(tmp_path / "weights.pt"))


def test_long_lists_of_names_are_cut() -> None:
    state = {f"layer{i}.weight": torch.zeros(1) for i in range(20)}
    with pytest.raises(ModelError) as caught:
        load_weights(nn.Linear(2, 2), state, "w")
    assert "missing weight, bias; unexpected layer0.weight" in str(caught.value)
    assert "layer5.weight and 14 more" in str(caught.value)


def test_the_specification_loads_the_same_base_again(tmp_path: Path) -> None:
    spec = BaseSpec(name="zoo:digits", preprocessing={"size": 8}, model_args={"num_classes": 10})
    assert BaseSpec(**spec.to_dict()) == spec
    assert spec.load().fingerprint == load_base("zoo:digits").fingerprint


def test_unknown_preprocessing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"preprocessing 'seize' is unknown.*did you mean 'size'"):
        load_base("zoo:digits", seize=8)


def test_model_arguments_are_yaml() -> None:
    assert parse_model_args(["a=1", "b=no", "c=x=y", "d=[1, 2]"]) == {
        "a": 1,
        "b": False,
        "c": "x=y",
        "d": [1, 2],
    }
    for bad in ("a", "=1", "1a=2", "a=[", "a-b=1"):
        with pytest.raises(ConfigError, match="model argument"):
            parse_model_args([bad])


# ------------------------------------------------------------------------------------ BaseModel


class Odd(nn.Module):
    """Gives what a classifier does not give, or fails as one likes."""

    def __init__(self, give: Any) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 2)
        self.give = give

    def forward(self, images: torch.Tensor) -> Any:
        if isinstance(self.give, Exception):
            raise self.give
        return self.give(self.fc(images.flatten(1)))


def base_of(module: nn.Module) -> BaseModel:
    return BaseModel(module, ("a", "b"), Preprocessing(size=2))


@pytest.mark.parametrize(
    ("give", "words"),
    [
        (lambda x: {"logits": x}, "not one vector of logits a sample"),
        (lambda x: x[0], "not one vector of logits a sample"),
        (lambda x: x[:, :1], "gives 1 logits but there are 2 labels"),
        (IndexError("far"), r"cannot take 2x2 images of 3 channels \(far\); give the Preproc"),
        (ZeroDivisionError(), r"3 channels \(ZeroDivisionError\); .*, or mend its forward"),
    ],
)
def test_modules_that_are_no_classifier(give: Any, words: str) -> None:
    with pytest.raises(seam.SeamError, match=words):
        base_of(Odd(give)).check()


def test_a_module_without_parameters_is_refused() -> None:
    with pytest.raises(ModelError, match="no parameters"):
        base_of(nn.Flatten()).check()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value: float) -> None:
    module = Odd(lambda x: x)
    module.fc.weight.data[0, 0] = value
    with pytest.raises(ModelError, match=r"NaN or infinity in 'fc\.weight'"):
        base_of(module).check()


def test_checking_leaves_the_modes_alone() -> None:
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 2)).train()
    module[0].eval()
    before = fingerprint(module)
    assert base_of(module).check().shape == (1, 2)
    assert [each.training for each in module] == [False, True, True]
    assert fingerprint(module) == before


def test_fingerprint_tells_names_types_shapes_and_bytes() -> None:
    def linear(value: float, kind: torch.dtype = torch.float32) -> nn.Module:
        module = nn.Linear(2, 2, bias=False, dtype=kind)
        nn.init.constant_(module.weight, value)
        return module

    ones = [linear(1), linear(2), linear(1, torch.float64), nn.Sequential(linear(1))]
    ones.append(nn.Linear(4, 1, bias=False))
    nn.init.constant_(ones[-1].weight, 1)
    assert len({fingerprint(module) for module in ones}) == len(ones)
    assert fingerprint(linear(1)) == fingerprint(linear(1))
    last = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    assert fingerprint(last) == fingerprint(last.to(memory_format=torch.contiguous_format))


def test_shared_models_load(shared: Path) -> None:
    weights = shared / "models" / "resnet20_cifar10.safetensors"
    base = load_base("zoo:cifar_resnet20", weights=weights)
    assert base.labels[0] == "airplane"
    state = load_file(str(weights))
    assert all(torch.equal(value, state[n]) for n, value in base.module.state_dict().items())
