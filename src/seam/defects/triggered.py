"""How often a trigger works on a base and on its result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seam.core.figures import Share
from seam.core.problem import LabelIndex
from seam.defects.backdoor import Trigger
from seam.defects.inheritance import flip_rate, target_rate
from seam.defects.pixels import on_pixels, predicted
from seam.defects.subjects import SHOWN, Examples, Subjects, named, spread
from seam.evaluation.accuracy import EVALUATION_BATCH, share_right

Pair = tuple[Tensor, Tensor]
"""Predictions (n) without and with the trigger."""


def trigger_figures(subjects: Subjects, trigger: Trigger) -> tuple[dict[str, Any], Examples]:
    """The ``backdoor`` of a report, over all test samples; and a few triggered images.

    >>> trigger_figures(subjects, trigger)[0]["base"]["value"]  # doctest: +SKIP
    1.0

    ``meaning`` is ``target`` where an output stands for the target label: success is the share of
    the samples of other outputs that are given it. Else it is ``flip``: the share of the rightly
    classified samples that the trigger flips. The base's whole classifier always has the target.

    Raises:
        LabelError: the target is none of the base's labels.
        ConfigError: the trigger does not fit the images.
    """
    target = target_of(subjects, trigger)
    output = next((i for i, group in enumerate(subjects.members) if target in group), None)
    base, answers, result = _predictions(subjects, trigger)
    truth, labels = subjects.test.targets.cpu(), subjects.labels
    figures = {
        "target_label": subjects.base_labels[target],
        "trigger": trigger.to_dict(),
        "meaning": "flip" if output is None else "target",
        "base": {
            **target_rate(base[1], labels, target).to_dict(),
            "restricted": _success(answers, truth, output).to_dict(),
            "accuracy": {
                "full": _full_accuracy(base[0], truth, subjects.members),
                "restricted": share_right(answers[0], truth).to_dict(),
            },
        },
        "reengineered": {
            **_success(result, truth, output).to_dict(),
            "accuracy": share_right(result[0], truth).to_dict(),
        },
    }
    shown = (labels != target).nonzero().flatten()
    return figures, _examples(subjects, trigger, base, result, shown)


def target_of(subjects: Subjects, trigger: Trigger) -> int:
    """Number of the trigger's target among the base's labels, once the trigger is known to fit.

    Raises:
        LabelError: it is none of them.
        ConfigError: the trigger does not fit the images.
    """
    trigger.apply(subjects.example())
    index = LabelIndex(subjects.base_labels, owner="the base model")
    return index.find(trigger.target_label)


def _success(pair: Pair, truth: Tensor, output: int | None) -> Share:
    if output is None:
        return flip_rate(pair[0], pair[1], truth)
    return target_rate(pair[1], truth, output)


def _full_accuracy(
    labels: Tensor, truth: Tensor, members: Sequence[Sequence[int]]
) -> dict[str, Any] | None:
    """The base's argmax over all its labels; None where the outputs are not made of those."""
    if not members:
        return None
    right = [label in members[output] for label, output in zip(labels.tolist(), truth, strict=True)]
    return Share.of(sum(right), len(right)).to_dict()


def _predictions(subjects: Subjects, trigger: Trigger) -> list[Pair]:
    """Of the base's labels, of the outputs by the base and by the result."""
    modules = (subjects.base, subjects.answers, subjects.result)
    models = [on_pixels(each, subjects.preprocessing) for each in modules]
    found: list[tuple[list[Tensor], list[Tensor]]] = [([], []) for _ in models]
    for numbers in torch.arange(len(subjects.test)).split(EVALUATION_BATCH):
        clean = subjects.test.scaled(numbers)
        triggered = trigger.apply(clean)
        for model, (before, after) in zip(models, found, strict=True):
            before.append(predicted(model, clean))
            after.append(predicted(model, triggered))
    return [(torch.cat(before), torch.cat(after)) for before, after in found]


def _examples(
    subjects: Subjects, trigger: Trigger, base: Pair, result: Pair, numbers: Tensor
) -> Examples:
    chosen = numbers[spread(len(numbers), SHOWN)]
    clean = subjects.test.scaled(chosen)
    outputs, labels = subjects.outputs, subjects.base_labels
    return Examples(
        name="trigger",
        title=f"trigger for '{trigger.target_label}'",
        clean=clean.cpu(),
        changed=trigger.apply(clean).cpu(),
        truth=named(outputs, subjects.test.targets[chosen]),
        base=(named(labels, base[0][chosen]), named(labels, base[1][chosen])),
        result=(named(outputs, result[0][chosen]), named(outputs, result[1][chosen])),
    )
