"""Mask bits as bytes: nothing is lost, and nothing else is accepted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seam.core.masks import Bits, density, pack, packed_size, unpack

masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9))


@given(masks)
def test_unpack_undoes_pack(bits: Bits) -> None:
    packed = pack(bits)
    assert packed.dtype == np.uint8
    assert packed.shape == (packed_size(bits.size),)
    back = unpack(packed, bits.shape)
    assert back.dtype == np.bool_
    assert np.array_equal(back, bits)
    assert back.shape == bits.shape


@given(masks)
def test_packing_does_not_depend_on_memory_order(bits: Bits) -> None:
    assert np.array_equal(pack(np.asfortranarray(bits)), pack(bits))


@given(masks, st.integers(-3, 3).filter(bool))
def test_a_wrong_number_of_bytes_is_refused(bits: Bits, change: int) -> None:
    wrong = np.resize(pack(bits), max(0, packed_size(bits.size) + change))
    if wrong.size == packed_size(bits.size):
        return
    with pytest.raises(ValueError, match="cannot hold a mask of shape"):
        unpack(wrong, bits.shape)


@given(masks.filter(lambda bits: bits.size % 8 > 0), st.data())
def test_a_filling_bit_is_refused(bits: Bits, data: st.DataObject) -> None:
    packed = pack(bits)
    packed[-1] |= 1 << data.draw(st.integers(0, 7 - bits.size % 8))
    with pytest.raises(ValueError, match="filling bits are set"):
        unpack(packed, bits.shape)


def test_bytes_must_be_a_row() -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        unpack(np.zeros((1, 2), dtype=np.uint8), (16,))


@given(st.lists(masks, max_size=4))
def test_density_is_one_mean_over_all_bits(several: list[Bits]) -> None:
    together = np.concatenate([bits.reshape(-1) for bits in several]) if several else np.array([])
    assert density(several) == (together.mean() if together.size else 1.0)
