"""``model.json`` damaged or hostile: one line that names it, and nothing is run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import seam
from seam.exporting.sidecar import ExportError

Change = Callable[[dict[str, Any]], object]


def put(*keys: str, value: Any) -> Change:
    def change(document: dict[str, Any]) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


def drop(*keys: str) -> Change:
    def change(document: dict[str, Any]) -> None:
        for key in keys[:-1]:
            document = document[key]
        del document[keys[-1]]

    return change


CHANGES = {
    "other format": (put("format", value="seam-adapter"), "its 'format' is not"),
    "newer": (put("version", value=2), "newer than 1"),
    "no version": (drop("version"), "format version is not 1"),
    "text version": (put("version", value="1"), "format version is not 1"),
    "no files": (drop("files"), "'files' is missing"),
    "empty files": (put("files", value={}), "not those of one model"),
    "other folder": (put("files", "../model.pt2", value={}), "not those of one model"),
    "two models": (put("files", "model.onnx", value={}), "not those of one model"),
    "file gone": (put("files", "model.bin", value={}), "model.bin is missing"),
    "other sum": (put("files", "model.pt2", "sha256", value="0" * 64), "SHA-256 differs"),
    "other size": (put("files", "model.pt2", "bytes", value=1), "SHA-256 differs"),
    "no sum": (drop("files", "model.pt2", "sha256"), "'sha256' is missing"),
    "files a list": (put("files", value=["model.pt2"]), "is damaged"),
    "outputs a text": (put("outputs", value="35"), "no list of at least two"),
    "one output": (put("outputs", value=["3"]), "no list of at least two"),
    "too many outputs": (put("outputs", value=["3", "5", "8"]), "names 3 outputs, its model"),
    "same outputs": (put("outputs", value=["3", "3"]), "a name twice"),
    "numbers": (put("outputs", value=[3, 5]), "something else than names"),
    "escapes": (put("outputs", value=["\x1b[2J", "5"]), "something else than names"),
    "no preprocessing": (drop("preprocessing"), "'preprocessing' is missing"),
    "huge images": (put("preprocessing", "size", value=10**9), "from 1 to 4096"),
    "huge crops": (put("preprocessing", "crop_fraction", value=1e-9), "resized to more than 4096"),
    "other size of images": (put("preprocessing", "size", value=9), "takes images of shape"),
    "size a text": (put("preprocessing", "size", value="8"), "something else than numbers"),
    "mean a number": (put("preprocessing", "mean", value=0.5), "is damaged"),
    "not a number": (
        put("preprocessing", "mean", value=[float("nan")]),
        "it holds NaN or Infinity",
    ),
    "unknown key": (put("preprocessing", "sharpen", value=1), "is damaged"),
}


@pytest.fixture
def folder(exports: Any, tmp_path: Path) -> Path:
    return shutil.copytree(exports.folder("torch"), tmp_path / "torch")


@pytest.mark.parametrize(("change", "says"), CHANGES.values(), ids=CHANGES)
def test_changed_documents(change: Change, says: str, folder: Path) -> None:
    file = folder / "model.json"
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
    with pytest.raises(seam.SeamError) as caught:
        seam.load(folder)
    assert says in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000, b'{"format": 1}']
)
def test_documents_that_are_none(data: bytes, folder: Path) -> None:
    (folder / "model.json").write_bytes(data)
    with pytest.raises(ExportError, match=r"model.json' is damaged: .*; export again"):
        seam.load(folder)


def test_a_changed_model_is_not_run(folder: Path) -> None:
    file = folder / "model.pt2"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(ExportError, match=r"model.pt2 was changed after it was written"):
        seam.load(file)


def test_a_model_without_its_document(folder: Path) -> None:
    shutil.copy(folder / "model.pt2", folder / "mine.pt2")
    with pytest.raises(ExportError, match=r"has no model.json beside the model"):
        seam.load(folder / "mine.pt2")
    (folder / "model.json").unlink()
    for place in (folder, folder / "model.pt2"):
        with pytest.raises(ExportError, match=r"has no model.json beside the model"):
            seam.load(place)
    with pytest.raises(ExportError, match=r"is missing; check the path"):
        seam.load(folder / "model.onnx")


def test_the_folder_of_all_exports_is_told_from_one(exports: Any) -> None:
    with pytest.raises(ExportError, match="name one of onnx, onnx-int8, openvino, openvino-int8"):
        seam.load(exports.run / "export")
