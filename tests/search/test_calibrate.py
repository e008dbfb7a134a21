"""Norm statistics move to the data; what the model computes does not."""

from __future__ import annotations

import copy

import torch
from torch import nn

from seam.search.calibrate import calibrate


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
