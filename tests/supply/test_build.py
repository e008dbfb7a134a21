"""Wheel and sdist: the same bytes wherever they are built, and enough to run from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import pytest

import seam

ROOT = Path(__file__).resolve().parents[2]
PARTS = ["src", "tests", "docs", "bench", ".ci"]
FILES = [".gitignore", "LICENSE", "Makefile", "pyproject.toml", "requirements.lock"]


def build(source: Path, out: Path, mask: int = 0o022) -> dict[str, bytes]:
    """Both products of the sources in a folder, as a user's build would make them."""
    environment = {k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"}
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(out)],
        cwd=source,
        env=environment,
        umask=mask,
        check=True,
        capture_output=True,
    )
    return {file.name: file.read_bytes() for file in out.iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "dist"
    build(ROOT, out)
    return out


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, copied by somebody who keeps files private, on another day."""
    folder = tmp_path_factory.mktemp("elsewhere") / "a longer path"
    folder.mkdir()
    leave = shutil.ignore_patterns("__pycache__", "*.pyc")
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=leave)
    for file in [*FILES, *(page.name for page in ROOT.glob("*.md"))]:
        shutil.copy(ROOT / file, folder)
    for place in sorted(folder.rglob("*"), reverse=True):
        place.chmod(0o700 if place.is_dir() or os.access(place, os.X_OK) else 0o600)
        os.utime(place, (1e9, 1e9))
    return folder


def test_two_builds_have_the_same_bytes(built: Path, elsewhere: Path, tmp_path: Path) -> None:
    there = build(elsewhere, tmp_path / "dist", mask=0o077)
    here = {file.name: file.read_bytes() for file in built.iterdir()}
    assert sorted(name.rpartition(".")[2] for name in here) == ["gz", "whl"]
    assert sorted(there) == sorted(here)
    assert [name for name in here if here[name] != there[name]] == []


def test_the_sdist_is_whole_and_builds_the_same_wheel(built: Path, tmp_path: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    assert {"SECURITY.md", "LICENSE", "requirements.lock"} <= {f.name for f in source.iterdir()}
    wheel = next(built.glob("*.whl"))
    assert build(source, tmp_path / "dist")[wheel.name] == wheel.read_bytes()


def test_nothing_is_shipped_that_is_not_committed(built: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this test needs the repository's history")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    ours = set(subprocess.check_output(listed, cwd=ROOT, text=True).splitlines())
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        shipped = {name.partition("/")[2] for name in archive.getnames()}
    assert shipped - ours == {"PKG-INFO"}


def test_the_wheel_runs_in_an_empty_environment(built: Path, tmp_path: Path) -> None:
    """The dependencies are borrowed from here; `make release` installs them, and runs the demo."""
    place = tmp_path / "environment"
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    wheel = next(built.glob("*.whl"))
    install = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}

    def run(*command: object) -> str:
        return subprocess.check_output(command, cwd=tmp_path, env=environment, text=True)

    assert run(place / "bin" / "seam", "--version") == f"{seam.__version__}\n"
    base = "import seam; print(seam.__file__, *seam.load_base('zoo:digits').labels)"
    file, *labels = run(python, "-c", base).split()
    assert Path(file).is_relative_to(packages)
    assert labels == list("0123456789")
