"""How a search steps: scores in units of their own, and gradients given up before all are there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    """What moves the scores, the head and what else is tuned.

    ``full_lr`` is each group's rate; those whose rate grows at first have ``warms``.
    """
    moved = list(scores)
    others = [
        {"params": list(head), "lr": rates.head, "warms": True},
        {"params": list(tuned), "lr": rates.tune, "warms": True, "halvings": 0},
    ]
    found: list[torch.optim.Optimizer]
    if rates.method == "adam":
        found = [torch.optim.Adam([{"params": moved, "lr": rates.score}, *others])]
    else:
        found = [NormalizedSGD(moved, lr=rates.score), torch.optim.Adam(others)]
    for optimizer in found:
        for group in optimizer.param_groups:
            group["full_lr"] = group["lr"]
    return found


def moment_like(value: Tensor, parameter: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
    """A saved moment where the optimizer made it: beside its parameter, in the same layout."""
    if value.shape == parameter.shape:
        return torch.empty_like(parameter).copy_(value)
    if isinstance(optimizer, NormalizedSGD):  # Adam counts its steps on the CPU
        return value.to(parameter.device, copy=True)
    return value.clone() if value.dtype == torch.float32 else value.to(parameter)


def bound_steps(
    optimizer: torch.optim.Optimizer,
    tuned: Mapping[str, nn.Parameter],
    bits_of: Callable[[str], Tensor | None],
    rates: Rates,
) -> None:
    """Halve the rates of tuned weights until a step is small beside what is kept of them now.

    ``rates.bound`` is the largest share, of the root mean square of a tensor's kept elements.
    Vectors (biases, scales) have no bound, nor has what has no size yet.

    >>> weight = nn.Parameter(torch.tensor([[0.01, 0.3]]))
    >>> rates = Rates(score=1.0, head=1.0, tune=0.1, method="adam", bound=0.5)
    >>> (adam,) = optimizers_of([], [], [weight], rates)
    >>> bound_steps(adam, {"weight": weight}, lambda name: torch.tensor([[True, False]]), rates)
    >>> adam.param_groups[-1]["full_lr"]
    0.003125

    Args:
        optimizer: of `optimizers_of`; one that moves no tuned parameters is left as it is.
        tuned: parameters by name.
        bits_of: the mask (bool, shape of the parameter) of a parameter's name; None without one.
        rates: ``bound`` must be given.
    """
    own = [group for group in optimizer.param_groups if "halvings" in group]
    if not own:
        return
    assert rates.bound is not None
    weights = {name: value.detach() for name, value in tuned.items() if value.ndim > 1}
    sizes = [_size(value, bits_of(name)) for name, value in weights.items()]  # one at a time
    found: dict[int, list[nn.Parameter]] = {0: [p for p in tuned.values() if p.ndim < 2]}
    for name, size in zip(weights, torch.stack(sizes).tolist() if sizes else [], strict=True):
        largest = rates.bound * size
        halvings = math.ceil(math.log2(rates.tune / largest)) if 0 < largest < rates.tune else 0
        found.setdefault(halvings, []).append(tuned[name])
    optimizer.param_groups = [each for each in optimizer.param_groups if "halvings" not in each]
    for halvings in sorted(found):
        rate = rates.tune / 2**halvings
        changed = {"params": found[halvings], "lr": rate, "full_lr": rate, "halvings": halvings}
        optimizer.add_param_group({**own[0], **changed})


def _size(value: Tensor, bits: Tensor | None) -> Tensor:
    """Root mean square of the kept elements, a scalar; 0 where there are none."""
    if bits is None:
        return value.square().sum().div(max(1, value.numel())).sqrt()
    return (value.square() * bits).sum().div(bits.sum().clamp(min=1)).sqrt()
