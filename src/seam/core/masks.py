"""Mask bits as bytes: packing, unpacking and counting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]


def pack(bits: Bits) -> NDArray[np.uint8]:
    """Eight mask bits to a byte, first bit highest, the last byte filled with zeros.

    >>> pack(np.array([[True, False], [True, True]])).tolist()
    [176]
    """
    return np.packbits(bits.reshape(-1))


def unpack(packed: NDArray[np.uint8], shape: Sequence[int]) -> Bits:
    """Inverse of :func:`pack` for a mask of ``shape``.

    >>> unpack(np.array([176], dtype=np.uint8), (2, 2)).tolist()
    [[True, False], [True, True]]

    Raises:
        ValueError: the number of bytes does not fit ``shape``, or a filling bit is set; or
            ``shape`` holds something else than whole numbers.
    """
    if not all(isinstance(side, int) and side >= 0 for side in shape):
        raise ValueError("the shape of a mask holds something else than whole numbers")
    count = math.prod(shape)
    if packed.ndim != 1 or packed.size != packed_size(count):
        raise ValueError(
            f"{packed.size} bytes cannot hold a mask of shape {tuple(shape)}; "
            f"expected {packed_size(count)}"
        )
    bits = np.unpackbits(packed).view(np.bool_)
    if bits[count:].any():
        raise ValueError(f"filling bits are set behind the {count} bits of the mask")
    return bits[:count].reshape(tuple(shape))


def packed_size(count: int) -> int:
    """Bytes that ``count`` mask bits take when packed."""
    return (count + 7) // 8


def density(masks: Iterable[Bits]) -> float:
    """Kept share of all mask bits, one mean over the concatenation.

    >>> density([np.array([True, False]), np.array([True, True])])
    0.75
    """
    kept = total = 0
    for mask in masks:
        kept += int(mask.sum())
        total += mask.size
    return kept / total if total else 1.0
