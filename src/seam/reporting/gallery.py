"""A result's pictures: its frontier, what it gained over the base, what it lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from seam.artefacts.run import RunFolder
from seam.data.images import ImageSamples
from seam.jobs.result import Result
from seam.reporting.plots import disagreements, frontier_plot

MOST = 12


def write_pictures(result: Result) -> list[Path]:
    """Write ``frontier.png``, ``gained.png`` and ``lost.png`` into the run folder.

    *gained*: test images that the base restricted to the problem (for new labels, with a trained
    head) gets wrong and the result right; *lost*: the reverse, as the report counts them. Texts
    have neither, a result without a folder has no pictures.
    """
    if result.folder is None:
        return []
    folder = Path(result.folder)
    RunFolder(folder).refuse_links()
    files = [folder / "frontier.png"]
    frontier_plot(result.report, result.history, files[0])
    test = result.data.test
    if not isinstance(test, ImageSamples):
        return files
    names, truth = result.adapter.problem.outputs, result.data.test.targets.cpu()
    reference = result.report.get("reference", "restricted")
    base, ours = (result.predictions[name] for name in (reference, "reengineered"))
    for name, places in zip(("gained", "lost"), differing(base, ours, truth), strict=True):
        base_is, result_is = ("wrong", "right") if name == "gained" else ("right", "wrong")
        shown = places[:MOST]
        title = (
            f"{name}: {reference.replace('_', ' ')} base {base_is}, result {result_is}: "
            f"{len(places)} of {len(truth)} images"
        )
        if len(places) > MOST:
            title += f" ({MOST} shown)"
        files.append(folder / f"{name}.png")
        disagreements(
            pictures(test, shown),
            [names[i] for i in truth[shown]],
            [names[i] for i in base[shown]],
            [names[i] for i in ours[shown]],
            title=title,
            file=files[-1],
        )
    return files


def differing(
    base: torch.Tensor, ours: torch.Tensor, truth: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Places where the base is wrong and ours right, and where it is the reverse.

    >>> base, ours, truth = torch.tensor([[-1, 0, 1], [0, 0, 0], [0, 0, 1]])
    >>> [places.tolist() for places in differing(base, ours, truth)]
    [[0], [2]]
    """
    was, now = base == truth, ours == truth
    return (now & ~was).nonzero().flatten(), (was & ~now).nonzero().flatten()


def pictures(samples: ImageSamples, places: torch.Tensor) -> NDArray[np.uint8]:
    """Pixels of some samples for showing: uint8 (n, H, W), or (n, H, W, 3)."""
    if len(places) == 0:
        return np.zeros((0, 1, 1), dtype=np.uint8)
    pixels = samples.raw(places).cpu().numpy()
    return pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)
