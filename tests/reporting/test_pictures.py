"""The pictures of a run: what they show, and that they are written whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import seam
from seam.jobs.result import Result
from seam.reporting import gallery
from seam.reporting.gallery import differing, pictures, write_pictures
from seam.reporting.plots import disagreements, frontier_figure, frontier_plot


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    problem = seam.Problem.subset(["3", "5", "8"])
    return seam.reengineer(
        seam.load_base("zoo:digits"),
        problem,
        "digits",
        out=tmp_path_factory.mktemp("run"),
        settings=seam.plan(problem, epochs=2),
    )


def test_gained_and_lost_are_as_the_report_counts_them(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = result.data.test.targets
    n = len(truth)
    full, restricted, ours = torch.full_like(truth, -1), truth.clone(), truth.clone()
    restricted[:15] = (truth[:15] + 1) % 3
    ours[20:23] = (truth[20:23] + 1) % 3
    predictions = {**result.predictions, "full": full, "restricted": restricted}
    changed = replace(result, predictions={**predictions, "reengineered": ours})
    drawn: dict[str, Any] = {}

    def keep(images: Any, truth: Any, before: Any, after: Any, *, title: str, file: Path) -> None:
        drawn[file.name] = (images, truth, before, after, title)

    monkeypatch.setattr(gallery, "disagreements", keep)
    files = write_pictures(changed)
    assert [file.name for file in files] == ["frontier.png", "gained.png", "lost.png"]
    images, shown, before, after, title = drawn["gained.png"]
    assert title == f"gained: restricted base wrong, result right: 15 of {n} images (12 shown)"
    assert len(images) == len(shown) == 12
    assert all(mine != right for mine, right in zip(before, shown, strict=True))
    assert after == shown == [("3", "5", "8")[i] for i in truth[:12]]
    images, shown, before, after, title = drawn["lost.png"]
    assert title == f"lost: restricted base right, result wrong: 3 of {n} images"
    assert before == shown
    assert all(mine != right for mine, right in zip(after, shown, strict=True))
    assert images.shape == (3, 8, 8)


def test_differing_counts_each_image_once() -> None:
    base, ours, truth = (torch.randint(-1, 3, (50,)) for _ in range(3))
    truth = truth.clamp_min(0)
    gained, lost = differing(base, ours, truth)
    assert not set(gained.tolist()) & set(lost.tolist())
    difference = int((ours == truth).sum()) - int((base == truth).sum())
    assert len(gained) - len(lost) == difference


def test_pictures_are_written_whole(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    assert result.folder is not None
    files = write_pictures(result)
    before = [file.read_bytes() for file in files]
    assert all(data.startswith(b"\x89PNG") and data.endswith(b"IEND\xaeB`\x82") for data in before)

    def full(_path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seam.artefacts.atomic._write", full)
    with pytest.raises(seam.SeamError, match="free some disk space"):
        write_pictures(result)
    assert [file.read_bytes() for file in files] == before
    assert not list(result.folder.glob(".*"))


def test_a_result_without_a_folder_has_no_pictures(result: Result) -> None:
    assert write_pictures(replace(result, folder=None)) == []


@pytest.mark.parametrize("count", [0, 1, 7])
@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3)])
def test_sheets_of_any_size(count: int, shape: tuple[int, ...], tmp_path: Path) -> None:
    images = np.zeros((count, *shape), dtype=np.uint8)
    names = ["$x^2$ [red]"] * count
    disagreements(images, names, names, names, title="none", file=tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 500


def test_pictures_of_grey_and_colour(result: Result) -> None:
    assert pictures(result.data.test, torch.tensor([0, 2])).shape == (2, 8, 8)
    assert pictures(result.data.test, torch.tensor([], dtype=torch.long)).shape[0] == 0


@pytest.mark.parametrize("densities", [[0.26, 0.25, 0.24], [0.5, 0.5, 0.5], [1.0, 0.1, 0.01]])
def test_a_frontier_has_numbers_on_its_axis(densities: list[float]) -> None:
    rows = [
        {"epoch": epoch, "density": density, "validation_accuracy": 0.9}
        for epoch, density in enumerate(densities)
    ]
    report = {"frontier": rows, "picked": {"epoch": 1}, "validation": {"restricted": 0.9}}
    (axes,) = frontier_figure(report, rows).axes
    low, high = axes.get_xlim()
    shown = [float(text.get_text()) for text in axes.get_xticklabels()]
    assert low < 100 * min(densities) <= 100 * max(densities) < high
    assert len(shown) >= 2
    assert all(low <= number <= high for number in shown)


def test_frontier_of_one_point(result: Result, tmp_path: Path) -> None:
    report = {**result.report, "frontier": [result.report["frontier"][0]]}
    report["picked"] = {**report["picked"], "epoch": report["frontier"][0]["epoch"]}
    frontier_plot(report, result.history[:1], tmp_path / "one.png")
    assert (tmp_path / "one.png").exists()
