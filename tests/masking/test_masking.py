"""What one mask, one set of masks and one head do, apart from the contracts' tables."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from seam.errors import ConfigError, ModelError
from seam.masking.head import AppendHead, Headed, SliceHead, attach_head, find_classifier, restrict
from seam.masking.parametrization import attach
from seam.masking.ste import step


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 3, bias=False))


def test_step_passes_the_clipped_gradient_on() -> None:
    score = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    out = step(score, 0.0)
    out.backward(torch.tensor([0.5, -3.0, 7.0]))
    assert out.tolist() == [0.0, 0.0, 1.0]
    assert score.grad is not None
    assert score.grad.tolist() == [0.5, -1.0, 1.0]


def test_a_score_at_the_threshold_is_removed() -> None:
    assert step(torch.tensor([0.5, 0.6]), 0.5).tolist() == [0.0, 1.0]


def test_a_scores_gradient_is_that_of_the_mask_times_the_weight() -> None:
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[0.25, -8.0]])
    masks = attach(layer)
    layer(torch.tensor([[2.0, 1.0]])).sum().backward()
    grad = masks["weight"].score.grad
    assert grad is not None
    assert grad.tolist() == [[0.5, -1.0]]  # input times weight, clipped


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_density_is_exact_in_every_type(dtype: torch.dtype) -> None:
    layer = nn.Linear(300, 10).to(dtype)
    masks = attach(layer)
    assert float(masks.soft_density().detach()) == 1.0  # 3,010 is no bfloat16 number
    masks["bias"].score.data.fill_(-1)
    assert masks.density() == pytest.approx(3000 / 3010)
    soft = masks.soft_density()
    assert float(soft.detach()) == pytest.approx(3000 / 3010)
    soft.backward()
    grad = masks["weight"].score.grad
    assert grad is not None
    assert float(grad[0, 0]) == pytest.approx(1 / 3010, rel=1e-2)


@pytest.mark.parametrize(
    ("share", "kept"),
    [(1.0, 18), (0.5, 9), (0.25, 4), (0.2, 3), (0.1, 1), (1 / 18, 1), (0.0, 0)],
)
def test_keep_keeps_the_highest_scores(share: float, kept: int) -> None:
    module = nn.Sequential(nn.Linear(4, 3, bias=False), nn.Linear(3, 2, bias=False))
    masks = attach(module)
    order = torch.randperm(18, generator=torch.Generator().manual_seed(0)).float() - 5
    for mask, scores in zip(masks.values(), order.split([12, 6]), strict=True):
        mask.score.data = scores.view_as(mask.score)
    masks.keep(share)
    bits = torch.cat([mask.bits.reshape(-1) for mask in masks.values()])
    assert int(bits.sum()) == kept
    assert kept in (0, 18) or order[bits].min() > order[~bits].max()


def test_exclude_by_layer_and_by_parameter() -> None:
    assert sorted(attach(two_layers())) == ["0.bias", "0.weight", "2.weight"]
    assert sorted(attach(two_layers(), exclude=["0"])) == ["2.weight"]
    assert sorted(attach(two_layers(), exclude=["*.bias", "2*"])) == ["0.weight"]


@pytest.mark.parametrize("exclude", [["classifier"], ["0", "classifier"]])
def test_exclude_that_fits_nothing_is_refused(exclude: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"'classifier' fits no layer; layers are 0, 2$"):
        attach(two_layers(), exclude=exclude)


def test_nothing_left_to_mask_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to mask"):
        attach(two_layers(), exclude=["*"])
    with pytest.raises(ConfigError, match="nothing to mask"):
        attach(nn.Sequential(nn.ReLU()))


def test_a_parameter_shared_with_an_excluded_layer_has_no_mask() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    assert sorted(attach(module, exclude=["1"])) == ["0.bias"]


def test_a_refused_attach_leaves_the_module_as_it_was() -> None:
    module = two_layers()
    keys = list(module.state_dict())
    with pytest.raises(ConfigError):
        attach(module, exclude=["nowhere"])
    assert list(module.state_dict()) == keys


def test_masks_follow_the_module_to_another_type() -> None:
    module = two_layers()
    masks = attach(module)
    module.double()
    assert {mask.score.dtype for mask in masks.values()} == {torch.float64}
    assert module(torch.randn(2, 4).double()).dtype == torch.float64


def test_slice_of_one_against_the_rest_is_the_bases_log_odds() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 4).double()
    out = SliceHead([[0, 2, 3], [1]])(logits)
    odds = logits.softmax(1)[:, 1] / (1 - logits.softmax(1)[:, 1])
    assert torch.allclose(out[:, 1] - out[:, 0], odds.log())


def test_slice_of_single_labels_is_their_logits() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0]])
    assert restrict(logits, [[2], [0]]).tolist() == [[1.0, 0.0]]


def test_append_is_relu_and_linear() -> None:
    head = AppendHead(2, 1)
    head.linear.weight.data = torch.tensor([[2.0, 10.0]])
    head.linear.bias.data.zero_()
    assert head(torch.tensor([[3.0, -1.0]])).tolist() == [[6.0]]


def test_appended_head_depends_on_the_seed_alone() -> None:
    def weight(seed: int, noise: int) -> torch.Tensor:
        torch.manual_seed(noise)
        headed = attach_head(
            nn.Identity(), "append", [[0], [1]], example=torch.zeros(1, 4), seed=seed
        )
        assert isinstance(headed.head, AppendHead)
        return headed.head.linear.weight

    assert torch.equal(weight(1, noise=1), weight(1, noise=2))
    assert not torch.equal(weight(1, noise=1), weight(2, noise=1))


def test_group_prior_of_a_replaced_classifier() -> None:
    layer = nn.Linear(3, 3, bias=False)
    headed = attach_head(layer, "replace", [[0, 1], [2]], example=torch.zeros(1, 3), seed=0)
    assert isinstance(headed, Headed)
    assert headed.head(torch.zeros(1, 3)).tolist() == [[pytest.approx(math.log(2)), 0.0]]


def test_classifier_is_the_layer_that_gives_the_output() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.Flatten())
    assert find_classifier(module, torch.zeros(1, 4)) == "2"


def test_no_linear_classifier_is_refused() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))
    with pytest.raises(ModelError, match="choose --head slice or --head append"):
        attach_head(module, "replace", [[0], [1]], example=torch.zeros(1, 4), seed=0)


def test_the_trial_run_leaves_norm_statistics_alone() -> None:
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 2)).train()
    attach_head(module, "append", [[0], [1]], example=torch.ones(1, 4), seed=0)
    assert int(module[1].num_batches_tracked) == 0
    assert module[1].training
