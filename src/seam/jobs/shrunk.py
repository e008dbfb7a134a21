"""The finished model of a run: as it is masked, or, where channels were searched, shrunk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seam.artefacts.adapter import Adapter
from seam.artefacts.adapter_file import recorded_digest
from seam.artefacts.atomic import shown
from seam.artefacts.model_manifest import (
    ModelManifest,
    architecture_recipe,
    changed_attributes,
)
from seam.artefacts.run import RunFolder
from seam.errors import RunFolderError
from seam.evaluation.accuracy import first_images
from seam.jobs.task import Task
from seam.shrink.remove import bits_of
from seam.shrink.shrink import shrink

PROOF_SAMPLES = 64


@dataclass(frozen=True)
class Finished:
    """A run's model with what it is: ``masked`` or ``shrunk``, and how that was proved."""

    module: nn.Module
    facts: dict[str, Any]
    manifest: ModelManifest | None = None


def finished(task: Task, adapter: Adapter, masked: nn.Module) -> Finished:
    """Shrink ``masked`` where the search was for channels, and prove it equal on real samples.

    Raises:
        ModelError: the shrunk model gives other outputs.
    """
    if task.settings.search.granularity == "weight":
        return Finished(masked, {"kind": "masked"})
    axes = task.axes(masked)
    masks = {f"backbone.{name}": mask for name, mask in adapter.masks.items()}
    images = first_images(task.data.test, PROOF_SAMPLES)
    small = shrink(masked, axes, bits_of(axes, masked, masks), images)
    facts = {
        "kind": "shrunk",
        "difference": small.difference,
        "samples": small.samples,
        "folded": len(small.folded),
        "left_whole": task.left_whole(),
    }
    manifest = ModelManifest(
        recipe=architecture_recipe(task.base),
        base=adapter.base,
        problem=adapter.problem,
        preprocessing=adapter.preprocessing,
        head_kind=adapter.head_kind,
        attributes=changed_attributes(masked, small.module),
        folded=small.folded,
    )
    return Finished(small.module.to(memory_format=torch.channels_last), facts, manifest)


def check_pair(folder: Path, manifest: ModelManifest, adapter: Path) -> None:
    """That the shrunk model in ``folder`` and the adapter beside it are of the same point.

    Raises:
        RunFolderError: they are not, as after a kill while a point was chosen.
    """
    if recorded_digest(adapter) not in (None, manifest.adapter):
        command = RunFolder(folder.parent).command
        raise RunFolderError(
            f"{shown(folder)} and the adapter beside it are of two points of a search; choose the "
            f"point again with {command} --out RUN --pick EPOCH"
        )
