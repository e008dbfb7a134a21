"""Attacks keep to their bounds and seeds, reach the base, and are counted as they should."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seam.core.preprocessing import Preprocessing
from seam.defects.adversarial import Strength, auto_attack, feature_attack, logit_attack
from seam.defects.attacks import Attacks
from seam.defects.inheritance import flip_rate, repeated_mistakes, target_rate
from seam.defects.pixels import (
    feature_layer,
    features_on_pixels,
    on_pixels,
    predicted,
    same_layer,
)
from seam.defects.plan import DefectsPlan
from seam.defects.subjects import Subjects, drawn
from seam.errors import ConfigError, MissingExtraError, ModelError
from seam.models.base import fingerprint

Run = Callable[[Subjects, Tensor, Tensor, float, int], Tensor]
STEPS = 6


@pytest.fixture(autouse=True)
def few_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seam.defects.adversarial.SQUARE_QUERIES", 5)
    monkeypatch.setattr("seam.defects.adversarial.APGD_STEPS", 5)


def on_features(subjects: Subjects, x: Tensor, _y: Tensor, epsilon: float, seed: int) -> Tensor:
    model = features_on_pixels(subjects.base, "fc", subjects.preprocessing)
    return feature_attack(model, x, strength=Strength(epsilon=epsilon, steps=STEPS), seed=seed)


def on_logits(subjects: Subjects, x: Tensor, y: Tensor, epsilon: float, seed: int) -> Tensor:
    model = on_pixels(subjects.answers, subjects.preprocessing)
    return logit_attack(model, x, y, strength=Strength(epsilon=epsilon, steps=STEPS), seed=seed)


def automatic(subjects: Subjects, x: Tensor, y: Tensor, epsilon: float, seed: int) -> Tensor:
    model = on_pixels(subjects.answers, subjects.preprocessing)
    return auto_attack(model, x, y, epsilon=epsilon, seed=seed)


ATTACKS = {"features": on_features, "logits": on_logits, "auto": automatic}


@pytest.fixture(params=list(ATTACKS))
def attack(request: pytest.FixtureRequest) -> Run:
    return ATTACKS[request.param]


def pixels(subjects: Subjects, count: int = 12) -> tuple[Tensor, Tensor]:
    numbers = torch.arange(count)
    return subjects.test.scaled(numbers), subjects.test.targets[numbers]


def test_images_are_the_stored_pixels(identity: Subjects) -> None:
    images, _ = pixels(identity)
    assert torch.equal((255 * images).round().byte(), identity.test.raw(torch.arange(12)))
    seen = on_pixels(identity.base, identity.preprocessing)(images)
    assert torch.equal(seen, identity.base(next(identity.test.ordered(12)).images))


@pytest.mark.parametrize("epsilon", [8.0, 40.0])
def test_epsilon_is_kept_and_reached(identity: Subjects, attack: Run, epsilon: float) -> None:
    images, truth = pixels(identity)
    changed = attack(identity, images, truth, epsilon, 0)
    moved = 255 * (changed - images).abs()
    if attack is not automatic or epsilon > 8:  # it leaves images alone that it cannot flip
        assert moved.amax() == pytest.approx(epsilon, abs=1e-4)
    assert moved.amax() <= epsilon + 1e-4
    assert changed.shape == images.shape
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_a_seed_decides_and_global_generators_are_left_alone(
    identity: Subjects, attack: Run
) -> None:
    images, truth = pixels(identity)
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    first, second, third = (attack(identity, images, truth, 40, seed) for seed in (3, 3, 4))
    assert torch.equal(first, second)
    if attack is not automatic:  # its first step crosses the ball, wherever it began
        assert not torch.equal(first, third)
    assert (np.random.get_state()[1] == numpy_state).all()
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_the_base_is_flipped(identity: Subjects) -> None:
    images, truth = pixels(identity, 40)
    model = on_pixels(identity.answers, identity.preprocessing)
    clean = predicted(model, images)
    rates = [
        flip_rate(clean, predicted(model, on_logits(identity, images, truth, each, 0)), truth).value
        for each in (8, 64)
    ]
    assert rates[0] < rates[1]
    assert rates[1] > 0.7


def test_feature_0_grows_and_the_others_do_not(identity: Subjects) -> None:
    images, truth = pixels(identity)
    model = features_on_pixels(identity.base, "fc", identity.preprocessing)
    before, after = model(images), model(on_features(identity, images, truth, 32, 0))
    assert (after[:, 0] > before[:, 0]).all()
    assert before.shape[1] == identity.base.get_submodule("fc").in_features


def test_nothing_of_the_models_changes(identity: Subjects, attack: Run) -> None:
    images, truth = pixels(identity)
    models = (identity.base, identity.answers)
    before = [fingerprint(model) for model in models]
    attack(identity, images, truth, 40, 0)
    assert [fingerprint(model) for model in models] == before
    for model in models:
        assert all(value.requires_grad and value.grad is None for value in model.parameters())
        assert not any(layer._forward_pre_hooks for layer in model.modules())


def test_a_result_that_is_its_base_inherits_all(identity: Subjects) -> None:
    plan = DefectsPlan(
        samples=40, steps=STEPS, epsilon=32, autoattack=0, published=True, adaptive_features=True
    )
    attacks = Attacks(identity, plan)
    found = attacks.figures()
    for name in ("features", "features_published", "logits"):
        figure = dict(found["inheritance"][name])
        of_base = figure.pop("base")
        assert of_base == {key: figure[key] for key in of_base}
    assert found["inheritance"]["logits"]["value"] > 0.3
    assert found["inheritance"]["features_published"]["epsilon"] == 5.76
    assert set(found["adaptive"]) == {"features", "logits"}
    assert found["defects"]["samples"] == 40
    assert found["defects"]["feature_layer"] == "fc"
    assert [each.name for each in attacks.examples] == ["features", "logits"]
    assert attacks.examples[0].clean.shape == (6, 1, 8, 8)


def test_mistakes_of_a_result_that_is_its_base(identity: Subjects) -> None:
    wrong = replace(identity.test, targets=(identity.test.targets + 1) % 3)
    plan = DefectsPlan(samples=2, steps=1, autoattack=0)
    found = Attacks(replace(identity, test=wrong), plan).figures()["inheritance"]["mistakes"]
    assert found["value"] == 1
    assert found["n"] >= 58


def test_only_samples_that_the_result_gets_right_count(other: Subjects) -> None:
    plan = DefectsPlan(samples=40, steps=STEPS, epsilon=32, autoattack=8, adaptive_features=True)
    stages: list[str] = []
    done: list[tuple[int, int]] = []
    found = Attacks(
        other, plan, stage=stages.append, progress=lambda *batch: done.append(batch)
    ).figures()
    numbers = drawn(len(other.test), 40, 0)
    model = on_pixels(other.result, other.preprocessing)
    right = predicted(model, other.test.scaled(numbers)) == other.test.targets[numbers]
    assert 0 < right.sum() < 40
    for figure in (found["inheritance"]["logits"], found["adaptive"]["logits"]):
        assert figure["n"] == int(right.sum())
        assert figure["steps"] == STEPS
    assert found["adaptive"]["autoattack"]["n"] == 8
    assert len(stages) == 5
    assert all(0 < number <= total for number, total in done)


def test_no_sample_that_the_result_gets_right(identity: Subjects) -> None:
    class Wrong(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return -identity.answers(images)

    plan = DefectsPlan(samples=8, steps=2, autoattack=2, adaptive_features=True)
    seldom = replace(identity, result=Wrong())
    found = Attacks(seldom, plan).figures()
    assert found["inheritance"]["logits"]["n"] <= 1
    assert "features" not in found["adaptive"]  # it has no such layer


def test_rates_by_hand() -> None:
    truth = torch.tensor([0, 0, 1, 1, 2])
    base, result = torch.tensor([0, 1, 0, 1, 0]), torch.tensor([0, 1, 2, 1, 0])
    attacked = torch.tensor([1, 0, 1, 1, 2])
    assert flip_rate(result, attacked, truth).to_dict()["value"] == 0.5
    assert flip_rate(result, attacked, truth).n == 2
    assert repeated_mistakes(base, result, truth).value == pytest.approx(2 / 3)
    assert target_rate(attacked, truth, 1).value == pytest.approx(1 / 3)


def test_samples_are_drawn_by_seed() -> None:
    assert drawn(100, 20, 5).tolist() == drawn(100, 20, 5).tolist()
    assert drawn(100, 20, 5).tolist() != drawn(100, 20, 6).tolist()
    assert drawn(100, 20, 5).unique().tolist() == drawn(100, 20, 5).tolist()


class Pooled(nn.Module):
    """A classifier whose last layer is a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.scores = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.scores(self.body(images).relu()).mean((2, 3))
        return result


def test_a_base_without_a_separable_head() -> None:
    images = torch.rand(2, 1, 8, 8)
    with pytest.raises(ModelError, match=r"no torch\.nn\.Linear was found .* --feature-layer"):
        feature_layer(Pooled(), images)
    with pytest.raises(ModelError, match=r"no layer 'score'; did you mean 'scores'\?"):
        feature_layer(Pooled(), images, name="score")
    assert feature_layer(Pooled(), images, name="scores") == "scores"
    plain = Preprocessing(size=8, mean=(0.0,), std=(1.0,))
    features = features_on_pixels(Pooled(), "scores", plain)
    assert features(images).shape == (2, 4 * 6 * 6)


def test_where_a_layer_is_in_a_result(identity: Subjects) -> None:
    assert same_layer(identity.result, "fc") == "backbone.fc"
    assert same_layer(identity.base, "fc") == "fc"
    assert same_layer(identity.base, "none") is None


def test_an_exported_model_has_no_gradients(identity: Subjects) -> None:
    def session(images: Tensor) -> Tensor:
        return images

    with pytest.raises(ModelError, match="needs gradients, which an exported model"):
        on_pixels(session, identity.preprocessing)  # type: ignore[arg-type]


def test_the_extra_is_named(identity: Subjects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "art", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'seam\[defects\]'"):
        Attacks(identity, DefectsPlan())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 0}, "samples is 0; give a whole number, at least 1"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2.5}, r"steps is 2\.5"),
        ({"epsilon": 0}, "epsilon is 0"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"epsilon": 256}, "epsilon is 256"),
        ({"autoattack": -1}, "autoattack is -1"),
        ({"attacks": False}, "neither attacks nor a trigger"),
    ],
)
def test_bad_plans(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DefectsPlan(**settings)  # type: ignore[arg-type]
