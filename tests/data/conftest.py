"""Small image folders and parquet folders, made on the fly."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

MakeFolder = Callable[..., Path]


def picture(number: int, side: int = 8, channels: int = 3) -> NDArray[np.uint8]:
    """Pixels (side, side[, 3]) that depend on ``number`` alone."""
    shape = (side, side, channels) if channels == 3 else (side, side)
    return np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)


def png(pixels: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def image_folder(tmp_path: Path) -> MakeFolder:
    """Makes ``folder/split/label/number.png``; counts are given by split and label."""

    def make(splits: dict[str, dict[str, int]], *, side: int = 8, channels: int = 3) -> Path:
        folder = tmp_path / "images"
        number = 0
        for split, labels in splits.items():
            for label, count in labels.items():
                place = folder / split / label
                place.mkdir(parents=True)
                for _ in range(count):
                    (place / f"{number:04}.png").write_bytes(png(picture(number, side, channels)))
                    number += 1
        return folder

    return make


@pytest.fixture
def parquet_folder(tmp_path: Path) -> MakeFolder:
    """Makes ``folder/split.parquet`` with an image and a label column."""
    import datasets

    def make(
        splits: dict[str, list[Any]], names: list[str] | None, *, column: str = "label"
    ) -> Path:
        folder = tmp_path / "parquet"
        folder.mkdir()
        kind = datasets.ClassLabel(names=names) if names else datasets.Value("string")
        features = datasets.Features({"image": datasets.Image(), column: kind})
        for split, labels in splits.items():
            images = [{"bytes": png(picture(i)), "path": None} for i in range(len(labels))]
            table = datasets.Dataset.from_dict({"image": images, column: labels}, features=features)
            table.to_parquet(folder / f"{split}.parquet")
        return folder

    return make


@pytest.fixture
def png_of() -> Callable[[int], bytes]:
    """The bytes of image ``number`` in the folders that are made here."""
    return lambda number: png(picture(number))
