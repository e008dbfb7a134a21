"""Image files to squares of pixels, and where the files come from."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from seam.core.preprocessing import Preprocessing
from seam.errors import DataError

FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "SGI", "TGA"),
    *("TIFF", "WEBP"),
)
"""Those of pixels alone: of the others that Pillow knows, some run another program (EPS)."""
MOST_PIXELS = 2**26
"""Of a picture so long that resized it would have more, only the middle is resized."""


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
        return open_image(data, channels)
    except Exception as error:
        raise corrupt(name, error) from error


def open_image(data: bytes, channels: int) -> Image.Image:
    """As `decode`, but damaged bytes make Pillow raise almost anything, so callers catch it all."""
    with opened(data) as image:
        return upright(image).convert("L" if channels == 1 else "RGB")


@contextmanager
def opened(data: bytes, *, most: int | None = None) -> Iterator[Image.Image]:
    """An image file's bytes as a picture with its pixels loaded; Pillow's errors as they are.

    A picture of more than Pillow's 89 million pixels, or of ``most`` a side, is refused before they
    are unpacked.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata, which says nothing of the pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            if most is not None and max(image.size) > most:
                raise ValueError(f"it is {image.width}x{image.height} pixels")
            image.load()
            yield image


@cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow was built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def upright(image: Image.Image) -> Image.Image:
    """A picture as it was seen, with 8 bits a value."""
    turned = ImageOps.exif_transpose(image) if _is_turned(image) else image
    if turned.mode.startswith("I;16"):  # Pillow clips 16 bits to 8 where it should scale
        return Image.fromarray((np.asarray(turned) >> 8).astype(np.uint8))
    return turned


def _is_turned(image: Image.Image) -> bool:
    """Whether the camera was held sideways; unreadable EXIF data says nothing."""
    try:
        turn: int = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return False
    return turn != 1


def corrupt(name: str, error: Exception) -> CorruptImageError:
    """What to raise for an image file that ``error`` came of."""
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
        image = _middle(image, side)
        scale = side / min(image.size)
        width, height = (max(side, round(length * scale)) for length in image.size)
        image = image.resize((width, height), Image.Resampling[interpolation.upper()])
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    pixels = np.asarray(image, dtype=np.uint8)  # read-only, so it is copied below
    return np.array(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1), order="C")


def _middle(image: Image.Image, side: int) -> Image.Image:
    """A very long picture without its ends, which enlarged would take all memory."""
    most = max(4, MOST_PIXELS // side**2) * min(image.size)
    width, height = (min(length, most) for length in image.size)
    if (width, height) == image.size:
        return image
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
