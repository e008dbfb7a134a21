"""PyTorch's own data sets: pairs of an image and a label, as `LabelledImages`.

Images become 8-bit pixels again, in a file format that adds nothing to them, and from there on are
treated as those of an image folder: resized, split, hashed, normalised by the base's preprocessing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler

from seam.data.decode import ImageSource, upright
from seam.errors import DataError

KEPT_BYTES = 2**29
"""Images of a data set that are kept in memory between the look at its labels and their use."""


def is_own(split: object) -> bool:
    """Whether ``split`` is PyTorch's, or a sequence of pairs."""
    return isinstance(split, Dataset | DataLoader | list | tuple)


def read_own(
    split: Any, names: Sequence[str] | None, where: str
) -> tuple[ImageSource, list[int], tuple[str, ...]]:
    """The images of a data set, each one's number, and the names that the numbers stand for.

    Every sample is read once here, to learn its label and that it is as it should be.

    Args:
        split: a map-style data set of pairs (image, label), or a loader of one; of a loader its
            data set is taken, whatever its order and batches.
        names: of the labels that are numbers; by default the data set's ``classes``.
        where: what to call these samples in an error.

    Raises:
        DataError: it has no length, or a sample is no pair of an image and one label.
    """
    samples = _Samples(_whole(split, where), where)
    if not len(samples):
        raise DataError(f"the {where} is empty; add images")
    found = [samples.look(i) for i in range(len(samples))]
    if samples.encoded(0) != samples.encoded(0):
        raise DataError(
            f"the {where} gives another image each time it is asked; leave random transforms out "
            "(seam augments by itself, see augment)"
        )
    words = [each for each in found if isinstance(each, str)]
    if words and len(words) < len(found):
        raise DataError(f"some labels of the {where} are numbers and some are names; give one kind")
    if words:
        known = tuple(sorted(set(words)))
        place = {name: i for i, name in enumerate(known)}
        return samples.source(), [place[str(each)] for each in found], known
    numbers = [int(each) for each in found]
    return samples.source(), numbers, _named(samples.data, names, max(numbers), where)


@dataclass
class _Samples:
    """A data set's samples by number, encoded; as many as `KEPT_BYTES` allows are kept."""

    data: Any
    where: str
    kept: dict[int, bytes] = field(default_factory=dict)
    size: int = 0

    def __len__(self) -> int:
        return len(self.data)

    def look(self, i: int) -> int | str:
        """A sample's label; its image is checked, and kept if there is room."""
        image, label = self._pair(i)
        data = _encoded(image, self.name(i))
        if self.size + len(data) <= KEPT_BYTES:
            self.kept[i] = data
            self.size += len(data)
        return _label(label, self.name(i))

    def read(self, i: int) -> bytes:
        return self.kept[i] if i in self.kept else self.encoded(i)

    def encoded(self, i: int) -> bytes:
        return _encoded(self._pair(i)[0], self.name(i))

    def name(self, i: int) -> str:
        return f"{self.where}, sample {i}"

    def source(self) -> ImageSource:
        return ImageSource(self.read, self.name, len(self))

    def _pair(self, i: int) -> tuple[Any, Any]:
        sample = self.data[i]
        if not isinstance(sample, tuple | list) or len(sample) != 2:
            raise DataError(
                f"{self.name(i)} is a {type(sample).__name__}, not a pair (image, label); only "
                "classification is supported"
            )
        return sample[0], sample[1]


def _whole(split: Any, where: str) -> Any:
    """The data set behind a loader that draws all of it."""
    if isinstance(split, DataLoader):
        if type(split.sampler) not in (SequentialSampler, RandomSampler):
            raise DataError(
                f"the {where} is a loader with a sampler of its own; give the data set itself, or "
                "a torch.utils.data.Subset of it"
            )
        split = split.dataset
    if isinstance(split, IterableDataset) or not hasattr(split, "__len__"):
        raise DataError(f"the {where} has no length; give a data set with __len__ and __getitem__")
    return split


def _named(data: Any, names: Sequence[str] | None, highest: int, where: str) -> tuple[str, ...]:
    """What the label numbers stand for."""
    found = names
    while found is None and data is not None:
        found, data = getattr(data, "classes", None), getattr(data, "dataset", None)
    if found is None:
        raise DataError(
            f"the labels of the {where} are numbers without names; add their names to the data, as "
            "in {'train': ..., 'labels': ['cat', 'dog']}; base.labels where they are the base's"
        )
    if len(found) <= highest:
        raise DataError(
            f"the {where} has label {highest}, but only {len(found)} labels have names; name all"
        )
    return tuple(map(str, found))


def _label(label: Any, name: str) -> int | str:
    if isinstance(label, Tensor | np.ndarray | np.generic) and label.ndim == 0:
        label = label.item()
    if isinstance(label, int | str) and not isinstance(label, bool) and label != "":
        if isinstance(label, int) and label < 0:
            raise DataError(f"{name} has label {label}; give numbers from 0")
        return label
    shape = f" of shape {tuple(label.shape)}" if isinstance(label, Tensor | np.ndarray) else ""
    raise DataError(
        f"{name} has a label that is a {type(label).__name__}{shape}; several labels an image, "
        "boxes and maps are not supported: give one label an image, a whole number or a name"
    )


def _encoded(image: Any, name: str) -> bytes:
    """An image as a binary PGM or PPM file: a line of header, then its 8-bit pixels."""
    if isinstance(image, Image.Image):
        picture = upright(image)
        picture = picture.convert("L" if picture.mode in ("1", "L") else "RGB")
        pixels = np.asarray(picture)
    else:
        pixels = _pixels(image, name)
    height, width = pixels.shape[:2]
    kind = b"P5" if pixels.ndim == 2 else b"P6"
    return b"%s %d %d 255\n" % (kind, width, height) + np.ascontiguousarray(pixels).tobytes()


def _pixels(image: Any, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """8-bit pixels (height, width) or (height, width, 3) of a tensor or an array."""
    if isinstance(image, Tensor):
        array = image.detach().cpu()
        if array.ndim == 3:
            array = array[0] if array.shape[0] == 1 else array.permute(1, 2, 0)
        values = array.numpy() if array.dtype != torch.bfloat16 else array.float().numpy()
    elif isinstance(image, np.ndarray):
        values = image
    else:
        raise DataError(
            f"{name} has an image that is a {type(image).__name__}; give a PIL image, or a tensor"
        )
    if values.size == 0 or not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] == 3)):
        raise DataError(
            f"{name} has an image of shape {tuple(image.shape)}; give one or three channels, a "
            "tensor as (C, H, W) and an array as (H, W, C)"
        )
    if values.dtype == np.uint8:
        return values
    low, high = float(values.min()), float(values.max())
    if not np.issubdtype(values.dtype, np.floating) or not (low >= 0 and high <= 1):
        raise DataError(
            f"{name} has pixels of type {values.dtype} from {low:.3g} to {high:.3g}; give 8-bit "
            "pixels or values in [0, 1], and leave Normalize out of the data set's transform: the "
            "base's preprocessing normalises"
        )
    return np.asarray(np.rint(values * 255), dtype=np.uint8)
