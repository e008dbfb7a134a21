"""Hostile files on the command line: exit code 2, one line, nothing run and nothing left behind."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from good import GOOD
from targets import CORPUS, TARGETS

from seam.cli.main import main

SEARCH = ["reengineer", "zoo:digits", "--data", "digits", "--out", "{place}/out"]
ROWS = {
    "config/billion-laughs": ["report", "{place}/run"],
    "history/nested": ["report", "{place}/run"],
    "report-json/no-accuracy": ["report", "{place}/run"],
    "report-json/hash-of-numbers": ["evaluate", "{place}/run"],
    "adapter-json/mask-of-a-terabit": ["inspect", "{place}/run/adapter"],
    "adapter-tensors/claims-a-terabyte": ["inspect", "{place}/run/adapter"],
    "model-json/large-architecture": ["predict", "{place}/run", "{place}/image.png"],
    "image/bomb": ["predict", "{place}/run", "{place}/image.png"],
    "image/postscript": ["predict", "{place}/run", "{place}/image.png"],
    "run-yaml/object": ["reengineer", "--config", "{place}/run.yaml"],
    "groups/billion-laughs": [*SEARCH, "--groups", "{place}/groups.yaml"],
    "labels/no-text": [*SEARCH, "--labels", "7", "--labels-file", "{place}/labels.txt"],
    "weights-pth/pickle": [*SEARCH, "--labels", "7", "--weights", "{place}/weights.pth"],
    "weights-pth/packed-bomb": [*SEARCH, "--labels", "7", "--weights", "{place}/weights.pth"],
    "trigger/nested": ["evaluate", "{place}/run", "--trigger", "{place}/trigger.yaml"],
}


@pytest.mark.parametrize("name", ROWS)
def test_a_hostile_file_ends_with_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = shutil.copytree(GOOD, tmp_path / "good")
    target = TARGETS[name.partition("/")[0]]
    (place / target.file).write_bytes((CORPUS / name).read_bytes())
    target.seal(place / target.file)
    before = sorted(tmp_path.rglob("*"))
    arguments = [each.format(place=place) for each in ROWS[name]]
    monkeypatch.setattr(sys, "argv", ["seam", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert len([line for line in said.err.splitlines() if line.startswith("seam: ")]) == 1
    assert "Traceback" not in said.err
    assert said.out == ""
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("arguments", [["predict", "a" * 300, "b"], ["report", "a" * 5000]])
def test_a_name_too_long_for_a_path_ends_with_one_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["seam", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
