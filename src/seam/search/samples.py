"""What a search may see: training and validation samples. There is no place for test data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor


class Batch(NamedTuple):
    """Preprocessed images (batch, C, H, W), outputs' indices (batch), sample numbers (batch).

    Where the samples are texts, ``images`` are token numbers (batch, length). ``view`` says how the
    images are augmented, where that is the same each time they are shown.
    """

    images: Tensor
    targets: Tensor
    numbers: Tensor
    view: int | None = None

    def split(self, where: int | list[int]) -> list[Batch]:
        """The samples in order: in so many parts, of sizes that differ by one at most, or cut.

        Numbers in a list are those of the samples at which a new part begins.
        """
        parts = zip(*(each.tensor_split(where) for each in self[:3]), strict=True)
        return [Batch(images, targets, numbers, self.view) for images, targets, numbers in parts]


class Samples(Protocol):
    """Labelled images, or texts, that can be walked through in batches, any number of times."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    @property
    def targets(self) -> Tensor:
        """Index of each sample's output, shape (n)."""
        ...

    def shuffled(self, batch_size: int, *, seed: int, view: int | None = None) -> Iterator[Batch]:
        """All samples once, augmented, in an order that depends on ``seed`` alone.

        So does the augmentation, but where ``view`` is given: that decides it then.
        """
        ...

    def ordered(self, batch_size: int, *, view: int | None = None) -> Iterator[Batch]:
        """All samples once, in order, as they are or as ``view`` augments them.

        Batches may be smaller than asked.
        """
        ...


@dataclass(frozen=True)
class SearchData:
    """Training samples to search on, validation samples to choose by."""

    train: Samples
    validation: Samples
