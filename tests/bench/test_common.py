"""Settings that benches share are those that their committed results were run with."""

from __future__ import annotations

import json

from common import RESULTS, VALUES_STAY

import seam
from seam.core.config import SearchConfig


def test_the_settings_of_an_early_preset_are_pinned() -> None:
    stored = json.loads((RESULTS / "mobilenet_vehicles.json").read_text(encoding="utf-8"))
    now = seam.plan(
        seam.Problem.subset(["a", "b"]),
        **VALUES_STAY,
        epochs=4,
        levels=2,
        final_density=0.35,
        batch_size=32,
    )
    assert now.search == SearchConfig.from_dict(stored["config"])
