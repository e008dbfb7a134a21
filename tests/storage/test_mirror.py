"""The copy of a folder and the lock, on fsspec's storage in memory."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from seam.artefacts import storage_lock
from seam.artefacts.mirror import Mirror
from seam.artefacts.storage import Storage
from seam.artefacts.storage_lock import LOCK, locked
from seam.errors import StorageError

FIRST = {
    "config.yaml": "config",
    "history.jsonl": "1",
    "checkpoint/state.safetensors": "state 1",
    "checkpoint/points/0001.safetensors": "point 1",
    "adapter/adapter.safetensors": "tensors 1",
    "adapter/adapter.json": "of tensors 1",
    "report.json": "of tensors 1",
}
SECOND = {
    "config.yaml": "config",
    "history.jsonl": "1 2",
    "checkpoint/state.safetensors": "state 2",
    "checkpoint/points/0002.safetensors": "point 2",
    "adapter/adapter.safetensors": "tensors 2",
    "adapter/adapter.json": "of tensors 2",
    "report.json": "of tensors 2",
}
_numbers = itertools.count()


class StoppedError(Exception):
    """What ends a process here."""


@pytest.fixture
def url() -> Iterator[str]:
    url = f"memory://mirror{next(_numbers)}/run"
    yield url
    system = fsspec.filesystem("memory")
    if system.exists(url):
        system.rm(url, recursive=True)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_lock, "BEAT_S", 0.2)
    monkeypatch.setattr(storage_lock, "STALE_S", 0.6)


def write(folder: Path, files: dict[str, str]) -> None:
    """Make ``folder`` hold exactly ``files``."""
    for file in [each for each in folder.rglob("*") if each.is_file()]:
        file.unlink()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def read(url: str, folder: Path) -> dict[str, str]:
    """What another machine gets."""
    Mirror(Storage(url), folder).pull()
    found = {file.relative_to(folder): file for file in folder.rglob("*") if file.is_file()}
    return {name.as_posix(): file.read_text() for name, file in found.items()}


def test_what_is_pushed_is_what_is_pulled(url: str, tmp_path: Path) -> None:
    mirror = Mirror(Storage(url), tmp_path / "a")
    mirror.pull()
    write(mirror.folder, {**FIRST, ".unfinished.tmp": "no"})
    mirror.push()
    assert read(url, tmp_path / "b") == FIRST


def test_only_what_has_changed_is_pushed(url: str, tmp_path: Path) -> None:
    first = Mirror(Storage(url), tmp_path / "a")
    write(first.folder, FIRST)
    first.push()
    second = Mirror(Storage(url), tmp_path / "b")
    second.pull()
    touched: list[str] = []
    second.storage.store = lambda name, file: touched.append(name)  # type: ignore[method-assign]
    write(second.folder, {**FIRST, "history.jsonl": "1 2"})
    second.push()
    second.push()
    assert touched == ["history.jsonl"]


@pytest.mark.parametrize("steps", range(10))
def test_stopped_anywhere_a_reader_finds_a_run_that_can_go_on(
    url: str, tmp_path: Path, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = Mirror(Storage(url), tmp_path / "a")
    write(mirror.folder, FIRST)
    mirror.push()
    left = itertools.count(steps, -1)

    def stopped(method: object) -> object:
        def call(self: Storage, *arguments: object) -> object:
            if next(left) <= 0:
                raise StoppedError
            return method(self, *arguments)

        return call

    write(mirror.folder, SECOND)
    with monkeypatch.context() as patch:
        patch.setattr(Storage, "store", stopped(Storage.store))
        delete = stopped(lambda self, name: real(self, [name]))
        real = Storage.delete
        patch.setattr(Storage, "delete", lambda self, names: [delete(self, name) for name in names])
        if steps < 9:
            with pytest.raises(StoppedError):
                mirror.push()
        else:  # 6 files, 2 of them taken away before, 1 point after
            mirror.push()

    found = read(url, tmp_path / "b")
    assert found["config.yaml"] == "config"
    for name in ("adapter/adapter.json", "report.json"):
        assert found.get(name) in (None, f"of {found['adapter/adapter.safetensors']}")
    number = found["checkpoint/state.safetensors"][-1]
    assert found[f"checkpoint/points/000{number}.safetensors"] == f"point {number}"
    again = Mirror(Storage(url), tmp_path / "c")
    again.pull()
    write(again.folder, SECOND)
    again.push()
    assert read(url, tmp_path / "d") == SECOND


def test_what_is_left_out_is_neither_read_nor_deleted(url: str, tmp_path: Path) -> None:
    mirror = Mirror(Storage(url), tmp_path / "a")
    write(mirror.folder, FIRST)
    mirror.push()
    part = Mirror(Storage(url), tmp_path / "b", without=("checkpoint/",))
    part.pull()
    assert not (part.folder / "checkpoint").exists()
    (part.folder / "report.html").write_text("page")
    part.push()
    assert read(url, tmp_path / "c") == {**FIRST, "report.html": "page"}


def test_an_object_that_goes_while_it_is_read(url: str, tmp_path: Path) -> None:
    """As in the moment in which another process replaces an adapter."""
    mirror = Mirror(Storage(url), tmp_path / "a")
    write(mirror.folder, FIRST)
    mirror.push()
    reader = Mirror(Storage(url), tmp_path / "b")
    listed = reader.storage.sizes

    def changing() -> dict[str, int]:
        found = listed()
        reader.storage.sizes = listed  # type: ignore[method-assign]
        mirror.storage.delete(["report.json"])
        return found

    reader.storage.sizes = changing  # type: ignore[method-assign]
    reader.pull()
    assert not (reader.folder / "report.json").exists()
    assert (reader.folder / "adapter/adapter.json").exists()


@pytest.mark.usefixtures("quick")
def test_a_lock_is_renewed_and_given_back(url: str) -> None:
    storage = Storage(url)
    with locked(storage):
        first = storage.read(LOCK)
        time.sleep(0.5)
        assert storage.read(LOCK) != first
        with pytest.raises(StorageError, match=r"is in use by process \d+ on .*; wait for it"):
            locked(Storage(url)).__enter__()
    assert storage.read(LOCK) is None


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("left", [b'{"host": "gone", "pid": 1, "id": "x", "beats": 3}', b"", b"["])
def test_a_lock_that_nobody_renews_is_taken_over(
    url: str, left: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", logger="seam")  # a command with --quiet has it say less
    storage = Storage(url)
    storage.write(LOCK, left)
    with locked(storage) as lock:
        lock.check()
    assert storage.read(LOCK) is None
    assert f"'{url}' was held by process " in caplog.text


@pytest.mark.usefixtures("quick")
def test_of_several_that_wait_for_a_dead_process_one_gets_the_lock(url: str) -> None:
    Storage(url).write(LOCK, b"{}")
    ready, ends = threading.Barrier(4), []

    def work() -> None:
        ready.wait()
        try:
            with locked(Storage(url)):
                time.sleep(1.0)
                ends.append("worked")
        except StorageError:
            ends.append("refused")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(ends) == ["refused"] * 3 + ["worked"]


@pytest.mark.usefixtures("quick")
def test_who_has_lost_the_lock_pushes_nothing(url: str, tmp_path: Path) -> None:
    storage = Storage(url)
    mirror = Mirror(storage, tmp_path / "a")
    with locked(storage) as lock:
        mirror.lock = lock
        write(mirror.folder, FIRST)
        storage.write(LOCK, b'{"host": "other", "pid": 7, "id": "x"}')
        with pytest.raises(StorageError, match="is in use by process 7 on other"):
            mirror.push()
    assert list(storage.sizes()) == [LOCK]
