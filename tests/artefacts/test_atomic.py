"""Files and folders appear whole or not at all: failures, full disks and kills at every step."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from seam.artefacts.atomic import (
    delete_file,
    existing,
    shown,
    write_bytes,
    write_folder,
    write_json,
    write_text,
)
from seam.errors import RunFolderError

OLD = {"a": b"old a", "b": b"old b"}
NEW = {"a": b"new a", "b": b"new b" * 1000}
EXIT = 9
FILE = "import sys; from seam.artefacts.atomic import *; write_bytes(sys.argv[1], b'new')"
FOLDER = (
    "import sys; from seam.artefacts.atomic import *; "
    "write_folder(sys.argv[1], {'a': b'new a', 'b': b'new b' * 1000})"
)
# Ends the process, without any cleaning up, at the n-th step that touches the disk.
KILLER = """
import os, sys
import shutil, json, contextlib
import seam.artefacts.atomic
steps = int(sys.argv[2])
def hook(event, args):
    global steps
    names = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.listdir", "os.scandir")
    if event in names:
        steps -= 1
        if steps < 0:
            os._exit(9)
sys.addaudithook(hook)
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_files_are_written_and_replaced(tmp_path: Path) -> None:
    file = tmp_path / "runs" / "a" / "x"
    for data in (b"", b"old", b"newer" * 10**5, b"short"):
        write_bytes(file, data)
        assert file.read_bytes() == data
    write_text(file, "é\n")
    assert file.read_bytes() == b"\xc3\xa9\n"
    assert names(file.parent) == ["x"]


def test_files_get_the_usual_permissions(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_bytes(tmp_path / "x", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644


def test_json_is_deterministic_and_strict(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_json(file, {"b": 1, "a": ["é", 0.1]})
    first = file.read_bytes()
    write_json(file, {"a": ["é", 0.1], "b": 1})
    assert file.read_bytes() == first
    assert json.loads(first) == {"a": ["é", 0.1], "b": 1}
    with pytest.raises(ValueError, match="JSON"):
        write_json(file, {"loss": float("nan")})
    assert file.read_bytes() == first


def test_folders_are_written_and_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "adapter"
    folder.parent.mkdir()
    folder.mkdir()  # an empty folder may be there
    for files in (OLD, NEW, OLD):
        write_folder(folder, files)
        assert contents(folder) == files
        assert names(folder.parent) == ["adapter"]


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunFolderError, match=r"also holds 'thesis\.tex', so it is not replaced"):
        write_folder(tmp_path, OLD)
    assert names(tmp_path) == ["thesis.tex"]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    write_folder(tmp_path / "real", OLD)
    (tmp_path / "link").symlink_to("real")
    write_folder(tmp_path / "link", NEW)
    assert (tmp_path / "link").is_symlink()
    assert contents(tmp_path / "real") == NEW


# -------------------------------------------------------------------------------------- failures


def file_writer(path: Path) -> None:
    write_bytes(path, b"new" * 1000)


def folder_writer(path: Path) -> None:
    write_folder(path, NEW)


def prepare(path: Path, write: Callable[[Path], None]) -> object:
    if write is file_writer:
        path.write_bytes(b"old")
        return b"old"
    write_folder(path, OLD)
    return OLD


def state(path: Path) -> object:
    return path.read_bytes() if path.is_file() else contents(path)


@pytest.mark.parametrize("write", [file_writer, folder_writer])
@pytest.mark.parametrize(
    ("number", "mend"),
    [
        (errno.ENOSPC, "free some disk space"),
        (errno.EDQUOT, "free some disk space"),
        (errno.EROFS, "permissions"),
        (errno.EACCES, "permissions"),
        (errno.EIO, "check the disk"),
    ],
)
@pytest.mark.parametrize("step", ["fsync", "open", "rename"])
def test_an_error_of_the_disk_is_one_line_and_changes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path], None],
    number: int,
    mend: str,
    step: str,
) -> None:
    path = tmp_path / "target"
    before = prepare(path, write)

    def fail(*args: Any, **named: Any) -> Any:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        if step == "open":
            patch.setattr(io, "open", fail)
        else:
            patch.setattr(os, step, fail)
            if step == "rename":
                patch.setattr(os, "replace", fail)
        with pytest.raises(RunFolderError) as caught:
            write(path)
    message = str(caught.value)
    assert f"'{path}' cannot be written ({os.strerror(number)}); " in message
    assert mend in message
    assert message.isprintable()
    assert state(path) == before
    assert names(tmp_path) == ["target"]


def test_a_disk_that_forbids_to_delete_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b"old")

    def fail(*args: Any, **named: Any) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", fail)
        with pytest.raises(RunFolderError, match=r"Read-only file system.*permissions"):
            delete_file(path)
    assert path.read_bytes() == b"old"
    delete_file(path)
    delete_file(path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("write", [file_writer, folder_writer])
def test_ctrl_c_leaves_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    path = tmp_path / "target"
    before = prepare(path, write)

    def interrupt(_number: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write(path)
    assert state(path) == before
    assert names(tmp_path) == ["target"]


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("write", [file_writer, folder_writer])
def test_running_out_of_room_while_writing(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "target"
    before = prepare(path, write)
    with (
        files_at_most(1000),
        pytest.raises(RunFolderError, match=r"cannot be written .*free some disk space"),
    ):
        write(path)
    assert state(path) == before
    assert names(tmp_path) == ["target"]


def test_something_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(RunFolderError, match="in the way"):
        write_bytes(tmp_path / "folder", b"")
    for path in (tmp_path / "file", tmp_path / "file" / "adapter"):
        with pytest.raises(RunFolderError, match="in the way"):
            write_folder(path, OLD)
    with pytest.raises(RunFolderError, match="in the way"):
        write_bytes(tmp_path / "file" / "x", b"")
    assert names(tmp_path) == ["file", "folder"]


def test_paths_are_shown_on_one_line() -> None:
    assert shown("a b") == "'a b'"
    assert shown("a\nb\x1b[2J") == r"'a\nb\x1b[2J'"


# ----------------------------------------------------------------------------------------- kills


def killed_at(script: str, path: Path, step: int) -> int:
    command = [sys.executable, "-c", KILLER + script, str(path), str(step)]
    return subprocess.run(command, check=False, timeout=60).returncode


def test_a_file_survives_a_kill_at_any_step(tmp_path: Path) -> None:
    path = tmp_path / "run" / "state"
    path.parent.mkdir()
    for step in range(100):
        path.write_bytes(b"old")
        code = killed_at(FILE, path, step)
        assert path.read_bytes() == b"new" or (code == EXIT and path.read_bytes() == b"old")
        if code == 0:
            break
        assert code == EXIT
    assert step > 1
    write_bytes(path, b"after")
    assert names(path.parent) == ["state"]


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_survives_a_kill_at_any_step(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "run" / "adapter"
    seen = set()
    for step in range(100):
        if there:
            write_folder(path, OLD)
        code = killed_at(FOLDER, path, step)
        found = contents(existing(path)) if existing(path).exists() else None
        assert found in (OLD if there else None, NEW)
        seen.add(found == NEW)
        if code == 0:
            break
        assert code == EXIT
        if step % 2:  # the next writer starts from what this or the last kill has left
            write_folder(path, NEW)
            assert names(path.parent) == ["adapter"]
        if not there:
            shutil.rmtree(existing(path), ignore_errors=True)
    assert code == 0
    assert seen == {True, False}
    assert names(path.parent) == ["adapter"]
