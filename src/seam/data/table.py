"""A split of the `datasets` library: which of its columns are the samples and the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seam.artefacts.reading import read_regular
from seam.core.preprocessing import Content
from seam.data.decode import ImageSource
from seam.errors import DataError

TEXT_COLUMNS = ("text", "sentence", "content")
STRINGS = ("string", "large_string")


def read_table(
    split: Any, where: str, content: Content | None
) -> tuple[ImageSource, list[int], tuple[str, ...]]:
    """Samples as bytes, the number of each one's label (-1: it has none), and the labels' names.

    Args:
        split: a `datasets.Dataset` with a column of samples and one of labels.
        where: what to call it in messages.
        content: image or text; None takes texts only where there are no images.

    Raises:
        DataError: it is empty, or has no such column.
    """
    import datasets

    features = split.features
    content = content or _content_of(features)
    column = _content_column(features, content, where)
    if len(split) == 0:
        raise DataError(f"the {where} is empty; add {content}s")
    label = _label_column(features, where)
    kind = features[label]
    given = split.with_format(None)[label][:]  # at once; a column that is walked reads row by row
    if isinstance(kind, datasets.ClassLabel):
        names = tuple(str(name) for name in kind.names)
        numbers = [-1 if value is None else value for value in given]
    else:
        words = [None if value is None else str(value) for value in given]
        names = tuple(sorted({word for word in words if word is not None}))
        place = {name: i for i, name in enumerate(names)}
        numbers = [-1 if word is None else place[word] for word in words]
    chosen = split.select_columns([column])
    rows: _Rows | _Texts
    if content == "image":
        rows = _Rows(chosen.cast_column(column, datasets.Image(decode=False)), column, where)
    else:
        rows = _Texts(chosen.with_format(None)[column][:], where)
    return ImageSource(rows.read, rows.name, len(split)), numbers, names


def _content_of(features: Mapping[str, Any]) -> Content:
    import datasets

    texts = any(name in features for name in TEXT_COLUMNS)
    images = any(isinstance(kind, datasets.Image) for kind in features.values())
    return "text" if texts and not images else "image"


def _content_column(features: Mapping[str, Any], content: Content, where: str) -> str:
    """The column that holds the samples: the images, or the texts, preferably called so."""
    import datasets

    if content == "image":
        found = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    else:
        texts = [name for name in TEXT_COLUMNS if name in features]
        found = [name for name in texts if getattr(features[name], "dtype", "") in STRINGS]
    if not found:
        other = ", ".join(features)
        wanted = f" (called {', '.join(TEXT_COLUMNS)})" if content == "text" else ""
        raise DataError(f"the {where} has no {content} column{wanted}, only {other}")
    return found[0]


@dataclass(frozen=True)
class _Texts:
    """The text column of a `datasets.Dataset`, row by row."""

    rows: Sequence[str | None]
    where: str

    def read(self, i: int) -> bytes:
        return (self.rows[i] or "").encode()

    def name(self, i: int) -> str:
        return f"{self.where}, row {i}"


@dataclass(frozen=True)
class _Rows:
    """The image column of a `datasets.Dataset`, not decoded.

    Rows of an image folder have a path and no bytes; rows of a parquet file have bytes, and at
    most the name that the file once had.
    """

    rows: Any
    column: str
    where: str

    def read(self, i: int) -> bytes:
        found = self._record(i)
        if found.get("bytes") is not None:
            return bytes(found["bytes"])
        if not found.get("path"):
            raise DataError("there is no image in this row")
        return read_regular(Path(found["path"]))  # a table may name a device

    def name(self, i: int) -> str:
        return self._record(i).get("path") or f"{self.where}, row {i}"

    def _record(self, i: int) -> dict[str, Any]:
        return self.rows[i][self.column] or {}


def _label_column(features: Mapping[str, Any], where: str) -> str:
    import datasets

    classes = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    for name in ("label", "labels", *classes):
        if name in features:
            return name
    hint = ""
    if len(features) == 1:
        hint = "; an image folder needs two or more class folders, as in train/cat/1.png"
    raise DataError(f"the {where} has no label column, only {', '.join(features)}{hint}")
