"""Models of `transformers` from local folders: what they expect, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hf_models
import pytest
import torch
from PIL import Image
from transformers import AutoModelForSequenceClassification, AutoTokenizer, ViTImageProcessor

import seam
from seam.core.text import TextPreprocessing
from seam.data.images import prepared_image
from seam.data.texts import encode
from seam.errors import LabelError, ModelError
from seam.masking.attention import TABLE, attention_of, head_count
from seam.masking.channels import find_axes
from seam.shrink.check import checked
from seam.shrink.remove import remove

DIGITS = [str(i) for i in range(10)]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hf_models.save_text_model(tmp_path_factory.mktemp("hf") / "bert")


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hf_models.save_image_model(tmp_path_factory.mktemp("hf") / "vit", labels=DIGITS)


@pytest.mark.parametrize("kind", hf_models.TEXT_CONFIGS)
def test_texts_give_the_logits_that_transformers_gives(kind: str, tmp_path: Path) -> None:
    folder = hf_models.save_text_model(tmp_path / kind, kind)
    base = seam.load_base(f"hf:{folder}")
    assert base.labels == hf_models.LABELS
    assert isinstance(base.preprocessing, TextPreprocessing)
    texts = ["the red fox is here", "a hammer and that and this is of the otter and the otter"]
    given = AutoTokenizer.from_pretrained(folder)(
        texts, padding="max_length", truncation=True, return_tensors="pt"
    )
    tokens = encode(texts, base.preprocessing)
    assert torch.equal(tokens, given["input_ids"])
    theirs = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        wanted = theirs(input_ids=given["input_ids"], attention_mask=given["attention_mask"])
        assert torch.equal(base.module(tokens), wanted.logits)


@pytest.mark.parametrize("kind", hf_models.IMAGE_CONFIGS)
def test_images_are_prepared_as_transformers_does(kind: str, tmp_path: Path) -> None:
    folder = hf_models.save_image_model(tmp_path / kind, kind, labels=DIGITS)
    base = seam.load_base(f"hf:{folder}")
    assert base.labels == tuple(DIGITS)
    side = hf_models.SIDES[kind]
    picture = Image.effect_noise((side, side), 60).convert("RGB")
    wanted = ViTImageProcessor.from_pretrained(folder)(picture, return_tensors="pt")
    ours = prepared_image(picture, base.preprocessing, torch.device("cpu"))  # type: ignore[arg-type]
    assert torch.allclose(ours, wanted["pixel_values"], atol=1e-6)


def edited(folder: Path, out: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of a model folder with another configuration."""
    shutil.copytree(folder, out)
    values = json.loads((out / "config.json").read_text())
    change(values)
    (out / "config.json").write_text(json.dumps(values))
    return out


def placeholders(config: dict[str, Any]) -> None:
    config["id2label"] = {str(i): f"LABEL_{i}" for i in range(4)}
    config["label2id"] = {f"LABEL_{i}": i for i in range(4)}


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "placeholders": (placeholders, r"only placeholders \(LABEL_0, ...\); give a --labels-file"),
    "many labels": (
        lambda config: config.update(problem_type="multi_label_classification"),
        "does multi label classification, where labels do not exclude one another",
    ),
    "detection": (
        lambda config: config.update(architectures=["YolosForObjectDetection"]),
        r"is YolosForObjectDetection \(detection finds objects, seam needs one label a sample\)",
    ),
    "no head": (
        lambda config: config.update(architectures=["BertModel"]),
        "is BertModel; give a model for image or sequence classification",
    ),
    "another kind": (
        lambda config: config.update(model_type="nothing-known"),
        "has no configuration that can be read",
    ),
    "fewer tokens": (
        lambda config: config.update(vocab_size=7),
        "the weights of .* do not fit its configuration",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_configurations_that_are_refused(what: str, bert: Path, tmp_path: Path) -> None:
    change, told = REFUSED[what]
    with pytest.raises((ModelError, LabelError), match=told) as caught:
        seam.load_base(f"hf:{edited(bert, tmp_path / 'model', change)}")
    assert "\n" not in str(caught.value)


def test_a_labels_file_stands_in_for_placeholders(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\n".join("abcd"))
    folder = edited(bert, tmp_path / "model", placeholders)
    base = seam.load_base(f"hf:{folder}", labels_file=str(tmp_path / "labels.txt"))
    assert base.labels == tuple("abcd")


def test_a_tokenizer_of_another_model(bert: Path, tmp_path: Path) -> None:
    folder = hf_models.save_text_model(tmp_path / "model")
    words = AutoTokenizer.from_pretrained(folder)
    words.add_tokens(["platypus"])
    words.save_pretrained(folder)
    with pytest.raises(ModelError, match=r"tokens, the model knows .*; give the tokenizer that"):
        seam.load_base(f"hf:{folder}")


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("model.safetensors", "no safetensors weights, and pickled ones are never opened"),
        ("config.json", "no configuration that can be read"),
        ("tokenizer*", "no tokenizer that can be read"),
    ],
)
def test_files_that_are_missing(missing: str, told: str, bert: Path, tmp_path: Path) -> None:
    shutil.copytree(bert, tmp_path / "model")
    for file in (tmp_path / "model").glob(missing):
        file.unlink()
    with pytest.raises(ModelError, match=told):
        seam.load_base(f"hf:{tmp_path / 'model'}")


def test_an_image_model_without_its_processor(vit: Path, tmp_path: Path) -> None:
    shutil.copytree(vit, tmp_path / "model")
    (tmp_path / "model" / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="no image processor that can be read"):
        seam.load_base(f"hf:{tmp_path / 'model'}")


def test_a_head_that_was_never_trained(bert: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(bert, tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    kept = {name: each for name, each in load_file(file).items() if "classifier" not in name}
    save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack classifier\.bias, classifier\.weight: it was not"):
        seam.load_base(f"hf:{tmp_path / 'model'}")


@pytest.mark.parametrize("name", ["./no/such", "/no/such", "a/b/c"])
def test_folders_that_do_not_exist(name: str) -> None:
    with pytest.raises(ModelError, match=r"model folder '.*' does not exist; check the path"):
        seam.load_base(f"hf:{name}")


def test_options_that_hf_models_do_not_take(bert: Path) -> None:
    with pytest.raises(ModelError, match="leave --model-args out"):
        seam.load_base(f"hf:{bert}", model_args={"num_labels": 4})
    with pytest.raises(ModelError, match="@REVISION"):
        seam.load_base("hf:somebody/model", revision="main")


@pytest.mark.parametrize("kind", [*hf_models.TEXT_CONFIGS, "vit", "deit", "beit"])
def test_heads_and_hidden_units_can_go(kind: str, tmp_path: Path) -> None:
    if kind in hf_models.TEXT_CONFIGS:
        folder = hf_models.save_text_model(tmp_path / kind, kind)
    else:
        folder = hf_models.save_image_model(tmp_path / kind, kind, labels=DIGITS)
    base = seam.load_base(f"hf:{folder}")
    axes = find_axes(base.module, base.example())
    found = checked(base.module, axes, base.example())
    assert found.refused == {}
    sizes = [axis.size for axis in found.axes]
    assert (sizes.count(4), sizes.count(64)) == (2, 2)  # heads and hidden units of two layers
    assert all(len(axis.slots) == 5 for axis in found.axes if axis.size == 4)
    smaller = remove(
        base.module, found.axes, {a.name: torch.arange(a.size) < 2 for a in found.axes}
    )
    heads = [(each, attention_of(each)) for each in smaller.modules()]
    assert [head_count(each, found) for each, found in heads if found is not None] == [2, 2]


def test_heads_of_swin_go_with_their_columns_of_the_position_table(tmp_path: Path) -> None:
    folder = hf_models.save_image_model(tmp_path / "swin", "swin", labels=DIGITS)
    base = seam.load_base(f"hf:{folder}")
    axes = find_axes(base.module, base.example())
    found = checked(base.module, axes, base.example())
    assert found.refused == {}
    heads = [
        axis
        for axis in found.axes
        if any(slot.place[0].endswith("relative_position_bias") for slot in axis.slots)
    ]
    assert [axis.size for axis in heads] == [2, 2, 4, 4]
    smaller = remove(base.module, heads, {a.name: torch.arange(a.size) < 1 for a in heads})
    tables = [v for n, v in smaller.named_parameters() if n.endswith(TABLE)]
    assert [table.shape[1] for table in tables] == [1, 1, 1, 1]
