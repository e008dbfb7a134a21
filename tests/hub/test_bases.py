"""An adapter's base model, recorded with its commit and fetched again from a hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import yaml
from hub_server import Hub
from PIL import Image
from safetensors.torch import save

import seam
from seam.errors import AdapterError, BaseMismatchError, ConfigError, HubError, ModelError
from seam.jobs.bases import base_of_adapter

BASE = "timm/test_resnet.r160_in1k"
NAME = "alice/fish"
CARD = b"---\nlicense: cc-by-nc-4.0\n---\n# A base\n"


def weights(seed: int) -> bytes:
    torch.manual_seed(seed)
    return save(timm.create_model("test_resnet").state_dict())


@pytest.fixture
def base(hub: Hub) -> seam.BaseModel:
    """timm's smallest network, with pretrained weights from the hub."""
    hub.add(BASE, {"model.safetensors": weights(0), "README.md": CARD})
    return seam.load_base("timm:test_resnet", size=32)


@pytest.fixture
def run(base: seam.BaseModel, tmp_path: Path) -> Path:
    """A run on that base."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 2)):
        for label in ("goldfish", "tench"):
            place = tmp_path / "images" / part / label
            place.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{i}.png")
    problem = seam.Problem.of(["goldfish", "tench"])
    settings = seam.plan(problem, epochs=1, validation=0.3, distill=0.0)
    seam.reengineer(base, problem, tmp_path / "images", out=tmp_path / "run", settings=settings)
    return tmp_path / "run"


def test_the_base_is_recorded_with_its_commit(hub: Hub, base: seam.BaseModel, run: Path) -> None:
    commit = hub.repositories[BASE].head
    assert base.origin is not None
    assert base.origin.revision == commit
    adapter = seam.load_adapter(run / "adapter")
    assert adapter.base.details["hub"] == {
        "name": "test_resnet.r160_in1k",
        "repository": BASE,
        "revision": commit,
        "licence": "apache-2.0",
    }
    card = (run / "adapter/README.md").read_text()
    assert f"revision `{commit}`" in card


def test_the_card_takes_over_the_licence_of_the_base(hub: Hub, run: Path) -> None:
    found = seam.push(run, NAME)
    assert found["licence"] == "cc-by-nc-4.0"  # what the base's card says, not what timm says
    values = yaml.safe_load(hub.files(NAME)["README.md"].decode().split("---\n")[1])
    assert values["license"] == "cc-by-nc-4.0"
    assert (values["base_model"], values["base_model_relation"]) == (BASE, "adapter")
    assert found["base"]["revision"] == hub.repositories[BASE].head
    assert seam.push(run, NAME, licence="mit", dry_run=True)["licence"] == "mit"

    hub.repositories[BASE].private = True  # where its card cannot be read, timm's word counts
    assert seam.push(run, NAME, dry_run=True)["licence"] == "apache-2.0"


def test_a_name_brings_adapter_and_base(
    hub: Hub, run: Path, offline: Callable[[], None], tmp_path: Path
) -> None:
    seam.push(run, NAME)
    hub.add(BASE, {"model.safetensors": weights(1), "README.md": CARD})  # its main branch moves on
    image = Image.new("RGB", (40, 30), "red")
    expected = seam.load(run, base=base_of_adapter(seam.load_adapter(run / "adapter")))([image])
    assert seam.load(NAME)([image]) == expected
    seam.pull(NAME, out=tmp_path / "pulled")
    assert seam.load(tmp_path / "pulled")([image]) == expected
    offline()
    assert seam.load(NAME)([image]) == expected


def test_a_base_that_moved_is_refused(hub: Hub, run: Path, base: seam.BaseModel) -> None:
    seam.push(run, NAME)
    old = hub.repositories[BASE].head
    new = hub.add(BASE, {"model.safetensors": weights(1)})
    moved = seam.load_base("timm:test_resnet", size=32)
    assert moved.origin is not None
    assert moved.origin.revision == new
    with pytest.raises(BaseMismatchError) as told:
        seam.load(NAME, base=moved)
    for word in (base.fingerprint[:12], moved.fingerprint[:12], old[:12], new[:12]):
        assert word in str(told.value)
    again = seam.load_base("timm:test_resnet", size=32, revision=old)
    assert again.fingerprint == base.fingerprint


def test_a_revision_that_is_gone(
    hub: Hub, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seam.push(run, NAME)
    old = hub.repositories[BASE].head
    hub.repositories[BASE].commits.clear()
    hub.add(BASE, {"model.safetensors": weights(0)})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "other"))
    with pytest.raises(
        HubError, match=f"cannot be fetched at the revision .*{old[:12]} of '{BASE}'"
    ):
        seam.load(NAME)


def adapter_of(base: dict[str, Any]) -> seam.Adapter:
    """An adapter for ten digits that says ``base`` of its base."""
    problem, digits = seam.Problem.of(["3", "5"]), seam.load_base("zoo:digits")
    from seam.artefacts.adapter_value import BaseReference

    return seam.Adapter(
        masks={},
        head={"bias": torch.zeros(2)},
        delta={},
        head_kind="slice",
        problem=problem,
        preprocessing=digits.preprocessing,
        base=replace(BaseReference.of(digits, problem), **base),
    )


@pytest.mark.parametrize(
    ("base", "kind", "told"),
    [
        ({"source": "own"}, ModelError, "'own' with an own module"),
        ({"source": "model:/home/me/run/model"}, ModelError, "with an own module"),
        ({"details": {"weights": "local"}}, ModelError, "with weights of a file"),
        ({"details": {"model_args": {"checkpoint_path": "x"}}}, AdapterError, "name a file"),
        ({"details": {"model_args": [1]}}, AdapterError, "name a file"),
        (
            {"source": "timm:resnet18", "details": {"hub": {"revision": "main"}}},
            AdapterError,
            "revision that is no commit",
        ),
        ({"source": "timm:resnet18", "details": {"hub": 3}}, AdapterError, "damaged hub"),
    ],
)
def test_bases_that_cannot_be_fetched(
    hub: Hub, base: dict[str, Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        base_of_adapter(adapter_of(base))
    assert hub.asked == []


def test_a_licence_that_nobody_knows(hub: Hub, tmp_path: Path) -> None:
    adapter = adapter_of({"source": "own"})
    seam.save_adapter(adapter, tmp_path / "adapter")
    with pytest.raises(ConfigError, match=r"licence of base model 'own' is not known.*--licence"):
        seam.push(tmp_path / "adapter", NAME)
    assert hub.repositories == {}
    seam.push(tmp_path / "adapter", NAME, licence="mit")
    assert b"license: mit" in hub.files(NAME)["README.md"]
    assert json.loads(hub.files(NAME)["adapter.json"])["base"]["source"] == "own"


def test_only_timm_has_revisions() -> None:
    with pytest.raises(ModelError, match="zoo:digits does not come from a hub"):
        seam.load_base("zoo:digits", revision="0" * 40)
