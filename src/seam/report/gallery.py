"""A result's pictures: its frontier, what it gained over the base, what it lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from seam.data.images import ImageSamples
from seam.jobs.direct import Result
from seam.report.plots import disagreements, frontier_plot

MOST = 12


def write_pictures(result: Result) -> list[Path]:
    """Write ``frontier.png``, ``gained.png`` and ``lost.png`` into the run folder.

    *gained*: test images that the restricted base gets wrong and the result right; *lost* the
    reverse. A result without a folder has no pictures.
    """
    if result.folder is None:
        return []
    files = [result.folder / name for name in ("frontier.png", "gained.png", "lost.png")]
    frontier_plot(result.report, result.history, files[0])
    truth = result.data.test.targets.cpu()
    before, after = (result.predictions[name] for name in ("restricted", "reengineered"))
    for file, mine, theirs, title in (
        (files[1], after, before, "the restricted base is wrong, the result right"),
        (files[2], before, after, "the restricted base is right, the result wrong"),
    ):
        places = ((mine == truth) & (theirs != truth)).nonzero().flatten()
        outputs = result.adapter.problem.outputs
        disagreements(
            pictures(result.data.test, places[:MOST]),
            [outputs[i] for i in truth[places]],
            [outputs[i] for i in before[places]],
            [outputs[i] for i in after[places]],
            title=f"{title}: {len(places)} of {len(truth)} test images",
            file=file,
        )
    return files


def pictures(samples: ImageSamples, places: torch.Tensor) -> NDArray[np.uint8]:
    """Pixels of some samples for showing: uint8 (n, H, W), or (n, H, W, 3)."""
    if len(places) == 0:
        return np.zeros((0, 1, 1), dtype=np.uint8)
    pixels = samples.raw(places).cpu().numpy()
    return pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)
