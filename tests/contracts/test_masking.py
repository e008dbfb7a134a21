"""Contracts 1 and 2, one row an architecture: attach is identity, bake is the masked forward,
detach restores. The second table holds for the heads what the first holds for the masks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from architectures import CHANNEL_ARCHITECTURES, Case
from torch import Tensor, nn
from torch.nn.utils import parametrize

from seam.core.problem import Problem
from seam.masking.head import Headed, SliceHead, attach_head, detach_head, restrict
from seam.masking.parametrization import MaskSet, attach


class Attention(nn.Module):
    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, **settings)
        self.linear = nn.Linear(8, 10)

    def forward(self, tokens: Tensor) -> Tensor:
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        result: Tensor = self.linear(mixed.mean(1))
        return result


class CrossAttention(nn.Module):
    """Keys of another width: three weights instead of one, and no fast path."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, kdim=4, vdim=4)

    def forward(self, tokens: Tensor) -> Tensor:
        keys = tokens[..., :4]
        result: Tensor = self.attention(tokens, keys, keys)[0]
        return result


def encoder() -> Case:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.TransformerEncoder(layer, 2), torch.randn(2, 5, 8)


def vision(*layers: nn.Module) -> Case:
    return nn.Sequential(*layers), torch.randn(2, 4, 8, 8)


class Tied(nn.Module):
    """The second layer uses the first one's weight, but has its own bias."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.weight = self.first.weight
        self.twice = self.first

    def forward(self, inputs: Tensor) -> Tensor:
        result: Tensor = self.twice(self.second(self.first(inputs).relu()))
        return result


class TiedEmbedding(nn.Module):
    """A linear layer shares its weight with an embedding, which has no mask."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.linear = nn.Embedding(7, 6), nn.Linear(6, 7)
        self.linear.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        result: Tensor = self.linear(self.embedding(tokens).mean(1))
        return result


def with_weight_norm() -> Case:
    return vision(nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3)), nn.Conv2d(4, 2, 3))


def with_old_weight_norm() -> Case:
    layer = nn.Conv2d(4, 4, 3)
    with pytest.warns(FutureWarning, match="weight_norm"):
        nn.utils.weight_norm(layer)
    return vision(layer, nn.Conv2d(4, 2, 3))


def with_type(dtype: torch.dtype) -> Callable[[], Case]:
    def build() -> Case:
        model, images = vision(
            nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3)
        )
        return model.to(dtype), images.to(dtype)

    return build


ARCHITECTURES: dict[str, Callable[[], Case]] = {
    **CHANNEL_ARCHITECTURES,
    "attention": lambda: (Attention(), torch.randn(2, 5, 8)),
    "attention, all biases": lambda: (Attention(add_bias_kv=True), torch.randn(2, 5, 8)),
    "attention, separate weights": lambda: (CrossAttention(), torch.randn(2, 5, 8)),
    "transformer encoder": encoder,
    "grouped": lambda: vision(
        nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8)
    ),
    "transposed": lambda: vision(nn.ConvTranspose2d(4, 6, 3, stride=2), nn.Conv2d(6, 2, 1)),
    "one and three dimensions": lambda: (
        nn.Sequential(nn.Conv3d(2, 3, 2), nn.Flatten(2), nn.Conv1d(3, 2, 2)),
        torch.randn(1, 2, 3, 3, 3),
    ),
    "channels last": lambda: (
        vision(nn.Conv2d(4, 8, 3))[0].to(memory_format=torch.channels_last),
        torch.randn(2, 4, 8, 8).to(memory_format=torch.channels_last),
    ),
    "tied": lambda: (Tied(), torch.randn(3, 6)),
    "tied to an embedding": lambda: (
        nn.Sequential(TiedEmbedding(), nn.Linear(7, 3)),
        torch.randint(7, (3, 4)),
    ),
    "weight norm": with_weight_norm,
    "older weight norm": with_old_weight_norm,
    "no biases": lambda: vision(nn.Conv2d(4, 4, 3, bias=False), nn.Conv2d(4, 2, 3, bias=False)),
    "root": lambda: (nn.Linear(6, 4), torch.randn(2, 6)),
    "root attention": lambda: (nn.MultiheadAttention(8, 2).eval(), torch.randn(3, 2, 8)),
    "bfloat16": with_type(torch.bfloat16),
    "float64": with_type(torch.float64),
}


@pytest.fixture(params=list(ARCHITECTURES))
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(0)
    module, inputs = ARCHITECTURES[request.param]()
    for index, parameter in enumerate(module.parameters()):
        parameter.requires_grad_(index % 2 == 0)
    return module.eval(), inputs


def run(module: nn.Module, inputs: Tensor) -> Tensor:
    """The output as inference computes it: where a module has a fast path, that is taken."""
    with torch.inference_mode():
        is_attention = isinstance(module, nn.MultiheadAttention)
        output = module(inputs, inputs, inputs)[0] if is_attention else module(inputs)
    assert isinstance(output, Tensor)
    return output.clone()


def randomise(masks: MaskSet) -> None:
    generator = torch.Generator().manual_seed(1)
    bits = {
        name: torch.rand(mask.score.shape, generator=generator) < 0.7
        for name, mask in masks.items()
    }
    masks.load_bits(bits)


def facts(module: nn.Module) -> dict[str, Any]:
    """What detaching must restore, and copies of the values."""
    modules = dict(module.named_modules(remove_duplicate=False))
    parameters = dict(module.named_parameters(remove_duplicate=False))
    return {
        "classes": {name: type(each) for name, each in modules.items()},
        "modules": list(modules),
        "keys": list(module.state_dict()),
        "parameters": {name: id(each) for name, each in parameters.items()},
        "orders": {name: list(each._parameters) for name, each in modules.items()},
        "flags": {name: each.requires_grad for name, each in parameters.items()},
        "modes": {name: each.training for name, each in modules.items()},
        "values": {
            name: (value.dtype, value.stride(), value.clone())
            for name, value in module.state_dict().items()
        },
    }


def check_restored(module: nn.Module, before: dict[str, Any]) -> None:
    after = facts(module)
    old, new = before.pop("values"), after.pop("values")
    assert after == before
    assert list(after["keys"]) == list(before["keys"])
    for name, (dtype, stride, value) in old.items():
        assert new[name][:2] == (dtype, stride)
        assert torch.equal(new[name][2], value), name


def test_attach_is_identity_and_detach_restores(case: Case) -> None:
    module, inputs = case
    expected, before = run(module, inputs), facts(module)
    masks = attach(module)
    assert torch.equal(run(module, inputs), expected)
    randomise(masks)
    assert not torch.equal(run(module, inputs), expected)  # no path goes round the masks
    masks.detach()
    check_restored(module, before)
    assert torch.equal(run(module, inputs), expected)


def test_bake_equals_masked_forward(case: Case) -> None:
    module, inputs = case
    before = facts(module)
    del before["values"]
    masks = attach(module)
    randomise(masks)
    expected = run(module, inputs)
    bits = {name: mask.bits for name, mask in masks.items()}
    plain = {name: value.detach().clone() for name, value in masks.originals().items()}
    assert masks.bake() is module
    assert torch.equal(run(module, inputs), expected)
    after = facts(module)
    del after["values"]
    assert after == before
    for name, kept in bits.items():
        value = module.get_parameter(name)
        assert not value[~kept].view(torch.uint8).any()  # plus zero, to the byte
        assert value[kept].equal(plain[name][kept])


def test_masks_lie_where_their_parameters_lie(case: Case) -> None:
    module, _ = case
    masks = attach(module)
    originals = masks.originals()
    for name, mask in masks.items():
        assert mask.score.shape == originals[name].shape
        assert (mask.score.dtype, mask.score.device) == (
            originals[name].dtype,
            originals[name].device,
        )
    shared = {id(value) for value in originals.values()}
    assert len(shared) == len(masks)  # one mask a parameter, however often it is used
    assert masks.count == sum(mask.score.numel() for mask in masks.values())


def test_masks_cover_all_that_can_be_masked(case: Case) -> None:
    module, _ = case
    wanted = {
        id(parameter)
        for layer in module.modules()
        if isinstance(layer, nn.modules.conv._ConvNd | nn.Linear | nn.MultiheadAttention)
        for parameter in layer._parameters.values()
        if parameter is not None
    }
    left_alone = {
        id(value)
        for name, value in module.named_parameters()
        if "weight_g" in name or "weight_v" in name or "embedding" in name
    }
    masks = attach(module)
    assert {id(value) for value in masks.originals().values()} == wanted - left_alone


def test_gradients_reach_scores_and_the_parameters_behind_them(case: Case) -> None:
    module, inputs = case
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    masks = attach(module)
    arguments = (inputs,) * 3 if isinstance(module, nn.MultiheadAttention) else (inputs,)
    output = module(*arguments)
    output = output[0] if isinstance(output, tuple) else output
    (output.square().sum() + masks.soft_density()).backward()
    for name, mask in masks.items():
        assert mask.score.grad is not None, name
        assert mask.score.grad.isfinite().all()
    assert all(value.grad is not None for value in masks.originals().values())


def test_a_copy_of_a_masked_module_has_masks_of_its_own(case: Case) -> None:
    module, inputs = case
    masks = attach(module)
    randomise(masks)
    expected = run(module, inputs)
    twin = copy.deepcopy(module)
    masks.set_threshold(float("inf"))
    assert torch.equal(run(twin, inputs), expected)


def test_parametrized_layers_are_left_alone() -> None:
    torch.manual_seed(0)
    module, _ = with_weight_norm()
    masks = attach(module)
    assert sorted(masks) == ["0.bias", "1.bias", "1.weight"]
    masks.detach()
    assert parametrize.is_parametrized(module[0], "weight")  # type: ignore[index]


# ------------------------------------------------------------------------------------------ heads

PROBLEMS = {
    "one-vs-rest": Problem.one_vs_rest("c"),
    "subset": Problem.subset(["d", "a", "c"]),
    "groups": Problem.groups({"x": ["a", "e"], "y": ["d"]}),
}
LABELS = ("a", "b", "c", "d", "e")
BACKBONES: dict[str, Callable[[], Case]] = {
    "convolutional": lambda: vision(
        nn.Conv2d(4, 6, 3),
        nn.BatchNorm2d(6),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.Dropout(0.5),
    ),
    "a linear layer": lambda: (nn.Linear(7, 5), torch.randn(2, 7)),
    "bias-free": lambda: (nn.Sequential(nn.Linear(7, 5, bias=False)), torch.randn(2, 7)),
    "float64": lambda: (nn.Linear(7, 5).double(), torch.randn(2, 7).double()),
}


@pytest.mark.parametrize("backbone", list(BACKBONES))
@pytest.mark.parametrize("kind", ["slice", "append", "replace"])
@pytest.mark.parametrize("problem", list(PROBLEMS))
def test_heads(problem: str, kind: Any, backbone: str) -> None:
    torch.manual_seed(0)
    module, inputs = BACKBONES[backbone]()
    module.train()
    members = PROBLEMS[problem].members(LABELS)
    before, state = facts(module), torch.get_rng_state()

    headed = attach_head(module, kind, members, example=inputs, seed=3)
    again = attach_head(copy.deepcopy(module), "append", members, example=inputs, seed=3)

    assert headed.training
    assert all(each.training for each in module.modules())  # the trial run changed no mode
    if kind == "append":
        for ours, theirs in zip(headed.head.parameters(), again.head.parameters(), strict=True):
            assert torch.equal(ours, theirs)
    assert torch.equal(torch.get_rng_state(), state)
    headed.eval()
    output = run(headed, inputs)
    assert output.shape == (2, len(members))
    assert output.dtype == inputs.dtype
    restored = detach_head(headed)
    assert restored is module
    module.train()
    check_restored(module, before)
    if kind == "slice":
        module.eval()
        assert torch.equal(output, restrict(run(module, inputs), members))


@pytest.mark.parametrize("problem", list(PROBLEMS))
@pytest.mark.parametrize("kind", ["slice", "append", "replace"])
def test_masks_and_heads_come_off_in_any_order(problem: str, kind: Any) -> None:
    torch.manual_seed(0)
    module, inputs = BACKBONES["convolutional"]()
    before = facts(module)
    members = PROBLEMS[problem].members(LABELS)
    headed = attach_head(module, kind, members, example=inputs, seed=0)
    masks = attach(headed.backbone)
    randomise(masks)
    assert detach_head(headed) is module
    masks.detach()
    check_restored(module, before)


def test_replace_starts_as_the_mean_of_each_groups_rows() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(7, 5)
    headed = attach_head(layer, "replace", [(0, 2), (4,)], example=torch.randn(1, 7), seed=0)
    assert isinstance(headed.head, nn.Linear)
    assert torch.equal(headed.head.weight[0], layer.weight[[0, 2]].mean(0))
    assert torch.equal(headed.head.weight[1], layer.weight[4])
    assert torch.equal(headed.head.bias[1], layer.bias[4])


def test_replaced_classifier_is_no_part_of_the_model() -> None:
    module, inputs = BACKBONES["convolutional"]()
    old = module[5]  # type: ignore[index]
    headed = attach_head(module, "replace", [(0,), (1,)], example=inputs, seed=0)
    assert headed.replaced == ("5", old)
    assert not any(old is each for each in headed.modules())
    assert Headed(module, SliceHead([[0], [1]])).replaced is None
