"""The search: the published loop, with its start, pressure and schedule as settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import islice

import torch
from torch import Tensor, nn

from seam.core.config import Rates, SearchConfig
from seam.core.pressure import Budget, Penalty
from seam.errors import NumericalError
from seam.masking.parametrization import MaskSet
from seam.masking.remade import remade
from seam.search.attacked import AttackedSamples
from seam.search.calibrate import calibrate, recalibrate
from seam.search.objective import Objective
from seam.search.optimizer import bound_steps, parameters_of, steps_within
from seam.search.parallel import ALONE, Ranks
from seam.search.saliency import start_from
from seam.search.samples import Batch, Samples, SearchData
from seam.search.schedule import place
from seam.search.state import SearchState, begin
from seam.search.strategy import Look

SALIENCY_BATCHES = 32
STATISTICS_BATCHES = 8
BOUND_STEPS = 20
"""So many steps the rates of kept weights stay as they are."""
SEEDS_APART = 1_000_003
MOST_EPOCHS = 500_000  # views are drawn with the seeds above those of epochs

__all__ = ["SearchState", "answers", "batches_of", "begin", "in_precision", "search", "start"]


def search(
    state: SearchState,
    data: SearchData,
    config: SearchConfig,
    objective: Objective,
    *,
    seed: int,
    ranks: Ranks = ALONE,
    on_step: Callable[[int, int], None] = lambda _step, _steps: None,
) -> Iterator[float]:
    """Run the epochs that are left; yields each epoch's mean loss when it is finished.

    The order and augmentation of an epoch's batches depend on ``seed`` and the epoch's number
    alone, so a search that continues from a saved state takes the same steps. With several
    ``ranks``, each runs this with the same arguments and ends with the same state.

    Raises:
        NumericalError: the loss is not a number, or the states of the ranks differ.
    """
    steps = math.ceil(len(data.train) / config.batch_size)
    if not state.started:
        start(state, data.train, config, objective, seed=seed, ranks=ranks)
    while not _over(state, config):
        pressure = config.pressure if state.finetuned is None else None
        head_only = config.head_epochs > 0 and state.epoch % config.head_epochs == 0
        state.begin_epoch(search_scores=not head_only and config.rates.score > 0)
        total: Tensor | float = 0.0
        batches = batches_of(data.train, config, seed=seed, epoch=state.epoch)
        for step, batch in enumerate(batches):
            if state.statistics and len(batch.targets) == 1:
                continue  # one sample has no statistics
            if pressure is not None:
                progress = (state.epoch + step / steps) / config.epochs
                if state.compaction is not None:
                    _walk_down(state, data.train, config, objective, seed, progress, ranks)
                _set_pressure(state, pressure, progress)
                if config.rates.bound is not None and step % BOUND_STEPS == 0:
                    _bound_steps(state, config.rates)
                warmed = config.rates.warmed(state.epoch * steps + step + 1, config.epochs * steps)
                _set_rates(state, state.strategy.rate(pressure, progress), warmed)
            total = total + _backward(state, batch, config, objective, pressure, ranks)
            for optimizer in state.optimizers:
                optimizer.step()
                optimizer.zero_grad()  # at once: the next one's step needs memory
            on_step(step + 1, steps)
            if _stops(state, pressure):
                break
        state.epoch += 1
        if isinstance(pressure, Budget):
            kept = state.strategy.share(pressure, state.epoch / config.epochs)
            state.strategy.keep(state.masks, kept, True)
        if state.statistics and config.norm == "recalibrate":
            _measure_statistics(state, data.train, config, seed, ranks)
        ranks.check_same(state.tensors(), state.epoch)
        yield _mean(total, step + 1, state.epoch)


def start(
    state: SearchState,
    train: Samples,
    config: SearchConfig,
    objective: Objective,
    *,
    seed: int,
    ranks: Ranks = ALONE,
) -> None:
    """Set what the first step begins with: norm statistics of the samples, and scores.

    `search` does it where the state has not ``started``. How far and how fast a search goes is
    without influence: pressure, rates and epochs.
    """
    if state.statistics:
        batches = batches_of(train, config, seed=seed, epoch=-1)
        images = (batch.images for batch in islice(batches, STATISTICS_BATCHES))
        calibrate(state.model.backbone, state.tuned, images)
    _set_scores(state, train, config, objective, seed, ranks)
    state.started = True


def _measure_statistics(
    state: SearchState, train: Samples, config: SearchConfig, seed: int, ranks: Ranks
) -> None:
    """Set the norm statistics to those that the training samples have under the masks of now."""
    batches = batches_of(train, config, seed=seed, epoch=state.epoch)
    seen = islice(batches, STATISTICS_BATCHES)
    recalibrate(state.model.backbone, (each.images for each in seen if len(each.targets) > 1))
    ranks.take_mains(state.statistics)


def _backward(
    state: SearchState,
    batch: Batch,
    config: SearchConfig,
    objective: Objective,
    pressure: Penalty | Budget | None,
    ranks: Ranks,
) -> Tensor:
    """Gradients of the mean loss of a batch, from all ranks and all its parts; returns that loss.

    Every rank computes the whole loss, and their gradients are added up. Of a large model some are
    used up already.
    """
    size = len(batch.targets)
    total = torch.zeros((), device=batch.images.device)
    parts = batch.split(max(1, min(config.accumulate, size // 2)))  # statistics need two
    at_once = state.optimizers if len(parts) == 1 else []  # others' gradients are there in any case
    for part in parts:
        with remade():
            outputs = answers(state.model, part, config, ranks)
        loss = objective(outputs, part)
        if isinstance(pressure, Penalty):
            loss = loss + pressure.alpha * state.soft_density()
        loss = loss * (len(part.targets) / size)
        with steps_within(at_once, ranks.add_gradients):
            (loss / ranks.count).backward()
        total += loss.detach()
    for optimizer in state.optimizers:
        ranks.add_gradients(parameters_of(optimizer))
    return total


def answers(model: nn.Module, batch: Batch, config: SearchConfig, ranks: Ranks = ALONE) -> Tensor:
    """A model's outputs (batch, K), computed with gradients in the precision of a search."""
    size = len(batch.targets)
    with in_precision(config, batch.images.device), ranks.statistics(size):
        outputs: Tensor = model(ranks.part(batch).images)
    return ranks.gathered(outputs.float(), size)


def in_precision(config: SearchConfig, device: torch.device) -> AbstractContextManager[None]:
    """Large products on ``device`` are computed in the precision of a search."""
    low = config.precision == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=low)


def _over(state: SearchState, config: SearchConfig) -> bool:
    """Whether all epochs are done; where those of the search are, fine-tuning begins."""
    if state.finetuned is None:
        if state.epoch < config.epochs and not _stops(state, config.pressure):
            return False
        if config.finetune is None:
            return True
        state.begin_finetune()
    assert config.finetune is not None
    assert state.finetuned is not None
    return state.epoch >= state.finetuned + config.finetune.epochs


def _stops(state: SearchState, pressure: Penalty | Budget | None) -> bool:
    """Whether a penalty has removed as much as it was to remove."""
    stop = pressure.stop if isinstance(pressure, Penalty) else None
    return stop is not None and isinstance(state.masks, MaskSet) and state.masks.density() <= stop


def _mean(total: Tensor | float, steps: int, epoch: int) -> float:
    mean = float(total) / steps
    if not math.isfinite(mean):
        raise NumericalError(
            f"the loss is {mean} in epoch {epoch}; the points before it are kept. "
            "Give a lower --score-lr, or check that the base model's logits are finite"
        )
    return mean


def _walk_down(
    state: SearchState,
    train: Samples,
    config: SearchConfig,
    objective: Objective,
    seed: int,
    progress: float,
    ranks: Ranks,
) -> None:
    """Begin a level with new scores; once its budget is reached, remove for good and go on."""
    assert isinstance(config.pressure, Budget)
    level, within = place(config.pressure, progress)
    if level > state.level:
        state.level = level
        _set_scores(state, train, config, objective, seed, ranks)
    if within >= config.pressure.fall and state.compactions <= level:
        state.strategy.keep(state.masks, state.strategy.share(config.pressure, progress), True)
        state.compact()
        state.compactions = level + 1


def _set_scores(
    state: SearchState,
    train: Samples,
    config: SearchConfig,
    objective: Objective,
    seed: int,
    ranks: Ranks,
) -> None:
    """Set the scores that a level begins with: each rank looks at the same, the main one's count.

    Afterwards all hold the same state.
    """
    if state.strategy.start is not None:
        look = Look(
            state.model,
            state.masks,
            lambda: islice(
                batches_of(train, config, seed=seed, epoch=-1 - state.level), SALIENCY_BATCHES
            ),
            lambda batch: objective(answers(state.model, batch, config), batch),
        )
        scores = [*state.masks.scores().values()]
        searched = [score.requires_grad for score in scores]
        for score in scores:
            score.requires_grad_(True)  # also where a level begins in an epoch of the head alone
        start_from(state.masks, state.strategy.start(look))
        for score, before in zip(scores, searched, strict=True):
            score.requires_grad_(before)
        state.masks.keep(1.0)
    ranks.take_mains(state.tensors())


def _set_pressure(state: SearchState, pressure: Penalty | Budget, progress: float) -> None:
    strategy = state.strategy
    if isinstance(state.masks, MaskSet):
        state.masks.set_gate(strategy.gate(pressure, progress))
    if isinstance(pressure, Budget):
        strategy.keep(state.masks, strategy.share(pressure, progress), False)


def _bound_steps(state: SearchState, rates: Rates) -> None:
    """Once what is kept is set: a search that goes on has no threshold before."""
    masks = state.masks if isinstance(state.masks, MaskSet) else {}
    for optimizer in state.optimizers:
        bound_steps(optimizer, state.tuned, lambda n: masks[n].bits if n in masks else None, rates)


def _set_rates(state: SearchState, factor: float, warmed: float) -> None:
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["full_lr"] * factor * (warmed if group.get("warms") else 1.0)


def batches_of(train: Samples, config: SearchConfig, *, seed: int, epoch: int) -> Iterator[Batch]:
    """The batches of an epoch (below 0: those looked at before a level), in its order and view."""
    if isinstance(train, AttackedSamples):
        train = train.during(epoch, config.epochs)
    view = None
    if config.views:
        view = _seed_of(seed, MOST_EPOCHS + epoch % config.views)
    return train.shuffled(config.batch_size, seed=_seed_of(seed, epoch), view=view)


def _seed_of(seed: int, epoch: int) -> int:
    return (seed * SEEDS_APART + epoch + 1) % 2**63
