"""Runs and adapters at a URL: the bytes of a local folder, and every command on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from PIL import Image

import seam
from seam.artefacts.storage import Storage
from seam.artefacts.storage_lock import locked

SEARCH = ["reengineer", "zoo:digits", "--data", "digits", "--labels", "3,5", "--epochs", "2"]


def objects(url: str) -> dict[str, bytes]:
    """Every object below a URL, by name; but what holds seconds."""
    system, root = fsspec.core.url_to_fs(url)
    system.invalidate_cache()
    found = {name.removeprefix(f"{root}/"): system.cat_file(name) for name in system.find(root)}
    return {name: data for name, data in found.items() if not timed(name)}


def timed(name: str) -> bool:
    return name in ("report.json", "checkpoint/state.safetensors")


def test_every_command_takes_a_url(
    bucket: str, call: Callable[..., object], tmp_path: Path
) -> None:
    url, local = f"{bucket}/runs/a", tmp_path / "local"
    assert call(*SEARCH, "--out", url, "--dry-run").code == 0
    assert objects(bucket) == {}
    search = call(*SEARCH, "--out", url)
    assert search.code == 0, search.err
    assert f"run folder: {url}  " in search.out
    assert f"seam evaluate {url} " in search.out
    assert call(*SEARCH, "--out", local, "--quiet").code == 0
    assert objects(url) == {
        str(file.relative_to(local)): file.read_bytes()
        for file in sorted(local.rglob("*"))
        if file.is_file() and not timed(str(file.relative_to(local)))
    }

    assert call("reengineer", "--out", url, "--pick", "2", "--quiet").code == 0
    evaluated = call("evaluate", url, "--json")
    report = json.loads(evaluated.out)
    assert report["picked"]["epoch"] == 2
    written = json.loads(call("report", url, "--json").out)
    assert written["path"] == f"{url}/report.html"
    assert written["missing"][0]["command"] == f"seam evaluate {url} --latency"
    page = objects(url)["report.html"].decode()
    assert f'<span class="word">{url}</span>' in page
    assert "/tmp" not in page
    found = json.loads(call("export", url, "--to", "torch", "--json").out)
    assert found["exports"][0]["folder"] == f"{url}/export/torch"

    image = tmp_path / "image.png"
    Image.new("L", (8, 8)).save(image)
    predicted = call("predict", url, image)
    assert predicted.out.splitlines()[-1] == f"next: seam inspect {url}/adapter"
    exported = call("predict", f"{url}/export/torch", image)
    assert exported.out.splitlines()[-1] == f"next: seam evaluate {url} --latency"
    inspected = json.loads(call("inspect", f"{url}/adapter", "--json").out)
    assert inspected["density"] == report["density"]
    compared = call("compare", url, local, "--out", tmp_path / "both.html", "--json")
    assert json.loads(compared.out)["path"] == str(tmp_path / "both.html")


def test_settings_that_differ_are_refused(bucket: str, call: Callable[..., object]) -> None:
    url = f"{bucket}/runs/a"
    assert call(*SEARCH[:-1], "1", "--out", url, "--quiet").code == 0
    before = objects(url)
    other = call(*SEARCH, "--out", url, "--quiet")
    assert other.code == 2
    assert f"run folder '{url}' holds a run of other settings" in other.err
    assert objects(url) == before


def test_python(call: Callable[..., object], tmp_path: Path) -> None:
    url, problem = "memory://python/runs/a", seam.Problem.one_vs_rest("7")
    base, settings = seam.load_base("zoo:digits"), seam.plan(problem, epochs=1)
    result = seam.reengineer(base, problem, "digits", out=url, settings=settings)
    assert result.folder == url
    assert seam.load(url)([Image.new("L", (8, 8))])[0]["label"] in problem.outputs
    assert seam.evaluate(url)["density"] == result.report["density"]
    again = seam.pick_again(url, seam.Pick(rule="epoch", value=1))
    assert (again.folder, again.report["picked"]["epoch"]) == (url, 1)
    unbroken = f"file://{tmp_path}/b"
    assert (
        seam.reengineer(base, problem, "digits", out=unbroken, settings=settings).folder
        == tmp_path / "b"
    )
    assert (tmp_path / "b" / "report.json").exists()


def test_adapters(call: Callable[..., object], finished: Path) -> None:
    adapter = seam.load_adapter(finished / "adapter")
    url = "memory://adapters/a"
    size = seam.save_adapter(adapter, url)
    assert sum(map(len, objects(url).values())) == size
    assert objects(url) == {f.name: f.read_bytes() for f in (finished / "adapter").iterdir()}
    found = seam.load_adapter(url)
    assert found.density == adapter.density
    assert seam.load(url).outputs == adapter.problem.outputs
    with locked(Storage(url)), pytest.raises(seam.SeamError, match="is in use by process"):
        seam.save_adapter(adapter, url)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, problem = tmp_path_factory.mktemp("run") / "a", seam.Problem.one_vs_rest("7")
    base, settings = seam.load_base("zoo:digits"), seam.plan(problem, epochs=1)
    seam.reengineer(base, problem, "digits", out=out, settings=settings)
    return out
