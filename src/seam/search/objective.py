"""The task loss of a search: true labels, the base's own restricted answers, or a mix."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from seam.search.samples import Batch


@dataclass(frozen=True)
class Objective:
    """``(1 - distill) * cross entropy + distill * KL(teacher || outputs)``.

    ``soft`` holds the teacher's probabilities for every training sample, (n, K), or None;
    ``weights`` (K) is how much a sample of each output counts, or None for all the same.
    """

    distill: float = 0.0
    soft: Tensor | None = None
    weights: Tensor | None = None

    def __call__(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The mean loss of a batch; outputs (batch, K)."""
        if self.soft is None:
            return F.cross_entropy(outputs, batch.targets, self.weights)
        hard = F.one_hot(batch.targets, outputs.shape[1]).to(outputs.dtype)
        soft = self.soft[batch.numbers.to(self.soft.device)]
        # Cross entropy against the mixture differs from the sum above by a constant only.
        return F.cross_entropy(
            outputs, (1 - self.distill) * hard + self.distill * soft, self.weights
        )
