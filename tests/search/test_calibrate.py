"""Norm statistics move to the data; what the model computes does not."""

from __future__ import annotations

import copy

import torch
from torch import nn

from seam.search.calibrate import calibrate, norm_parameters, recalibrate


def folded() -> nn.Module:
    """A net whose norm layers have been folded to identity and bias, as in a dequantised model."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3)]
    net = nn.Sequential(*layers, nn.BatchNorm2d(4)).eval()
    with torch.no_grad():
        net[0].weight.mul_(30)
        net[1].bias.uniform_(-2, 2)
    return net


def test_outputs_stay_and_training_mode_comes_near_them() -> None:
    net = folded()
    images = torch.randn(256, 3, 8, 8)
    parameters = dict(net.named_parameters())
    with torch.no_grad():
        expected = net(images)
        lost = copy.deepcopy(net).train()(images)
        calibrate(net, parameters, images.split(64))
        found = net(images)
        trained = copy.deepcopy(net).train()(images)
    size = float(expected.abs().max())
    assert torch.allclose(found, expected, atol=1e-5 * size)
    assert float((lost - expected).abs().max()) > 0.5 * size
    assert float((trained - expected).abs().max()) < 1e-3 * size


def test_norms_that_are_not_tuned_are_left_alone() -> None:
    net = folded()
    before = copy.deepcopy(net.state_dict())
    calibrate(net, {}, [torch.randn(8, 3, 8, 8)])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_statistics_are_the_mean_of_the_batches_and_all_else_stays() -> None:
    net = nn.Sequential(folded(), nn.Dropout(), nn.BatchNorm2d(4, affine=False)).eval()
    images = torch.randn(96, 3, 8, 8)
    before = {name: value.clone() for name, value in net.named_parameters()}
    recalibrate(net, images.split(32))
    entering = [net[0][0](part) for part in images.split(32)]
    assert torch.allclose(
        net[0][1].running_mean,
        torch.stack([e.mean((0, 2, 3)) for e in entering]).mean(0),
        atol=1e-4,
    )
    assert torch.allclose(
        net[0][1].running_var, torch.stack([e.var((0, 2, 3)) for e in entering]).mean(0), rtol=1e-4
    )
    assert not net[1].training  # dropout is off
    assert [net[0][1].momentum, net[2].momentum] == [0.1, 0.1]
    assert all(torch.equal(value, before[name]) for name, value in net.named_parameters())


def test_without_a_batch_statistics_stay() -> None:
    net = nn.BatchNorm1d(2)
    net.running_mean.fill_(3.0)
    recalibrate(net, [])
    assert net.running_mean.tolist() == [3.0, 3.0]


def test_norm_parameters_are_those_of_norm_layers() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.GroupNorm(2, 4, affine=False))
    assert sorted(norm_parameters(module)) == ["1.bias", "1.weight"]
    assert sorted(norm_parameters(nn.LayerNorm(3))) == ["bias", "weight"]
