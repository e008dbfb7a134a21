"""The peers' training: our levels, batches, loss, rates and choice, around another way to prune."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import torch
from peers.prune import UNIFORM_SLACK, narrow, prunable, to_share
from peers.shapes import with_gathers
from torch import Tensor

from seam.core.config import SearchConfig
from seam.core.pressure import Budget
from seam.errors import ConfigError, NumericalError
from seam.evaluation.accuracy import outputs_of, share_right
from seam.evaluation.cost import executed_macs
from seam.jobs.task import Task
from seam.masking.head import Headed
from seam.search.calibrate import calibrate, norms
from seam.search.loop import SALIENCY_BATCHES, STATISTICS_BATCHES, answers, batches_of
from seam.search.schedule import place, rate_at

SCRATCH_RATE = 0.002
"""Of everything, chosen before any run: twice that of the fine-tuning."""
ONE_SHOT = ("l1", "scratch")
UNIFORM = ("l1", "scratch")

Say = Callable[[dict[str, Any]], None]


@dataclass
class Tuned:
    """A finished peer: the module of the best epoch, every epoch, and what it took."""

    model: Headed
    points: list[dict[str, Any]] = field(default_factory=list)
    picked: int = 0
    prune_seconds: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def headed(task: Task) -> Headed:
    """The base with the head that our search gives it, its norm statistics those of the data."""
    config, model = task.settings.search, task.headed()
    if config.norm != "frozen":
        images = (each.images for each in islice(_batches(task, -1), STATISTICS_BATCHES))
        calibrate(model.eval().backbone, dict(model.backbone.named_parameters()), images)
    return model


def tune(task: Task, method: str, *, say: Say = lambda _point: None) -> Tuned:
    """Prune at the start of every level, train in between; keep the best epoch on validation."""
    config, pressure = task.settings.search, levels_of(task.settings.search, method)
    train, objective, example = task.data.search.train, task.objective(), task.base.example()
    base_macs = executed_macs(task.base.module, example)
    slack = UNIFORM_SLACK if method in UNIFORM else 1.0
    most = (pressure.final_density * slack + 5e-5) * base_macs
    steps, level, best = math.ceil(len(train) / config.batch_size), -1, -1.0
    clock, cpu = time.monotonic(), time.process_time()
    model, chosen = headed(task), None
    found = Tuned(model)
    for epoch in range(config.epochs):
        total: Tensor | float = 0.0
        for step, batch in enumerate(_batches(task, epoch)):
            progress = (epoch + step / steps) / config.epochs
            if place(pressure, progress)[0] > level:
                level, start = place(pressure, progress)[0], time.monotonic()
                model = _cut(model, task, method, level, pressure)
                found.prune_seconds += time.monotonic() - start
                optimizer = _optimizer(model, config, method)
            if step == 0 or not _training(model):
                train_mode(model)
            for group in optimizer.param_groups:
                group["lr"] = group["full_lr"] * rate_at(pressure, progress)
            loss = objective(answers(model, batch, config), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total = total + loss.detach()
        point = _point(task, model, epoch + 1, float(total) / steps, base_macs)
        found.points.append(point)
        say(point)
        if point["macs"] * base_macs <= most and point["validation_accuracy"] > best:
            best, found.picked = point["validation_accuracy"], epoch + 1
            chosen = copy.deepcopy(model)
    if chosen is None:
        raise ConfigError(
            f"{config.epochs} epochs of {steps} steps never reach the last of {pressure.levels} "
            "levels; give more epochs"
        )
    found.model = chosen
    found.seconds, found.cpu_seconds = time.monotonic() - clock, time.process_time() - cpu
    return found


def levels_of(config: SearchConfig, method: str) -> Budget:
    """Our walk down; one level of all the steps for what is done at once."""
    assert isinstance(config.pressure, Budget)
    return replace(config.pressure, levels=1) if method in ONE_SHOT else config.pressure


def _cut(model: Headed, task: Task, method: str, level: int, pressure: Budget) -> Headed:
    """What is left at the start of a level: the level's share of the MACs."""
    share = pressure.final_density ** ((level + 1) / pressure.levels)
    example = task.base.example()
    base_macs = executed_macs(task.base.module, example)
    if method == "scratch":
        seed = task.settings.seed
        found = narrow(model, share, example=example, base_macs=base_macs, seed=seed)
        with_gathers(found)
        return found
    model = prunable(model)
    objective = task.objective()
    losses = (
        lambda batch=batch: objective(answers(model, batch, task.settings.search), batch)
        for batch in islice(_batches(task, -1 - level), SALIENCY_BATCHES)
    )
    return to_share(model, method, share, example=example, base_macs=base_macs, losses=losses)


def _optimizer(model: Headed, config: SearchConfig, method: str) -> torch.optim.Optimizer:
    head, rest = config.rates.head, config.rates.tune
    if method == "scratch":
        head = rest = SCRATCH_RATE
    groups = [
        {"params": list(model.head.parameters()), "lr": head, "full_lr": head},
        {"params": list(model.backbone.parameters()), "lr": rest, "full_lr": rest},
    ]
    return torch.optim.Adam(groups)


def _training(model: Headed) -> bool:
    return all(each.training for each in norms(model).values())


def train_mode(model: Headed) -> None:
    """As in our search: norm layers train, dropout is off."""
    model.eval()
    for layer in norms(model).values():
        layer.train()


def _batches(task: Task, epoch: int) -> Iterator[Any]:
    """Our search's batches of an epoch."""
    settings = task.settings
    return batches_of(task.data.search.train, settings.search, seed=settings.seed, epoch=epoch)


def _point(task: Task, model: Headed, epoch: int, loss: float, base_macs: int) -> dict[str, Any]:
    if not math.isfinite(loss):
        raise NumericalError(f"the loss is {loss} in epoch {epoch}; give a lower rate")
    validation = task.data.search.validation
    predicted = outputs_of(model.eval(), validation).argmax(1)
    return {
        "epoch": epoch,
        "macs": executed_macs(model, task.base.example()) / base_macs,
        "validation_accuracy": share_right(predicted, validation.targets).value,
        "loss": loss,
    }
