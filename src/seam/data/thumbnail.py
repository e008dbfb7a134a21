"""Pictures small enough for a page, as text that stands where an address would."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 112
EXACT = 64
"""Up to this side every pixel is kept as it is."""


def data_uri(image: Image.Image) -> str:
    """A picture as a ``data:`` URI, at most ``SIDE`` pixels a side: PNG, or WebP if it is larger.

    >>> data_uri(Image.new("L", (2, 2)))[:22]
    'data:image/png;base64,'
    """
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    kind = "png" if max(image.size) <= EXACT else "webp"
    buffer = io.BytesIO()
    if kind == "png":
        small.save(buffer, "png", optimize=True)
    else:
        small.save(buffer, "webp", quality=80, method=4)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def data_uri_of(pixels: NDArray[np.uint8]) -> str:
    """The same of pixels (C, H, W) with one channel or three.

    >>> data_uri_of(np.zeros((3, 2, 2), dtype=np.uint8))[:15]
    'data:image/png;'
    """
    shown = pixels[0] if pixels.shape[0] == 1 else pixels.transpose(1, 2, 0)
    return data_uri(Image.fromarray(np.ascontiguousarray(shown)))
