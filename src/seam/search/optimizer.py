"""How a search steps: scores in units of their own, and gradients given up before all are there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from seam.core.config import Rates

MOST_WAITING = 2**24
"""Elements of gradients (64 MiB) that wait for a step while a backward pass goes on."""


class NormalizedSGD(torch.optim.Optimizer):
    """Momentum descent on gradients divided by their common root mean square.

    Adam divides each score's gradient by that score's own history, so scores that do not matter
    drift as fast as those that do. Here all share one divisor: a step moves the average score by
    about ``lr``, however large the loss and however many the scores, and the differences between
    scores stay.

    >>> score = nn.Parameter(torch.zeros(2))
    >>> optimizer = NormalizedSGD([score], lr=0.1, momentum=0.0)
    >>> score.grad = torch.tensor([3.0, 4.0])
    >>> optimizer.step()
    >>> [round(value, 3) for value in score.tolist()]
    [-0.085, -0.113]
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.9,
        memory: float = 0.99,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "memory": memory})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; ``closure`` is not supported."""
        assert closure is None
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if moved:
                self._step(moved, group)

    def _step(self, moved: list[nn.Parameter], group: dict[str, Any]) -> None:
        grads: list[Tensor] = [p.grad for p in moved if p.grad is not None]
        count = sum(grad.numel() for grad in grads)
        square = torch.stack(torch._foreach_norm(grads)).square().sum() / count
        first = self.state[moved[0]]
        if not first:
            first["square"] = torch.zeros_like(square)
            first["step"] = torch.zeros_like(square)
        for p in moved:
            if "momentum" not in self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        first["step"] += 1
        first["square"].lerp_(square, 1 - group["memory"])
        size = (first["square"] / (1 - group["memory"] ** first["step"])).sqrt()
        momenta = [self.state[p]["momentum"] for p in moved]
        torch._foreach_mul_(momenta, group["momentum"])
        # In place: the gradients are not needed again, and a copy of them would be memory.
        torch._foreach_mul_(grads, (1 - group["momentum"]) / size.clamp_min(1e-30))
        torch._foreach_add_(momenta, grads)
        torch._foreach_add_(list[Tensor](moved), momenta, alpha=-group["lr"])


@contextmanager
def steps_within(
    optimizers: Sequence[torch.optim.Optimizer],
    complete: Callable[[Sequence[nn.Parameter]], None],
    most: int = MOST_WAITING,
) -> Iterator[None]:
    """A backward pass run within steps parameters as soon as so many gradients wait for it.

    So the gradients of a large model are never all there at once. A step is the same as one after
    the pass, for nothing that is still to come reads a parameter whose gradient is complete. What
    waits at the end stays for an ordinary step. `NormalizedSGD` needs all of its gradients at once.

    >>> weight = nn.Parameter(torch.ones(4))
    >>> with steps_within([torch.optim.SGD([weight], lr=0.1)], lambda _parameters: None, most=3):
    ...     weight.sum().backward()
    >>> weight.grad is None, weight.tolist()
    (True, [0.8999999761581421, 0.8999999761581421, 0.8999999761581421, 0.8999999761581421])

    Args:
        optimizers: whose parameters are stepped; `NormalizedSGD` is passed over.
        complete: is told the parameters of a step before it, to change their gradients in place.
        most: elements that may wait.
    """
    handles = []
    for optimizer in optimizers:
        moved = [parameter for parameter in parameters_of(optimizer) if parameter.requires_grad]
        if isinstance(optimizer, NormalizedSGD) or sum(p.numel() for p in moved) <= most:
            continue
        early = _Early(optimizer, complete, most)
        handles += [each.register_post_accumulate_grad_hook(early) for each in moved]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Early:
    """Called with each parameter whose gradient is complete; steps when enough of them wait."""

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        complete: Callable[[Sequence[nn.Parameter]], None],
        most: int,
    ) -> None:
        self.optimizer, self.complete, self.most = optimizer, complete, most
        self.waiting: list[nn.Parameter] = []

    def __call__(self, parameter: Tensor) -> None:
        assert isinstance(parameter, nn.Parameter)
        self.waiting.append(parameter)
        if sum(each.numel() for each in self.waiting) > self.most:
            self.complete(self.waiting)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.waiting = []


def parameters_of(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """All parameters that an optimizer steps, group by group."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def optimizers_of(
    scores: Iterable[nn.Parameter],
    head: Iterable[nn.Parameter],
    tuned: Iterable[nn.Parameter],
    rates: Rates,
) -> list[torch.optim.Optimizer]:
    """What moves the scores, the head and what else is tuned; ``full_lr`` is each group's rate."""
    moved = list(scores)
    others = [{"params": list(head), "lr": rates.head}, *_by_rate(tuned, rates)]
    found: list[torch.optim.Optimizer]
    if rates.method == "adam":
        found = [torch.optim.Adam([{"params": moved, "lr": rates.score}, *others])]
    else:
        found = [NormalizedSGD(moved, lr=rates.score), torch.optim.Adam(others)]
    for optimizer in found:
        for group in optimizer.param_groups:
            group["full_lr"] = group["lr"]
    return found


def _by_rate(tuned: Iterable[nn.Parameter], rates: Rates) -> list[dict[str, Any]]:
    """Groups of tuned parameters: those at the rate of the settings first, then at its halves."""
    found: dict[int, list[nn.Parameter]] = {0: []}
    for value in tuned:
        halvings = 0
        if rates.most is not None and value.ndim > 1:
            bound = rates.most * float(value.detach().square().mean().sqrt())
            if 0 < bound < rates.tune:  # what has no size yet has no bound
                halvings = math.ceil(math.log2(rates.tune / bound))
        found.setdefault(halvings, []).append(value)
    return [{"params": found[n], "lr": rates.tune / 2**n} for n in sorted(found)]
