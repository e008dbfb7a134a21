"""The run folder by itself; that it survives a kill is tested where runs are made."""

from __future__ import annotations

from pathlib import Path

import pytest

from seam.artefacts.lock import held
from seam.artefacts.run import RunFolder
from seam.core.config import SearchConfig
from seam.errors import RunFolderError


def test_messages_name_the_command_that_made_the_run(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("problem: {kind: new-labels}\n")
    with pytest.raises(RunFolderError, match="run seam transfer again to finish it"):
        RunFolder(tmp_path).read_json("report.json")
    (tmp_path / "config.yaml").write_text("problem: nothing\n")
    assert RunFolder(tmp_path).command == "seam reengineer"
    (tmp_path / "config.yaml").write_text("- [")
    assert RunFolder(tmp_path).command == "seam reengineer"


def test_a_run_that_is_about_to_begin_keeps_others_out(tmp_path: Path) -> None:
    """Both see an empty folder; the second may not begin once the first holds it."""
    with held(tmp_path, what="the first"):
        run = RunFolder(tmp_path).begun({"seed": 0}, {"split_hash": "a"})
        with pytest.raises(RunFolderError, match="in use by another process"):
            run.__enter__()
        assert list(tmp_path.iterdir()) == []


def test_a_lock_outlives_files_that_are_written_anew(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with folder.begun({"seed": 0}, {"split_hash": "a"}):
        (tmp_path / "config.yaml").rename(tmp_path / "before.yaml")
        (tmp_path / "config.yaml").write_text("seed: 0\n")
        with pytest.raises(RunFolderError, match="in use by another process"):
            folder.held().__enter__()


def test_a_run_of_an_earlier_version_goes_on_with_its_own_settings(tmp_path: Path) -> None:
    """A setting that came later is the default in both."""
    now = {"search": SearchConfig().to_dict(), "seed": 0}
    earlier = {"search": {k: v for k, v in now["search"].items() if k != "accumulate"}, "seed": 0}
    folder = RunFolder(tmp_path)
    with folder.begun(earlier, {"split_hash": "a"}):
        folder.check(folder.settings())
        folder.check(now)
