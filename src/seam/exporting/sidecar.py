"""``model.json``, which lies beside an exported model: what it is, and how it was tested.

What is read may be damaged or hostile: nothing is trusted before it is checked, and whatever fails
becomes one `ExportError` that names the file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seam.artefacts.atomic import existing, shown
from seam.artefacts.preprocessing_file import (
    TOKENIZER,
    TOKENIZER_CONFIG,
    read_preprocessing,
)
from seam.artefacts.reading import MAX_JSON, parse_json, read_regular
from seam.core.problem import UNSAFE
from seam.core.text import AnyPreprocessing
from seam.errors import SeamError, in_line
from seam.exporting.session import SESSIONS

FORMAT, VERSION = "seam-export", 1
FILE, FAILED_FILE = "model.json", "failed.json"
MAX_LABELS = 100_000
FILES = re.compile(rf"model\.[a-z0-9]{{2,4}}|{re.escape(TOKENIZER)}|{re.escape(TOKENIZER_CONFIG)}")


class ExportError(SeamError, ValueError):
    """An exported model disagrees with the model it was made from, or its folder is damaged.

    >>> issubclass(ExportError, SeamError)
    True
    """

    page = "docs/export.md"


@dataclass(frozen=True)
class Exported:
    """What is needed to use an exported model: the file, its outputs' names, its preprocessing.

    >>> from seam.core.preprocessing import Preprocessing
    >>> preprocessing = Preprocessing(size=8)
    >>> Exported(Path("model.onnx"), ("not 7", "7"), preprocessing).outputs[1]
    '7'
    """

    file: Path
    outputs: tuple[str, ...]
    preprocessing: AnyPreprocessing


def sidecar_bytes(values: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """``model.json`` for a folder of ``files``, their sizes and SHA-256 in it.

    >>> b"seam-export" in sidecar_bytes({"outputs": ["a", "b"]}, {"model.onnx": b""})
    True
    """
    listed = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    }
    document = {**values, "format": FORMAT, "version": VERSION, "files": listed}
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def find_export(path: Path) -> Path | None:
    """The sidecar that belongs to ``path``, an export's folder or model file; None for others.

    >>> find_export(Path("runs/seven")) is None
    True

    Raises:
        ExportError: it is an export that failed, or lacks its sidecar.
    """
    is_file = path.suffix in SESSIONS and not path.is_dir()
    folder = existing(path.parent if is_file else path)
    if is_file and not (folder / path.name).is_file():
        raise ExportError(f"model file {shown(path)} is missing; check the path")
    if not is_file and not any((folder / f"model{suffix}").is_file() for suffix in SESSIONS):
        _refuse_several(folder)
        return None
    if (folder / "model.safetensors").exists():  # a run's own ``model/``
        return None
    if (folder / FAILED_FILE).exists():
        raise ExportError(
            f"the export in {shown(folder)} disagrees with its model (see {FAILED_FILE} in it); "
            "use another format, or export again with seam export"
        )
    if not (folder / FILE).is_file() or (is_file and path.stem != "model"):
        raise ExportError(
            f"{shown(path)} has no {FILE} beside the model, which names labels and preprocessing; "
            "copy the whole folder that seam export wrote"
        )
    return folder / FILE


def _refuse_several(folder: Path) -> None:
    """An error for the folder ``RUN/export`` itself, which holds one folder a format."""
    inside = sorted(file.parent.name for file in folder.glob(f"*/{FILE}"))
    if folder.name == "export" and inside:
        raise ExportError(
            f"{shown(folder)} holds several exports; name one of {', '.join(inside)}, "
            f"as in {shown(folder / inside[0])}"
        )


def read_sidecar(file: Path) -> Exported:
    """Read ``model.json`` and check it, and the files it names by their SHA-256.

    >>> read_sidecar(Path("runs/seven/export/onnx/model.json")).outputs  # doctest: +SKIP
    ('not 7', '7')

    Raises:
        ExportError: anything about it is damaged, or of a newer format version.
    """
    with _blaming(file):
        document = parse_json(read_regular(file, MAX_JSON))
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError(f"its 'format' is not '{FORMAT}'")
        version = document.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ExportError(
            f"{shown(file)} has format version {str(version)[:12]}, newer than {VERSION}, which "
            "this seam reads; upgrade seam"
        )
    with _blaming(file):
        if version != VERSION:
            raise ValueError(f"its format version is not {VERSION}")
        model = _checked_files(document, file.parent)
        preprocessing = read_preprocessing(document["preprocessing"], file.parent)
        return Exported(model, _outputs(document), preprocessing)


def _checked_files(document: Mapping[str, Any], folder: Path) -> Path:
    """The model file, once every file has the SHA-256 it should have."""
    listed = document["files"]
    models: list[str] = [name for name in listed if Path(name).suffix in SESSIONS]
    if len(models) != 1 or not all(map(FILES.fullmatch, listed)):
        raise ValueError("its 'files' are not those of one model")
    for name, entry in listed.items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"{name} is missing beside it")
        digest = hashlib.sha256()
        if path.stat().st_size == entry["bytes"]:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256")
        if digest.hexdigest() != entry["sha256"]:
            raise ValueError(f"{name} was changed after it was written (its SHA-256 differs)")
    return folder / models[0]


def _outputs(document: Mapping[str, Any]) -> tuple[str, ...]:
    found = document["outputs"]
    if not isinstance(found, list) or not 2 <= len(found) <= MAX_LABELS:
        raise ValueError("its 'outputs' are no list of at least two labels")
    if not all(isinstance(name, str) and name and not UNSAFE.search(name) for name in found):
        raise ValueError("its 'outputs' hold something else than names")
    if len(set(found)) < len(found):
        raise ValueError("its 'outputs' hold a name twice")
    return tuple(found)


@contextmanager
def _blaming(file: Path) -> Iterator[None]:
    """Whatever a damaged document makes fail, as one line that names it."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else in_line(error)
        raise ExportError(
            f"{shown(file)} is damaged: {UNSAFE.sub(' ', reason)}; export again with seam export"
        ) from error
