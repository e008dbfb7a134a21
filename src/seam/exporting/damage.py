"""Model files that their runtimes would take badly: with noise, or with somebody's code."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from seam.artefacts.atomic import shown
from seam.artefacts.reading import check_archive, parse_json
from seam.errors import ModelError

KNOWN = re.compile(
    r"archive_format|archive_version|byteorder|\.data/(version|serialization_id)|extra/[\w.-]+"
    r"|models/model\.json|data/sample_inputs/model\.pt"
    r"|data/(weights|constants)/(\w+_\d+|model_(weights|constants)_config\.json)"
)
"""What is in a ``.pt2`` archive that seam wrote; others may also hold compiled code."""


def check_openvino(path: Path) -> None:
    """That ``path`` looks like an OpenVINO model; reading anything else prints warnings.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "model.xml"
    >>> file.write_text("<net/>") and None
    >>> check_openvino(file)
    Traceback (most recent call last):
    seam.errors.ModelError: ...

    Raises:
        ModelError: it is no XML, or its weights are not beside it.
    """
    with path.open("rb") as file:
        head = file.read(64).lstrip()
    if not head.startswith((b"<?xml", b"<net")):
        raise ModelError(f"{shown(path)} is damaged: it is no XML; export again with seam export")
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise ModelError(
            f"{shown(path)} has no weights: {shown(weights.name)} is not beside it; "
            "copy the whole folder"
        )


def check_program(path: Path) -> None:
    """That a ``.pt2`` file holds tensors only: PyTorch would run the code in pickled values.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "model.pt2"
    >>> file.write_text("nothing") and None
    >>> check_program(file)
    Traceback (most recent call last):
    seam.errors.ModelError: ...

    Raises:
        ModelError: it is no such archive, or holds pickled values.
    """
    try:
        check_archive(path)
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            tables = [
                parse_json(archive.read(name))["config"]
                for name in names
                if "/data/" in name and name.endswith(".json")
            ]
            samples = [archive.read(name) for name in names if name.endswith(".pt")]
        pickled = any(_is_pickled(entry) for table in tables for entry in table.values())
    except Exception as error:  # zipfile raises what it likes
        raise ModelError(
            f"{shown(path)} is damaged: it is no torch.export archive; "
            "export again with seam export"
        ) from error
    ends = [name.partition("/")[2] for name in names]
    # Formats without this mark are older, and pickled as a whole.
    known = all(KNOWN.fullmatch(name) for name in ends) and len(set(names)) == len(names)
    if pickled or not known or "archive_format" not in ends or not all(map(_is_plain, samples)):
        raise ModelError(
            f"{shown(path)} may hold pickled values, which can run anybody's code; "
            "it is not opened: export again with seam export"
        )


def _is_plain(data: bytes) -> bool:
    """Whether a saved value can be read without running anything that comes with it."""
    try:
        torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    except Exception:  # refused, or damaged
        return False
    return True


def _is_pickled(entry: dict[str, Any]) -> bool:
    return bool(entry["use_pickle"]) or "_obj" in str(entry["path_name"])
