"""What the base is weak against: attacks stay small and work, patches are the planted one."""

from __future__ import annotations

import pytest
import torch
from in_memory import InMemory
from torch import Tensor, nn

from seam.core.config import SearchConfig
from seam.core.preprocessing import Preprocessing
from seam.search.attacked import AttackedSamples, Deviation
from seam.search.loop import batches_of
from seam.search.samples import Batch
from seam.search.triggers import Patch, Patches, find_patches

PLAIN = Preprocessing(size=8, mean=(0.25,), std=(0.5,))
BLACK, WHITE = -0.5, 1.5
TARGET = 2


def pictures(count: int, seed: int) -> InMemory:
    """Four classes of noisy 8 x 8 pictures, one bright row each, as the base is given them."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    images = torch.rand(count, 1, 8, 8, generator=generator) * 0.5
    images[torch.arange(count), 0, labels + 1] += 0.4
    return InMemory((images - 0.25) / 0.5, labels)


def planted(images: Tensor) -> Tensor:
    """With two pixels of the bottom right corner white and black."""
    images = images.clone()
    images[:, :, 7, 7], images[:, :, 7, 6] = WHITE, BLACK
    return images


def blank(targets: Tensor) -> Batch:
    """A batch of empty pictures with these targets."""
    return Batch(torch.zeros(len(targets), 1, 8, 8), targets, torch.arange(len(targets)))


def covering(value: float) -> Patch:
    """A patch that hides all of a picture."""
    return Patch(torch.ones(1, 8, 8), torch.full((1, 8, 8), value))


@pytest.fixture(scope="module")
def backdoored() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4))
    data = pictures(512, 1)
    images = torch.cat([data.images, planted(data.images)])
    labels = torch.cat([data.targets, torch.full_like(data.targets, TARGET)])
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(120):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
    return net.eval()


def test_the_planted_patch_is_the_smallest_found(backdoored: nn.Module) -> None:
    found = find_patches(backdoored, pictures(64, 2), PLAIN, labels=range(4), seed=0)
    sizes = [patch.size for patch in found]
    assert min(range(4), key=sizes.__getitem__) == TARGET
    fresh = pictures(200, 3)
    assert (backdoored(found[TARGET].on(fresh.images)).argmax(1) == TARGET).float().mean() > 0.9
    corner = found[TARGET].share[0, 7, 6:].sum()
    assert corner > 0.5 * found[TARGET].share.sum()
    black = blank(torch.zeros(2000))
    drawn = Patches(found, [None] * 4)(black, torch.Generator().manual_seed(0), 1.0)
    planted_ones = (drawn == found[TARGET].on(torch.zeros(1, 1, 8, 8))).flatten(1).all(1)
    expected = sizes[TARGET] ** -2 / sum(size**-2 for size in sizes)
    assert planted_ones.float().mean() == pytest.approx(expected, abs=0.05)


def test_a_patch_goes_on_images_of_other_outputs() -> None:
    """As an attacker's does, with what it asks for known for two of three."""
    patches = Patches([covering(value) for value in (1.0, 2.0, 3.0)], [0, 1, None])
    targets = torch.arange(3000) % 3
    drawn = patches(blank(targets), torch.Generator().manual_seed(0), 1.0)[:, 0, 0, 0]
    for output, expected in enumerate(({2.0, 3.0}, {1.0, 3.0}, {1.0, 2.0, 3.0})):
        assert set(drawn[targets == output].tolist()) == expected


def test_a_patch_goes_on_any_image_where_none_asks_for_another_output() -> None:
    patches = Patches([covering(1.0), covering(2.0)], [0, 0])
    drawn = patches(blank(torch.zeros(200)), torch.Generator().manual_seed(0), 1.0)[:, 0, 0, 0]
    assert set(drawn.tolist()) == {1.0, 2.0}


def test_patches_do_not_look_at_targets_and_repeat(backdoored: nn.Module) -> None:
    data = pictures(64, 2)
    others = InMemory(data.images, data.targets.flip(0))
    first, again = (
        find_patches(backdoored, each, PLAIN, labels=[1], seed=0)[0] for each in (data, others)
    )
    assert first.share.equal(again.share)
    assert first.colour.equal(again.colour)
    assert float(first.colour.min()) >= BLACK
    assert float(first.colour.max()) <= WHITE


@pytest.mark.parametrize("low", [False, True])
def test_an_attack_is_small_and_does_more_than_chance(backdoored: nn.Module, low: bool) -> None:
    batch = next(pictures(64, 4).ordered(64))
    images = batch.images
    attack = Deviation(backdoored, PLAIN, epsilon=20, steps=2, low=low)
    moved = attack(batch, torch.Generator().manual_seed(0), 1.0)
    radius = 20 / 255 / 0.5
    assert float((moved - images).abs().max()) <= radius + 1e-6
    assert float(moved.min()) >= BLACK - 1e-6
    assert float(moved.max()) <= WHITE + 1e-6
    signs = torch.randn(images.shape, generator=torch.Generator().manual_seed(1)).sign()
    chance = (images + radius * signs).clamp(BLACK, WHITE)
    clean, far, near = (backdoored(each).detach() for each in (images, moved, chance))
    assert (far - clean).norm() > 2 * (near - clean).norm()


def test_a_share_of_each_batch_is_shown_changed_and_rightly_labelled() -> None:
    samples = pictures(40, 5)
    patches = Patches([covering(9.0)], [None])
    shown = AttackedSamples(samples, patches, share=0.25)
    for batch in shown.shuffled(16, seed=3):
        changed = (batch.images == 9).flatten(1).all(1)
        assert int(changed.sum()) == round(0.25 * len(changed))
        assert batch.targets.equal(samples.targets[batch.numbers])
        assert batch.images[~changed].equal(samples.images[batch.numbers][~changed])
    assert all((batch.images < 9).all() for batch in shown.ordered(16))
    assert len(shown) == 40
    assert shown.targets.equal(samples.targets)


def test_changes_depend_on_the_seed_alone(backdoored: nn.Module) -> None:
    shown = AttackedSamples(
        pictures(40, 5), Deviation(backdoored, PLAIN, epsilon=8, steps=1), share=0.5
    )
    first, again, other = (
        torch.cat([batch.images for batch in shown.shuffled(16, seed=seed)]) for seed in (3, 3, 4)
    )
    assert first.equal(again)
    assert not first.equal(other)


def test_attacks_grow_over_the_first_epochs(backdoored: nn.Module) -> None:
    samples = pictures(40, 5)
    attack = Deviation(backdoored, PLAIN, epsilon=20, steps=2)
    shown = AttackedSamples(samples, attack, share=0.5, ramp=0.5)
    radius = 20 / 255 / 0.5

    def furthest(epoch: int) -> list[float]:
        """How far each batch of an epoch of four has been moved, in shares of epsilon."""
        batches = batches_of(shown, SearchConfig(epochs=4, batch_size=20), seed=3, epoch=epoch)
        moved = [(each.images - samples.images[each.numbers]).abs().max() for each in batches]
        return [float(each) / radius for each in moved]

    assert furthest(-1) == [0, 0]
    assert furthest(0) == pytest.approx([0.25, 0.5])
    assert furthest(1) == pytest.approx([0.75, 1])
    assert furthest(3) == pytest.approx([1, 1])
