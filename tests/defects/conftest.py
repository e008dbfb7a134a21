"""The digits base and its own restricted outputs as a result: what it inherits is known."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from seam.core.problem import Problem
from seam.data.images import ImageSamples
from seam.data.load import load_splits
from seam.data.split import targets_of
from seam.defects.subjects import Subjects
from seam.masking.head import attach_head
from seam.models.load import load_base

LABELS = ("3", "5", "8")


@pytest.fixture(scope="session")
def identity() -> Subjects:
    """A result that is its base, on 60 test images of three labels."""
    base = load_base("zoo:digits")
    members = Problem.subset(LABELS).members(base.labels)
    images = load_splits("digits")["test"]
    images = images.select(np.flatnonzero(targets_of(images.labels, members) >= 0)[:60])
    rows = [picture(images.source.read(i)) for i in range(images.source.count)]
    result = attach_head(
        copy.deepcopy(base.module), "slice", members, example=base.example(), seed=0
    ).eval()
    return Subjects(
        base=base.module,
        answers=copy.deepcopy(result),
        result=result,
        base_labels=base.labels,
        outputs=LABELS,
        members=members,
        preprocessing=base.preprocessing,
        test=ImageSamples(
            torch.from_numpy(np.stack(rows)),
            torch.from_numpy(targets_of(images.labels, members)),
            base.preprocessing,
            torch.device("cpu"),
        ),
        labels=torch.from_numpy(images.labels),
        seed=0,
    )


def picture(data: bytes) -> NDArray[np.uint8]:
    from seam.data.decode import decode

    return np.asarray(decode(data, "digit", 1), dtype=np.uint8)[None]


@pytest.fixture
def other(identity: Subjects) -> Subjects:
    """The same with a result that has lost most of its inner weights."""
    generator = torch.Generator().manual_seed(1)
    result = copy.deepcopy(identity.result)
    with torch.no_grad():
        for name, value in result.named_parameters():
            if value.ndim == 4 and not name.endswith("conv1.weight"):
                value.mul_(torch.rand(value.shape, generator=generator) > 0.6)
    return replace(identity, result=result)
