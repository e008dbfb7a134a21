"""How large a model may be that a file asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

LEAST, TIMES = 256 * 2**20, 64
"""A file may ask for a model so many times as large as itself, and always for this many bytes."""
MAKERS = (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn)


@contextmanager
def sized_like(size_bytes: int) -> Iterator[None]:
    """Refuse to build modules far larger than the file that asks for them.

    >>> with sized_like(1000):
    ...     layer = torch.nn.Linear(10, 10)
    >>> with sized_like(1000):
    ...     torch.nn.Linear(10**6, 10**6)
    Traceback (most recent call last):
    ValueError: it asks for a model of more than 268 MB

    Tensors are counted before they are made.

    Raises:
        ValueError: from within, where they are too large together.
    """
    with _Counted(LEAST + TIMES * size_bytes):
        yield


class _Counted(TorchFunctionMode):
    """Counts the bytes of new tensors."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.left = self.limit = limit

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call ``func``, once it is known that what it makes is small enough."""
        kwargs = kwargs or {}
        if func in MAKERS:
            self.left -= func(*args, **{**kwargs, "device": "meta"}).nbytes
            if self.left < 0:
                raise ValueError(f"it asks for a model of more than {self.limit / 10**6:.0f} MB")
        return func(*args, **kwargs)
