"""A search with its points, saved after every epoch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from seam.artefacts.run import RunFolder
from seam.errors import NumericalError, RunFolderError, in_line
from seam.evaluation.accuracy import outputs_of, share_right
from seam.jobs.latency_budget import keep_table
from seam.jobs.measure import paired
from seam.jobs.observe import Observer
from seam.jobs.task import Task
from seam.masking.gates import ChannelSet
from seam.search.frontier import Point, frontier
from seam.search.loop import search
from seam.search.parallel import ALONE, Ranks
from seam.search.state import share_kept

HEAD_BIAS = "head/bias"
"""Of the heads ``slice`` and ``replace``; the paper's has layers of its own, and stays as it is."""


class Walk:
    """The search with its points, saved after every epoch where there is a run folder."""

    def __init__(
        self, task: Task, folder: RunFolder | None, observer: Observer, ranks: Ranks = ALONE
    ) -> None:
        self.task, self.folder, self.observer, self.ranks = task, folder, observer, ranks
        self.points: list[Point] = []
        self.seconds = 0.0
        self._snapshots: dict[int, dict[str, Tensor]] = {}
        self.state, self.costs = task.begin(folder, observer)

    @property
    def frontier(self) -> list[Point]:
        """The points that no other beats, of those that can be chosen."""
        samples = len(self.task.data.search.train)
        first = self.task.settings.search.first_candidate(samples) - 1e-9
        return frontier([each for each in self.points if each.epoch == 0 or each.epoch >= first])

    def snapshot(self, point: Point) -> dict[str, Tensor]:
        """Masks, head and tuned parameters of a point of the frontier."""
        if self.folder is not None:
            return self.folder.load_point(point.epoch)
        return self._snapshots[point.epoch]

    def run(self, recorded: Mapping[str, Any] | None = None) -> None:
        """Run the epochs that are left; ``recorded`` are the settings as a run folder has them."""
        settings = self.task.settings
        epochs = settings.search.all_epochs
        self.resume()
        if self.folder is not None and self.points:
            self.folder.check_points([each.epoch for each in self.frontier])
        if not self.points and self.task.baselines.starts_well(self.state.model.head):
            self._record(0.0)
        groundwork = self.task.groundwork
        if groundwork is not None and groundwork.state is not None and not self.state.started:
            self.state.load(groundwork.state, epoch=0)
        self.observer.begun(recorded or {}, [each.to_dict() for each in self.points])
        self.observer.stage("searching")
        clock, spent = time.monotonic(), self.seconds
        for loss in search(
            self.state,
            self.task.shown(),
            settings.search,
            self.task.objective(),
            seed=settings.seed,
            ranks=self.ranks,
            on_step=lambda step, steps: self.observer.step(self.state.epoch, epochs, step, steps),
        ):
            self.seconds = spent + time.monotonic() - clock
            self._record(loss)
            self.observer.point(self.points[-1], epochs)

    def _record(self, loss: float) -> None:
        """Measure where the search stands on validation data, and save it."""
        validation = self.task.data.search.validation
        outputs = outputs_of(self.state.model.eval(), validation)
        snapshot = {name: value.cpu().clone() for name, value in self.state.snapshot().items()}
        if HEAD_BIAS in snapshot:
            shift = self.task.baselines.shift(outputs, validation.targets)
            snapshot[HEAD_BIAS] += shift
            outputs = outputs + shift
        masks = {n.removeprefix("mask/"): m for n, m in snapshot.items() if n.startswith("mask/")}
        macs, latency = self._costs(masks)
        predicted, before = outputs.argmax(1), self.task.compared.restricted
        pairs = paired(predicted, before, validation.targets) if before is not None else {}
        point = Point(
            epoch=self.state.epoch,
            density=share_kept(masks),
            validation_accuracy=share_right(predicted, validation.targets).value,
            macs=macs,
            loss=loss,
            latency=latency,
            gained=pairs.get("gained"),
            lost=pairs.get("lost"),
        )
        _check_finite({**self.state.tensors(), **snapshot}, point.epoch)
        self.points.append(point)
        if self.folder is None:
            self._snapshots[point.epoch] = snapshot
        else:
            if self.ranks.is_main:
                self.folder.save_point(point.epoch, snapshot)
            if point.epoch > 0:
                rows = [each.to_dict() for each in self.points]
                values = {"epoch": point.epoch, "points": rows, "seconds": self.seconds}
                self.folder.save_state(self.state.tensors(), values, self.ranks)
        self._tidy()

    def _costs(self, masks: Mapping[str, Tensor]) -> tuple[float, float | None]:
        """MACs as a share of the base's; the predicted time, where the budget is in time.

        MACs that are the budget are as the budget counts them, with the head that channels narrow.
        """
        searched = self.state.masks
        if not isinstance(searched, ChannelSet):
            return self.costs.macs_share(masks), None
        cost = self.task.settings.search.channels.cost
        macs = searched.cost() if cost == "macs" else self.costs.macs_share(masks)
        return macs, searched.cost() if cost == "latency" else None

    def _tidy(self) -> None:
        """List the points, and forget what those off the frontier are made of."""
        kept = {each.epoch for each in self.frontier}
        self._snapshots = {epoch: each for epoch, each in self._snapshots.items() if epoch in kept}
        if self.folder is not None and self.ranks.is_main:
            self.folder.write_history([each.to_dict() for each in self.points])
            self.folder.write_json("frontier.json", [each.to_dict() for each in self.frontier])
            self.folder.keep_points(kept)

    def resume(self) -> None:
        """Take up the points and the state that the run folder holds, if any."""
        if self.folder is not None and isinstance(self.state.masks, ChannelSet):
            keep_table(self.state.masks.meter, self.folder)
        saved = self.folder.load_state() if self.folder is not None else None
        if saved is not None:
            self._take_up(*saved)
            self._tidy()  # a kill may have come between the state and the lists

    def _take_up(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on from a saved state; a damaged one may make PyTorch raise whatever it likes."""
        try:
            self.points = [Point.from_dict(row) for row in values["points"]]
            self.seconds = float(values["seconds"])
            self.state.load(tensors, Point.from_dict(values["points"][-1]).epoch)
        except Exception as error:
            assert self.folder is not None
            raise RunFolderError(
                f"the state of run '{self.folder.path}' is damaged ({type(error).__name__}: "
                f"{in_line(error, 80)}); delete the run folder, start again"
            ) from error


def _check_finite(tensors: Mapping[str, Tensor], epoch: int) -> None:
    """Refuse to save what can lead to no good model: a step too long turns scores into NaN."""
    for name, value in tensors.items():
        if not name.startswith("moment/") and not bool(value.isfinite().all()):
            raise NumericalError(
                f"'{name}' holds NaN or infinity after epoch {epoch}; the points before it are "
                "kept. Give lower learning rates (--score-lr, --head-lr, --tune-lr)"
            )
