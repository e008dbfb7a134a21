"""Baselines and costs against what can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from seam.core.problem import Problem
from seam.evaluation.accuracy import by_label
from seam.evaluation.cost import WeightsMeter, executed_macs, layer_uses
from seam.jobs.baselines import LabelBaselines, best_threshold
from seam.jobs.measure import Costs, paired
from seam.jobs.new_labels import fit_new_label_baselines
from seam.masking.channels import find_axes
from seam.masking.head import AppendHead, attach_head
from seam.masking.parametrization import attach
from seam.models.zoo import ZOO
from seam.search.state import share_kept
from seam.shrink.remove import element_masks, kept_channels

ODDS = st.lists(
    st.tuples(st.integers(-4, 4).map(float), st.integers(0, 1)), min_size=1, max_size=12
)


def right(odds: Tensor, targets: Tensor, threshold: float) -> int:
    return int(((odds > threshold).long() == targets).sum())


@given(ODDS)
def test_best_threshold_is_as_good_as_any(pairs: list[tuple[float, int]]) -> None:
    """Whole odds: a threshold between two equal ones does not exist, so ties are kept apart."""
    odds = torch.tensor([value for value, _ in pairs]) + torch.arange(len(pairs)) / 100
    targets = torch.tensor([target for _, target in pairs])
    found = best_threshold(odds, targets)
    edges = [*(odds - 0.005).tolist(), *(odds + 0.005).tolist()]
    assert right(odds, targets, found) == max(right(odds, targets, edge) for edge in edges)


@given(ODDS)
def test_best_threshold_with_equal_odds(pairs: list[tuple[float, int]]) -> None:
    odds = torch.tensor([value for value, _ in pairs])
    targets = torch.tensor([target for _, target in pairs])
    found = best_threshold(odds, targets)
    edges = [-5.0, *(value + 0.5 for value in range(-5, 5))]
    assert right(odds, targets, found) == max(right(odds, targets, edge) for edge in edges)


def test_baselines_of_a_subset_and_of_groups() -> None:
    logits = torch.tensor([[9.0, 1.0, 2.0, 0.0], [0.0, 1.0, 2.0, 3.0], [0.0, 4.0, 2.0, 3.0]])
    head = AppendHead(4, 2)
    subset = LabelBaselines(Problem.subset(["b", "d"]), ((1,), (3,)), 0.0, head)
    found = subset.predictions(logits)
    assert found["full"].tolist() == [-1, 1, 0]
    assert found["restricted"].tolist() == [0, 1, 0]
    groups = LabelBaselines(
        Problem.groups({"x": ["a", "b"], "y": ["d"]}), ((0, 1), (3,)), 0.0, head
    )
    found = groups.predictions(logits)
    assert found["full"].tolist() == [0, 1, 0]
    assert found["restricted"].tolist() == [0, 1, 0]


def test_one_against_the_rest_uses_the_threshold() -> None:
    logits = torch.tensor([[1.0, 1.0, 1.0], [0.0, 5.0, 0.0], [0.0, 2.0, 0.0]])
    members = ((0, 2), (1,))
    odds = logits[:, 1] - logits[:, [0, 2]].logsumexp(1)
    strict = LabelBaselines(
        Problem.one_vs_rest("b"), members, float(odds[2]) + 0.1, AppendHead(3, 2)
    )
    assert strict.predictions(logits)["full"].tolist() == [0, 1, 1]
    assert strict.predictions(logits)["restricted"].tolist() == [0, 1, 0]


def test_paired_difference() -> None:
    targets = torch.tensor([0, 0, 1, 1])
    found = paired(torch.tensor([0, 0, 1, 0]), torch.tensor([0, 1, 0, 1]), targets)
    assert (found["gained"], found["lost"]) == (2, 1)
    assert found["difference"]["value"] == 0.25
    assert found["difference"]["n"] == 4
    half = 1.96 * (4 / 6 - 1 / 36) ** 0.5 / 6**0.5
    assert found["difference"]["low"] == pytest.approx(1 / 6 - half, abs=1e-3)
    assert found["difference"]["high"] == pytest.approx(1 / 6 + half, abs=1e-3)


def test_by_label_counts_each_output() -> None:
    rows = by_label({"ours": torch.tensor([0, 1, 1])}, torch.tensor([0, 0, 1]), ["a", "b"])
    assert [(row["label"], row["n"], row["ours"]["value"]) for row in rows] == [
        ("a", 2, 0.5),
        ("b", 1, 1.0),
    ]


TIMM = ["resnet10t", "mobilenetv2_050", "vit_tiny_patch16_224", "convnext_atto"]


@pytest.mark.parametrize("name", TIMM)
def test_layer_uses_account_for_all_that_is_executed(name: str) -> None:
    import timm

    side = 224 if name.startswith("vit") else 64
    model = timm.create_model(name, pretrained=False, num_classes=10).eval()
    example = torch.zeros(1, 3, side, side)
    dense = executed_macs(model, example)
    uses = layer_uses(model, example)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    assert uses.dense == dense
    assert uses.theoretical(sizes, sizes) == dense
    counted = sum(sizes[name] * times for name, times in uses.uses.items())
    if name.startswith("vit"):  # products of activations: q with k, weights with v
        tokens, width, depth = 197, 192, 12
        counted += 2 * tokens * tokens * width * depth
    assert counted == dense
    assert uses.theoretical(dict.fromkeys(sizes, 0), sizes) == dense - sum(
        sizes[name] * times for name, times in uses.uses.items()
    )


@pytest.mark.parametrize("shared", ["layer", "weight"])
def test_multiplications_of_a_shared_weight_go_wherever_it_is_used(shared: str) -> None:
    first, second, head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)
    second.weight = first.weight
    second = first if shared == "layer" else second
    model = nn.Sequential(first, second, head)
    uses = layer_uses(model, torch.zeros(1, 8)).merged(model)
    assert uses.uses == {"0.weight": 2, "2.weight": 1}
    assert uses.theoretical({"0.weight": 10}, {"0.weight": 64}) == 2 * 10 + 8 * 2


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.fc = nn.Linear(8, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        result: Tensor = self.fc(mixed.mean(1))
        return result


def test_attention_is_counted() -> None:
    tokens, width = 5, 8
    uses = layer_uses(Attends(), torch.zeros(1, tokens, width))
    assert uses.uses == {
        "attention.in_proj_weight": tokens,
        "attention.out_proj.weight": tokens,
        "fc.weight": 1,
    }
    products = 2 * tokens * tokens * width
    assert uses.dense == 4 * tokens * width * width + products + width * 3


def test_costs_fall_by_what_the_masks_remove() -> None:
    base = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 16, 5))
    example = torch.zeros(1, 1, 4, 4)
    model = attach_head(base, "append", ((0,), (1,)), example=example, seed=0)
    costs = Costs(base, model, example)
    masks = attach(model.backbone)
    whole = {name: mask.bits for name, mask in masks.items()}
    head, conv, linear = 5 * 2, 4 * 9 * 16, 4 * 16 * 5
    found = costs.of(whole)
    assert found["macs"] == {
        "base": conv + linear,
        "theoretical": conv + linear + head,
        "executed": conv + linear + head,
    }
    assert found["weights"]["kept"] - found["weights"]["base"] == head + 2
    whole["0.weight"] = whole["0.weight"].clone()
    whole["0.weight"][0] = False
    less = costs.of(whole)
    assert less["macs"]["theoretical"] == found["macs"]["theoretical"] - 9 * 16
    assert less["macs"]["executed"] == found["macs"]["executed"]
    assert less["weights"]["kept"] == found["weights"]["kept"] - 9
    assert costs.macs_share(masks.bits()) == found["macs"]["theoretical"] / found["macs"]["base"]


@pytest.mark.parametrize("name", ["cifar_resnet20", "cifar_vgg16", "wrn16_1", "digits"])
def test_a_budget_in_weights_is_the_density_of_the_masks(name: str) -> None:
    entry = ZOO[name]
    side = entry.preprocessing.size
    example = torch.zeros(1, entry.preprocessing.channels, side, side)
    model = attach_head(entry.build(), "replace", [()] * 4, example=example, seed=0)
    axes = find_axes(model.eval(), example)
    meter = WeightsMeter.of(model, axes)
    assert meter({}) == 1
    generator = torch.Generator().manual_seed(0)
    bits = {axis.name: torch.rand(axis.size, generator=generator) < 0.6 for axis in axes}
    for each in bits.values():
        each[0] = True
    kept = kept_channels(model, axes, bits)
    masks = {
        key: mask
        for key, mask in element_masks(model, axes, bits).items()
        if key.startswith("backbone.")
    }
    widths = {place: int(channels.sum()) for place, channels in kept.items()}
    assert meter(widths) == pytest.approx(share_kept(masks), rel=1e-9)
    assert 0.1 < meter(widths) < 0.7


def test_a_head_on_new_labels_learns_from_features() -> None:
    torch.manual_seed(0)
    targets = torch.arange(120) % 3
    features = torch.eye(3)[targets].repeat(1, 2) + torch.randn(120, 6) / 4
    problem = Problem.new_labels(["a", "b", "c"])
    fresh = nn.Linear(6, 3)
    before = fresh.weight.detach().clone()
    learned = ((features[:90], targets[:90]), (features[90:], targets[90:]))
    found = fit_new_label_baselines(problem, fresh, *learned, seed=0)
    assert torch.equal(fresh.weight, before)
    assert list(found.predictions(features)) == ["head_only"]
    bars = found.bars(features[90:], targets[90:])
    assert bars.accuracies["head_only"] > 0.9
    assert bars.tolerance is None
    again = fit_new_label_baselines(problem, fresh, *learned, seed=0)
    assert torch.equal(again.head.weight, found.head.weight)


def test_settings_survive_the_run_folder(tmp_path: Path) -> None:
    import yaml

    from seam.artefacts.run_settings import plain
    from seam.core.pick import Pick
    from seam.jobs.plan import Plan, plan

    some = {"epochs": 3, "exclude": ("conv1",), "rename": {"x": "y"}, "seed": 4, "keep": 0.5}
    for problem, name in (
        (Problem.one_vs_rest("7"), "default"),
        (Problem.new_labels(["a", "b"]), "default"),
        (Problem.new_labels(["a", "b"]), "paper"),
    ):
        settings = plan(problem, preset_name=name, **some)
        text = yaml.safe_dump(plain(settings.to_dict()))
        assert Plan.from_dict(yaml.safe_load(text), Pick(rule="keep", value=0.5)) == settings


def test_macs_of_a_fused_encoder_are_counted() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    tokens, products = 5, 8 * 24 + 8 * 8 + 2 * 8 * 16
    assert executed_macs(layer, torch.zeros(1, 5, 8)) == tokens * products + 2 * tokens**2 * 8
    assert set(layer_uses(layer, torch.zeros(1, 5, 8)).uses.values()) == {tokens}
