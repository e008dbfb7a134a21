"""`seam push`, `seam pull`, and commands that take a hub's name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import Hub
from PIL import Image

from seam.cli.main import main

NAME = "alice/digits"


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["seam", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, *capsys.readouterr()


def test_the_commands(
    hub: Hub,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = call(monkeypatch, capsys, "push", run, NAME, "--dry-run")
    assert code == 0
    assert "nothing was uploaded" in out
    assert "adapter.safetensors" in out
    assert hub.repositories == {}

    code, out, err = call(monkeypatch, capsys, "push", run, NAME, "--private", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["revision"] == hub.repositories[NAME].head
    assert hub.repositories[NAME].private

    code, out, err = call(monkeypatch, capsys, "pull", NAME, "--out", tmp_path / "mine")
    assert (code, err) == (0, "")
    assert f"next: seam predict {tmp_path / 'mine'} IMAGE" in out

    Image.new("L", (8, 8)).save(tmp_path / "blank.png")
    for place in (NAME, tmp_path / "mine"):
        code, out, _ = call(monkeypatch, capsys, "predict", place, tmp_path / "blank.png", "--json")
        assert code == 0
        assert json.loads(out)[0]["label"] in ("3", "5")
    code, out, _ = call(monkeypatch, capsys, "inspect", NAME, "--json")
    assert json.loads(out)["problem"]["outputs"] == ["3", "5"]
    assert call(monkeypatch, capsys, "pull", NAME, "--quiet") == (0, "", "")


def test_mistakes_end_with_one_line(
    hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (
        ["push", run, "digits"],
        ["push", run, "bob/digits"],
        ["push", run, NAME, "--licence", "mine"],
        ["pull", "bob/none"],
        ["predict", "bob/none", "x.png"],
        ["inspect", "bob/none"],
    ):
        code, out, err = call(monkeypatch, capsys, *command)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert err.startswith("seam: ")


def test_the_environment_says_which_hub(hub: Hub, run: Path, tmp_path: Path) -> None:
    """In a process of its own, where the client reads its variables as it always does."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": "hf_of_alice",
    }
    environment.pop("HF_HUB_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-m", "seam", "push", str(run), NAME, "--json"],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["revision"] == hub.repositories[NAME].head
