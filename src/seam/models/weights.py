"""Weights files: read without running what is in them, and checked against the model."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from seam.artefacts.reading import check_archive, is_there
from seam.artefacts.storage import absent
from seam.errors import ModelError, in_line

MOST_NAMES = 6


def read_weights(path: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file, or of a state dict saved by ``torch.save``.

    >>> read_weights("model.safetensors")  # doctest: +SKIP

    A pickled file is read with ``weights_only``: code in it is refused, not run.

    Raises:
        ModelError: the file is missing, damaged, holds code or no state dict.
    """
    if not is_there(Path(path)):
        raise ModelError(f"weights file '{path}' {absent(path)}")
    try:
        if path.endswith(".safetensors"):
            from safetensors import safe_open

            with safe_open(path, "pt") as file:
                names = file.keys()
                return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
        if zipfile.is_zipfile(path):
            check_archive(Path(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd pickle protocols; what fits not is refused
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"weights file '{path}' is no state dict, or holds code, which is never run; "
            "give a safetensors file, or what torch.save(model.state_dict()) writes"
        ) from error
    except Exception as error:
        raise ModelError(
            f"weights file '{path}' cannot be read ({in_line(error)}); give a safetensors file, "
            "or what torch.save(model.state_dict()) writes"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(f"weights file '{path}' holds no state dict; save model.state_dict()")
    return dict(state), {}


def load_weights(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Fill ``module`` with ``state``, every name and shape fitting.

    Raises:
        ModelError: names are missing or unexpected, or shapes differ; the message lists them.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    shapes = [
        f"{name} is {tuple(state[name].shape)}, the model's {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    problems = [
        f"{word} {_some(names)}"
        for word, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("shapes differ:", shapes),
        )
        if names
    ]
    if problems:
        raise ModelError(
            f"weights '{where}' do not fit the model: {'; '.join(problems)}; "
            "check MODEL and --model-args"
        )
    fill(module, state)


def fill(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load ``state``, whose names and shapes fit, as one of the module's own layout.

    Files hold no versions of layouts; without one, some modules (torchvision's MNASNet) take theirs
    for an old one.
    """
    values = OrderedDict(state)
    values._metadata = module.state_dict()._metadata  # type: ignore[attr-defined]
    module.load_state_dict(values)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
