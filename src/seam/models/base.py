"""A base model: a trained module with its labels, preprocessing and fingerprint."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from seam.core.preprocessing import Preprocessing
from seam.core.text import AnyPreprocessing, TextPreprocessing
from seam.errors import LabelError, ModelError, in_line
from seam.models.origin import Origin

CACHE = "attention_bias_cache"
"""Where timm's LeViT, TinyViT, EfficientFormer keep what they once computed of their weights."""


@dataclass(frozen=True)
class BaseModel:
    """The trained classifier that is reused.

    >>> from seam.core.preprocessing import Preprocessing
    >>> base = BaseModel(
    ...     nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), ("cat", "dog"), Preprocessing(size=2)
    ... )
    >>> base.check().shape
    torch.Size([1, 2])

    Args:
        module: gives (batch, N) logits for images (batch, C, size, size), or for texts as token
            numbers (batch, length).
        labels: the N labels, in the order of the logits.
        preprocessing: what the module expects of an image or a text.
        source: where it came from, as in ``zoo:digits``; recorded with results.
        recipe: how `BaseSpec` loads it again (plain values), recorded in run folders; None for an
            own module, which has to be passed again.
        head_layer: name of the layer that a new head replaces; by default it is looked for.
        origin: the hub repository that its weights came from, where that is known.

    Raises:
        ModelError: ``module`` is no `nn.Module`, or one whose weights no search can move: compiled
            by `torch.jit`, quantized, without data, or of another type than float32.
        LabelError: ``labels`` is one string, not a list of them.
    """

    module: nn.Module
    labels: tuple[str, ...]
    preprocessing: AnyPreprocessing
    source: str = "own"
    recipe: dict[str, Any] | None = None
    head_layer: str = ""
    origin: Origin | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.module, nn.Module):
            raise ModelError(
                f"the base model is a {type(self.module).__name__}; give a torch.nn.Module"
            )
        _check_searchable(self.module)
        if not isinstance(self.preprocessing, Preprocessing | TextPreprocessing):
            raise ModelError(
                f"preprocessing is {self.preprocessing!r:.80}; give Preprocessing(size=...)"
            )
        given: object = self.labels
        if isinstance(given, str):
            raise LabelError(f"labels is '{given}'; give a list of names, as ['cat', 'dog']")
        object.__setattr__(self, "labels", tuple(map(str, self.labels)))
        for layer in self.module.modules():
            if isinstance(getattr(layer, CACHE, None), dict):
                setattr(layer, CACHE, _Forgetful())

    def example(self) -> Tensor:
        """A batch of one blank input, on the module's device."""
        return blank(self.preprocessing).to(next(self.module.parameters()).device)

    def in_evaluation(self) -> BaseModel:
        """This base with its module in evaluation mode: itself, or else a copy."""
        if not any(each.training for each in self.module.modules()):
            return self
        return replace(self, module=copy.deepcopy(self.module).eval())

    @torch.no_grad()
    def check(self) -> Tensor:
        """Run the module once in evaluation mode; returns its logits (1, N).

        Raises:
            ModelError: the weights hold NaN, the input size does not fit, or the output is not one
                vector of logits.
            LabelError: the number of labels differs from the number of logits.
        """
        self._check_weights()
        try:
            output = self.in_evaluation().module(self.example())
        except Exception as error:  # modules of others raise what they like
            raise self._not_taken(error) from error
        logits = _logits(self.module, output)
        if logits.shape[1] != len(self.labels):
            raise LabelError(
                f"the base model gives {logits.shape[1]} logits but there are {len(self.labels)} "
                "labels; give the right --labels-file or --model-args num_classes=N"
            )
        return logits

    def _not_taken(self, error: Exception) -> ModelError:
        preprocessing, own = self.preprocessing, self.recipe is None
        if isinstance(preprocessing, TextPreprocessing):
            what = f"texts of {preprocessing.length} tokens"
            mend = "give another TextPreprocessing" if own else "choose another --max-length"
        else:
            channels = f" of {preprocessing.channels} channels" if own else ""
            what = f"{preprocessing.size}x{preprocessing.size} images{channels}"
            mend = (
                "give the Preprocessing that fits it, or mend its forward"
                if own
                else "choose another --input-size, or as many values of --mean and --std as it has "
                "channels"
            )
        return ModelError(f"the base model cannot take {what} ({in_line(error, 120)}); {mend}")

    def _check_weights(self) -> None:
        weights = dict(self.module.named_parameters())
        if not weights:
            raise ModelError("the base model has no parameters; give a trained classifier")
        for name, value in weights.items():
            if not bool(value.isfinite().all()):
                raise ModelError(
                    f"the base model's weights hold NaN or infinity in '{name}'; "
                    "give weights that work"
                )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the module's parameters and buffers: names, types, shapes and bytes."""
        return fingerprint(self.module)


def _check_searchable(module: nn.Module) -> None:
    wrong, mend = "", ""
    if isinstance(module, torch.jit.ScriptModule):
        wrong, mend = "is compiled by torch.jit", "the module that it was made from"
    elif not all(isinstance(value, Tensor) for value in module.state_dict().values()):
        wrong, mend = "is quantized", "the module of before"
    for name, value in module.named_parameters():
        if value.is_meta:
            wrong, mend = f"has no data in '{name}'", "a module with its weights loaded"
        elif value.is_floating_point() and value.dtype != torch.float32:
            kind = str(value.dtype).removeprefix("torch.")
            wrong, mend = f"has {kind} weights in '{name}'", "module.float()"
    if wrong:
        raise ModelError(f"the base model {wrong}; give {mend}")


class _Forgetful(dict[str, Tensor]):
    """A cache that says it is empty: what it would keep changes with a search."""

    def __contains__(self, _key: object) -> bool:
        return False

    def __getitem__(self, key: str) -> Tensor:
        return self.pop(key)

    def __bool__(self) -> bool:
        return False  # else it would be replaced by another when training begins


def _logits(module: nn.Module, output: object) -> Tensor:
    """``output``, where it is one vector of logits: a classifier's of one label a sample."""
    last = [*module.modules()][-1]
    given = f"a {type(output).__name__}"
    if isinstance(output, Tensor):
        given = f"a tensor of shape {tuple(output.shape)}"
        if output.ndim == 2 and not isinstance(last, nn.Sigmoid | nn.Softmax):
            return output
        if output.ndim == 2:
            given = f"probabilities (its last layer is {type(last).__name__})"
    raise ModelError(
        f"the base model gives {given}, not one vector of logits a sample; only classifiers with "
        "softmax outputs are supported, no multi-label ones, detectors or feature maps: wrap the "
        "module so that it gives logits"
    )


def blank(preprocessing: AnyPreprocessing) -> Tensor:
    """A batch of one input of the right shape and type: zeros; of a text, all kinds of tokens.

    >>> from seam.core.preprocessing import Preprocessing
    >>> blank(Preprocessing(size=4)).shape
    torch.Size([1, 3, 4, 4])
    >>> blank(TextPreprocessing(length=3, padding=0, vocabulary=9, digest="0")).tolist()
    [[8, 4, 0]]
    """
    if isinstance(preprocessing, TextPreprocessing):
        highest = preprocessing.vocabulary - 1
        return torch.linspace(highest, 0, preprocessing.length).long()[None]
    side = preprocessing.size
    return torch.zeros(1, preprocessing.channels, side, side)


def fingerprint(module: nn.Module) -> str:
    """SHA-256 over a module's state: names, types, shapes and bytes, in the order of the names.

    >>> len(fingerprint(nn.Linear(2, 2)))
    64
    """
    digest = hashlib.sha256()
    state = module.state_dict()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
