"""Contracts 1 to 3 and 7 for channels, one row an architecture: attaching is identity, gates equal
masks, removal equals both, and detaching restores.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pytest
import torch
from architectures import CHANNEL_ARCHITECTURES, Case, built
from torch import Tensor, nn

from seam.errors import ConfigError, ModelError
from seam.masking.axes import Axis, leave_out
from seam.masking.channels import find_axes
from seam.masking.gates import ChannelSet, Rules, attach_channels
from seam.masking.sides import Place, side_sizes
from seam.shrink.check import TOLERANCE, checked, difference, masked
from seam.shrink.fold import fold_norms
from seam.shrink.remove import bits_of, element_masks, remove
from seam.shrink.shrink import shrink

LEAST_AXES = {
    "cifar_resnet20": 12,
    "cifar_vgg16": 15,
    "wrn16_1": 9,
    "digits": 3,
    "resnet18": 12,
    "resnet50": 37,
    "mobilenetv2_100": 25,
    "mobilenetv3_small_100": 27,
    "efficientnet_b0": 40,
    "convnext_atto": 12,
    "regnetx_002": 18,
    "densenet121": 120,
    "vit_tiny_patch16_224": 24,
    "deit_tiny_patch16_224": 24,
    "swin_tiny_patch4_window7_224": 24,
    "mobilevit_s": 41,
}


@pytest.fixture(scope="module", params=list(CHANNEL_ARCHITECTURES))
def row(request: pytest.FixtureRequest) -> tuple[str, nn.Module, Tensor, list[Axis]]:
    model, images = built(CHANNEL_ARCHITECTURES[request.param])
    return request.param, model, images, find_axes(model, images[:1])


def some_bits(axes: list[Axis], seed: int = 1) -> dict[str, Tensor]:
    """About half of each axis' units, at random, one at least."""
    generator = torch.Generator().manual_seed(seed)
    bits = {axis.name: torch.rand(axis.size, generator=generator) < 0.5 for axis in axes}
    for each in bits.values():
        each[0] = True
    return bits


def attached(model: nn.Module, axes: list[Axis]) -> ChannelSet:
    return attach_channels(model, axes, meter=lambda widths: float(sum(widths.values())))


def test_every_axis_can_be_removed(row: tuple[str, nn.Module, Tensor, list[Axis]]) -> None:
    name, model, images, axes = row
    assert len(axes) >= LEAST_AXES[name]
    found = checked(model, axes, images)
    assert not found.refused
    assert len({axis.name for axis in axes}) == len(axes)


def test_attach_is_identity_and_detach_restores(
    row: tuple[str, nn.Module, Tensor, list[Axis]],
) -> None:
    _, original, images, axes = row
    model = copy.deepcopy(original)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kinds = [type(layer) for layer in model.modules()]
    with torch.no_grad():
        plain = model(images)
        channels = attached(model, axes)
        assert torch.equal(model(images), plain)
    channels.load_bits(some_bits(axes))
    channels.detach()
    assert [type(layer) for layer in model.modules()] == kinds
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_gated_masked_and_removed_are_one(
    row: tuple[str, nn.Module, Tensor, list[Axis]],
) -> None:
    _, original, images, axes = row
    model, bits = copy.deepcopy(original), some_bits(axes)
    silent = masked(model, axes, bits)
    small = remove(model, axes, bits)
    channels = attached(model, axes)
    channels.load_bits(bits)
    with torch.no_grad():
        gated, expected = model(images), silent(images)
    assert torch.allclose(gated, expected, rtol=0, atol=TOLERANCE * float(expected.abs().max()))
    assert difference(silent, small, images) <= TOLERANCE
    kept = sum(each.numel() for each in small.parameters())
    assert kept < sum(each.numel() for each in silent.parameters())
    assert {type(layer) for layer in small.modules()} == {type(x) for x in original.modules()}


def test_masks_tell_which_units_are_left(
    row: tuple[str, nn.Module, Tensor, list[Axis]],
) -> None:
    _, model, _, axes = row
    bits = some_bits(axes)
    found = bits_of(axes, model, element_masks(model, axes, bits))
    assert all(torch.equal(found[name], bits[name]) for name in bits)


def test_shrunk_and_folded_equals_masked(
    row: tuple[str, nn.Module, Tensor, list[Axis]],
) -> None:
    _, model, images, axes = row
    bits = some_bits(axes)
    silent = masked(model, axes, bits)
    small = shrink(silent, axes, bits, images)
    assert small.difference <= TOLERANCE
    assert difference(silent, small.module, images) == small.difference
    norms = [x for x in model.modules() if isinstance(x, nn.modules.batchnorm._BatchNorm)]
    left = [x for x in small.module.modules() if isinstance(x, nn.modules.batchnorm._BatchNorm)]
    assert len(left) == len(norms) - len(small.folded)


def net() -> Case:
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 2)).eval(), torch.randn(2, 3, 8, 8)


def test_a_channel_behind_its_norm_is_exactly_zero() -> None:
    model, images = built(net)
    channels = attached(model, find_axes(model, images[:1]))
    bits = channels.bits()
    bits["0"][3] = False
    channels.load_bits(bits)
    with torch.no_grad():
        behind = model[:2](images)
    assert torch.equal(behind[:, 3], torch.zeros_like(behind[:, 3]))
    assert bool((behind[:, :3] != 0).all())


def test_an_empty_layer_is_refused() -> None:
    model, images = built(net)
    axes = find_axes(model, images[:1])
    bits = {axis.name: torch.zeros(axis.size, dtype=torch.bool) for axis in axes}
    with pytest.raises(ModelError, match="no channel of layer '0' would be left"):
        remove(model, axes, bits)


class Misread(nn.Module):
    """Adds channels to their mirror image, which the dependency graph takes for a plain sum."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 2)
        self.before, self.after = nn.Linear(4, 6), nn.Linear(6, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        inputs = self.after(self.before(inputs).relu())
        hidden = self.first(inputs)
        result: Tensor = self.last(hidden + hidden.flip(1))
        return result


def test_what_the_graph_misreads_is_refused_and_the_rest_kept() -> None:
    torch.manual_seed(0)
    model = Misread().eval()
    axes = find_axes(model, torch.zeros(1, 4))
    found = checked(model, axes, torch.zeros(1, 4))
    assert "changed the outputs" in found.refused["first"]
    assert "before" in [axis.name for axis in found.axes]


def test_an_activation_that_is_not_zero_at_zero_is_refused() -> None:
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Sigmoid(), nn.Conv2d(8, 4, 3)]
    model, images = built(lambda: (nn.Sequential(*layers, nn.Flatten()), torch.randn(2, 3, 8, 8)))
    found = checked(model, find_axes(model, images[:1]), images)
    assert "changed the outputs" in found.refused["0"]


def test_heads_are_rounded_by_their_channels() -> None:
    model, images = built(CHANNEL_ARCHITECTURES["vit_tiny_patch16_224"])
    heads = next(axis for axis in find_axes(model, images[:1]) if axis.name == "blocks.0.attn")
    assert (heads.size, heads.per_unit) == (3, 64)


def test_a_wrong_shrink_is_never_handed_over() -> None:
    torch.manual_seed(0)
    model = Misread().eval()
    axes = [axis for axis in find_axes(model, torch.zeros(1, 4)) if axis.name == "first"]
    bits = {"first": torch.tensor([True, True, True, False, False, False])}
    with pytest.raises(ModelError, match="differ from the masked one's by"):
        shrink(masked(model, axes, bits), axes, bits, torch.randn(8, 4))


def test_excluded_layers_stay_whole() -> None:
    model, images = built(CHANNEL_ARCHITECTURES["digits"])
    axes = find_axes(model, images[:1])
    left = leave_out(axes, ["conv2"])
    assert [axis.name for axis in axes] == ["conv1", "conv2", "conv3"]
    assert [axis.name for axis in left] == ["conv3"]
    with pytest.raises(ConfigError, match="fits no layer; layers are"):
        leave_out(axes, ["stem*"])


def test_a_model_that_cannot_be_traced_says_so() -> None:
    class Broken(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            raise RuntimeError("no such input")

    with pytest.raises(ModelError, match=r"cannot be traced \(no such input\); choose"):
        find_axes(Broken(), torch.zeros(1, 4))


def test_folding_needs_a_sole_reader() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, images: Tensor) -> Tensor:
            found = self.conv(images)
            result: Tensor = self.norm(found) + found
            return result

    model, images = built(lambda: (Twice(), torch.randn(2, 3, 8, 8)))
    folded, names = fold_norms(model, images[:1])
    assert names == []
    assert difference(model, folded, images) == 0


def test_without_norms_nothing_has_to_be_exported() -> None:
    class Choosy(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs if bool(inputs.sum() > 0) else -inputs

    folded, names = fold_norms(Choosy(), torch.ones(1, 4))
    assert (type(folded), names) == (Choosy, [])


def budgets(model: nn.Module, images: Tensor, round_to: int = 1) -> ChannelSet:
    """The cost is the share of all output channels."""
    axes = find_axes(model, images[:1])
    places = {slot.place for axis in axes for slot in axis.slots if slot.place[1] == "out"}
    total = sum(side_sizes(model.get_submodule(name))["out"] for name, _ in places)

    def meter(widths: Mapping[Place, int]) -> float:
        return sum(width for place, width in widths.items() if place in places) / total

    return attach_channels(model, axes, meter=meter, rules=Rules(round_to))


@pytest.mark.parametrize("round_to", [1, 4, 8])
def test_the_budget_is_met_in_multiples_and_no_layer_is_empty(round_to: int) -> None:
    model, images = built(CHANNEL_ARCHITECTURES["cifar_resnet20"])
    channels = budgets(model, images, round_to)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for score in channels.scores().values():
            score.copy_(torch.rand(score.shape, generator=generator))
    channels.keep(1.0)
    assert all(bool(bits.all()) for bits in channels.bits().values())
    for share in (0.9, 0.6, 0.55):
        channels.keep(share)
        counts = {name: int(bits.sum()) for name, bits in channels.bits().items()}
        assert channels._cost(counts) <= share
        assert channels._cost(counts) > share - 0.15
        assert all(count % round_to == 0 and count > 0 for count in counts.values())


def test_a_budget_below_the_smallest_network_says_what_that_costs() -> None:
    model, images = built(CHANNEL_ARCHITECTURES["cifar_resnet20"])
    channels = budgets(model, images, round_to=8)
    with pytest.raises(ConfigError, match=r"budget of 1.00% cannot be met: .* costs \d+\.\d\d%"):
        channels.keep(0.01)


def test_equal_scores_keep_exactly_their_number() -> None:
    """Dead channels have no gradient and tie; none of them may take its layer along."""
    model, images = built(CHANNEL_ARCHITECTURES["cifar_resnet20"])
    channels = budgets(model, images, round_to=8)
    with torch.no_grad():
        for score in channels.scores().values():
            score.zero_()
    channels.keep(0.6)
    counts = channels.counts_for(0.6)
    assert {name: int(bits.sum()) for name, bits in channels.bits().items()} == counts
    assert all(count >= 8 for count in counts.values())


@pytest.mark.parametrize("floor", [0.0, 0.5, 1.0])
def test_no_layer_keeps_less_than_its_floor(floor: float) -> None:
    """The scores would leave one layer next to nothing; so would those after a removal."""
    model, images = built(CHANNEL_ARCHITECTURES["cifar_vgg16"])
    channels = budgets(model, images)
    first = channels.axes[0]
    sizes = {axis.name: 2 * axis.size for axis in channels.axes}  # half of each is gone already
    for known, full in ((channels.rules.sizes, 1), (sizes, 2)):
        channels.rules = Rules(1, floor, known)
        with torch.no_grad():
            channels.units[first.name].score.fill_(0.1)
        counts = channels.counts_for(0.5)
        assert 0.49 < channels._cost(counts) <= 0.5
        alike = 0.5 * first.size  # the cost is the share of channels: that is uniform narrowing
        assert counts[first.name] == pytest.approx(max(1, floor * alike), abs=1), full
