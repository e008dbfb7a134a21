"""An adapter as a value: masks, head, tuned values, and that they fit one another."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
from torch import Tensor

from seam.core.config import Head
from seam.core.problem import UNSAFE, Problem
from seam.core.text import AnyPreprocessing
from seam.errors import AdapterError
from seam.models.base import BaseModel

MAX_NAME, MAX_LABELS = 512, 10**6
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def _seam_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("seam")
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True)
class BaseReference:
    """The base model an adapter belongs to.

    >>> BaseReference("zoo:digits", "0" * 64, 10, ((), (7,))).members
    ((), (7,))

    ``label_count`` is the number of base logits. ``members[k]`` are the numbers of the logits that
    output ``k`` stands for; empty for the rest in a one-vs-rest problem, and for new labels.
    ``details`` (plain values) is whatever helps to find the base again, as its model arguments, and
    the ``hub`` repository with its commit;
    ``head_layer`` the layer that a head replaces, where it was named.
    """

    source: str
    fingerprint: str
    label_count: int
    members: tuple[tuple[int, ...], ...]
    details: Mapping[str, Any] = field(default_factory=dict)
    head_layer: str = ""

    @classmethod
    def of(
        cls, base: BaseModel, problem: Problem, details: Mapping[str, Any] | None = None
    ) -> BaseReference:
        """The reference to ``base`` for ``problem``; ``base.module`` must have no masks on it.

        Raises:
            LabelError: the problem names a label that the base does not have.
        """
        return cls(
            base.source,
            base.fingerprint,
            len(base.labels),
            problem.references(base.labels),
            {**(details or {}), **({"hub": base.origin.to_dict()} if base.origin else {})},
            base.head_layer,
        )

    def all_members(self) -> tuple[tuple[int, ...], ...]:
        """`members` with the rest filled in; none at all for new labels."""
        if not any(self.members):
            return self.members
        named = {number for group in self.members for number in group}
        rest = tuple(i for i in range(self.label_count) if i not in named)
        return tuple(group or rest for group in self.members)


@dataclass(frozen=True, eq=False, kw_only=True)
class Adapter:
    """A re-engineered model without its base: masks, head and tuned values.

    >>> from seam.core.preprocessing import Preprocessing
    >>> adapter = Adapter(
    ...     masks={"fc.weight": torch.tensor([[True, False], [False, False]])},
    ...     head={"bias": torch.zeros(2)},
    ...     delta={},
    ...     head_kind="slice",
    ...     problem=Problem.of(["cat", "dog"]),
    ...     preprocessing=Preprocessing(size=2),
    ...     base=BaseReference("own", "0" * 64, 2, ((0,), (1,))),
    ... )
    >>> adapter.kept, adapter.maskable, adapter.density
    (1, 4, 0.25)

    Args:
        masks: bool, parameter's shape, by its name in the base's ``state_dict``; True is kept.
        head: the head's ``state_dict``.
        delta: new values of base parameters or float buffers, full shape. Where a mask removes an
            element its delta is dropped: it is set to 0 here.
        head_kind: ``slice``, ``append`` or ``replace``.
        problem: what the outputs mean.
        preprocessing: what the base expects of an image or a text.
        base: the base model it belongs to.
        config: settings of the search, as `SearchConfig.to_dict` gives them (plain values).
        metrics: measured figures, keyed as in ``seam evaluate --json`` (plain values).
        seam: version of the package that made it.

    Tensors are copied to the CPU.

    Raises:
        AdapterError: a part does not fit another, or a value is not finite.
    """

    masks: Mapping[str, Tensor]
    head: Mapping[str, Tensor]
    delta: Mapping[str, Tensor]
    head_kind: Head
    problem: Problem
    preprocessing: AnyPreprocessing
    base: BaseReference
    config: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    seam: str = field(default_factory=_seam_version)

    def __post_init__(self) -> None:
        masks = _copied(self.masks)
        delta = {
            name: value.masked_fill_(~masks[name], 0)
            if name in masks and masks[name].shape == value.shape
            else value
            for name, value in _copied(self.delta).items()
        }
        values = {"masks": masks, "head": _copied(self.head), "delta": delta}
        for name, value in values.items():
            object.__setattr__(self, name, value)
        try:
            for name in ("config", "metrics"):
                text = json.dumps(getattr(self, name), allow_nan=False)
                object.__setattr__(self, name, json.loads(text))
            _check(self)
        except (TypeError, ValueError, RecursionError) as error:
            raise AdapterError(one_line(error)) from error

    @classmethod
    def from_snapshot(cls, snapshot: Mapping[str, Tensor], **rest: Any) -> Adapter:
        """An adapter from what `SearchState.snapshot` gives; ``rest`` are the other fields.

        Raises:
            AdapterError: as for `Adapter`, or a tensor belongs to none of its parts.
        """
        groups: dict[str, dict[str, Tensor]] = {"mask": {}, "head": {}, "delta": {}}
        for full, value in snapshot.items():
            group, _, name = full.partition("/")
            if group not in groups:
                raise AdapterError(f"tensor {ascii(full)[:80]} is no mask, head or delta")
            groups[group][name] = value
        return cls(masks=groups["mask"], head=groups["head"], delta=groups["delta"], **rest)

    @property
    def kept(self) -> int:
        """Number of mask bits that are 1."""
        return sum(int(mask.sum()) for mask in self.masks.values())

    @property
    def maskable(self) -> int:
        """Number of mask bits: the denominator of density."""
        return sum(mask.numel() for mask in self.masks.values())

    @property
    def density(self) -> float:
        """Kept share of the maskable elements."""
        return self.kept / self.maskable if self.maskable else 1.0

    def to_dict(self) -> dict[str, Any]:
        """All but the tensors as plain values: what ``adapter.json`` says of the adapter."""
        base = self.base
        return {
            "seam": self.seam,
            "base": {
                "source": base.source,
                "fingerprint": base.fingerprint,
                "label_count": base.label_count,
                "members": base.members,
                "details": base.details,
                **({"head_layer": base.head_layer} if base.head_layer else {}),
            },
            "problem": self.problem.to_dict(),
            "head": self.head_kind,
            "preprocessing": self.preprocessing.to_dict(),
            "masks": {name: list(mask.shape) for name, mask in self.masks.items()},
            "density": {"kept": self.kept, "maskable": self.maskable},
            "config": self.config,
            "metrics": self.metrics,
        }


def _check(adapter: Adapter) -> None:
    """That the parts fit one another; raises ValueError."""
    if adapter.head_kind not in get_args(Head):
        raise ValueError("the head is none of slice, append, replace")
    if adapter.problem.kind == "new-labels" and adapter.head_kind != "replace":
        raise ValueError("new labels need the head that replaces the base's own")
    _check_base(adapter.base, adapter.problem)
    _check_head(adapter)
    for name, mask in adapter.masks.items():
        if mask.dtype != torch.bool or mask.numel() == 0:
            raise ValueError(f"mask '{name}' is empty or not of type bool")
    for name, value in [*adapter.head.items(), *adapter.delta.items()]:
        if value.dtype not in FLOATS or not bool(value.isfinite().all()):
            raise ValueError(f"tensor '{name}' holds NaN or infinity, or is not of a float type")
    for name in adapter.delta.keys() & adapter.masks.keys():
        if adapter.delta[name].shape != adapter.masks[name].shape:
            raise ValueError(f"delta '{name}' has another shape than its mask")
    names = [*adapter.masks, *adapter.delta]
    if any(not 0 < len(name) <= MAX_NAME for name in names):
        raise ValueError(f"a parameter's name is empty or longer than {MAX_NAME}")
    _refuse_unsafe(names)
    _refuse_unsafe(adapter.to_dict())


def _check_base(base: BaseReference, problem: Problem) -> None:
    if not re.fullmatch("[0-9a-f]{64}", base.fingerprint):
        raise ValueError("the base's fingerprint is not 64 hex digits")
    if not 1 <= base.label_count <= MAX_LABELS:
        raise ValueError("the base's number of labels is out of range")
    if [*map(len, base.members)] != [*map(len, problem.labels)]:
        raise ValueError("the base's members do not fit the problem's labels")
    named = [number for group in base.members for number in group]
    if len(set(named)) < len(named) or not all(0 <= i < base.label_count for i in named):
        raise ValueError("the base's members are named twice or out of range")
    if len(base.head_layer) > MAX_NAME:
        raise ValueError(f"the name of the head's layer is longer than {MAX_NAME}")
    if problem.kind != "new-labels" and not any(base.members):
        raise ValueError("no output stands for a label of the base")
    if not all(base.members) and (any(base.members[:1]) or len(named) == base.label_count):
        raise ValueError("an output stands for no label")


def _check_head(adapter: Adapter) -> None:
    count, inputs = len(adapter.problem.outputs), adapter.base.label_count
    shapes = {name: list(value.shape) for name, value in adapter.head.items()}
    if adapter.head_kind == "replace" and len(shapes.get("weight", [])) == 2:
        inputs = shapes["weight"][1]
    expected = {
        "slice": {"bias": [count]},
        "append": {"linear.weight": [count, inputs], "linear.bias": [count]},
        "replace": {"weight": [count, inputs], "bias": [count]},
    }[adapter.head_kind]
    if shapes != expected:
        raise ValueError(f"the {adapter.head_kind} head has tensors other than {expected}")


def _refuse_unsafe(value: object) -> None:
    """Refuse strings that could break a terminal or a table; raises ValueError."""
    if isinstance(value, str) and UNSAFE.search(value):
        raise ValueError(f"it holds a control character in {ascii(value)[:80]}")
    if isinstance(value, Mapping):
        _refuse_unsafe([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for each in value:
            _refuse_unsafe(each)


def one_line(error: Exception) -> str:
    """What ``error`` says, short and safe for a terminal."""
    text = str(error) or type(error).__name__
    text = " ".join(UNSAFE.sub(" ", text).split())
    return text if len(text) <= 200 else text[:200] + "..."


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in sorted(tensors.items())
    }
