"""Adapters: a result without its base model, in 1 bit a weight.

The bytes are specified in ``docs/adapter-format.md``. What is read here may be damaged or hostile:
nothing is trusted before it is checked, and whatever fails becomes one `AdapterError`.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from seam.artefacts.atomic import existing, shown, write_folder
from seam.artefacts.card import model_card
from seam.core.config import Head
from seam.core.masks import pack, unpack
from seam.core.preprocessing import Preprocessing
from seam.core.problem import Problem
from seam.errors import AdapterError, BaseMismatchError
from seam.masking.head import Headed, attach_head
from seam.models.base import BaseModel

FORMAT, VERSION = "seam-adapter", 1
JSON_FILE, TENSOR_FILE, CARD_FILE = "adapter.json", "adapter.safetensors", "README.md"
MAX_JSON = MAX_HEADER = 16 * 2**20
MAX_TENSORS = 2 * 2**30
MAX_NAME, MAX_SIDE, MAX_LABELS = 512, 4096, 10**7
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
NO_CHECKSUM = "0" * 64
# Control, line-separating and direction-changing characters; surrogates have no UTF-8.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
MEND = "fetch the adapter again, or make it again with seam reengineer"


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
    output ``k`` stands for; empty for the rest in a one-vs-rest problem. ``details`` (plain values)
    is whatever helps to find the base again, as its model arguments.
    """

    source: str
    fingerprint: str
    label_count: int
    members: tuple[tuple[int, ...], ...]
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, base: BaseModel, problem: Problem, details: Mapping[str, Any] | None = None
    ) -> BaseReference:
        """The reference to ``base`` for ``problem``; ``base.module`` must have no masks on it.

        Raises:
            LabelError: the problem names a label that the base does not have.
        """
        members = problem.members(base.labels)
        named = tuple(m if names else () for m, names in zip(members, problem.labels, strict=True))
        return cls(base.source, base.fingerprint, len(base.labels), named, dict(details or {}))

    def all_members(self) -> tuple[tuple[int, ...], ...]:
        """`members` with the rest filled in."""
        named = {number for group in self.members for number in group}
        rest = tuple(i for i in range(self.label_count) if i not in named)
        return tuple(group or rest for group in self.members)


@dataclass(frozen=True, eq=False, kw_only=True)
class Adapter:
    """A re-engineered model without its base: masks, head and tuned values.

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
        preprocessing: what the base expects of an image.
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
    preprocessing: Preprocessing
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
            raise AdapterError(_line(error)) from error

    @classmethod
    def from_snapshot(cls, snapshot: Mapping[str, Tensor], **rest: Any) -> Adapter:
        """An adapter from what `SearchState.snapshot` gives; ``rest`` are the other fields."""
        groups: dict[str, dict[str, Tensor]] = {"mask": {}, "head": {}, "delta": {}}
        for full, value in snapshot.items():
            group, _, name = full.partition("/")
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


def save_adapter(adapter: Adapter, folder: str | Path) -> int:
    """Write the adapter's folder, whole or not at all; returns its size in bytes.

    >>> save_adapter(adapter, "runs/airplane/adapter")  # doctest: +SKIP
    44871

    A folder that holds an older adapter is replaced. The same adapter gives the same bytes.

    Raises:
        RunFolderError: the folder cannot be written, or holds other files.
        AdapterError: the adapter is larger than the format allows.
    """
    tensors = save_tensors(_stored(adapter))
    document = _encode(_document(adapter, tensors))
    if len(tensors) > MAX_TENSORS or len(document) > MAX_JSON:
        raise AdapterError(
            f"the adapter takes {len(tensors)} + {len(document)} bytes, the format allows "
            f"{MAX_TENSORS} + {MAX_JSON}; tune less (--tune norm), or keep less"
        )
    card = model_card(adapter).encode()
    files = {TENSOR_FILE: tensors, JSON_FILE: document, CARD_FILE: card}
    write_folder(folder, files)
    return sum(map(len, files.values()))


def load_adapter(folder: str | Path) -> Adapter:
    """Read an adapter and check all of it; needs no base model.

    >>> load_adapter("runs/airplane/adapter").problem.outputs  # doctest: +SKIP
    ('not airplane', 'airplane')

    Raises:
        AdapterError: it is no adapter, damaged, hostile or of another format version.
    """
    place = _find(Path(folder))
    json_file, tensor_file = place / JSON_FILE, place / TENSOR_FILE
    with _blaming(json_file):
        text = _read(json_file, MAX_JSON)
        document = _parse(text)
        version = _get(document, "version", int)
    if version > VERSION:
        raise AdapterError(
            f"adapter file {shown(json_file)} has format version {str(version)[:12]}, newer than "
            f"{VERSION}, which this seam reads; upgrade seam"
        )
    with _blaming(json_file):
        _check_document(document, text)
    with _blaming(tensor_file):
        data = _read(tensor_file, MAX_TENSORS)
        tensors = _parse_tensors(data, document["tensors"])
        groups = _unpacked(tensors, document["masks"])
    with _blaming(json_file):
        adapter = _adapter(document, groups)
        if document["density"] != {"kept": adapter.kept, "maskable": adapter.maskable}:
            raise ValueError("'density' does not fit the masks")
        return adapter


def apply_adapter(adapter: Adapter, base: BaseModel) -> Headed:
    """The re-engineered model: a copy of the base with head, deltas and masks written into it.

    >>> apply_adapter(load_adapter("runs/airplane/adapter"), base)  # doctest: +SKIP

    A plain module on the base's device, in evaluation mode; its outputs equal those of the masked
    model that was searched, bit for bit. Removed elements are exactly zero. ``base`` is unchanged.

    Raises:
        BaseMismatchError: the adapter belongs to another base model.
        AdapterError: it names parameters, shapes or labels that the base does not have.
    """
    if adapter.base.fingerprint != base.fingerprint:
        raise BaseMismatchError(
            f"the adapter belongs to base model {shown(adapter.base.source)} with fingerprint "
            f"{adapter.base.fingerprint[:12]}, not to {shown(base.source)} with fingerprint "
            f"{base.fingerprint[:12]}; give the base model and weights it was made from"
        )
    if adapter.base.label_count != len(base.labels):
        raise AdapterError(
            f"the adapter is for {adapter.base.label_count} base labels, the base model has "
            f"{len(base.labels)}; give the labels it was made with"
        )
    module = copy.deepcopy(base.module).eval()
    try:
        model = attach_head(
            module,
            adapter.head_kind,
            adapter.base.all_members(),
            example=base.example(),
            seed=0,
        )
        model.head.load_state_dict(adapter.head)
    except (RuntimeError, IndexError) as error:
        raise AdapterError(
            f"the adapter's head does not fit the base model ({_line(error)}); {MEND}"
        ) from error
    model.replaced = None  # the base's own classifier is not part of the result
    _write_in(adapter, model.backbone)
    return model.eval()


@torch.no_grad()
def _write_in(adapter: Adapter, module: nn.Module) -> None:
    """Write deltas, then zeros where the masks remove."""
    places: dict[str, Tensor] = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    for name, value in [*adapter.delta.items(), *adapter.masks.items()]:
        place = places.get(name)
        kinds = FLOATS if value.dtype == torch.bool else (value.dtype,)
        if place is None or place.shape != value.shape or place.dtype not in kinds:
            raise AdapterError(
                f"the adapter's '{name}' {tuple(value.shape)} fits no parameter of the base model; "
                f"{MEND}"
            )
    for name, value in adapter.delta.items():
        places[name].copy_(value)
    for name, mask in adapter.masks.items():
        places[name].masked_fill_(~mask.to(places[name].device), 0)


# ------------------------------------------------------------------------------------ to bytes


def _stored(adapter: Adapter) -> dict[str, Tensor]:
    stored = {
        f"mask/{name}": torch.from_numpy(pack(mask.numpy())) for name, mask in adapter.masks.items()
    }
    stored |= {f"head/{name}": value for name, value in adapter.head.items()}
    for name, value in adapter.delta.items():
        stored[f"delta/{name}"] = value[adapter.masks[name]] if name in adapter.masks else value
    return stored


def _document(adapter: Adapter, tensors: bytes) -> dict[str, Any]:
    base = adapter.base
    return {
        "format": FORMAT,
        "version": VERSION,
        "seam": adapter.seam,
        "base": {
            "source": base.source,
            "fingerprint": base.fingerprint,
            "label_count": base.label_count,
            "members": base.members,
            "details": base.details,
        },
        "problem": adapter.problem.to_dict(),
        "head": adapter.head_kind,
        "preprocessing": adapter.preprocessing.to_dict(),
        "masks": {name: list(mask.shape) for name, mask in adapter.masks.items()},
        "density": {"kept": adapter.kept, "maskable": adapter.maskable},
        "config": adapter.config,
        "metrics": adapter.metrics,
        "tensors": {"bytes": len(tensors), "sha256": hashlib.sha256(tensors).hexdigest()},
    }


def _encode(document: Mapping[str, Any]) -> bytes:
    """The document's bytes, its checksum among them."""
    bare = _lines({**document, "checksum": NO_CHECKSUM})
    return _lines({**document, "checksum": hashlib.sha256(bare).hexdigest()})


def _lines(document: Mapping[str, Any]) -> bytes:
    rows = (
        f"{json.dumps(key)}: "
        + json.dumps(document[key], sort_keys=True, ensure_ascii=False, allow_nan=False)
        for key in sorted(document)
    )
    return ("{\n" + ",\n".join(rows) + "\n}\n").encode()


# ---------------------------------------------------------------------------------- from bytes


def _find(folder: Path) -> Path:
    place = existing(folder)
    if not (place / JSON_FILE).exists():
        inside = folder / "adapter"
        hint = inside if (inside / JSON_FILE).exists() else "the folder RUN/adapter of a run"
        raise AdapterError(
            f"{shown(folder)} is not an adapter folder: it holds no {JSON_FILE}; give {hint}"
        )
    return place


def _read(file: Path, limit: int) -> bytes:
    """A regular file's bytes; its size is checked before anything is read."""
    if not stat.S_ISREG(file.stat().st_mode):  # opening a pipe would wait for a writer
        raise ValueError("it is not a regular file")
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > limit:
            raise ValueError(f"it has {size} bytes, at most {limit} are allowed")
        return stream.read(size)


def _parse(text: bytes) -> dict[str, Any]:
    document = json.loads(
        text.decode(), parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique
    )
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    if document.get("format") != FORMAT:
        raise ValueError(f"its 'format' is not '{FORMAT}'")
    return document


def _check_document(document: dict[str, Any], text: bytes) -> None:
    """Version, checksum, and that the parts that are read have the right types."""
    if document["version"] != VERSION:
        raise ValueError(f"its format version is not {VERSION}")
    checksum = _get(document, "checksum", str).encode()
    if len(checksum) != 64 or text.count(checksum) != 1:
        raise ValueError("it has no checksum")
    bare = text.replace(checksum, NO_CHECKSUM.encode())
    if hashlib.sha256(bare).hexdigest().encode() != checksum:
        raise ValueError("it was changed after it was written (its checksum differs)")
    for key in ("base", "problem", "preprocessing", "masks", "density", "config", "metrics"):
        _get(document, key, dict)
    tensors = _get(document, "tensors", dict)
    _get(tensors, "bytes", int)
    _get(tensors, "sha256", str)
    for name, shape in document["masks"].items():
        if not _is_ints(shape) or any(side < 1 for side in shape):
            raise ValueError(f"the shape of mask '{name[:80]}' is no list of positive integers")


def _parse_tensors(data: bytes, expected: Mapping[str, Any]) -> dict[str, Tensor]:
    if len(data) != expected["bytes"]:
        raise ValueError(f"it has {len(data)} bytes, expected {str(expected['bytes'])[:24]}")
    if hashlib.sha256(data).hexdigest() != expected["sha256"]:
        raise ValueError("it was changed after it was written (its SHA-256 differs)")
    header = int.from_bytes(data[:8], "little")
    if header > min(MAX_HEADER, len(data) - 8):
        raise ValueError(f"its header claims {header} bytes")
    return load_tensors(data)


def _unpacked(
    tensors: Mapping[str, Tensor], shapes: Mapping[str, list[int]]
) -> dict[str, dict[str, Tensor]]:
    """Masks, head and full-shape deltas, from the tensors as stored."""
    groups: dict[str, dict[str, Tensor]] = {"mask": {}, "head": {}, "delta": {}}
    for full, value in tensors.items():
        group, _, name = full.partition("/")
        if group not in groups:
            raise ValueError(f"tensor '{full[:80]}' is unexpected")
        if value.dtype not in ((torch.uint8,) if group == "mask" else FLOATS):
            raise ValueError(f"tensor '{full[:80]}' has type {value.dtype}")
        groups[group][name] = value
    different = sorted(groups["mask"].keys() ^ shapes.keys())
    if different:
        where = JSON_FILE if different[0] in shapes else TENSOR_FILE
        raise ValueError(f"mask '{different[0][:80]}' is in {where} only")
    masks = {
        name: torch.from_numpy(unpack(value.numpy(), shapes[name]))
        for name, value in groups["mask"].items()
    }
    delta = {
        name: _spread(name, value, masks[name]) if name in masks else value
        for name, value in groups["delta"].items()
    }
    return {"masks": masks, "head": groups["head"], "delta": delta}


def _spread(name: str, kept: Tensor, mask: Tensor) -> Tensor:
    if kept.shape != (int(mask.sum()),):
        raise ValueError(
            f"'delta/{name[:80]}' has shape {tuple(kept.shape)}, its mask keeps {int(mask.sum())}"
        )
    full = torch.zeros(mask.shape, dtype=kept.dtype)
    full[mask] = kept
    return full


def _adapter(document: dict[str, Any], groups: dict[str, dict[str, Tensor]]) -> Adapter:
    base, problem = document["base"], document["problem"]
    pixels = document["preprocessing"]
    for values in (_get(pixels, "mean", list), _get(pixels, "std", list)):
        if not all(_is_number(value) for value in values):
            raise ValueError("'mean' or 'std' holds something else than numbers")
    if set(pixels) != {"size", "mean", "std", "crop_fraction", "interpolation"}:
        raise ValueError("'preprocessing' has missing or unknown keys")
    _get(pixels, "interpolation", str)
    if not _is_number(pixels["crop_fraction"]):
        raise ValueError("'crop_fraction' is no number")
    _get(pixels, "size", int)
    labels = _get(problem, "labels", list)
    for names in (_get(problem, "outputs", list), *labels):
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("'problem' holds a label that is no string")
    members = _get(base, "members", list)
    if not all(_is_ints(group) for group in members):
        raise ValueError("'members' holds something else than lists of numbers")
    _get(problem, "kind", str)
    return Adapter(
        **groups,
        head_kind=document.get("head"),  # type: ignore[arg-type]
        problem=Problem.from_dict(problem),
        preprocessing=Preprocessing.from_dict(pixels),
        base=BaseReference(
            source=_get(base, "source", str),
            fingerprint=_get(base, "fingerprint", str),
            label_count=_get(base, "label_count", int),
            members=tuple(map(tuple, members)),
            details=_get(base, "details", dict),
        ),
        config=document["config"],
        metrics=document["metrics"],
        seam=_get(document, "seam", str),
    )


# -------------------------------------------------------------------------------------- checks


def _check(adapter: Adapter) -> None:
    """That the parts fit one another; raises ValueError."""
    if adapter.head_kind not in get_args(Head):
        raise ValueError("the head is none of slice, append, replace")
    if adapter.preprocessing.size > MAX_SIDE or adapter.preprocessing.crop_fraction < 0.05:
        raise ValueError(f"the input size is above {MAX_SIDE} pixels, or its crop below 0.05")
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
    _refuse_unsafe(_document(adapter, b""))


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


def _get(values: Mapping[str, Any], key: str, kind: type) -> Any:
    value = values.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"its '{key}' is missing or of the wrong type")
    return value


def _is_ints(value: object) -> bool:
    return isinstance(value, list) and all(type(each) is int for each in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _no_constant(_text: str) -> float:
    raise ValueError("it holds NaN or Infinity")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_constant(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("it holds a key twice")
    return values


def _refuse_unsafe(value: object) -> None:
    """Refuse strings that could break a terminal or a table; raises ValueError."""
    if isinstance(value, str) and UNSAFE.search(value):
        raise ValueError(f"it holds a control character in {ascii(value)[:80]}")
    if isinstance(value, Mapping):
        _refuse_unsafe([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for each in value:
            _refuse_unsafe(each)


@contextmanager
def _blaming(file: Path) -> Iterator[None]:
    """Turn whatever reading ``file`` raises into one line that names it and the mend."""
    try:
        yield
    except OSError as error:
        raise AdapterError(
            f"adapter file {shown(file)} cannot be read ({error.strerror or error}); {MEND}"
        ) from error
    except Exception as error:  # parsers of others raise what they like
        raise AdapterError(
            f"adapter file {shown(file)} is damaged: {_line(error)}; {MEND}"
        ) from error


def _line(error: Exception) -> str:
    text = str(error) or type(error).__name__
    text = " ".join(UNSAFE.sub(" ", text).split())
    return text if len(text) <= 200 else text[:200] + "..."


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in sorted(tensors.items())
    }
