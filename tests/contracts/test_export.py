"""Contract 3 to its end, one row an architecture: two steps of search, shrink, export, compare.

Each row is written as ONNX, opened again, and compared with the shrunk module one image at a time
and three at a time; and two rows of three, in turn, for OpenVINO or as a `torch.export` program as
well: all three formats for every row would take too long.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from architectures import CHANNEL_ARCHITECTURES, built
from in_memory import InMemory
from torch import Tensor, nn

from seam.artefacts.adapter import Adapter, BaseReference, apply_adapter
from seam.core.config import Budget, Channels, SearchConfig
from seam.core.preprocessing import Preprocessing
from seam.core.problem import Problem
from seam.evaluation.cost import MacsMeter, executed_macs
from seam.exporting.compare import compare
from seam.exporting.formats import FORMATS
from seam.exporting.session import open_session
from seam.masking.channels import find_axes
from seam.masking.head import attach_head
from seam.models.base import BaseModel
from seam.search.loop import begin, search
from seam.search.objective import Objective
from seam.search.presets import preset
from seam.search.samples import SearchData
from seam.shrink.check import TOLERANCE, checked
from seam.shrink.remove import bits_of
from seam.shrink.shrink import shrink

PROBLEM = Problem.subset(["0", "1", "2"])
BUDGET = 0.7
IMAGES = 3
FORMATS_IN_TURN = (("onnx", "openvino"), ("onnx", "torch"), ("onnx",))
QUICK = ("cifar_resnet20", "cifar_vgg16", "wrn16_1", "digits", "resnet18", "regnetx_002")
ROWS = [
    pytest.param(
        name, FORMATS_IN_TURN[i % 3], id=name, marks=() if name in QUICK else pytest.mark.slow
    )
    for i, name in enumerate(CHANNEL_ARCHITECTURES)
]


def two_steps() -> SearchConfig:
    """The preset, with one level: its budget is reached, and the network shrunk, before step 2."""
    return replace(
        preset("default", PROBLEM, granularity="channel"),
        epochs=1,
        batch_size=4,
        head="slice",
        pressure=Budget(final_density=BUDGET, levels=1),
        channels=Channels(round_to=1),
    )


def based(module: nn.Module, images: Tensor) -> BaseModel:
    """A row of the table as a base model of ten labels."""
    channels, side = images.shape[1:3]
    values = Preprocessing(size=side, mean=(0.5,) * channels, std=(0.5,) * channels)
    return BaseModel(module, tuple("0123456789"), values)


def shrunk(name: str) -> tuple[nn.Module, Tensor, float]:
    """A row after two steps of its search, without what they removed; images; MACs of its base."""
    module, images = built(CHANNEL_ARCHITECTURES[name])
    images = torch.randn(8, *images.shape[1:])
    base, config, example = based(module, images), two_steps(), images[:1]
    members = PROBLEM.members(base.labels)
    model = attach_head(copy.deepcopy(module), config.head, members, example=example, seed=0)
    axes = checked(model, find_axes(model, example), example).axes
    whole = executed_macs(model, example)
    meter = MacsMeter.of(model, example, base=whole)
    noise = InMemory(images, torch.arange(len(images)) % len(members))
    state = begin(model, config, axes=axes, meter=meter)
    list(search(state, SearchData(noise, noise), config, Objective(), seed=0))
    adapter = Adapter.from_snapshot(
        state.snapshot(),
        head_kind=config.head,
        problem=PROBLEM,
        preprocessing=base.preprocessing,
        base=BaseReference.of(base, PROBLEM),
        config=config.to_dict(),
    )
    masked = apply_adapter(adapter, base)
    masks = {f"backbone.{name}": mask for name, mask in adapter.masks.items()}
    small = shrink(masked, axes, bits_of(axes, masked, masks), images)
    assert small.difference <= TOLERANCE
    return small.module, images[:IMAGES], whole


@pytest.mark.parametrize(("name", "formats"), ROWS)
def test_searched_shrunk_and_exported(name: str, formats: tuple[str, ...], tmp_path: Path) -> None:
    model, images, whole = shrunk(name)
    assert executed_macs(model, images[:1]) <= BUDGET * whole
    for kind in map(FORMATS.__getitem__, formats):
        file = tmp_path / kind.name / kind.file
        file.parent.mkdir()
        kind.write(model, images[:1], file)
        found = compare(open_session(file, threads=1), model, images, tolerance=kind.tolerance)
        assert found["agrees"], (kind.name, found)
        assert found["top1_agreement"]["value"] == 1
