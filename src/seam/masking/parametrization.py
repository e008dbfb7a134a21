"""Masks on the parameters of any module, as `torch.nn.utils.parametrize` parametrizations.

`attach` and `MaskSet.detach` are inverse; `MaskSet.bake` writes the masked values into the
module for good.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from seam.errors import ConfigError, some
from seam.masking.remade import masked
from seam.masking.ste import step

MASKABLE = (_ConvNd, nn.Linear, nn.MultiheadAttention)
MASKABLE_NAMES = (
    *("weight", "bias", "in_proj_weight", "in_proj_bias"),
    *("q_proj_weight", "k_proj_weight", "v_proj_weight", "bias_k", "bias_v"),
)
FLOAT = torch.float32
SAMPLED = 2**18
Gate = Callable[[Tensor, float], Tensor]
"""From scores and their threshold to mask bits with a gradient; they may be soft."""


class Mask(nn.Module):
    """One parameter's mask: the effective parameter is ``parameter * (score > threshold)``.

    >>> mask = Mask(torch.tensor([1.0, 2.0]))
    >>> mask.score.data = torch.tensor([-1.0, 1.0])
    >>> mask(torch.tensor([5.0, 6.0])).tolist()
    [0.0, 6.0]

    Where gradients are wanted the bits come from ``gate``, by default the step itself.
    """

    def __init__(self, parameter: Tensor) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.ones_like(parameter))
        self.threshold = 0.0
        self.gate: Gate = step

    def forward(self, parameter: Tensor) -> Tensor:
        """The masked parameter; same shape and type."""
        gate = self.gate if torch.is_grad_enabled() else step
        if torch.is_grad_enabled() and gate is step:
            return masked(parameter, self.score, self.threshold)
        return multiplied(parameter, lambda: gate(self.score, self.threshold))

    @property
    def bits(self) -> Tensor:
        """The mask, bool, shape of the parameter."""
        return self.score.detach() > self.threshold


def multiplied(parameter: Tensor, bits: Callable[[], Tensor]) -> Tensor:
    """``parameter * bits()``, with a gradient for both where gradients are wanted."""
    if torch.is_grad_enabled():
        return parameter * bits()
    # Even without gradients matmul chooses its kernel, and so its rounding, by whether its
    # argument, or what that is a view of, requires one. So be like the parameter in this.
    with torch.inference_mode(False), torch.no_grad():
        masked = parameter * bits()
        return masked.requires_grad_(parameter.requires_grad)


class Attached:
    """Parametrizations on some parameters of a module, and how to take them off again.

    ``places`` are owner and name of each parametrized parameter. Made before they are registered.
    """

    def __init__(self, module: nn.Module, places: Sequence[tuple[str, str]]) -> None:
        self.module = module
        self.places = list(places)
        self._orders = {owner: _order(module.get_submodule(owner)) for owner, _ in places}
        self._classes = {}
        for owner in self._orders:
            layer = module.get_submodule(owner)
            if parametrize.is_parametrized(layer):  # a copy shares its class with the user's own
                self._classes[owner] = kind = type(layer)
                layer.__class__ = type(kind.__name__, (kind,), {})

    def originals(self) -> dict[str, Tensor]:
        """The parameters as they are without parametrization, by name."""
        return {join(owner, name): self._original(owner, name) for owner, name in self.places}

    def detach(self) -> None:
        """Undo the attaching: class, keys, order, values, ties and gradient flags are as before."""
        for owner, name in self.places:
            parametrize.remove_parametrizations(
                self.module.get_submodule(owner), name, leave_parametrized=False
            )
        for owner, kind in self._classes.items():
            self.module.get_submodule(owner).__class__ = kind
        for owner, order in self._orders.items():
            parameters = self.module.get_submodule(owner)._parameters
            kept = {name: parameters[name] for name in order}
            parameters.clear()
            parameters.update(kept)

    def _original(self, owner: str, name: str) -> Tensor:
        parametrizations = self.module.get_submodule(owner).parametrizations
        original = getattr(parametrizations, name).original
        assert isinstance(original, Tensor)
        return original


class MaskSet(Attached, Mapping[str, Mask]):
    """The masks attached to one module, by the parameter's name in the plain module.

    >>> layer = nn.Linear(4, 2)
    >>> masks = attach(layer)
    >>> sorted(masks), masks.density()
    (['bias', 'weight'], 1.0)
    """

    def __init__(
        self, module: nn.Module, masks: dict[str, Mask], places: list[tuple[str, str]]
    ) -> None:
        super().__init__(module, places)
        self._masks = masks

    def __getitem__(self, name: str) -> Mask:
        return self._masks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)

    @property
    def count(self) -> int:
        """Number of maskable elements: the denominator of density."""
        return sum(mask.score.numel() for mask in self.values())

    def density(self) -> float:
        """Kept share of the maskable elements."""
        return int(torch.stack([mask.bits.sum() for mask in self.values()]).sum()) / self.count

    def soft_density(self) -> Tensor:
        """The same as a scalar tensor with the straight-through gradient: 1 / count per score."""
        kept = [
            step(mask.score, mask.threshold).sum(dtype=torch.promote_types(mask.score.dtype, FLOAT))
            for mask in self.values()
        ]
        return torch.stack(kept).sum() / self.count

    def scores(self) -> dict[str, nn.Parameter]:
        """The tensors that are searched, by the parameter's name."""
        return {name: mask.score for name, mask in self.items()}

    def bits(self) -> dict[str, Tensor]:
        """The masks (bool, shape of the parameter), by the parameter's name."""
        return {name: mask.bits for name, mask in self.items()}

    def set_threshold(self, threshold: float) -> None:
        """Move the threshold of every mask: from now on bits are ``score > threshold``."""
        for mask in self.values():
            mask.threshold = threshold

    def set_gate(self, gate: Gate) -> None:
        """Let every mask's bits come from ``gate`` where gradients are wanted."""
        for mask in self.values():
            mask.gate = gate

    def keep(self, share: float, *, exact: bool = True) -> None:
        """Move the threshold so that at most the ``share`` of elements, of highest scores, is kept.

        Exact but for ties; a kept share of 1 keeps everything. Where ``exact`` is False, about
        ``SAMPLED`` evenly spaced scores stand for all: off by about 0.1 % of the elements.
        """
        stride = 1 if exact else max(1, self.count // SAMPLED)
        scores = torch.cat(
            [score.detach().reshape(-1)[::stride] for score in self.scores().values()]
        )
        removed = math.ceil((1 - share) * scores.numel() - 1e-6)  # but for rounding errors
        if removed <= 0:
            self.set_threshold(float("-inf"))
        else:
            self.set_threshold(float(scores.kthvalue(removed).values))

    def load_bits(self, bits: Mapping[str, Tensor]) -> None:
        """Set the masks to given bits (bool, shape of the parameter)."""
        with torch.no_grad():
            for name, mask in self.items():
                mask.score.copy_(bits[name].to(mask.score))
        self.set_threshold(0.0)

    @torch.no_grad()
    def bake(self) -> nn.Module:
        """Write zeros where the masks remove, and detach; returns the module."""
        originals = self.originals()
        for name, mask in self.items():
            originals[name].masked_fill_(~mask.bits, 0)
        self.detach()
        return self.module


def attach(module: nn.Module, *, exclude: Sequence[str] = ()) -> MaskSet:
    """Put an all-ones mask on every conv, linear and attention weight and bias of ``module``.

    The module's outputs do not change by a bit. Parameters shared by several layers share a mask.
    Left alone are parameters that something else shares (an embedding, an excluded layer) and those
    that are parametrized already (weight norm, spectral norm).

    >>> model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> sorted(attach(model, exclude=["2.*"]))
    ['0.bias', '0.weight']

    Args:
        module: any module; changed in place, until `MaskSet.detach` or `MaskSet.bake`.
        exclude: parameter or layer names left out, with ``*`` and ``?`` as in file names.

    Raises:
        ConfigError: an ``exclude`` pattern fits nothing, or nothing is left to mask.
    """
    names = _maskable(module)
    for pattern in exclude:
        if not any(_fits(place, pattern) for place in names):
            layers = sorted({owner for owner, _ in names})
            raise ConfigError(
                f"exclude pattern '{pattern}' fits no layer; layers are {some(layers)}"
            )
    places = _untied(
        module, [place for place in names if not any(_fits(place, each) for each in exclude)]
    )
    if not places:
        raise ConfigError("nothing to mask: no conv, linear or attention layer is left")
    masks: dict[str, Mask] = {}
    shared: dict[int, Mask] = {}
    for owner, name in places:
        parameter = getattr(module.get_submodule(owner), name)
        if id(parameter) not in shared:
            shared[id(parameter)] = masks[join(owner, name)] = Mask(parameter)
    mask_set = MaskSet(module, masks, places)
    for owner, name in places:
        layer = module.get_submodule(owner)
        parametrize.register_parametrization(
            layer, name, shared[id(getattr(layer, name))], unsafe=True
        )
    return mask_set


def join(owner: str, name: str) -> str:
    """The dotted name of a parameter; the root module's name is empty."""
    return f"{owner}.{name}" if owner else name


def _maskable(module: nn.Module) -> list[tuple[str, str]]:
    """Owner and name of every parameter that could have a mask.

    Only names that the layers themselves use: ``weight_g`` and ``weight_v``, into which the older
    weight norm splits a weight, are not masked (a row of zeros would be divided by its norm).
    """
    return [
        (owner, name)
        for owner, layer in module.named_modules()
        if isinstance(layer, MASKABLE)
        for name, parameter in layer._parameters.items()
        if name in MASKABLE_NAMES and parameter is not None and parameter.is_floating_point()
    ]


def _untied(module: nn.Module, places: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The places whose parameter is used at no other place: baking would change that one too."""
    used = Counter(
        id(parameter)
        for layer in module.modules()
        for parameter in layer._parameters.values()
        if parameter is not None
    )
    found = {place: id(getattr(module.get_submodule(place[0]), place[1])) for place in places}
    masked = Counter(found.values())
    return [place for place in places if masked[found[place]] == used[found[place]]]


def _fits(place: tuple[str, str], pattern: str) -> bool:
    owner, _ = place
    return fnmatchcase(owner, pattern) or fnmatchcase(join(*place), pattern)


def _order(layer: nn.Module) -> list[str]:
    return list(layer._parameters)
