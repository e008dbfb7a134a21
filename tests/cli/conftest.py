"""Small things to call the command line on."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seam.cli.main import main
from seam.data.digits import load_digits

collect_ignore = ["holder.py"]  # run by test_interruption.py in another process
SEARCH = ["reengineer", "zoo:digits", "--data", "digits", "--labels", "3,5", "--epochs", "2"]


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; copy it before changing it."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["seam", *SEARCH, "--out", str(out), "--quiet"])
        with pytest.raises(SystemExit, match="0"):
            main()
    return out


@pytest.fixture
def finished(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return shutil.copytree(finished_run, tmp_path / "finished")


@pytest.fixture(scope="session")
def digit_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder of 3s and 5s, twelve each; copy it before changing it."""
    folder = tmp_path_factory.mktemp("images")
    for row in load_digits()["train"]:
        name = str(row["label"])
        place = folder / "train" / name
        if name in "35" and len(list(place.glob("*"))) < 12:
            place.mkdir(parents=True, exist_ok=True)
            row["image"].save(place / f"{len(list(place.glob('*'))):02}.png")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture
def files_of() -> Callable[[Path], dict[str, bytes]]:
    return contents
