"""Sheets of attacked images: clean, changed, the difference, and what was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from seam.artefacts.run import RunFolder
from seam.defects.subjects import Examples
from seam.reporting.plots import INK, ORANGE, new_figure, save_figure

TIMES = 10


def write_sheets(examples: Sequence[Examples], run: Path) -> list[Path]:
    """Write ``defects/NAME.png`` into a run folder for each set of examples; returns the files."""
    files = []
    RunFolder(run).refuse_links()
    for each in examples:
        files.append(run / "defects" / f"{each.name}.png")
        sheet(each, files[-1])
    return files


def sheet(examples: Examples, file: Path) -> None:
    """One column an image: clean, changed, and ``TIMES`` the difference, where grey is none."""
    columns = max(1, len(examples.truth))
    figure = new_figure(max(6.0, 1.6 * columns), 5.8)
    title = f"{examples.title}: clean, changed, difference x{TIMES} (grey: none)"
    figure.suptitle(title, fontsize=10, color=INK)
    grid = figure.subplots(3, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    difference = (0.5 + TIMES * (examples.changed - examples.clean)).clamp(0, 1)
    for row, images in enumerate((examples.clean, examples.changed, difference)):
        for axes, pixels in zip(grid[row], _pixels(images), strict=True):
            axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    for row in (0, 1):
        for column, truth in enumerate(examples.truth):
            ours = examples.result[row][column]
            text = f"base: {examples.base[row][column]}\nresult: {ours}"
            grid[row, column].set_title(
                f"is {truth}\n{text}" if row == 0 else text,
                fontsize=7,
                color=INK if ours == truth else ORANGE,
                parse_math=False,
            )
    save_figure(figure, file)


def _pixels(images: Tensor) -> NDArray[np.uint8]:
    """Images (n, C, H, W) in [0, 1] as uint8 (n, H, W), or (n, H, W, 3)."""
    pixels: NDArray[np.uint8] = (255 * images).round().byte().numpy()
    return pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)
