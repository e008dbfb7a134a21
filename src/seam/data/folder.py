"""What lies in an image folder: images, files that are none, and class folders without any."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seam.errors import DataError

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
OTHER_DATA = (".parquet", ".arrow")
SHOWN = 3


@dataclass(frozen=True)
class Survey:
    """Whether a folder is an image folder, and what in it is no image (paths within it)."""

    has_images: bool
    stray: tuple[str, ...] = ()


def left_out(stray: tuple[str, ...]) -> str:
    """How many files are left out, and the first of them.

    >>> left_out((".DS_Store", "train/notes.txt"))
    '2 files in the data folder are no images and are left out: .DS_Store, train/notes.txt'
    """
    if not stray:
        return ""
    one = len(stray) == 1
    more = f" and {len(stray) - SHOWN} more" if len(stray) > SHOWN else ""
    return (
        f"{len(stray)} file{'s' * (not one)} in the data folder {'is' if one else 'are'} no "
        f"image{'s' * (not one)} and {'is' if one else 'are'} left out: "
        f"{', '.join(map(ascii_safe, stray[:SHOWN]))}{more}"
    )


def ascii_safe(name: str) -> str:
    """A file's name on one line of a terminal."""
    return name if name.isprintable() else ascii(name)[1:-1]


def survey(folder: Path) -> Survey:
    """Walk through ``folder``. Hidden files and folders, and those of archives, are no images.

    Raises:
        DataError: a class folder beside others holds no image.
    """
    stray: list[str] = []
    holding: dict[Path, bool] = {}
    other_data = False
    for place, folders, files in os.walk(folder):
        here = Path(place)
        stray += [str((here / name).relative_to(folder)) for name in folders if _hidden(name)]
        folders[:] = sorted(name for name in folders if not _hidden(name))
        images = _images_of(files)
        other_data = other_data or any(name.endswith(OTHER_DATA) for name in files)
        rest = set(files) - set(images) - set(METADATA)
        stray += [str((here / name).relative_to(folder)) for name in rest]
        holding[here] = bool(images)
    if other_data or not any(holding.values()):
        return Survey(False)
    _refuse_empty_class(folder, holding)
    return Survey(True, tuple(sorted(stray)))


def images_in(given: Sequence[str]) -> list[str]:
    """Image files as a user names them: each itself, or a folder, whose images are taken by name.

    >>> images_in(["photo.jpg"])
    ['photo.jpg']

    Raises:
        DataError: a folder holds no image.
    """
    found: list[str] = []
    for each in given:
        if not Path(each).is_dir():
            found.append(each)
            continue
        inside = [
            str(Path(place) / n) for place, _, files in os.walk(each) for n in _images_of(files)
        ]
        if not inside:
            raise DataError(f"folder '{each}' holds no image; give image files, or another")
        found += sorted(inside)
    return found


def _images_of(files: Sequence[str]) -> list[str]:
    """Those that the library which reads folders of images takes for some; hidden ones are not."""
    from datasets.packaged_modules.imagefolder.imagefolder import ImageFolder

    endings = {ending.lower() for ending in ImageFolder.EXTENSIONS}
    return [n for n in files if Path(n).suffix.lower() in endings and not _hidden(n)]


def stray_files(data: object) -> tuple[str, ...]:
    """What in an image folder is no image; nothing where ``data`` is no such folder."""
    if not isinstance(data, str | Path) or not Path(data).expanduser().is_dir():
        return ()
    return survey(Path(data).expanduser()).stray


def _hidden(name: str) -> bool:
    return name.startswith((".", "__"))


def _refuse_empty_class(folder: Path, holding: dict[Path, bool]) -> None:
    """Refuse a folder without images, at any depth, beside folders that hold some themselves."""
    filled = {place for each in holding if holding[each] for place in (each, *each.parents)}
    classes = {place.parent for place, images in holding.items() if images and place != folder}
    for place in holding:
        if place not in filled and place.parent in classes and place != folder:
            name = ascii_safe(str(place.relative_to(folder)))
            raise DataError(f"class folder '{name}' holds no image; add images to it, or remove it")
