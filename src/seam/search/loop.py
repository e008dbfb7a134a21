"""The search: the published loop, with its start, pressure and schedule as settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seam.core.config import Budget, Penalty, SearchConfig
from seam.errors import NumericalError
from seam.masking.head import Headed
from seam.masking.parametrization import MaskSet, attach, norm_parameters
from seam.search.objective import Objective
from seam.search.optimizer import NormalizedSGD
from seam.search.saliency import saliency, start_from
from seam.search.samples import Samples, SearchData
from seam.search.schedule import budget_at, rate_at

SALIENCY_BATCHES = 32
_MOMENT = "moment/"


@dataclass
class SearchState:
    """All that changes during a search. Saving its `tensors` and `epoch` is what resuming needs.

    ``epoch`` counts finished epochs. ``tuned`` are the base's own parameters that may adapt.
    """

    model: Headed
    masks: MaskSet
    tuned: dict[str, nn.Parameter]
    optimizers: list[torch.optim.Optimizer]
    epoch: int = 0
    started: bool = False

    def snapshot(self) -> dict[str, Tensor]:
        """What a point of the frontier is made of: mask bits, head and tuned parameters."""
        return {
            **{f"mask/{name}": mask.bits for name, mask in self.masks.items()},
            **{f"head/{name}": value for name, value in self.model.head.state_dict().items()},
            **{f"delta/{name}": value.detach() for name, value in self.tuned.items()},
        }

    def tensors(self) -> dict[str, Tensor]:
        """Everything, by name: scores, head, tuned parameters and the optimizers' moments."""
        named = self._parameters()
        moments = {
            f"{_MOMENT}{kind}/{name}": value
            for name, parameter in named.items()
            for optimizer in self.optimizers
            for kind, value in optimizer.state.get(parameter, {}).items()
        }
        return {name: value.detach() for name, value in {**named, **moments}.items()}

    def load(self, tensors: Mapping[str, Tensor], epoch: int) -> None:
        """Inverse of `tensors`."""
        named = self._parameters()
        with torch.no_grad():
            for name, parameter in named.items():
                parameter.copy_(tensors[name])
        for full, value in tensors.items():
            if full.startswith(_MOMENT):
                kind, name = full.removeprefix(_MOMENT).split("/", 1)
                parameter = named[name]
                for optimizer in self.optimizers:
                    if any(parameter is p for g in optimizer.param_groups for p in g["params"]):
                        optimizer.state[parameter][kind] = _like(value, parameter)
        self.epoch, self.started = epoch, True

    def _parameters(self) -> dict[str, nn.Parameter]:
        return {
            **{f"score/{name}": mask.score for name, mask in self.masks.items()},
            **{f"head/{name}": value for name, value in self.model.head.named_parameters()},
            **{f"delta/{name}": value for name, value in self.tuned.items()},
        }


def begin(model: Headed, config: SearchConfig, *, exclude: tuple[str, ...] = ()) -> SearchState:
    """Attach masks to the backbone, freeze what stays, and set up the optimizer."""
    biases = {
        name: parameter
        for name, parameter in model.backbone.named_parameters()
        if name.endswith("bias")
    }
    everything = dict(model.backbone.named_parameters())
    norms = norm_parameters(model.backbone)
    tuned = {"none": {}, "norm": {**norms, **biases}, "all": everything}[config.tune]
    for parameter in model.backbone.parameters():
        parameter.requires_grad_(False)
    masks = attach(model.backbone, exclude=exclude)
    for parameter in tuned.values():
        parameter.requires_grad_(True)
    model.eval()  # norm layers keep their statistics; dropout is off
    return SearchState(model, masks, tuned, _optimizers(masks, model, tuned, config))


def _optimizers(
    masks: MaskSet, model: Headed, tuned: Mapping[str, nn.Parameter], config: SearchConfig
) -> list[torch.optim.Optimizer]:
    rates = config.rates
    scores = {"params": masks.scores(), "lr": rates.score}
    others = [
        {"params": list(model.head.parameters()), "lr": rates.head},
        {"params": list(tuned.values()), "lr": rates.tune},
    ]
    found: list[torch.optim.Optimizer]
    if rates.method == "adam":
        found = [torch.optim.Adam([scores, *others])]
    else:
        found = [torch.optim.Adam(others), NormalizedSGD(masks.scores(), lr=rates.score)]
    for optimizer in found:
        for group in optimizer.param_groups:
            group["full_lr"] = group["lr"]
    return found


def search(
    state: SearchState,
    data: SearchData,
    config: SearchConfig,
    objective: Objective,
    *,
    seed: int,
    on_step: Callable[[int, int], None] = lambda _step, _steps: None,
) -> Iterator[float]:
    """Run the epochs that are left; yields each epoch's mean loss when it is finished.

    The order and augmentation of an epoch's batches depend on ``seed`` and the epoch's number
    alone, so a search that continues from a saved state takes the same steps.

    Raises:
        NumericalError: the loss is not a number.
    """
    steps = math.ceil(len(data.train) / config.batch_size)
    if not state.started:
        _start(state, data.train, config, objective, seed)
    while state.epoch < config.epochs:
        head_only = config.head_epochs > 0 and state.epoch % config.head_epochs == 0
        for score in state.masks.scores():
            score.requires_grad_(not head_only)
        total: Tensor | float = 0.0
        for step, batch in enumerate(
            data.train.shuffled(config.batch_size, seed=_epoch_seed(seed, state.epoch))
        ):
            _set_pressure(state, config.pressure, (state.epoch + step / steps) / config.epochs)
            loss = objective(state.model(batch.images), batch)
            if isinstance(config.pressure, Penalty):
                loss = loss + config.pressure.alpha * state.masks.soft_density()
            for optimizer in state.optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in state.optimizers:
                optimizer.step()
            total = total + loss.detach()
            on_step(step + 1, steps)
        state.epoch += 1
        if isinstance(config.pressure, Budget):
            state.masks.keep(budget_at(config.pressure, state.epoch / config.epochs))
        mean = float(total) / steps
        if not math.isfinite(mean):
            raise NumericalError(
                f"the loss is {mean} in epoch {state.epoch}; the points before it are kept. "
                "Give a lower --score-lr, or check that the base model's logits are finite"
            )
        yield mean


def _start(
    state: SearchState, train: Samples, config: SearchConfig, objective: Objective, seed: int
) -> None:
    if config.start == "saliency":
        batches = train.shuffled(config.batch_size, seed=_epoch_seed(seed, -1))
        losses = (
            lambda batch=batch: objective(state.model(batch.images), batch)
            for batch, _ in zip(batches, range(SALIENCY_BATCHES), strict=False)
        )
        start_from(state.masks, saliency(state.masks, losses))
        state.masks.keep(1.0)
    state.started = True


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    """A saved moment where the optimizer made it: beside its parameter, in the same layout."""
    if value.shape == parameter.shape:
        return torch.empty_like(parameter).copy_(value)
    return value.clone() if value.dtype == torch.float32 else value.to(parameter)


def _set_pressure(state: SearchState, pressure: Penalty | Budget, progress: float) -> None:
    factor = rate_at(pressure, progress)
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["full_lr"] * factor
    if isinstance(pressure, Budget):
        state.masks.keep(budget_at(pressure, progress), exact=False)


def _epoch_seed(seed: int, epoch: int) -> int:
    return (seed * 1_000_003 + epoch + 1) % 2**63
