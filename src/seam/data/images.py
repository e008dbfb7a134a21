"""Labelled images, decoded once and kept as uint8, or streamed through workers when large."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from seam.artefacts.reading import read_named
from seam.core.preprocessing import Preprocessing
from seam.data.augment import Augment, View
from seam.data.decode import (
    CorruptImageError,
    ImageSource,
    corrupt,
    decode,
    open_image,
    stored_size,
    to_square,
    upright,
)
from seam.errors import ConfigError, DataError
from seam.search.samples import Batch

CACHE_BYTES = 2 * 1024**3
MAX_IMAGE = 2**30
ORDERED_PIXELS = 2**20  # of one batch without gradients: bounds memory, 256 at 64 pixels a side


@dataclass(frozen=True)
class ImageSamples:
    """Labelled images as `seam.search.samples.Samples`.

    Pixels are uint8 (n, C, side, side) kept on ``device``; resizing, crop, flip and normalisation
    run on whole batches there. Where the pixels would take more than ``CACHE_BYTES``, ``pixels`` is
    a `StreamedPixels` that decodes each batch in worker processes instead.
    """

    pixels: Tensor | StreamedPixels
    targets: Tensor
    preprocessing: Preprocessing
    device: torch.device
    augment: Augment = "crop+flip"

    def __post_init__(self) -> None:
        if self.augment not in get_args(Augment):
            raise ConfigError(
                f"augment is '{self.augment}'; give one of {', '.join(get_args(Augment))}"
            )

    def __len__(self) -> int:
        return len(self.targets)

    def shuffled(self, batch_size: int, *, seed: int, view: int | None = None) -> Iterator[Batch]:
        """All samples once, augmented, in an order that depends on ``seed`` alone.

        So does the augmentation, but where ``view`` is given, which decides it then.
        """
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self), generator=generator)
        seen = self._view(generator) if view is None else self._view_of(view)
        for numbers, raw in self._raw(order, batch_size):
            yield self._finish(seen.of(self._resize(raw), numbers), numbers, view)

    def ordered(self, batch_size: int, *, view: int | None = None) -> Iterator[Batch]:
        """All samples once, in order, as they are or in a view; in smaller batches if large."""
        bounded = batch_size
        if self.device.type == "cpu":
            bounded = max(1, min(batch_size, ORDERED_PIXELS // self.preprocessing.size**2))
        seen = None if view is None else self._view_of(view)
        for numbers, raw in self._raw(torch.arange(len(self)), bounded):
            images = self._resize(raw)
            yield self._finish(seen.of(images, numbers) if seen else images, numbers, view)

    def raw(self, numbers: Tensor) -> Tensor:
        """Stored pixels, uint8 (n, C, side, side), of some samples."""
        return torch.cat([pixels for _, pixels in self._raw(numbers, len(numbers))])

    def scaled(self, numbers: Tensor) -> Tensor:
        """Some samples at the model's input size in [0, 1], not normalised: (n, C, size, size)."""
        return self._resize(self.raw(numbers))

    def _view_of(self, view: int) -> View:
        return self._view(torch.Generator().manual_seed(view))

    def _view(self, generator: torch.Generator) -> View:
        padding = max(1, self.preprocessing.size // 8)
        return View.draw(self.augment, len(self), padding, generator)

    def _raw(self, order: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        if isinstance(self.pixels, Tensor):
            for numbers in order.split(batch_size):
                yield numbers, self.pixels[numbers.to(self.pixels.device)]
        else:
            yield from self.pixels.batches(order, batch_size)

    def _resize(self, raw: Tensor) -> Tensor:
        """uint8 squares to float in [0, 1], cropped to the base model's input size."""
        images = raw.to(self.device, non_blocking=True).float() / 255
        side, mode = stored_size(self.preprocessing), self.preprocessing.interpolation
        if images.shape[-1] != side:
            if mode == "nearest":
                images = F.interpolate(images, size=(side, side), mode="nearest-exact")
            else:
                images = F.interpolate(images, size=(side, side), mode=mode, antialias=True)
            images = images.clamp(0, 1)
        margin = (side - self.preprocessing.size) // 2
        size = self.preprocessing.size
        return images[..., margin : margin + size, margin : margin + size]

    def _finish(self, images: Tensor, numbers: Tensor, view: int | None) -> Batch:
        mean = torch.tensor(self.preprocessing.mean, device=self.device).view(1, -1, 1, 1)
        std = torch.tensor(self.preprocessing.std, device=self.device).view(1, -1, 1, 1)
        targets = self.targets[numbers].to(self.device)
        return Batch((images - mean) / std, targets, numbers, view)


def prepared_image(
    image: str | Path | Image.Image, preprocessing: Preprocessing, device: torch.device
) -> Tensor:
    """An image file or picture as a model takes it, (1, C, size, size).

    Raises:
        DataError: the file is missing or is no image; the message names it.
    """
    if not isinstance(image, Image.Image):
        if not isinstance(image, str | os.PathLike):
            raise DataError(f"{image!r:.80} is no image; give a file's path or a picture of PIL")
        path = Path(image)
        try:
            data = read_named(path, MAX_IMAGE)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"image '{path}' cannot be read ({reason}); check the path") from error
        try:
            image = decode(data, str(path), preprocessing.channels)
        except CorruptImageError as error:
            raise DataError(f"{str(error).rpartition(';')[0]}; give another file") from error
    side = stored_size(preprocessing)
    size = image.width if image.width == image.height and image.width <= side else side
    picture = upright(image).convert("L" if preprocessing.channels == 1 else "RGB")
    pixels = torch.from_numpy(to_square(picture, size, preprocessing.interpolation).copy())[None]
    samples = ImageSamples(pixels, torch.zeros(1, dtype=torch.long), preprocessing, device)
    return next(samples.ordered(1)).images


class StreamedPixels:
    """Images decoded batch by batch in worker processes, for data that does not fit in memory."""

    def __init__(self, source: ImageSource, side: int, preprocessing: Preprocessing) -> None:
        self._read = partial(_read_square, source, side, preprocessing)

    def batches(self, order: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(sample numbers, uint8 pixels) in ``order``."""
        loader = torch.utils.data.DataLoader(
            _Reader(order.tolist(), self._read),
            batch_size=batch_size,
            num_workers=min(4, torch.get_num_threads()),
            generator=torch.Generator(),  # else it draws from the global one
        )
        yield from zip(order.split(batch_size), loader, strict=True)


class _Reader(torch.utils.data.Dataset[NDArray[np.uint8]]):
    def __init__(self, order: Sequence[int], read: Callable[[int], NDArray[np.uint8]]) -> None:
        self.order, self.read = order, read

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: int) -> NDArray[np.uint8]:
        return self.read(self.order[place])


def _read_square(
    source: ImageSource, side: int, preprocessing: Preprocessing, number: int
) -> NDArray[np.uint8]:
    try:
        image = open_image(source.read(number), preprocessing.channels)
    except Exception as error:
        raise corrupt(source.name(number), error) from error
    return to_square(image, side, preprocessing.interpolation)


def is_streamed(samples: object) -> bool:
    """Whether samples are images that are decoded again and again, as they do not fit in memory."""
    return isinstance(samples, ImageSamples) and isinstance(samples.pixels, StreamedPixels)


def read_pixels(
    source: ImageSource,
    preprocessing: Preprocessing,
    *,
    skip_bad: bool,
    observe: Callable[[bytes], object] = lambda _data: None,
) -> tuple[Tensor | StreamedPixels, list[int], list[str]]:
    """Decode all images of ``source``; returns pixels, the numbers kept, the names skipped.

    Images of one square size no larger than the model's input stay at their own size (they are
    enlarged batch by batch); all others are resized here. What would not fit ``CACHE_BYTES`` is
    checked here and decoded again when it is needed. ``observe`` is called with the bytes of every
    image that is kept.

    Raises:
        CorruptImageError: an image cannot be read and ``skip_bad`` is False.
    """
    squares = _Squares(source.count, preprocessing)
    kept: list[int] = []
    skipped: list[str] = []
    for number in range(source.count):
        try:
            data = source.read(number)
            image = open_image(data, preprocessing.channels)
        except Exception as error:
            name = source.name(number)
            if not skip_bad:
                raise corrupt(name, error) from error
            skipped.append(name)
            continue
        observe(data)
        kept.append(number)
        squares.add(image)
    if not source.count:
        raise DataError("a part of the data has no images left; give more of each label")
    if not kept:
        raise DataError(f"none of the {source.count} images can be read; check the data folder")
    if squares.pixels is not None:
        return torch.from_numpy(squares.pixels[: len(kept)]), kept, skipped
    good = source.select(np.asarray(kept, dtype=np.int64))
    return StreamedPixels(good, squares.side, preprocessing), kept, skipped


class _Squares:
    """Decoded images in one array, which grows from their own side to the resized one if need be.

    ``pixels`` is None where the array would not fit ``CACHE_BYTES``.
    """

    def __init__(self, count: int, preprocessing: Preprocessing) -> None:
        self.count = count
        self.channels = preprocessing.channels
        self.full = stored_size(preprocessing)
        self.mode = preprocessing.interpolation
        self.side = self.used = 0
        self.pixels: NDArray[np.uint8] | None = None

    def add(self, image: Image.Image) -> None:
        """Keep one more image."""
        width, height = image.size
        if not self.used:
            self._allocate(width if width == height < self.full else self.full)
        elif self.side != self.full and (width, height) != (self.side, self.side):
            self._enlarge()
        if self.pixels is not None:
            self.pixels[self.used] = to_square(image, self.side, self.mode)
        self.used += 1

    def _allocate(self, side: int) -> None:
        self.side = side
        shape = (self.count, self.channels, side, side)
        fits = math.prod(shape) <= CACHE_BYTES
        self.pixels = np.empty(shape, dtype=np.uint8) if fits else None

    def _enlarge(self) -> None:
        small = self.pixels
        self._allocate(self.full)
        if small is None or self.pixels is None:
            return
        for number, square in enumerate(small[: self.used]):
            picture = square[0] if self.channels == 1 else square.transpose(1, 2, 0)
            image = Image.fromarray(np.ascontiguousarray(picture))
            self.pixels[number] = to_square(image, self.full, self.mode)
