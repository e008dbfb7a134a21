"""The run folder by itself; that it survives a kill is tested where runs are made."""

from __future__ import annotations

from pathlib import Path

import pytest

from seam.artefacts.run import RunFolder
from seam.errors import RunFolderError


def test_messages_name_the_command_that_made_the_run(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("problem: {kind: new-labels}\n")
    with pytest.raises(RunFolderError, match="run seam transfer again to finish it"):
        RunFolder(tmp_path).read_json("report.json")
    (tmp_path / "config.yaml").write_text("problem: nothing\n")
    assert RunFolder(tmp_path).command == "seam reengineer"
    (tmp_path / "config.yaml").write_text("- [")
    assert RunFolder(tmp_path).command == "seam reengineer"
