"""A table of what each layer of a network costs at each width."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from seam.errors import ConfigError
from seam.evaluation.layer_spec import LayerSpec


@dataclass(frozen=True)
class Grid:
    """A layer's milliseconds at some widths: ``ms[i][j]`` for ``inputs[i]`` and ``outputs[j]``.

    >>> Grid(LayerSpec("conv", 8, 16), (8,), (8, 16), ((1.0, 2.0),)).at(8, 12)
    1.5
    """

    spec: LayerSpec
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    ms: tuple[tuple[float, ...], ...]

    def at(self, in_channels: int, out_channels: int) -> float:
        """Interpolated between the four nearest points; below the smallest width, that of it.

        Raises:
            ConfigError: that is wider than the layer.
        """
        if in_channels > self.spec.in_channels or out_channels > self.spec.out_channels:
            raise ConfigError(
                f"{in_channels} to {out_channels} channels are asked of a layer that has "
                f"{self.spec.in_channels} to {self.spec.out_channels}; ask for its width at most"
            )
        i, left = _place(self.inputs, in_channels)
        j, up = _place(self.outputs, out_channels)
        rows = [
            row[j] + up * (row[min(j + 1, len(row) - 1)] - row[j])
            for row in (self.ms[i], self.ms[min(i + 1, len(self.ms) - 1)])
        ]
        return rows[0] + left * (rows[1] - rows[0])


def _place(points: Sequence[int], value: int) -> tuple[int, float]:
    """The interval that holds ``value``, and where in it: 0 at its start, 1 at its end."""
    i = max(0, bisect_right(points, value) - 1)
    if i == len(points) - 1:
        return i, 0.0
    return i, max(0.0, (value - points[i]) / (points[i + 1] - points[i]))


@dataclass(frozen=True)
class LatencyTable:
    """Milliseconds a batch of every layer of a network at any width, in one runtime.

    >>> grid = Grid(LayerSpec("conv", 8, 16), (8,), (8, 16), ((1.0, 2.0),))
    >>> table = LatencyTable((grid,), (0, 0), 0.1, "openvino", 1, 2, {})
    >>> table.ms(1, 8, 12), round(table.total([(8, 16), (8, 8)]), 6)
    (1.5, 3.1)

    ``grids`` are those of different layers, ``layers`` the grid of each layer of the network.
    """

    grids: tuple[Grid, ...]
    layers: tuple[int, ...]
    call_ms: float
    runtime: str
    batch: int
    threads: int
    machine: Mapping[str, Any]

    def ms(self, spec_index: int, in_channels: int, out_channels: int) -> float:
        """Of layer ``spec_index`` (as the specs were given) at a width; with groups, see `grid`.

        Raises:
            ConfigError: that is wider than the layer.
        """
        grid = self.grids[self.layers[spec_index]]
        if grid.spec.groups > 1:  # both sides narrow together
            in_channels = grid.spec.in_channels
        return grid.at(in_channels, out_channels)

    def total(self, widths: Sequence[tuple[int, int]]) -> float:
        """Of a network whose layers have these input and output channels, the call included."""
        found = (self.ms(i, *width) for i, width in enumerate(widths))
        return self.call_ms + sum(found)

    @cached_property
    def specs(self) -> list[LayerSpec]:
        """The network's layers at their full width."""
        return [self.grids[i].spec for i in self.layers]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a JSON file."""
        grids = [
            {
                "spec": grid.spec.to_dict(),
                "inputs": list(grid.inputs),
                "outputs": list(grid.outputs),
                "ms": [list(row) for row in grid.ms],
            }
            for grid in self.grids
        ]
        return {
            **{n: getattr(self, n) for n in ("runtime", "batch", "threads", "call_ms")},
            "machine": dict(self.machine),
            "layers": list(self.layers),
            "grids": grids,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LatencyTable:
        """Inverse of `to_dict`.

        Raises:
            ConfigError: that is no latency table.
        """
        try:
            grids = tuple(
                Grid(
                    LayerSpec.from_dict(each["spec"]),
                    tuple(each["inputs"]),
                    tuple(each["outputs"]),
                    tuple(map(tuple, each["ms"])),
                )
                for each in values["grids"]
            )
            rest = (values[n] for n in ("call_ms", "runtime", "batch", "threads", "machine"))
            return cls(grids, tuple(values["layers"]), *rest)
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"the latency table is damaged ({type(error).__name__}: {error}); "
                "delete its file, and it is measured again"
            ) from error
