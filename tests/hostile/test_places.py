"""Nothing is written outside a run folder, whatever is in it and whatever names say."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from good import GOOD, digits
from harness import watched
from hypothesis import given
from hypothesis import strategies as st
from mutate import NAMES

import seam
from seam.artefacts.atomic import write_bytes, write_folder
from seam.artefacts.hub import LIMITS, _wanted
from seam.artefacts.run import RunFolder
from seam.errors import RunFolderError
from seam.reporting.page import report


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that is no one else's business."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "0003.safetensors").write_text("mine")
    (folder / ".a.tmp").write_text("mine")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return shutil.copytree(GOOD / "run", tmp_path / "run")


def linked_folder(name: str) -> Callable[[Path, Path], None]:
    def put(run: Path, outside: Path) -> None:
        place = run / name
        if place.exists():
            shutil.rmtree(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(outside, target_is_directory=True)

    return put


def linked_file(name: str) -> Callable[[Path, Path], None]:
    def put(run: Path, outside: Path) -> None:
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(outside / "0003.safetensors")

    return put


FOLDERS = (
    "checkpoint",
    "checkpoint/points",
    "measured",
    "adapter",
    "model",
    "export/onnx",
    "mlflow",
)
LINKS = {
    **{name: linked_folder(name) for name in FOLDERS},
    **{name: linked_file(name) for name in ("report.html", ".report.html.tmp", "frontier.json")},
}


@pytest.mark.parametrize("name", LINKS)
def test_a_link_that_leads_out_of_a_run_folder_is_refused(
    name: str, run: Path, outside: Path
) -> None:
    LINKS[name](run, outside)
    before = {file: file.read_bytes() for file in outside.iterdir()}
    facts = {"split_hash": "x"}
    with watched(run), pytest.raises(RunFolderError, match="a link that leads out of it"):
        report(run, data=digits())
    with watched(run), pytest.raises(RunFolderError, match="a link that leads out of it"):
        RunFolder(run).begun(RunFolder(run).settings(), facts).__enter__()
    assert {file: file.read_bytes() for file in outside.iterdir()} == before


def test_a_link_within_a_run_folder_is_followed(run: Path) -> None:
    (run / "kept").mkdir()
    shutil.move(run / "measured", run / "kept/measured")
    (run / "measured").symlink_to(run / "kept/measured", target_is_directory=True)
    assert report(run, data=digits())["path"] == str(run / "report.html")


def test_a_run_folder_may_be_a_link_itself(run: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(run, target_is_directory=True)
    assert report(tmp_path / "linked", data=digits())["bytes"] > 0


def test_what_lies_where_a_file_is_written_first_is_not_followed(
    tmp_path: Path, outside: Path
) -> None:
    file = tmp_path / "run" / "a.json"
    file.parent.mkdir()
    file.with_name(".a.json.tmp").symlink_to(outside / "0003.safetensors")
    file.symlink_to(outside / "0003.safetensors")
    with watched(tmp_path / "run"):
        write_bytes(file, b"new")
    assert not file.is_symlink()
    assert file.read_bytes() == b"new"
    assert (outside / "0003.safetensors").read_text() == "mine"


def test_what_lies_where_a_folder_is_written_first_is_not_followed(
    tmp_path: Path, outside: Path
) -> None:
    for name in (".adapter.new", ".adapter.old"):
        (tmp_path / name).symlink_to(outside, target_is_directory=True)
    with pytest.raises(RunFolderError, match=r"cannot be written|also holds"):
        write_folder(tmp_path / "adapter", {"0003.safetensors": b"new"})
    assert (outside / "0003.safetensors").read_text() == "mine"


@given(st.lists(st.one_of(st.sampled_from(NAMES), st.text()), min_size=1, unique=True))
def test_the_names_of_problems_are_folders_within_the_sweep(names: list[str]) -> None:
    problem = seam.Problem.of(["7"])
    runs = Path("sweep/runs").resolve()
    parts = seam.parts_of(dict.fromkeys(names, problem))
    assert len({part.name.casefold() for part in parts}) == len(names)
    for part in parts:
        assert (runs / part.name).resolve().parent == runs
        assert len(part.name.encode()) < 200


def test_of_a_hubs_repository_known_names_alone_are_taken() -> None:
    names = {*LIMITS, "../../x", "/etc/passwd", "model/../../x", "adapter/adapter.json", "x.pkl"}
    assert set(_wanted("a/b", dict.fromkeys(names, 1))) == set(LIMITS)
