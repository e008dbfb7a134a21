"""Runs and adapters at a URL: the bytes of a local folder, and every command on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from PIL import Image

import seam
from seam.artefacts import storage_lock
from seam.artefacts.storage import Storage
from seam.artefacts.storage_lock import locked

SEARCH = ["reengineer", "zoo:digits", "--data", "digits", "--labels", "3,5", "--epochs", "1"]


def objects(url: str) -> dict[str, bytes]:
    """Every object below a URL, by name."""
    system, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    return {name.removeprefix(f"{root}/"): system.cat_file(name) for name in system.find(root)}


def test_a_search_names_the_url(bucket: str, call: Callable[..., object]) -> None:
    url = f"{bucket}/runs/a"
    assert call(*SEARCH, "--out", url, "--dry-run").code == 0
    assert objects(bucket) == {}
    search = call(*SEARCH, "--out", url)
    assert search.code == 0, search.err
    assert f"run folder: {url}  " in search.out
    assert f"seam evaluate {url} " in search.out
    before = objects(url)
    assert {"config.yaml", "report.json", "frontier.png", "adapter/adapter.json"} < before.keys()

    other = call(*SEARCH[:-1], "3", "--out", url, "--quiet")
    assert other.code == 2
    assert f"run folder '{url}' holds a run of other settings" in other.err
    assert objects(url) == before


def test_every_command_takes_a_url(
    finished: str, call: Callable[..., object], tmp_path: Path
) -> None:
    assert call("reengineer", "--out", finished, "--pick", "2", "--quiet").code == 0
    report = json.loads(call("evaluate", finished, "--json").out)
    assert report["picked"]["epoch"] == 2
    written = json.loads(call("report", finished, "--json").out)
    assert written["path"] == f"{finished}/report.html"
    assert written["missing"][0]["command"] == f"seam evaluate {finished} --latency"
    page = objects(finished)["report.html"].decode()
    assert f'<span class="word">{finished}</span>' in page
    assert "/tmp" not in page
    found = json.loads(call("export", finished, "--to", "torch", "--json").out)
    assert found["exports"][0]["folder"] == f"{finished}/export/torch"

    image = tmp_path / "image.png"
    Image.new("L", (8, 8)).save(image)
    predicted = call("predict", finished, image)
    assert predicted.out.splitlines()[-1] == f"next: seam inspect {finished}/adapter"
    exported = call("predict", f"{finished}/export/torch", image)
    assert exported.out.splitlines()[-1] == f"next: seam evaluate {finished} --latency"
    inspected = json.loads(call("inspect", f"{finished}/adapter", "--json").out)
    assert inspected["density"] == report["density"]
    compared = call("compare", finished, finished, "--out", tmp_path / "both.html", "--json")
    assert json.loads(compared.out)["path"] == str(tmp_path / "both.html")


def test_python(finished: str, tmp_path: Path) -> None:
    predictor = seam.load(finished)
    assert predictor([Image.new("L", (8, 8))])[0]["label"] in ("3", "5")
    again = seam.pick_again(finished, seam.Pick(rule="epoch", value=2))
    assert (again.folder, again.report["picked"]["epoch"]) == (finished, 2)
    problem = seam.Problem.one_vs_rest("7")
    local = seam.reengineer(
        seam.load_base("zoo:digits"),
        problem,
        "digits",
        out=f"file://{tmp_path}/run",
        settings=seam.plan(problem, epochs=1),
    )
    assert local.folder == tmp_path / "run"
    assert (local.folder / "report.json").exists()


def test_adapters(finished_run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_lock, "BEAT_S", 0.1)
    adapter, url = seam.load_adapter(f"{finished_run}/adapter"), "memory://adapters/a"
    size = seam.save_adapter(adapter, url)
    assert objects(url) == objects(f"{finished_run}/adapter")
    assert sum(map(len, objects(url).values())) == size
    assert seam.load(url).outputs == adapter.problem.outputs
    with locked(Storage(url)), pytest.raises(seam.SeamError, match="is in use by process"):
        seam.save_adapter(adapter, url)
