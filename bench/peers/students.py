"""Other ways to a student for new labels: the same steps, data and head start; ours is in `seam`.

*finetune*: all weights of the base adapt. *scratch*: the base's architecture with first weights.
*magnitude*: the smallest weights of all layers together are zero and stay zero. *remos*: relevant
slices (Zhang et al., ICSE 2022): large convolution weights that the target data hardly uses are
zeroed, then everything adapts, those too. *reinitialise*: the smallest weights are drawn anew, then
everything adapts. *renofeation* (Chin et al., 2020): first weights; behind each stage a tenth of
the channels is dropped, and what is left is drawn to what the base has there. Its authors train for
90,000 steps and then average weights over 30,000 more; here it has everyone's steps, unaveraged.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from peers.shapes import reset
from peers.tune import headed, train_mode
from torch import Tensor, nn
from torch.nn import functional as F

from seam.artefacts.adapter import Adapter, BaseReference
from seam.evaluation.accuracy import outputs_of, share_right
from seam.jobs.task import Task
from seam.masking.head import Headed
from seam.masking.parametrization import attach
from seam.search.loop import answers, batches_of
from seam.search.samples import Batch

METHODS = ("finetune", "scratch", "magnitude", "remos", "reinitialise", "renofeation")
FIRST_WEIGHTS = ("scratch", "renofeation")
DROPPED, ALIKE = 0.1, 5.0
"""Renofeation's share of channels, and its weight of the mean squares, in its authors' code."""
COVERED = 0.5
"""A channel is activated by a sample where its mean, scaled to [0, 1] in its layer, is above."""
Masks = Mapping[str, Tensor]
Say = Callable[[dict[str, Any]], None]
Apart = Callable[[Batch], Tensor | float]
"""How far a model's features are from where they are drawn, for the batch it has answered."""


@dataclass(frozen=True)
class Recipe:
    """How a student is trained: the published rates, or those of our default preset.

    ``sgd``: momentum 0.9, one rate throughout. ``adam``: a cosine from full to zero.
    """

    optimizer: str = "sgd"
    rate: float = 0.005
    head_rate: float = 0.05
    weight_decay: float = 1e-4

    def optimizers(
        self, model: Headed, steps: int
    ) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        """The optimizer, and what moves its rates."""
        groups = [
            {"params": list(model.head.parameters()), "lr": self.head_rate},
            {"params": list(model.backbone.parameters()), "lr": self.rate},
        ]
        found: torch.optim.Optimizer
        if self.optimizer == "sgd":
            found = torch.optim.SGD(groups, momentum=0.9, weight_decay=self.weight_decay)
            return found, torch.optim.lr_scheduler.ConstantLR(found, factor=1.0)
        found = torch.optim.Adam(groups)
        return found, torch.optim.lr_scheduler.CosineAnnealingLR(found, steps)


RECIPES = {
    "sgd": Recipe(),
    "adam": Recipe("adam", rate=0.003, head_rate=0.01, weight_decay=0.0),
}
SCRATCH = Recipe("adam", rate=0.003, head_rate=0.003, weight_decay=0.0)
"""First weights need longer steps than trained ones."""


def student(
    task: Task, method: str, removed: float, recipe: Recipe, *, say: Say, statistics: bool = True
) -> tuple[Adapter, Headed, list[dict[str, Any]]]:
    """A trained student as an adapter and as a module, and its epochs; the best one is kept.

    Where the base's norm layers have no ``statistics`` they are set from the data first, as our
    search does; the base gives the same answers then.
    """
    model = (task.headed() if statistics else headed(task)).requires_grad_(True)
    teacher = copy.deepcopy(model) if method == "renofeation" else None
    if method in FIRST_WEIGHTS:
        reset(model, seed=task.settings.seed)
        recipe = SCRATCH
    ways = {"magnitude": largest, "reinitialise": largest, "remos": relevant}
    masks: Masks = ways.get(method, _all)(model, task, removed)
    silence(model.backbone, masks)
    if method == "reinitialise":
        draw_anew(model.backbone, masks, seed=task.settings.seed)
    held = masks if method == "magnitude" else {}
    with drawn_to(teacher, model, task) if teacher else nullcontext(_nowhere) as apart:
        points = _train(task, model, held, recipe, say, apart)
    return adapter_of(task, model, held), model, points


def _train(
    task: Task,
    model: Headed,
    held: Masks,
    recipe: Recipe,
    say: Say,
    apart: Apart,
) -> list[dict[str, Any]]:
    """Train to the best epoch on validation data; the weights that ``held`` removes stay 0.

    ``apart`` is added to the loss, after the model has answered the batch.
    """
    config, data, objective = task.settings.search, task.data.search, task.objective()
    batches = partial(batches_of, data.train, config, seed=task.settings.seed)
    steps = config.all_epochs * -(-len(data.train) // config.batch_size)
    optimizer, schedule = recipe.optimizers(model, steps)
    points: list[dict[str, Any]] = []
    best, chosen = -1.0, model.state_dict()
    for epoch in range(config.all_epochs):
        train_mode(model)
        for batch in batches(epoch=epoch):
            loss = objective(answers(model, batch, config), batch) + apart(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            silence(model.backbone, held)
        predicted = outputs_of(model.eval(), data.validation).argmax(1)
        right = share_right(predicted, data.validation.targets).value
        points.append({"epoch": epoch + 1, "validation_accuracy": right, "loss": loss.item()})
        say(points[-1])
        if right > best:
            best, chosen = right, copy.deepcopy(model.state_dict())
    model.load_state_dict(chosen)
    model.requires_grad_(False)
    return points


@contextmanager
def drawn_to(teacher: Headed, model: Headed, task: Task) -> Iterator[Apart]:
    """Renofeation: how far the model's features, some of them dropped, are from the teacher's."""
    teacher.requires_grad_(False).eval()
    names = stages(model.backbone, task.base.example())
    mine, theirs = deque[Tensor](maxlen=len(names)), deque[Tensor](maxlen=len(names))

    def drop(layer: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        mine.append(F.dropout2d(output, DROPPED, layer.training))
        return mine[-1]

    def keep(_layer: nn.Module, _inputs: Any, output: Tensor) -> None:
        theirs.append(output)

    hooks = [model.backbone.get_submodule(name).register_forward_hook(drop) for name in names]
    hooks += [teacher.backbone.get_submodule(name).register_forward_hook(keep) for name in names]

    def apart(batch: Batch) -> Tensor | float:
        with torch.no_grad():
            answers(teacher, batch, task.settings.search)
        pairs = zip(mine, theirs, strict=True)
        return ALIKE * sum(F.mse_loss(a.float(), b.float()) for a, b in pairs)

    try:
        yield apart
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def stages(module: nn.Module, example: Tensor) -> list[str]:
    """Names of the layers behind which the pictures become smaller, or end, in order."""
    last: dict[int, str] = {}

    def note(_layer: nn.Module, _inputs: Any, output: Any, name: str) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] > 1:
            last[output.shape[2]] = name

    hooks = [
        layer.register_forward_hook(partial(note, name=name))
        for name, layer in module.named_modules()
        if name
    ]
    module.eval()(example)
    for hook in hooks:
        hook.remove()
    return list(last.values())


def _nowhere(_batch: Batch) -> float:
    """Nothing is drawn to anything."""
    return 0.0


def _all(_model: Headed, _task: Task, _removed: float) -> Masks:
    return {}


def largest(model: Headed, _task: Task, removed: float) -> Masks:
    """Masks that remove the smallest share of the weights that our search could remove."""
    plain = copy.deepcopy(model.backbone)
    values = {name: dict(plain.named_parameters())[name].detach() for name in _maskable(plain)}
    every = torch.cat([value.abs().flatten() for value in values.values()])
    threshold = every.kthvalue(round(removed * len(every))).values
    return {name: value.abs() > threshold for name, value in values.items()}


def relevant(model: Headed, task: Task, removed: float) -> Masks:
    """ReMoS: zero the share with the lowest rank of coverage less rank of magnitude.

    A weight's coverage is how often its input channel, and how often its output channel, is
    activated by the training samples. The authors' way to call a channel activated is not stated
    where we read of the method; ``COVERED`` is our reading.
    """
    coverage = covered(model, (batch.images for batch in task.data.search.train.ordered(64)))
    convs = {
        name: layer
        for name, layer in model.backbone.named_modules()
        if isinstance(layer, nn.Conv2d)
    }
    used, size = [], []
    for name, conv in convs.items():
        inputs, outputs = coverage[name]
        inputs = inputs.view(conv.groups, -1).repeat_interleave(
            conv.out_channels // conv.groups, dim=0
        )
        both = (outputs[:, None] + inputs)[:, :, None, None].expand_as(conv.weight)
        used.append(both.flatten())
        size.append(conv.weight.detach().abs().flatten())
    order = _ranks(torch.cat(used)) - _ranks(torch.cat(size))
    lowest = order.kthvalue(max(1, round(removed * len(order)))).values
    kept = (order > lowest).split([conv.weight.numel() for conv in convs.values()])
    return {
        f"{name}.weight": mask.view_as(conv.weight)
        for (name, conv), mask in zip(convs.items(), kept, strict=True)
    }


@torch.no_grad()
def covered(model: Headed, images: Iterable[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """How often each convolution's input and output channels are activated, by its name."""
    counts: dict[str, list[Tensor]] = {}
    seen = 0

    def count(_layer: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor, name: str) -> None:
        found = [_activated(inputs[0]), _activated(outputs)]
        before = counts.get(name, [torch.zeros_like(each) for each in found])
        counts[name] = [old + new for old, new in zip(before, found, strict=True)]

    hooks = [
        layer.register_forward_hook(partial(count, name=name))
        for name, layer in model.backbone.named_modules()
        if isinstance(layer, nn.Conv2d)
    ]
    for batch in images:
        model.eval()(batch)
        seen += len(batch)
    for hook in hooks:
        hook.remove()
    return {name: (found[0] / seen, found[1] / seen) for name, found in counts.items()}


def _activated(values: Tensor) -> Tensor:
    """How many samples of (n, C, H, W) activate each channel, (C)."""
    means = values.mean((2, 3))
    low, high = means.amin(1, keepdim=True), means.amax(1, keepdim=True)
    return ((means - low) / (high - low).clamp_min(1e-12) > COVERED).sum(0).float()


def _ranks(values: Tensor) -> Tensor:
    return values.argsort(stable=True).argsort()


def _maskable(module: nn.Module) -> list[str]:
    masks = attach(module)
    names = list(masks)
    masks.detach()
    return names


@torch.no_grad()
def silence(module: nn.Module, masks: Masks) -> None:
    """Write zeros where the masks remove."""
    parameters = dict(module.named_parameters())
    for name, mask in masks.items():
        parameters[name].masked_fill_(~mask, 0)


@torch.no_grad()
def draw_anew(module: nn.Module, masks: Masks, *, seed: int) -> None:
    """Write first weights where the masks remove."""
    first = copy.deepcopy(module)
    reset(first, seed=seed)
    parameters, drawn = dict(module.named_parameters()), dict(first.named_parameters())
    for name, mask in masks.items():
        parameters[name].copy_(torch.where(mask, parameters[name], drawn[name]))


def adapter_of(task: Task, model: Headed, masks: Masks) -> Adapter:
    """A student as an adapter of its base: every value it has, and what stays removed."""
    state = model.backbone.state_dict()
    return Adapter(
        masks=masks,
        head=model.head.state_dict(),
        delta={name: value for name, value in state.items() if value.is_floating_point()},
        head_kind=task.settings.search.head,
        problem=task.problem,
        preprocessing=task.base.preprocessing,
        base=BaseReference.of(task.base, task.problem),
    )
