"""The cost model of docs/scaling.md: what it says of cases that can be reckoned by hand."""

from __future__ import annotations

import pytest
from scaling.model import (
    Base,
    Device,
    Work,
    adapter_bytes,
    entropy,
    exponent,
    gradient_seconds,
    line,
    problem_seconds,
)

BASE = Base(weights=8e6, macs=1e9, image_bytes=1e5)
DEVICE = Device(peak=1e12, reached=0.5, memory=1e9, link=1e9)


def test_fits_find_what_made_the_points() -> None:
    sizes = [1e5, 1e6, 1e8]
    assert exponent(sizes, [3 * size**1.1 for size in sizes])["p"] == pytest.approx(1.1)
    found = line(sizes, [7 + 2e-6 * size for size in sizes])
    assert (found["fixed"], found["each"]) == pytest.approx((7, 2e-6))
    assert found["largest_residual"] == pytest.approx(0, abs=1e-9)
    bent = line([1, 2, 3], [1.0, 2.0, 6.0])
    assert bent["largest_residual"] > 0.1


def test_a_problem_costs_its_steps_and_looks() -> None:
    work = Work(images=100, epochs=10, looked_at=50)
    seconds = problem_seconds(BASE, work, DEVICE, passes=2.0)
    assert seconds == pytest.approx((100 * 10 * 6e9 * 2 + 50 * 2e9) / 0.5e12)


def test_adapters_are_a_bit_a_weight_or_its_entropy_and_values() -> None:
    assert adapter_bytes(BASE, 0.5, coded=False, value_bytes=0) == 1e6
    assert adapter_bytes(BASE, 0.5, coded=True, value_bytes=0) == 1e6
    assert adapter_bytes(BASE, 0.1, coded=True, value_bytes=4) == pytest.approx(
        1e6 * entropy(0.1) + 3.2e6
    )


def test_one_process_has_no_gradients_to_add_up() -> None:
    assert gradient_seconds(BASE, DEVICE, 1, 2) == 0
    assert gradient_seconds(BASE, DEVICE, 2, 1) == pytest.approx(4 * 8e6 / 1e9)
