"""Several processes that take every step of one search together, each on its part of the batch.

All hold the whole search state and change it alike. What is exchanged in a step: the outputs of
all samples, so that each process computes the loss of the whole batch; the sums that batch norms
need for statistics of the whole batch; the gradients, which are added up. So a search takes the
steps that one process would take, to rounding, whatever their number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from seam.errors import NumericalError, RankError, SeamError
from seam.search.samples import Batch

T = TypeVar("T")
BUCKET = 2**23
"""So many gradient values travel at once, 32 MiB."""


@dataclass(frozen=True)
class Ranks:
    """The processes that search together, and which of them this one is; by default it is alone.

    >>> Ranks().is_main, Ranks().part(Batch(torch.zeros(4, 1), torch.zeros(4), torch.arange(4)))[2]
    (True, tensor([0, 1, 2, 3]))

    Args:
        rank: number of this process.
        count: of all, which share torch's default process group.
        device: where this process computes.
    """

    rank: int = 0
    count: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (a value, not a place to keep one)

    @property
    def is_main(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def splits(self, size: int) -> bool:
        """Whether a batch of so many samples is split; one too small is computed by each."""
        return 1 < self.count <= size

    def part(self, batch: Batch) -> Batch:
        """The samples of a batch that are this process's."""
        if not self.splits(len(batch.targets)):
            return batch
        return batch.split(self.count)[self.rank]

    def statistics(self, size: int) -> AbstractContextManager[Any]:
        """Batch norms within see a whole batch of so many samples."""
        return WholeBatch() if self.splits(size) else nullcontext()

    def gathered(self, outputs: Tensor, size: int) -> Tensor:
        """The outputs (size, K) for all samples of a batch from those for this process's part."""
        if not self.splits(size):
            return outputs
        parts = torch.arange(size).tensor_split(self.count)
        places = outputs.new_zeros(size, *outputs.shape[1:])
        places = places.index_copy(0, parts[self.rank].to(outputs.device), outputs)
        return _sum(places)

    @torch.no_grad()
    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Every gradient becomes the sum of all processes'."""
        if self.count == 1:
            return
        for bucket in _buckets([each.grad for each in parameters if each.grad is not None]):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            dist.all_reduce(flat)
            sizes = [gradient.numel() for gradient in bucket]
            for gradient, total in zip(bucket, flat.split(sizes), strict=True):
                gradient.copy_(total.view_as(gradient))

    def take_mains(self, tensors: Mapping[str, Tensor]) -> None:
        """Every tensor takes the main process's value, in place."""
        if self.count == 1:
            return
        for value in tensors.values():
            sent = value.to(self.device)
            dist.broadcast(sent, 0)
            if sent.data_ptr() != value.data_ptr():
                value.copy_(sent)

    def check_same(self, tensors: Mapping[str, Tensor], epoch: int) -> None:
        """That all hold the same bytes.

        Raises:
            NumericalError: some differ from the main process's, on every process.
        """
        if self.count == 1:
            return
        digests = self.all_of(_digest(tensors))
        others = [str(rank) for rank, each in enumerate(digests) if each != digests[0]]
        if others:
            raise NumericalError(
                f"after epoch {epoch} the scores of rank {', '.join(others)} are not those of rank "
                "0; the points before it are kept. Give the same command again, on equal devices"
            )

    def all_of(self, value: T) -> list[T]:
        """What each process gives, in the order of ranks."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, value)
        return found

    def wait(self) -> None:
        """Go on when all have come here."""
        self.all_of(None)

    def agreed(self, work: Callable[[], T]) -> T:
        """What ``work`` gives here; where it fails on any process, it fails on all.

        Raises:
            SeamError: of the first that failed, on the main process.
            RankError: elsewhere.
        """
        if self.count == 1:
            return work()
        error: SeamError | None = None
        try:
            found = work()
        except SeamError as raised:
            error = raised
        first = next((each for each in self.all_of(error) if each is not None), None)
        if first is None:
            return found
        raise first if self.is_main else RankError("another process of this search has stopped")


ALONE = Ranks()


class WholeBatch(TorchFunctionMode):
    """Within it, batch norms in training take the statistics of all processes' parts together.

    It works on the function that every batch norm calls, so no module is changed. Processes' means
    and squared deviations are put together as in Chan, Golub and LeVeque 1979.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Any other function is as it was."""
        if func is F.batch_norm:
            return _batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _batch_norm(
    inputs: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As `torch.nn.functional.batch_norm`, of a batch that is spread over processes."""
    if not training:
        return F.batch_norm(
            inputs, running_mean, running_var, weight, bias, training, momentum, eps
        )
    values = inputs.float()
    others = [axis for axis in range(values.dim()) if axis != 1]
    count = values.new_tensor([values.numel() / values.shape[1]])
    mine = values.mean(others)
    deviations = (values - _along(mine, values)).square().sum(others)
    total = _sum(torch.cat([count, count * mine]))
    mean = total[1:] / total[0]
    variance = _sum(deviations + count * (mine - mean).square()) / total[0]
    with torch.no_grad():
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean.to(running_mean), momentum)
            unbiased = variance * (total[0] / (total[0] - 1))
            running_var.lerp_(unbiased.to(running_var), momentum)
    scale = (variance + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    return (values * _along(scale, values) + _along(shift, values)).to(inputs.dtype)


class _Sum(torch.autograd.Function):
    """The sum over processes; each one's gradient is the sum of all's, for all use that sum."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _sum(gradients[0])


def _sum(value: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(value)
    return total


def _along(value: Tensor, inputs: Tensor) -> Tensor:
    """Per-channel values, shaped to meet inputs (batch, C, ...)."""
    return value.view(1, -1, *[1] * (inputs.dim() - 2))


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The gradients in their order, of one type and up to `BUCKET` values together."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        full = sum(each.numel() for each in bucket) + gradient.numel() > BUCKET
        if bucket and (full or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and bytes."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode())
        value = tensors[name].detach().cpu().contiguous().flatten()
        found.update(value.view(torch.uint8).numpy().data)
    return found.hexdigest()
