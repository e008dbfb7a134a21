"""How much of a base's defects a result has: rates over its predictions."""

from __future__ import annotations

from torch import Tensor

from seam.core.figures import Share


def flip_rate(clean: Tensor, attacked: Tensor, truth: Tensor) -> Share:
    """Share of the samples predicted rightly, (n), whose changed image is predicted wrongly.

    >>> import torch
    >>> flip_rate(torch.tensor([0, 1, 1]), torch.tensor([1, 1, 0]), torch.tensor([0, 1, 0])).value
    0.5

    With an attack made on the base and the result's predictions this is the defect inheritance
    rate. Source: Zhang et al., ReMoS, ICSE 2022; SeaM, ICSE 2023, section 4.
    """
    right = clean == truth
    return Share.of(int((right & (attacked != truth)).sum()), int(right.sum()))


def repeated_mistakes(base: Tensor, result: Tensor, truth: Tensor) -> Share:
    """Share of the base's wrong predictions, (n), that the result repeats: the same wrong output.

    >>> import torch
    >>> base, result, truth = torch.tensor([[1, 2, 0], [1, 0, 0], [0, 1, 0]])
    >>> repeated_mistakes(base, result, truth)
    Share(value=0.5, low=0.094531, high=0.905469, n=2)
    """
    wrong = base != truth
    return Share.of(int((wrong & (result == base)).sum()), int(wrong.sum()))


def target_rate(triggered: Tensor, truth: Tensor, target: int) -> Share:
    """Share of the samples of other outputs, (n), that are predicted as ``target`` when triggered.

    >>> import torch
    >>> target_rate(torch.tensor([2, 2, 0]), torch.tensor([2, 0, 1]), 2).value
    0.5
    """
    others = truth != target
    return Share.of(int((others & (triggered == target)).sum()), int(others.sum()))
