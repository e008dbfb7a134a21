"""What a search does with its scores: four parts of the one loop, each of which can be another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from seam.core.config import SearchConfig, Start
from seam.core.pressure import Budget, Penalty
from seam.masking.gates import ChannelSet
from seam.masking.parametrization import Gate, MaskSet
from seam.masking.ste import step
from seam.search.saliency import saliency
from seam.search.samples import Batch
from seam.search.schedule import budget_at, rate_at


@dataclass(frozen=True)
class Look:
    """What the start of scores may be computed from: masks keep everything meanwhile.

    ``batches`` gives a few training batches, the same at each call; ``loss`` runs the masked model
    on one and gives its mean loss.
    """

    model: nn.Module
    masks: MaskSet | ChannelSet
    batches: Callable[[], Iterator[Batch]]
    loss: Callable[[Batch], Tensor]


def by_saliency(look: Look) -> dict[str, Tensor]:
    """The start of channels: mean of ``(weight * gradient) ** 2`` over batches."""
    return saliency(look.masks, (partial(look.loss, batch) for batch in look.batches()))


def by_magnitude(look: Look) -> dict[str, Tensor]:
    """``weight ** 2``, which needs no data (Han et al., NeurIPS 2015, arXiv:1506.02626)."""
    assert isinstance(look.masks, MaskSet)
    originals = look.masks.originals()  # a shared parameter is there by all of its names
    return {name: originals[name].detach().square() for name in look.masks.scores()}


def by_both(look: Look) -> dict[str, Tensor]:
    """The start of preset ``default``: the geometric mean of magnitude and saliency.

    Root means apart, a weight's score is then ``|weight| * |gradient| ** 0.5``.
    """
    large, salient = by_magnitude(look), by_saliency(look)
    return {name: (large[name] * salient[name]).sqrt() for name in large}


STARTS: dict[Start, Callable[[Look], dict[str, Tensor]] | None] = {
    "ones": None,
    "saliency": by_saliency,
    "magnitude-saliency": by_both,
}


def highest(masks: MaskSet | ChannelSet, share: float, exact: bool) -> None:
    """Keep the highest scores of the whole network."""
    masks.keep(share, exact=exact)


def hard(_pressure: Penalty | Budget, _progress: float) -> Gate:
    """The step function with the straight-through gradient, throughout."""
    return step


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """How scores start, which are kept, how they become masks, and the schedule.

    >>> Strategy.of(SearchConfig()).start is None  # all ones
    True

    Set `SearchState.strategy` before a search to replace a part; the loop stays the same. A search
    that is resumed needs the same strategy again.

    Args:
        start: the squared importance of each score, in its shape; None leaves all at one.
        keep: sets the threshold(s) so that a share is kept; exactly, or about.
        gate: the function from scores to mask bits, by the search's progress in [0, 1]. It is used
            where gradients are; what is measured always has ``score > threshold``.
        density: what a penalty presses on, with a gradient.
        share: what a budget keeps, by progress.
        rate: factor on all learning rates, by progress.
    """

    start: Callable[[Look], dict[str, Tensor]] | None = None
    keep: Callable[[MaskSet | ChannelSet, float, bool], None] = highest
    gate: Callable[[Penalty | Budget, float], Gate] = hard
    density: Callable[[MaskSet], Tensor] = MaskSet.soft_density
    share: Callable[[Budget, float], float] = budget_at
    rate: Callable[[Penalty | Budget, float], float] = rate_at

    @classmethod
    def of(cls, config: SearchConfig) -> Strategy:
        """The one that the settings name."""
        return cls(start=STARTS[config.start])
