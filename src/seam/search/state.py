"""All that changes during a search, at either granularity."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from seam.core.config import SearchConfig
from seam.core.pressure import Budget
from seam.masking.axes import Axis
from seam.masking.gates import ChannelSet, Meter, Rules, attach_channels
from seam.masking.head import Headed
from seam.masking.parametrization import MaskSet, attach, join
from seam.masking.ste import step
from seam.search.calibrate import norm_parameters, norms
from seam.search.compaction import Compaction
from seam.search.optimizer import moment_like, optimizers_of, parameters_of
from seam.search.strategy import Strategy

_MOMENT, _ALIVE, _LEVELS, _FINETUNED = "moment/", "alive/", "levels", "finetuned"
_BACKBONE, _HEAD = "backbone.", "head."
MOMENTUM = 0.9


@dataclass
class SearchState:
    """All that changes during a search. Saving its `tensors` and `epoch` is what resuming needs.

    ``epoch`` counts finished epochs. ``tuned`` are the base's own parameters that may adapt,
    ``statistics`` the norm layers' running ones where those adapt too. With channels, ``model`` is
    what is left of ``compaction.full``; ``level`` is that of the walk down, and ``compactions`` how
    many levels have been removed for good. ``whole`` are all of the base's own parameters, and
    ``finetuned`` is how many epochs were finished when fine-tuning began, where it has.
    """

    config: SearchConfig
    model: Headed
    masks: MaskSet | ChannelSet
    tuned: dict[str, nn.Parameter]
    optimizers: list[torch.optim.Optimizer]
    whole: dict[str, nn.Parameter]
    strategy: Strategy
    statistics: dict[str, Tensor] = field(default_factory=dict)
    finetuned: int | None = None
    compaction: Compaction | None = None
    compactions: int = 0
    level: int = 0
    epoch: int = 0
    started: bool = False

    def kept(self) -> dict[str, Tensor]:
        """Masks (bool) by the base's parameter names, in the base's shapes."""
        return _of_base(self._element_masks())

    def _element_masks(self) -> dict[str, Tensor]:
        """Masks (bool) by names in the base with its head, which channels narrow too."""
        bits = self.masks.bits()
        if self.compaction is None:
            return {f"{_BACKBONE}{name}": mask for name, mask in bits.items()}
        return self.compaction.masks(bits)

    def soft_density(self) -> Tensor:
        """What a penalty presses on, a scalar tensor with a gradient; of weights only."""
        assert isinstance(self.masks, MaskSet)
        return self.strategy.density(self.masks)

    def begin_epoch(self, *, search_scores: bool) -> None:
        """Set what an epoch trains: scores or the head alone, norm statistics if they adapt."""
        for score in self.masks.scores().values():
            score.requires_grad_(search_scores and self.finetuned is None)
        self.model.eval()
        if self.statistics:
            for layer in norms(self.model).values():
                layer.train()

    def begin_finetune(self) -> None:
        """From now on masks stay as they are, and all that is kept adapts, by momentum descent."""
        settings = self.config.finetune
        assert settings is not None
        self.finetuned = self.epoch
        if isinstance(self.masks, MaskSet):
            self.masks.set_gate(step)
        self._keep_budget()
        self.tuned = self.whole
        for parameter in self.tuned.values():
            parameter.requires_grad_(True)
        self.statistics = _statistics(self.model.backbone)
        head = list(self.model.head.parameters())
        groups = [
            {"params": head, "lr": settings.head_rate},
            {"params": list(self.tuned.values()), "lr": settings.rate},
        ]
        self.optimizers = [
            torch.optim.SGD(groups, momentum=MOMENTUM, weight_decay=settings.weight_decay)
        ]

    def _keep_budget(self) -> None:
        """Keep what single weights have at the end of their budget, by the scores of now."""
        pressure = self.config.pressure
        if isinstance(self.masks, MaskSet) and isinstance(pressure, Budget):
            self.strategy.keep(self.masks, self.strategy.share(pressure, 1.0), True)

    def snapshot(self) -> dict[str, Tensor]:
        """What a point of the frontier is made of: mask bits, head and tuned values.

        Everything has the base's shapes and names.
        """
        values = {
            **{f"{_HEAD}{name}": value for name, value in self.model.head.state_dict().items()},
            **{f"{_BACKBONE}{name}": v for name, v in {**self.tuned, **self.statistics}.items()},
        }
        masks = self._element_masks()
        if self.compaction is not None:
            values = self.compaction.expanded(values)
            for name in values.keys() & masks.keys():
                values[name] = values[name] * masks[name].to(values[name].device)
        return {
            **{f"mask/{name}": mask for name, mask in _of_base(masks).items()},
            **{_stored_name(name): value.detach() for name, value in values.items()},
        }

    def tensors(self) -> dict[str, Tensor]:
        """Everything, by name: scores, head, tuned values, what is left, optimizers' moments."""
        named = self._parameters()
        moments = {
            f"{_MOMENT}{kind}/{name}": value
            for name, parameter in named.items()
            for optimizer in self.optimizers
            for kind, value in optimizer.state.get(cast(nn.Parameter, parameter), {}).items()
        }
        found = {name: value.detach() for name, value in {**named, **moments}.items()}
        if self.compaction is not None:
            found |= {f"{_ALIVE}{name}": value for name, value in self.compaction.alive.items()}
            found[_LEVELS] = torch.tensor([self.level, self.compactions])
        if self.finetuned is not None:
            found[_FINETUNED] = torch.tensor([self.finetuned])
        return found

    def load(self, tensors: Mapping[str, Tensor], epoch: int) -> None:
        """Inverse of `tensors`; the state must be a fresh one of the same settings."""
        if self.compaction is not None:
            alive = {name: tensors[f"{_ALIVE}{name}"] for name in self.compaction.alive}
            self.masks.detach()
            self.compaction.alive = alive
            self._go_on_with(self.compaction)
            self.level, self.compactions = map(int, tensors[_LEVELS])
        if _FINETUNED in tensors:
            self.begin_finetune()
            self.finetuned = int(tensors[_FINETUNED])
        named = self._parameters()
        with torch.no_grad():
            for name, parameter in named.items():
                parameter.copy_(tensors[name])
        for full, value in tensors.items():
            if full.startswith(_MOMENT):
                kind, name = full.removeprefix(_MOMENT).split("/", 1)
                parameter = named[name]
                for optimizer in self.optimizers:
                    if any(parameter is each for each in parameters_of(optimizer)):
                        optimizer.state[parameter][kind] = moment_like(value, parameter, optimizer)
        if self.finetuned is not None:
            self._keep_budget()  # no step moves the threshold any more
        self.epoch, self.started = epoch, True

    def compact(self) -> None:
        """Remove for good what is masked, and go on with what is left: new scores, new moments."""
        assert self.compaction is not None
        assert isinstance(self.masks, ChannelSet)
        bits = self.masks.bits()
        now = Compaction(self.model, self.masks.axes, bits)
        self.masks.detach()
        self.compaction.alive = self.compaction.after(bits)
        self._go_on_with(now)

    def _go_on_with(self, left: Compaction) -> None:
        assert isinstance(self.masks, ChannelSet)
        model, axes = left.network()
        sizes = self.masks.rules.sizes
        fresh = _with_channels(model, axes, self.config, self.masks.meter, sizes)
        self.model, self.masks, self.tuned = fresh.model, fresh.masks, fresh.tuned
        self.optimizers, self.statistics = fresh.optimizers, fresh.statistics
        self.whole = fresh.whole
        self.begin_epoch(search_scores=True)

    def _parameters(self) -> dict[str, Tensor]:
        return {
            **{f"score/{name}": score for name, score in self.masks.scores().items()},
            **{f"head/{name}": value for name, value in self.model.head.named_parameters()},
            **{f"delta/{name}": v for name, v in {**self.tuned, **self.statistics}.items()},
        }


def begin(
    model: Headed,
    config: SearchConfig,
    *,
    exclude: Sequence[str] = (),
    axes: Sequence[Axis] = (),
    meter: Meter | None = None,
) -> SearchState:
    """Attach masks to the backbone, freeze what stays, and set up the optimizers.

    ``axes`` (of ``model``) and ``meter`` (what a network of given widths costs) are needed for
    channels only; ``exclude`` for weights only.

    Raises:
        ConfigError: nothing is left to mask, or the budget cannot be met.
    """
    if config.granularity == "weight":
        return _set_up(model, config, lambda: attach(model.backbone, exclude=exclude))
    assert meter is not None
    whole = Compaction.whole(copy.deepcopy(model), axes)
    sizes = {axis.name: axis.size for axis in axes}
    state = _with_channels(model, axes, config, meter, sizes)
    state.compaction = whole
    assert isinstance(state.masks, ChannelSet)
    assert isinstance(config.pressure, Budget)
    state.masks.counts_for(config.pressure.final_density)  # refused now if it cannot be met
    return state


def _with_channels(
    model: Headed,
    axes: Sequence[Axis],
    config: SearchConfig,
    meter: Meter,
    sizes: Mapping[str, int],
) -> SearchState:
    def gates() -> ChannelSet:
        rules = Rules(config.channels.round_to, config.channels.floor, sizes)
        return attach_channels(model, axes, meter=meter, rules=rules)

    state = _set_up(model, config, gates)
    assert isinstance(state.masks, ChannelSet)
    state.masks.set_prices(config.channels.price)
    return state


def _set_up(
    model: Headed, config: SearchConfig, attach_masks: Callable[[], MaskSet | ChannelSet]
) -> SearchState:
    """A search's state on a model that has no masks yet."""
    whole, tuned = dict(model.backbone.named_parameters()), _tuned(model.backbone, config.tune)
    statistics = _statistics(model.backbone) if config.norm != "frozen" else {}
    model.backbone.requires_grad_(False)
    masks = attach_masks()
    for parameter in tuned.values():
        parameter.requires_grad_(True)
    model.eval()  # dropout is off; norm layers keep their statistics unless they are trained
    head = model.head.parameters()
    optimizers = optimizers_of(masks.scores().values(), head, tuned.values(), config.rates)
    strategy = Strategy.of(config)
    return SearchState(config, model, masks, tuned, optimizers, whole, strategy, statistics)


def _statistics(backbone: nn.Module) -> dict[str, Tensor]:
    """Running mean and variance of the batch norms, by name."""
    return {
        join(owner, name): getattr(layer, name)
        for owner, layer in norms(backbone).items()
        for name in ("running_mean", "running_var")
    }


def _tuned(backbone: nn.Module, tune: str) -> dict[str, nn.Parameter]:
    """The base's own parameters that may adapt."""
    everything = dict(backbone.named_parameters())
    biases = {name: value for name, value in everything.items() if name.endswith("bias")}
    return {"none": {}, "norm": {**norm_parameters(backbone), **biases}, "all": everything}[tune]


def share_kept(masks: Mapping[str, Tensor]) -> float:
    """Kept share of all elements of ``masks``.

    >>> share_kept({"weight": torch.tensor([True, False])})
    0.5
    """
    kept = int(torch.stack([mask.sum() for mask in masks.values()]).sum())
    return kept / sum(mask.numel() for mask in masks.values())


def _of_base(masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The masks of the base's own parameters, by their names there."""
    return {
        name.removeprefix(_BACKBONE): mask
        for name, mask in masks.items()
        if name.startswith(_BACKBONE)
    }


def _stored_name(name: str) -> str:
    if name.startswith(_HEAD):
        return f"head/{name.removeprefix(_HEAD)}"
    return f"delta/{name.removeprefix(_BACKBONE)}"
