"""Image folders as people have them: stray files, hidden folders, empty class folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import seam
from seam.data.folder import left_out, stray_files, survey
from seam.data.load import load_splits
from seam.errors import DataError
from seam.jobs.observe import Silent

MakeFolder = Callable[..., Path]
STRAY = (
    *(".DS_Store", "train/.DS_Store", "train/cat/Thumbs.db", "README.md", "LICENSE"),
    *(
        "train/cat/1.txt",
        "train/cat/2.txt",
        "train/cat/3.txt",
        "train/cat/4.txt",
        "train/dog/1.txt",
    ),
)


@pytest.fixture
def folder(image_folder: MakeFolder) -> Path:
    """Three cats and three dogs in each split, and what lies around between them."""
    found = image_folder({part: {"cat": 3, "dog": 3} for part in ("train", "test")})
    for name in STRAY:
        (found / name).write_bytes(b"no image")
    for name in ("train/.ipynb_checkpoints", "__MACOSX"):
        (found / name).mkdir()
        (found / name / "copy.png").write_bytes(b"no image")
    return found


def test_stray_files_change_nothing_and_are_counted(folder: Path) -> None:
    splits = load_splits(folder)
    assert {name: len(each.labels) for name, each in splits.items()} == {"train": 6, "test": 6}
    assert splits["train"].names == ("cat", "dog")
    stray = stray_files(folder)
    assert set(stray) == {*STRAY, "train/.ipynb_checkpoints", "__MACOSX"}
    assert left_out(stray) == (
        "12 files in the data folder are no images and are left out: .DS_Store, LICENSE, README.md "
        "and 9 more"
    )
    assert left_out(("a\nb",)).endswith("is no image and is left out: a\\nb")


def test_a_search_says_so_in_one_line(folder: Path) -> None:
    told: list[str] = []

    class Listening(Silent):
        def stage(self, text: str) -> None:
            told.append(text)

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))
    base = seam.BaseModel(module, ["cat", "dog"], seam.Preprocessing(size=8))  # type: ignore[arg-type]
    problem = seam.Problem.of(["cat", "dog"])
    settings = seam.plan(problem, epochs=1, validation=0.4)
    result = seam.reengineer(base, problem, folder, settings=settings, observer=Listening())
    assert [line for line in told if "left out" in line] == [left_out(stray_files(folder))]
    assert result.report["samples"]["stray"] == 12


@pytest.mark.parametrize("name", ["train/fish", "train/fish/deep"])
def test_an_empty_class_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "notes.txt").write_text("none yet")
    with pytest.raises(DataError, match=r"class folder 'train/fish' holds no image; add images"):
        load_splits(folder)


def test_folders_that_are_no_classes_may_be_empty(folder: Path) -> None:
    (folder / "notes").mkdir()  # beside the splits, not beside the classes
    assert survey(folder).has_images


def test_other_data_is_left_to_its_reader(parquet_folder: MakeFolder) -> None:
    folder = parquet_folder({"train": [0, 1]}, ["cat", "dog"])
    assert not survey(folder).has_images
    assert stray_files(folder) == ()
    assert stray_files("digits") == ()
