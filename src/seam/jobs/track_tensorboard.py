"""A search as TensorBoard event files, in the run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seam.errors import MissingExtraError
from seam.jobs.observe import Silent
from seam.jobs.track_values import epoch_figures, flat, test_figures

if TYPE_CHECKING:
    from seam.search.frontier import Point

FOLDER = "tensorboard"


class TensorBoard(Silent):
    """Writes ``RUN/tensorboard``; a resumed search replaces what an interrupted one had written.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """

    def __init__(self, out: Path) -> None:
        self._folder = out / FOLDER
        self._epoch = 0
        try:
            import torch.utils.tensorboard as _  # noqa: F401
        except ImportError as error:
            raise MissingExtraError(
                "tensorboard is not installed; run: pip install 'seam[track]'"
            ) from error

    def begun(self, settings: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> None:
        """The settings as a table, and the points so far."""
        rows = [f"| {name} | {value} |" for name, value in flat(settings).items()]
        self._writer = self._open(purge_step=0)
        self._writer.add_text(
            "settings", "\n".join(["| setting | value |", "| --- | --- |", *rows])
        )
        for each in points:
            self._record(each)

    def point(self, point: Point, epochs: int) -> None:  # noqa: ARG002
        """An epoch's figures."""
        self._record(point.to_dict())

    def finished(self, report: Mapping[str, Any], folder: Path | None) -> None:  # noqa: ARG002
        """The figures on test data, at the epoch of the chosen point."""
        self._epoch = int(report["picked"]["epoch"])
        for name, value in test_figures(report).items():
            self._writer.add_scalar(name, value, self._epoch)
        self._writer.close()

    def keep(self, files: Sequence[Path]) -> None:
        """Pictures as images."""
        import numpy as np
        from PIL import Image

        writer = self._open()
        for file in files:
            with Image.open(file) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            writer.add_image(file.stem, pixels, self._epoch, dataformats="HWC")
        writer.close()

    def _record(self, point: Mapping[str, Any]) -> None:
        for name, value in epoch_figures(point):
            self._writer.add_scalar(name, value, int(point["epoch"]))
        self._writer.flush()

    def _open(self, purge_step: int | None = None) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self._folder), purge_step=purge_step)
