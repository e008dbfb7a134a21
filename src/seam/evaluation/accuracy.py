"""How often a model is right: over all samples, and label by label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from seam.core.figures import Share
from seam.search.samples import Samples

EVALUATION_BATCH = 256


@torch.no_grad()
def outputs_of(
    model: Callable[[Tensor], Tensor], samples: Samples, *, view: int | None = None
) -> Tensor:
    """The outputs of a model in eval mode for all samples in order, (n, K), on the CPU."""
    batches = samples.ordered(EVALUATION_BATCH, view=view)
    return torch.cat([model(batch.images).cpu() for batch in batches])


def first_images(samples: Samples, most: int) -> Tensor:
    """The first preprocessed samples as they are, at most ``most`` of them, (n, C, H, W)."""
    found: list[Tensor] = []
    for batch in samples.ordered(most):
        found.append(batch.images[: most - sum(map(len, found))])
        if sum(map(len, found)) == most:
            break
    return torch.cat(found)


def share_right(predicted: Tensor, targets: Tensor) -> Share:
    """Share of samples whose predicted output, (n), is the target, (n).

    >>> share_right(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0])).value
    0.75
    """
    return Share.of(int((predicted == targets.cpu()).sum()), len(targets))


def by_label(
    predictions: dict[str, Tensor], targets: Tensor, outputs: Sequence[str]
) -> list[dict[str, Any]]:
    """One row an output: its name, n, and each method's share of it that is right."""
    rows = []
    for i, name in enumerate(outputs):
        mine = targets.cpu() == i
        row: dict[str, Any] = {"label": name, "n": int(mine.sum())}
        for method, predicted in predictions.items():
            row[method] = share_right(predicted[mine], targets.cpu()[mine]).to_dict()
        rows.append(row)
    return rows
