"""A budget in time: what a network of given widths takes in the runtime that will be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from seam.artefacts.run import RunFolder
from seam.core.config import Channels
from seam.errors import SeamError
from seam.evaluation.accuracy import first_images
from seam.evaluation.latency import LatencyPlan
from seam.evaluation.latency_table import LatencyTable
from seam.evaluation.layer_latency import measure_table
from seam.evaluation.layers_of import layers_of
from seam.jobs.latency import speed
from seam.jobs.observe import Observer
from seam.masking.sides import Place
from seam.search.samples import Samples

TABLE = "latency_table.json"


@dataclass(frozen=True)
class LatencyMeter:
    """Predicted time of a network from its layers' widths, as a share of the base's.

    ``table`` holds the searched model's ``layers`` first, then those of the base with its own head.
    """

    table: LatencyTable
    layers: tuple[str, ...]
    base_ms: float

    def __call__(self, widths: Mapping[Place, int]) -> float:
        """The share; sides not named are whole."""
        total = self.table.call_ms
        for index, name in enumerate(self.layers):
            spec = self.table.specs[index]
            inputs = widths.get((name, "in"), spec.in_channels)
            total += self.table.ms(index, inputs, widths.get((name, "out"), spec.out_channels))
        return total / self.base_ms


def latency_meter(
    base: nn.Module,
    model: nn.Module,
    example: Tensor,
    *,
    channels: Channels,
    folder: RunFolder | None,
    observer: Observer,
) -> LatencyMeter:
    """Time every layer at several widths, or take the table that the run folder holds.

    The table is not written: a run folder begins when the input is known to be good.

    Raises:
        MissingExtraError: the runtime is not installed.
        ConfigError: the runtime is unknown.
    """
    ours, theirs = layers_of(model, example), layers_of(base, example)
    specs = [spec for _, spec in (*ours, *theirs)]
    table = _saved(folder)
    wanted = (specs, channels.runtime, channels.batch)
    if table is None or (table.specs, table.runtime, table.batch) != wanted:
        observer.stage(f"timing the layers in {channels.runtime}")
        table = measure_table(specs, runtime=channels.runtime, batch=channels.batch)
    names = tuple(name for name, _ in ours)
    base_ms = table.call_ms + sum(
        table.ms(len(ours) + i, spec.in_channels, spec.out_channels)
        for i, (_, spec) in enumerate(theirs)
    )
    return LatencyMeter(table, names, base_ms)


def _saved(folder: RunFolder | None) -> LatencyTable | None:
    if folder is None or not (folder.path / TABLE).exists():
        return None
    try:
        table = LatencyTable.from_dict(folder.read_json(TABLE))
        return table if table.specs else None
    except (SeamError, IndexError, TypeError):  # damaged: it is measured again
        return None


def keep_table(meter: object, folder: RunFolder) -> None:
    """Write a latency meter's table into the run folder, where it then belongs to the run."""
    if isinstance(meter, LatencyMeter) and _saved(folder) is None:
        folder.write_json(TABLE, meter.table.to_dict())


def measured_ratio(
    base: nn.Module, result: nn.Module, samples: Samples, channels: Channels
) -> float:
    """The result's time over the base's, both whole, interleaved, in the runtime of the budget."""
    plan = LatencyPlan(runtimes=(channels.runtime,), batches=(channels.batch,))
    found = speed(base, result, first_images(samples, channels.batch), kind="shrunk", plan=plan)
    return float(found[channels.runtime][str(channels.batch)]["ratio"])
