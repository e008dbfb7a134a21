"""Labelled images, decoded once and kept as uint8, or streamed through workers when large."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from seam.core.preprocessing import Preprocessing
from seam.errors import ConfigError, DataError
from seam.search.samples import Batch

Augment = Literal["none", "crop", "crop+flip"]
CACHE_BYTES = 2 * 1024**3
ORDERED_PIXELS = 2**20  # of one batch without gradients: bounds memory, 256 at 64 pixels a side


class CorruptImageError(DataError):
    """An image file that cannot be decoded."""


@dataclass(frozen=True)
class ImageSource:
    """Encoded images and how to get at one of them: ``read(i)`` gives an image file's bytes.

    Worker processes read too, so both functions should pickle.
    """

    read: Callable[[int], bytes]
    name: Callable[[int], str]
    count: int

    def select(self, numbers: NDArray[np.int64]) -> ImageSource:
        """The images with these numbers, in this order."""
        picked = _Picked(self, numbers)
        return ImageSource(picked.read, picked.name, len(numbers))


@dataclass(frozen=True)
class _Picked:
    source: ImageSource
    numbers: NDArray[np.int64]

    def read(self, i: int) -> bytes:
        return self.source.read(int(self.numbers[i]))

    def name(self, i: int) -> str:
        return self.source.name(int(self.numbers[i]))


def decode(data: bytes, name: str, channels: int) -> Image.Image:
    """An image file's bytes as an upright grey (1 channel) or RGB (3) picture.

    Raises:
        CorruptImageError: the bytes are no readable image.
    """
    try:
        return _open(data, channels)
    except Exception as error:
        raise _corrupt(name, error) from error


def _open(data: bytes, channels: int) -> Image.Image:
    """As `decode`; damaged bytes make Pillow raise almost anything, so callers catch it all."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        upright = ImageOps.exif_transpose(image) if _is_turned(image) else image
    if upright.mode.startswith("I;16"):  # Pillow clips 16 bits to 8 where it should scale
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    return upright.convert("L" if channels == 1 else "RGB")


def _is_turned(image: Image.Image) -> bool:
    """Whether the camera was held sideways; unreadable EXIF data says nothing."""
    try:
        turn: int = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return False
    return turn != 1


def _corrupt(name: str, error: Exception) -> CorruptImageError:
    reason = " ".join(str(error).split())[:80] or type(error).__name__
    if isinstance(error, UnidentifiedImageError):  # its text shows a memory address
        reason = "no image format is recognised"
    return CorruptImageError(
        f"image '{name}' cannot be read ({reason}); mend or remove it, or pass --skip-bad"
    )


def stored_size(preprocessing: Preprocessing) -> int:
    """Side in pixels to which images are resized before the final crop."""
    return round(preprocessing.size / preprocessing.crop_fraction)


def to_square(image: Image.Image, side: int, interpolation: str) -> NDArray[np.uint8]:
    """Resize the shorter side to ``side``, crop the centre: uint8 (C, side, side)."""
    if image.size != (side, side):
        scale = side / min(image.size)
        width, height = (max(side, round(length * scale)) for length in image.size)
        image = image.resize((width, height), Image.Resampling[interpolation.upper()])
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    pixels = np.asarray(image, dtype=np.uint8)  # read-only, so it is copied below
    return np.array(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1), order="C")


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

    def shuffled(self, batch_size: int, *, seed: int) -> Iterator[Batch]:
        """All samples once, augmented, in an order that depends on ``seed`` alone."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self), generator=generator)
        for numbers, raw in self._raw(order, batch_size):
            images = self._resize(raw)
            images = random_crop(images, self._padding, generator) if self._crops else images
            if self.augment == "crop+flip":
                images = random_flip(images, generator)
            yield self._finish(images, numbers)

    def ordered(self, batch_size: int) -> Iterator[Batch]:
        """All samples once, as they are, in order; batches are smaller where images are large."""
        bounded = batch_size
        if self.device.type == "cpu":
            bounded = max(1, min(batch_size, ORDERED_PIXELS // self.preprocessing.size**2))
        for numbers, raw in self._raw(torch.arange(len(self)), bounded):
            yield self._finish(self._resize(raw), numbers)

    def raw(self, numbers: Tensor) -> Tensor:
        """Stored pixels, uint8 (n, C, side, side), of some samples."""
        return torch.cat([pixels for _, pixels in self._raw(numbers, len(numbers))])

    @property
    def _crops(self) -> bool:
        return self.augment in ("crop", "crop+flip")

    @cached_property
    def _padding(self) -> int:
        return max(1, self.preprocessing.size // 8)

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

    def _finish(self, images: Tensor, numbers: Tensor) -> Batch:
        mean = torch.tensor(self.preprocessing.mean, device=self.device).view(1, -1, 1, 1)
        std = torch.tensor(self.preprocessing.std, device=self.device).view(1, -1, 1, 1)
        targets = self.targets[numbers].to(self.device)
        return Batch((images - mean) / std, targets, numbers)


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
        image = _open(source.read(number), preprocessing.channels)
    except Exception as error:
        raise _corrupt(source.name(number), error) from error
    return to_square(image, side, preprocessing.interpolation)


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
            image = _open(data, preprocessing.channels)
        except Exception as error:
            name = source.name(number)
            if not skip_bad:
                raise _corrupt(name, error) from error
            skipped.append(name)
            continue
        observe(data)
        kept.append(number)
        squares.add(image)
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


def random_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Shift each image by up to ``padding`` pixels each way, zeros moving in; shapes stay."""
    count, _, height, width = images.shape
    padded = F.pad(images, (padding,) * 4)
    top, left = torch.randint(0, 2 * padding + 1, (2, count, 1), generator=generator)
    rows = (torch.arange(height) + top).to(images.device)
    columns = (torch.arange(width) + left).to(images.device)
    which = torch.arange(count, device=images.device).view(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability one half."""
    flips = (torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5).to(images.device)
    return torch.where(flips, images.flip(3), images)
