"""NNCF's regularization-based pruning as a method of the comparison: its masks, loss and schedule.

Data, split, teacher, batches, number of steps and the way points are measured are those of the
others; the loop around NNCF is what its users write. Weights move at the rate of preset `default`.
Masks move at ``MASK_RATE``, no other was tried: they begin at 4.6 and have to come below 0.
"""

from __future__ import annotations

import math
from dataclasses import replace

import nncf
import torch
from nncf.torch.function_hook.pruning.rb.algo import get_pruned_modules
from nncf.torch.function_hook.pruning.rb.losses import RBLoss
from nncf.torch.function_hook.pruning.rb.schedulers import ExponentialRBPruningScheduler
from torch import Tensor

from seam.core.pressure import Budget
from seam.jobs.observe import Observer
from seam.jobs.task import Task
from seam.jobs.walk import HEAD_BIAS, Walk
from seam.search.loop import batches_of, in_precision
from seam.search.state import SearchState

MASK_RATE = 0.1
FIRST = 0.1  # share removed at the start of the schedule, which reaches its end half way
BACKBONE = "backbone."


class NncfState(SearchState):
    """A model under NNCF's masks, seen as the state of one of our searches."""

    def __init__(self, task: Task, mine: SearchState) -> None:
        super().__init__(
            config=mine.config,
            model=task.headed(),
            masks=mine.masks,
            tuned=mine.tuned,
            optimizers=[],
            whole=mine.whole,
            strategy=replace(mine.strategy, start=None),  # it looks at no data first
        )
        self.maskable = mine.kept()
        self.model = nncf.prune(
            self.model,
            mode=nncf.PruneMode.UNSTRUCTURED_REGULARIZATION_BASED,
            examples_inputs=task.base.example(),
        ).requires_grad_(True)
        self.bits = {
            name.removeprefix(BACKBONE): module
            for name, module in get_pruned_modules(self.model).items()
        }

    def tensors(self) -> dict[str, Tensor]:
        """What has to be finite."""
        return dict(self.model.named_parameters())

    def snapshot(self) -> dict[str, Tensor]:
        """Masks, head and values; biases, which NNCF leaves alone, are all kept."""
        masks = {
            name: self.bits[name].mask > 0 if name in self.bits else torch.ones_like(mask)
            for name, mask in self.maskable.items()
        }
        values = {
            f"delta/{name.removeprefix(BACKBONE)}": value.detach()
            for name, value in self.model.state_dict().items()
            if name.startswith(BACKBONE) and "num_batches" not in name
        }
        head = {HEAD_BIAS: self.model.head.bias.detach()}
        return {**{f"mask/{name}": mask for name, mask in masks.items()}, **values, **head}


class NncfWalk(Walk):
    """A walk whose steps are those of a loop around NNCF."""

    def __init__(self, task: Task, observer: Observer) -> None:
        super().__init__(task, None, observer)
        self.state = NncfState(task, self.state)

    def run(self, _recorded: object = None) -> None:
        """Train weights and masks together for all epochs."""
        task, config = self.task, self.task.settings.search
        assert isinstance(config.pressure, Budget)
        model, train, objective = self.state.model, task.shown().train, task.objective()
        assert isinstance(self.state, NncfState)
        masks = [module.mask for module in self.state.bits.values()]
        others = [each for name, each in model.named_parameters() if "__nncf" not in name]
        optimizer = torch.optim.Adam(
            [{"params": masks, "lr": MASK_RATE}, {"params": others, "lr": config.rates.tune}]
        )
        steps = config.epochs * math.ceil(len(train) / config.batch_size)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        pressure = RBLoss(model, FIRST)
        schedule = ExponentialRBPruningScheduler(
            pressure, FIRST, 1 - config.pressure.final_density, max(1, config.epochs // 2)
        )
        torch.manual_seed(task.settings.seed)  # NNCF draws its gates' noise from the global one
        self._record(0.0)
        for epoch in range(config.epochs):
            schedule.step(epoch)
            model.train()
            total = torch.zeros(())
            for batch in batches_of(train, config, seed=task.settings.seed, epoch=epoch):
                with in_precision(config, batch.images.device):
                    outputs = model(batch.images)
                loss = objective(outputs.float(), batch)
                optimizer.zero_grad()
                (loss + pressure()).backward()
                optimizer.step()
                cosine.step()
                total += loss.detach()
            self.state.epoch = epoch + 1
            self._record(float(total) * config.epochs / steps)
            self.observer.point(self.points[-1], config.epochs)
