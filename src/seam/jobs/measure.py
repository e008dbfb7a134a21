"""The figures of a report, each with its n and interval, measured on test data once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from seam.core.figures import paired_difference
from seam.evaluation.accuracy import by_label, outputs_of, share_right
from seam.evaluation.cost import LayerUses, executed_macs, layer_uses
from seam.jobs.baselines import Baselines
from seam.masking.head import Headed
from seam.search.samples import Samples


class Costs:
    """What the base costs, and what is left of it under given masks; the head counts.

    Made before masks are attached: it needs the plain layers.
    """

    def __init__(self, base: nn.Module, model: Headed, example: Tensor) -> None:
        self.base_macs = executed_macs(base, example)
        self.base_weights = sum(p.numel() for p in base.parameters())
        self._uses: LayerUses = layer_uses(model, example).merged(model)
        self._weights = {name: p.numel() for name, p in model.named_parameters()}

    def of(self, masks: Mapping[str, Tensor]) -> dict[str, dict[str, int]]:
        """Weights and MACs under ``masks`` (bool tensors by the backbone's parameter names).

        ``executed`` is what a dense runtime does with the masked model.
        """
        kept = {f"backbone.{name}": int(bits.sum()) for name, bits in masks.items()}
        removed = sum(self._weights[name] - count for name, count in kept.items())
        return {
            "weights": {
                "base": self.base_weights,
                "kept": sum(self._weights.values()) - removed,
                "maskable": sum(bits.numel() for bits in masks.values()),
            },
            "macs": {
                "base": self.base_macs,
                "theoretical": self._uses.theoretical(kept, self._weights),
                "executed": self._uses.dense,
            },
        }

    def macs_share(self, masks: Mapping[str, Tensor]) -> float:
        """Non-zero MACs under ``masks`` as a share of the base's."""
        found = self.of(masks)["macs"]
        return found["theoretical"] / found["base"]


def test_figures(
    answers: Tensor, result: nn.Module, baselines: Baselines, test: Samples
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Accuracy of baselines and result, over all and by label; and their predictions (n).

    ``answers`` are the base's to these samples, (n, F), which the baselines are functions of.
    """
    predictions = baselines.predictions(answers)
    predictions["reengineered"] = outputs_of(result, test).argmax(1)
    figures = {
        "accuracy": {
            name: share_right(found, test.targets).to_dict() for name, found in predictions.items()
        },
        "per_label": by_label(predictions, test.targets, baselines.problem.outputs),
        "reference": baselines.reference,
        f"against_{baselines.reference}": paired(
            predictions["reengineered"], predictions[baselines.reference], test.targets
        ),
    }
    return figures, predictions


def paired(found: Tensor, reference: Tensor, targets: Tensor) -> dict[str, Any]:
    """How often ``found`` is right where ``reference`` is wrong, and the reverse.

    >>> import torch
    >>> paired(torch.tensor([0, 1]), torch.tensor([1, 1]), torch.tensor([0, 1]))["gained"]
    1

    ``difference`` is the gain in accuracy with its 95 % interval for paired samples.
    """
    right, before = found == targets.cpu(), reference == targets.cpu()
    gained, lost, n = int((right & ~before).sum()), int((~right & before).sum()), len(targets)
    return {"gained": gained, "lost": lost, "difference": paired_difference(gained, lost, n)}
