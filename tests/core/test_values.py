"""Settings, preprocessing and figures: what they accept, and one line for what they do not."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seam.core.config import Rates, Safer, SearchConfig
from seam.core.figures import Share
from seam.core.pick import Pick
from seam.core.preprocessing import Preprocessing
from seam.core.pressure import Budget, Penalty
from seam.errors import ConfigError

BAD: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (Penalty, {"alpha": -1}, "alpha is -1; give 0 or more"),
    (Penalty, {"alpha": math.nan}, "alpha is nan"),
    (Penalty, {"alpha": "1"}, "alpha is '1'"),
    (Budget, {"final_density": 0}, r"final density is 0; give a value in \(0, 1\)"),
    (Budget, {"final_density": 1.0}, "final density is 1.0"),
    (Budget, {"fall": 1.5}, r"fall is 1.5; give a value in \(0, 1\]"),
    (Budget, {"fall": "all"}, "fall is all"),
    (Budget, {"levels": 0}, "levels is 0; give a whole number, at least 1"),
    (Rates, {"score": -0.1}, "learning rate 'score' is -0.1"),
    (Rates, {"head": math.inf}, "learning rate 'head' is inf"),
    (Rates, {"tune": None}, "learning rate 'tune' is None"),
    (Rates, {"method": "adams"}, "did you mean 'adam'"),
    (SearchConfig, {"epochs": 0}, "epochs is 0; give a whole number, at least 1"),
    (SearchConfig, {"epochs": 2.5}, "epochs is 2.5"),
    (SearchConfig, {"epochs": True}, "epochs is True"),
    (SearchConfig, {"batch_size": "64"}, "batch size is '64'"),
    (SearchConfig, {"head_epochs": 1}, "every epoch trains the head alone; give 0, or 2 or more"),
    (SearchConfig, {"head_epochs": -1}, "head epochs is -1; give a whole number, 0 or more"),
    (SearchConfig, {"corrected": "no"}, "corrected is no; give true or false"),
    (SearchConfig, {"head": 3}, "head is '3'; give one of"),
    (SearchConfig, {"rates": 0.1}, "rates is 0.1; give Rates"),
    (SearchConfig, {"finetune": 3}, "finetune is 3; give Finetune"),
    (SearchConfig, {"graded": 1}, "graded is 1; give true or false"),
    (SearchConfig, {"distill": 1.1}, r"distill is 1.1; give a share in \[0, 1\]"),
    (SearchConfig, {"granularity": "wait"}, "granularity is 'wait'; give one of weight"),
    (
        SearchConfig,
        {"start": "one"},
        "start is 'one'; give one of ones, saliency, magnitude-saliency; did you mean",
    ),
    (SearchConfig, {"precision": "bf16"}, "precision is 'bf16'; give one of float32, bfloat16"),
    (Safer, {"against": "trigger"}, "safer is 'trigger'; give one of attacks, triggers; did you"),
    (Safer, {"share": 0}, r"attacked share is 0; give a share in \(0, 1\]"),
    (Safer, {"epsilon": 0}, "epsilon is 0; give a number of pixel values"),
    (Safer, {"steps": 1.5}, "attack steps is 1.5; give a whole number, at least 1"),
    (SearchConfig, {"head": "slize"}, "did you mean 'slice'"),
    (SearchConfig, {"tune": "norms"}, "did you mean 'norm'"),
    (SearchConfig, {"pressure": 1.0}, "pressure is 1.0; give a Penalty or a Budget"),
    (Pick, {"rule": "smallest"}, "pick rule is 'smallest'; give one of tolerance, keep"),
    (Pick, {"rule": "keep", "value": 0}, r"keep is 0; give a share in \(0, 1\]"),
    (Pick, {"rule": "keep_macs", "value": 2}, "keep_macs is 2"),
    (Pick, {"rule": "tolerance", "value": -0.1}, "tolerance is -0.1"),
    (Preprocessing, {"size": 0}, "input size is 0 pixels"),
    (Preprocessing, {"size": 2.5}, "input size is 2.5 pixels"),
    (Preprocessing, {"size": 8, "mean": (0.5,)}, "mean has 1 values and std 3; give 1 or 3"),
    (Preprocessing, {"size": 8, "mean": (0, 0), "std": (1, 1)}, "mean has 2 values and std 2"),
    (Preprocessing, {"size": 8, "mean": (0.5,), "std": (0.0,)}, "every value must be above 0"),
    (Preprocessing, {"size": 8, "mean": (0.5,), "std": (math.nan,)}, "must be above 0"),
    (Preprocessing, {"size": 8, "mean": (math.nan,), "std": (1.0,)}, "must be a number"),
    (Preprocessing, {"size": 8, "crop_fraction": 0}, "crop fraction is 0"),
    (Preprocessing, {"size": 8, "crop_fraction": 1.2}, "crop fraction is 1.2"),
    (Preprocessing, {"size": 8, "interpolation": "cubic"}, "give bicubic, bilinear or nearest"),
]


@pytest.mark.parametrize(
    ("kind", "values", "words"), BAD, ids=[f"{kind.__name__} {values}" for kind, values, _ in BAD]
)
def test_a_bad_value_is_refused_in_one_line(
    kind: Callable[..., Any], values: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        kind(**values)
    assert "\n" not in str(caught.value)


CONFIGS = [
    SearchConfig(),
    SearchConfig(
        preset="paper", epochs=3, pressure=Penalty(alpha=1.5), rates=Rates(method="normalized")
    ),
    SearchConfig(pressure=Budget(final_density=0.1, levels=4), head="replace", tune="all"),
    SearchConfig(safer=Safer(against="triggers", share=0.25)),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_config_survives_json(config: SearchConfig) -> None:
    assert SearchConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_config_takes_defaults_for_what_is_not_given() -> None:
    assert SearchConfig.from_dict({}) == SearchConfig()
    assert SearchConfig.from_dict({"rates": {"score": 0.5}}).rates == Rates(score=0.5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epoch": 3}, "setting 'epoch' is unknown; did you mean 'epochs'?"),
        ({"rates": {"scores": 1}}, "'scores' is unknown; did you mean 'score'?"),
        ({"pressure": {"alpha": 1, "fall": 1}}, "'fall' is unknown"),
        ({"pressure": {"qqq": 1}}, "'qqq' is unknown; give final_density"),
    ],
)
def test_unknown_settings_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SearchConfig.from_dict(values)


def test_configs_are_frozen() -> None:
    with pytest.raises(AttributeError):
        SearchConfig().epochs = 3  # type: ignore[misc]


def test_preprocessing_survives_json() -> None:
    expected = Preprocessing(size=8, mean=(0.3,), std=(0.4,), crop_fraction=0.9)
    assert Preprocessing.from_dict(json.loads(json.dumps(expected.to_dict()))) == expected
    assert (expected.channels, Preprocessing(size=8).channels) == (1, 3)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        # Without hits Wilson's upper bound is z^2 / (n + z^2), with z^2 = 3.841459.
        (0, 10, 0.0, 3.841459 / 13.841459),
        (10, 10, 10 / 13.841459, 1.0),
        # At one half the bounds are 1/2 -+ z / (2 sqrt(n + z^2)).
        (50, 100, 0.5 - 0.979982 / math.sqrt(103.841459), 0.5 + 0.979982 / math.sqrt(103.841459)),
        # Brown, Cai and DasGupta's worked form: (p + z^2/2n -+ z sqrt(...)) / (1 + z^2/n).
        (90, 100, 0.825634, 0.944771),
        (0, 0, 0.0, 1.0),
    ],
)
def test_share_has_the_wilson_interval(hits: int, n: int, low: float, high: float) -> None:
    share = Share.of(hits, n)
    assert share.value == (hits / n if n else 0.0)
    assert (share.low, share.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))
    assert share.to_dict() == {"value": share.value, "low": share.low, "high": share.high, "n": n}


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_share_lies_in_its_interval_which_mirrors(pair: tuple[int, int]) -> None:
    hits, n = pair
    share, rest = Share.of(hits, n), Share.of(n - hits, n)
    assert 0 <= share.low <= share.value + 1e-6
    assert share.value - 1e-6 <= share.high <= 1
    assert share.low == pytest.approx(1 - rest.high, abs=2e-6)
