"""Adapters pushed to a hub, pulled from it, and loaded by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from hub_server import Hub, Server
from PIL import Image

import seam
from seam.errors import AdapterError, ConfigError, HubError, RunFolderError

NAME = "alice/digits"
ADAPTER = {"README.md", "adapter.json", "adapter.safetensors"}
MODEL = {"model/model.json", "model/model.safetensors"}


def card_of(hub: Hub, name: str = NAME) -> dict[str, object]:
    text = hub.files(name)["README.md"].decode()
    return yaml.safe_load(text.split("---\n")[1])


def same_answers(one: seam.Predictor, other: seam.Predictor) -> bool:
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return torch.equal(one.model(images), other.model(images))


# ------------------------------------------------------------------------------- there and back


def test_what_is_pushed_is_what_is_pulled(hub: Hub, run: Path, tmp_path: Path) -> None:
    pushed = seam.push(run, NAME)
    assert set(hub.files(NAME)) == ADAPTER | {".gitattributes"}
    assert pushed["revision"] == hub.repositories[NAME].head
    assert pushed["url"] == f"{hub.url}/{NAME}"
    assert not hub.repositories[NAME].private
    for name in ("adapter.json", "adapter.safetensors"):
        assert hub.files(NAME)[name] == (run / "adapter" / name).read_bytes()

    pulled = seam.pull(NAME, out=tmp_path / "pulled")
    assert pulled["revision"] == pushed["revision"]
    assert pulled["files"] == pushed["files"]
    assert {each.name for each in (tmp_path / "pulled/adapter").iterdir()} == ADAPTER
    assert same_answers(seam.load(tmp_path / "pulled"), seam.load(run))


def test_the_card_has_licence_base_and_how_to_use_it(hub: Hub, run: Path) -> None:
    assert seam.push(run, NAME)["licence"] == "apache-2.0"  # of the weights that seam ships
    values = card_of(hub)
    assert (values["license"], values["library_name"]) == ("apache-2.0", "seam")
    text = hub.files(NAME)["README.md"].decode()
    assert f'seam.load("{NAME}")' in text
    assert "95 % interval" in text


def test_a_hub_name_loads_by_itself(hub: Hub, run: Path) -> None:
    seam.push(run, NAME)
    predict = seam.load(NAME)
    assert predict.outputs == ("3", "5")
    assert predict([Image.new("L", (8, 8))])[0]["label"] in ("3", "5")
    assert same_answers(predict, seam.load(run))


def test_the_shrunk_model_travels_if_asked(hub: Hub, small_run: Path, tmp_path: Path) -> None:
    seam.push(small_run, NAME, model=True)
    assert set(hub.files(NAME)) == ADAPTER | MODEL | {".gitattributes"}  # no model.pt2: a pickle
    seam.pull(NAME, out=tmp_path / "pulled")
    whole = seam.load(small_run)
    for found in (seam.load(NAME), seam.load(tmp_path / "pulled")):
        assert same_answers(found, whole)
        assert len(list(found.model.parameters())) == len(list(whole.model.parameters()))

    seam.push(small_run, NAME)  # what was there of a model goes
    assert set(hub.files(NAME)) == ADAPTER | {".gitattributes"}
    masked = seam.load(NAME)
    sizes = [sum(p.numel() for p in each.model.parameters()) for each in (masked, whole)]
    assert sizes[0] > sizes[1]


def test_a_dry_run_uploads_nothing(hub: Hub, run: Path) -> None:
    found = seam.push(run, NAME, dry_run=True)
    assert hub.repositories == {}
    assert hub.asked == []
    assert found["revision"] is None
    assert set(found["files"]) == ADAPTER


def test_private_repositories(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seam.push(run, NAME, private=True)
    assert hub.repositories[NAME].private
    assert seam.load(NAME).outputs == ("3", "5")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match=r"no hub repository that you may read; .*hf auth login"):
        seam.pull(NAME)


def test_an_older_commit_can_be_pulled(hub: Hub, run: Path, small_run: Path) -> None:
    first = seam.push(run, NAME)["revision"]
    second = seam.push(small_run, NAME)["revision"]
    assert first != second
    folder = Path(seam.pull(NAME, revision=first)["folder"])
    assert (folder / "adapter.json").read_bytes() == (run / "adapter/adapter.json").read_bytes()
    with pytest.raises(HubError, match="'alice/digits' has no revision 'v9'"):
        seam.pull(NAME, revision="v9")


# ---------------------------------------------------------------------- local folders and the net


def test_a_local_folder_wins(
    hub: Hub, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, tmp_path / "alice/digits")
    assert seam.load(NAME).outputs == ("3", "5")
    with pytest.raises(RunFolderError, match=r"'alice/digit' is no run folder"):
        seam.load("alice/digit")  # a misspelt path is not sent anywhere
    assert hub.asked == []


def test_offline_takes_what_is_cached(hub: Hub, run: Path, offline: Callable[[], None]) -> None:
    seam.push(run, NAME)
    seam.pull(NAME)
    offline()
    hub.asked.clear()
    assert seam.load(NAME).outputs == ("3", "5")
    with pytest.raises(HubError, match="not in the hub's cache, and HF_HUB_OFFLINE is set; unset"):
        seam.load("alice/other")
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set, so nothing can be uploaded"):
        seam.push(run, NAME)
    assert hub.asked == []


def test_an_unreachable_hub_says_what_is_cached(server: Server, run: Path) -> None:
    seam.push(run, NAME)
    commit = seam.pull(NAME)["revision"]
    server.close()
    with pytest.raises(
        HubError, match=f"cannot be reached .*revision {commit[:12]} of .*OFFLINE=1"
    ):
        seam.load(NAME)
    with pytest.raises(HubError, match=r"cannot be reached .*nothing of 'alice/other' is in its"):
        seam.load("alice/other")


# ---------------------------------------------------------------------------------- what is refused


def test_nobody_is_logged_in(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(
        HubError, match=r"nobody is logged in to the hub; .*hf auth login.*HF_TOKEN"
    ):
        seam.push(run, NAME)
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    with pytest.raises(HubError, match=r"the hub does not know your token; .*HF_TOKEN"):
        seam.push(run, NAME)
    assert hub.repositories == {}


def test_push_refuses(hub: Hub, run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'digits' is no repository; give USER/NAME"):
        seam.push(run, "digits")
    with pytest.raises(HubError, match="your token may not do that with hub repository 'bob/x'"):
        seam.push(run, "bob/x")
    with pytest.raises(RunFolderError, match="has no shrunk model; leave --model out"):
        seam.push(run, NAME, model=True)
    with pytest.raises(HubError, match=r'"license" must be one of .*; give another --licence'):
        seam.push(run, NAME, licence="mine")
    hub.add("alice/bert", {"README.md": b"", "pytorch_model.bin": b""})
    with pytest.raises(HubError, match=r"holds something else \('pytorch_model.bin'\).*new name"):
        seam.push(run, "alice/bert")
    hub.add("alice/open", {".gitattributes": b""})
    with pytest.raises(HubError, match=r"is there already, and public; .*leave --private out"):
        seam.push(run, "alice/open", private=True)
    with pytest.raises(RunFolderError, match="is no run folder"):
        seam.push(tmp_path, NAME)
    assert set(hub.files("alice/bert")) == {"README.md", "pytorch_model.bin"}
    assert set(hub.files("alice/open")) == {".gitattributes"}


def test_pull_refuses(hub: Hub, run: Path) -> None:
    with pytest.raises(HubError, match="'bob/none' is no folder here, and no hub repository"):
        seam.pull("bob/none")
    hub.add("bob/bert", {"config.json": b"{}"})
    with pytest.raises(HubError, match=r"holds no adapter: there is no adapter.json, only config"):
        seam.pull("bob/bert")
    hub.add("bob/gated", {"adapter.json": b"{}"}, gated=True)
    with pytest.raises(HubError, match="asks for an agreement; accept it on its page"):
        seam.pull("bob/gated")
    seam.push(run, NAME)
    with pytest.raises(RunFolderError, match="holds a run, which is not replaced"):
        seam.pull(NAME, out=run)


def test_hostile_repositories(
    hub: Hub, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = {name: (run / "adapter" / name).read_bytes() for name in ADAPTER}
    hub.add("bob/more", {**good, "../../evil": b"", "model/model.pt2": b"", "adapter.pkl": b""})
    seam.pull("bob/more", out=tmp_path / "more")
    assert {each.name for each in (tmp_path / "more").rglob("*") if each.is_file()} == ADAPTER
    assert not [line for line in hub.asked if "evil" in line or "pt2" in line or "pkl" in line]

    hub.add("bob/bad", {**good, "adapter.safetensors": good["adapter.safetensors"][:-1] + b"x"})
    with pytest.raises(AdapterError, match="was changed after it was written"):
        seam.pull("bob/bad", out=tmp_path / "bad")
    assert not (tmp_path / "bad").exists()

    monkeypatch.setitem(seam.jobs.share.fetch.__globals__["LIMITS"], "README.md", 10)
    hub.asked.clear()
    with pytest.raises(HubError, match=r"README.md of .* has \d+ bytes, at most 10 are allowed"):
        seam.pull("bob/more")
    assert not [line for line in hub.asked if "resolve" in line]  # nothing was fetched


def test_an_unfinished_choice_is_not_pushed(small_run: Path, tmp_path: Path, hub: Hub) -> None:
    copy = shutil.copytree(small_run, tmp_path / "run")
    manifest = json.loads((copy / "model/model.json").read_text())
    (copy / "model/model.json").write_text(json.dumps({**manifest, "adapter": "0" * 64}))
    with pytest.raises(RunFolderError, match="are of two points of a search"):
        seam.push(copy, NAME, model=True)
    assert hub.repositories == {}
