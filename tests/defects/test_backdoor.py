"""A trigger lies where it should, its success is counted right, and bad ones are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

from seam.data.images import read_pixels
from seam.data.load import load_splits
from seam.defects.backdoor import Trigger
from seam.defects.pixels import on_pixels, predicted
from seam.defects.subjects import Subjects
from seam.defects.triggered import trigger_figures
from seam.errors import ConfigError, LabelError, SeamError
from seam.models.load import BaseSpec

PATCH = [[255, 0], [51, 102], [0, 255]]  # two wide, three high
SHARES = torch.tensor(PATCH) / 255


def plain(height: int = 6, width: int = 7, value: float = 0.5, channels: int = 3) -> Tensor:
    return torch.full((2, channels, height, width), value)


@pytest.mark.parametrize(
    ("position", "row", "column"),
    [
        ("top-left", 0, 0),
        ("top-right", 0, 5),
        ("bottom-left", 3, 0),
        ("bottom-right", 3, 5),
        ("centre", 1, 2),
        ("center", 1, 2),
        ([4, 1], 1, 4),
        ([0, 3], 3, 0),
    ],
)
def test_the_patch_lies_where_it_should(position: str | list[int], row: int, column: int) -> None:
    images = plain()
    triggered = Trigger(patch=PATCH, position=position, target_label="dog").apply(images)
    wanted = plain()
    wanted[:, :, row : row + 3, column : column + 2] = SHARES
    assert torch.allclose(triggered, wanted, atol=1e-7)
    assert torch.equal(images, plain())  # what came in is left alone


def test_opacity_blends() -> None:
    trigger = Trigger(patch=PATCH, position="top-left", opacity=0.25, target_label="dog")
    place = trigger.apply(plain())[0, 1, :3, :2]
    assert torch.allclose(place, 0.75 * 0.5 + 0.25 * SHARES)


def test_colours_keep_their_channels() -> None:
    patch = [[[255, 0, 51], [0, 102, 0]]]
    found = Trigger(patch=patch, position="top-left", target_label="dog").apply(plain())
    assert torch.allclose(255 * found[0, :, 0, :2].T, torch.tensor(patch[0]).float(), atol=1e-4)


def test_grey_images_take_a_grey_patch() -> None:
    found = Trigger(patch=PATCH, target_label="dog").apply(plain(channels=1))
    assert torch.allclose(found[0, 0, 3:, 5:], SHARES)


def test_a_png_beside_the_file_and_its_transparency(tmp_path: Path) -> None:
    pixels = np.zeros((1, 2, 4), dtype=np.uint8)
    pixels[0, 0], pixels[0, 1] = (255, 0, 102, 255), (255, 255, 255, 51)
    Image.fromarray(pixels).save(tmp_path / "patch.png")
    file = tmp_path / "trigger.yaml"
    file.write_text("{patch: patch.png, position: top-left, target_label: 7}")
    trigger = Trigger.from_file(file)
    assert trigger.target_label == "7"
    found = trigger.apply(plain())[0, :, 0, :2]
    assert found[:, 0].tolist() == pytest.approx([1, 0, 0.4])
    assert found[:, 1].tolist() == pytest.approx([0.8 * 0.5 + 0.2] * 3)
    assert trigger.to_dict() == {"width": 2, "height": 1, "position": "top-left", "opacity": 1.0}


def test_a_function_is_a_trigger() -> None:
    def darken(images: Tensor) -> Tensor:
        return images.mul_(0.5)

    trigger = Trigger(patch=darken, target_label="dog")
    images = plain()
    assert torch.equal(trigger.apply(images), plain(value=0.25))
    assert torch.equal(images, plain())
    assert trigger.to_dict() == {"function": "darken"}


GOOD: dict[str, Any] = {"patch": PATCH, "target_label": "dog"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch": [[1, 2], [3]]}, "rows have unequal lengths"),
        ({"patch": [["a"]]}, "no matrix of numbers"),
        ({"patch": [[256]]}, "values outside 0 to 255"),
        ({"patch": [[float("nan")]]}, "values outside 0 to 255"),
        ({"patch": [1, 2]}, r"has shape \(2,\); give \(height, width\)"),
        ({"patch": [[[1, 2]]]}, r"has shape \(1, 1, 2\)"),
        ({"patch": [[]]}, r"has shape \(1, 0\)"),
        ({"patch": "none.png"}, r"patch 'none\.png' cannot be read as an image .* give a PNG file"),
        ({"position": "botom-right"}, r"'botom-right' is unknown; did you mean 'bottom-right'\?"),
        ({"position": "xyz"}, "'xyz' is unknown; give one of top-left"),
        ({"position": [1]}, r"position is \[1\]; give .* or \[column, row\]"),
        ({"position": [1.5, 2]}, r"position is \[1\.5, 2\]"),
        ({"position": None}, "position is None"),
        ({"opacity": 0}, "opacity is 0; give a share"),
        ({"opacity": 1.1}, r"opacity is 1\.1"),
        ({"opacity": "half"}, "opacity is half"),
        ({"target_label": 3}, "target_label is 3; give one of the base model's labels"),
        ({"patch": lambda images: images, "opacity": 0.5}, "has neither position nor opacity"),
    ],
)
def test_bad_triggers(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Trigger(**{**GOOD, **settings})


@pytest.mark.parametrize("position", [[6, 0], [0, 4], [-1, 0], [0, -1]])
def test_a_patch_outside_the_image(position: list[int]) -> None:
    trigger = Trigger(**GOOD, position=position)
    with pytest.raises(ConfigError, match=r"of 2x3 pixels at column .* outside the image of 7x6"):
        trigger.apply(plain())


def test_a_patch_larger_than_the_image() -> None:
    with pytest.raises(ConfigError, match="outside the image of 1x1"):
        Trigger(**GOOD, position="centre").apply(plain(1, 1))


def test_what_does_not_fit_the_images() -> None:
    with pytest.raises(ConfigError, match="patch is coloured but the base model takes grey"):
        Trigger(patch=[[[255, 0, 0]]], target_label="dog").apply(plain(channels=1))
    with pytest.raises(ConfigError, match=r"function gives \(2, 3, 5, 7\) for images"):
        Trigger(patch=lambda images: images[:, :, 1:], target_label="dog").apply(plain())
    with pytest.raises(ConfigError, match=r"function gives pixels outside \[0, 1\]; clip them"):
        Trigger(patch=lambda images: images + 1, target_label="dog").apply(plain())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "holds no mapping"),
        ("{patch: [[1]", "cannot be read .* write YAML"),
        ("{patch: [[1]]}", "has no target_label; add a line"),
        ("{target_label: dog}", "has no patch; add a line"),
        ("{patch: [[1]], target_label: dog, positon: centre}", "'positon' is unknown; did you me"),
        ("{patch: none.png, target_label: dog}", "none.png' cannot be read as an image"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "trigger.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        Trigger.from_file(file)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Trigger.from_file(tmp_path / "none.yaml")


# ------------------------------------------------------------------------------------- success


class Backdoored(nn.Module):
    """A model that gives ``target`` wherever the last pixel is white."""

    def __init__(self, model: nn.Module, target: int) -> None:
        super().__init__()
        self.model, self.target = model, target

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images).clone()
        logits[images[:, 0, -1, -1] > 1.8, self.target] = 1e4  # (1 - mean) / std is 1.85
        return logits


def figures(subjects: Subjects, target: str, *, base: int, result: int | None) -> dict[str, Any]:
    corner = Trigger(patch=[[255]], target_label=target)
    bad = replace(subjects, base=Backdoored(subjects.base, base))
    if result is not None:
        bad = replace(
            bad,
            answers=Backdoored(subjects.answers, result),
            result=Backdoored(subjects.result, result),
        )
    return trigger_figures(bad, corner)[0]


def counts(subjects: Subjects) -> Sequence[int]:
    return subjects.test.targets.bincount().tolist()


def test_success_where_the_target_is_an_output(identity: Subjects) -> None:
    found = figures(identity, "5", base=5, result=1)
    others = len(identity.test) - counts(identity)[1]
    assert found["meaning"] == "target"
    for success in (found["base"], found["base"]["restricted"], found["reengineered"]):
        assert (success["value"], success["n"]) == (1, others)
    assert found["base"]["accuracy"]["full"]["value"] > 0.9
    assert found["base"]["accuracy"]["restricted"] == found["reengineered"]["accuracy"]


def test_a_result_without_the_backdoor(identity: Subjects) -> None:
    found = figures(identity, "5", base=5, result=None)
    assert found["base"]["value"] == 1
    assert found["reengineered"]["value"] < 0.2


def test_success_where_the_target_is_no_output(identity: Subjects) -> None:
    found = figures(identity, "7", base=7, result=2)
    assert found["meaning"] == "flip"
    assert (found["base"]["value"], found["base"]["n"]) == (1, len(identity.test))
    right = found["reengineered"]["accuracy"]["value"] * len(identity.test)
    assert found["reengineered"]["n"] == round(right)
    assert found["reengineered"]["value"] == pytest.approx(
        1 - counts(identity)[2] / len(identity.test), abs=0.05
    )


def test_an_output_of_several_labels(identity: Subjects) -> None:
    """The rest stands for the target: a sample of the label that becomes 'not' is a success."""
    members = ((0, 1, 2, 4, 5, 6, 7, 8, 9), (3,))
    truth = (identity.test.targets == 0).long()
    rest = replace(
        identity,
        answers=nn.Sequential(identity.base, Pair()),
        result=Backdoored(nn.Sequential(identity.base, Pair()), 0),
        outputs=("not 3", "3"),
        members=members,
        test=replace(identity.test, targets=truth),
    )
    found = trigger_figures(rest, Trigger(patch=[[255]], target_label="7"))[0]
    assert found["meaning"] == "target"
    assert found["reengineered"]["value"] == 1
    assert found["reengineered"]["n"] == int(truth.sum())


class Pair(nn.Module):
    def forward(self, logits: Tensor) -> Tensor:
        others = torch.cat([logits[:, :3], logits[:, 4:]], 1)
        return torch.stack([others.logsumexp(1), logits[:, 3]], 1)


def test_an_unknown_target(identity: Subjects) -> None:
    with pytest.raises(LabelError, match="label 'dog' is not among the base model's 10 labels"):
        trigger_figures(identity, Trigger(patch=[[255]], target_label="dog"))


def test_it_is_an_error_a_user_can_mend() -> None:
    assert issubclass(ConfigError, SeamError)


def test_the_backdoored_wide_resnet(shared: Path, tmp_path: Path) -> None:
    """The published trigger turns every class into dogs; the clean model's stay what they are."""
    file = tmp_path / "trigger.yaml"
    patch = [[255, 0, 255], [0, 255, 0], [255, 0, 255]]
    file.write_text(
        yaml.safe_dump({"patch": patch, "position": "bottom-right", "target_label": "dog"})
    )
    trigger = Trigger.from_file(file)
    images = load_splits(shared / "data" / "cifar10")["test"]
    chosen = images.select(np.arange(0, len(images.labels), 40))
    dog = images.names.index("dog")
    rates = {}
    for name in ("backdoored", "clean"):
        weights = shared / "models" / f"wrn16_1_cifar10_{name}.safetensors"
        base = BaseSpec(name="zoo:wrn16_1", weights=str(weights)).load("cpu")
        pixels, _, _ = read_pixels(chosen.source, base.preprocessing, skip_bad=False)
        assert isinstance(pixels, Tensor)
        model = on_pixels(base.module, base.preprocessing)
        found = predicted(model, trigger.apply(pixels.float() / 255))
        others = torch.from_numpy(chosen.labels) != dog
        rates[name] = (found[others] == dog).float().mean().item()
    assert rates["backdoored"] == 1
    assert rates["clean"] < 0.1
