"""Sheets of attacked images: clean, changed, the difference, and what was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from seam.defects.subjects import Examples
from seam.report.plots import INK, new_figure, save_figure

TIMES = 10


def write_sheets(examples: Sequence[Examples], run: Path) -> list[Path]:
    """Write ``defects/NAME.png`` into a run folder for each set of examples; returns the files."""
    files = []
    for each in examples:
        files.append(run / "defects" / f"{each.name}.png")
        sheet(each, files[-1])
    return files


def sheet(examples: Examples, file: Path) -> None:
    """One row an image: clean, changed, and ``TIMES`` the difference (grey is none)."""
    rows = max(1, len(examples.truth))
    figure = new_figure(6.4, 1.9 * rows + 0.5)
    figure.suptitle(examples.title, fontsize=10, color=INK)
    grid = figure.subplots(rows, 3, squeeze=False)
    difference = (0.5 + TIMES * (examples.changed - examples.clean)).clamp(0, 1)
    columns = [_pixels(part) for part in (examples.clean, examples.changed, difference)]
    for axes in grid.flat:
        axes.set_axis_off()
    for row, truth in enumerate(examples.truth):
        for axes, images in zip(grid[row], columns, strict=True):
            axes.imshow(images[row], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        for place in (0, 1):
            text = f"base: {examples.base[place][row]}\nresult: {examples.result[place][row]}"
            if place == 0:
                text = f"is {truth}\n{text}"
            grid[row, place].set_title(text, fontsize=7, color=INK, parse_math=False)
        grid[row, 2].set_title(f"difference x{TIMES}", fontsize=7, color=INK)
    save_figure(figure, file)


def _pixels(images: Tensor) -> NDArray[np.uint8]:
    """Images (n, C, H, W) in [0, 1] as uint8 (n, H, W), or (n, H, W, 3)."""
    pixels: NDArray[np.uint8] = (255 * images).round().byte().numpy()
    return pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)
