"""The table of layers by width: interpolation on known times, and measured ones that make sense."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from seam.errors import ConfigError
from seam.evaluation.latency_table import Grid, LatencyTable
from seam.evaluation.layer_graphs import repeated
from seam.evaluation.layer_latency import measure_table
from seam.evaluation.layer_spec import LayerSpec, grid
from seam.evaluation.layers_of import layers_of
from seam.evaluation.rounding import costs_of_rounding, measure_widths, preferred_multiple
from seam.evaluation.timing import Budget

CONV = LayerSpec("conv", 3, 64, kernel=(3, 3), padding=(1, 1), height=8, width=8)
SQUARE = LayerSpec("conv", 64, 64, kernel=(3, 3), padding=(1, 1), height=8, width=8)
STRIDED = LayerSpec("conv", 16, 24, kernel=(3, 1), stride=(2, 1), padding=(1, 0), height=8, width=6)
DEPTHWISE = LayerSpec("conv", 32, 32, (3, 3), (1, 1), (1, 1), groups=32, height=8, width=8)
GROUPED = LayerSpec("conv", 32, 64, (3, 3), (1, 1), (1, 1), groups=4, height=8, width=8)
LINEAR = LayerSpec("linear", 64, 10)
TOKENS = LayerSpec("linear", 16, 24, height=7, width=1)
ALL = [CONV, SQUARE, STRIDED, DEPTHWISE, GROUPED, LINEAR, TOKENS]


def known_time(inputs: int, outputs: int) -> float:
    return 0.5 + 0.01 * inputs + 0.02 * outputs + 0.001 * inputs * outputs


def table() -> LatencyTable:
    inputs, outputs = SQUARE.grid(4)
    ms = tuple(tuple(known_time(a, b) for b in outputs) for a in inputs)
    widths = (8, 32)
    deep = Grid(DEPTHWISE, (32,), widths, ((1.0, 4.0),))
    return LatencyTable(
        (Grid(SQUARE, inputs, outputs, ms), deep), (0, 1, 0), 0.25, "torch", 1, 1, {}
    )


def test_interpolation_is_exact_for_bilinear_times() -> None:
    for inputs in (8, 11, 24, 37, 63, 64):
        for outputs in (8, 17, 48, 64):
            assert table().ms(2, inputs, outputs) == pytest.approx(known_time(inputs, outputs))
    assert table().ms(0, 3, 1) == pytest.approx(known_time(8, 8))
    assert table().ms(1, 20, 20) == table().ms(1, 32, 20) == pytest.approx(2.5)
    whole = 0.25 + 2 * known_time(64, 64) + 4.0
    assert table().total([(64, 64), (32, 32), (64, 64)]) == pytest.approx(whole)


def test_wider_than_the_layer_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="65 to 8 channels are asked of a layer that has 64 to 64"
    ):
        table().ms(0, 65, 8)


def test_a_table_survives_json(tmp_path: Path) -> None:
    text = json.dumps(table().to_dict())
    assert LatencyTable.from_dict(json.loads(text)) == table()
    with pytest.raises(ConfigError, match=r"damaged .*; delete its file"):
        LatencyTable.from_dict({"grids": [{}]})


def test_grids() -> None:
    assert grid(64, 6) == (8, 16, 24, 32, 48, 64)
    assert grid(8, 6) == (8,)
    assert grid(3, 6) == (3,)
    assert grid(1280, 6)[0] == 8
    assert len(grid(1280, 6)) == 6
    assert DEPTHWISE.grid(3) == ((32,), (8, 24, 32))
    assert GROUPED.narrowed(32, 24) == LayerSpec(
        "conv", 8, 16, (3, 3), (1, 1), (1, 1), groups=1, height=8, width=8
    )


@pytest.mark.parametrize(
    "wrong", [{"kind": "pool"}, {"groups": 5}, {"height": 0}, {"kernel": (9, 9)}]
)
def test_what_is_no_layer(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="cannot be timed"):
        LayerSpec.from_dict({**SQUARE.to_dict(), "padding": [0, 0], **wrong})


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", "openvino"])
@pytest.mark.parametrize("spec", ALL, ids=str)
def test_the_programs_run(spec: LayerSpec, runtime: str) -> None:
    found = repeated(spec, runtime, 2, batch=3, threads=1)()
    found = torch.as_tensor(found[0] if isinstance(found, list) else found)
    if spec.kind == "linear":
        assert found.shape == (3 * spec.height * spec.width, spec.out_channels)
    else:
        assert found.shape == (3, spec.out_channels, *spec.output)


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", "openvino"])
def test_equal_layers_are_timed_once(runtime: str, brief: Budget) -> None:
    layers = [SQUARE, DEPTHWISE, SQUARE]
    steps: list[tuple[int, int]] = []
    found = measure_table(
        layers,
        runtime=runtime,
        batch=4,
        threads=1,
        detail=2,
        budget=brief,
        progress=lambda done, points: steps.append((done, points)),
    )
    assert steps[-1] == (6, 6)
    assert (len(found.grids), found.layers) == (2, (0, 1, 0))
    assert found.specs == layers


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", "openvino"])
def test_wide_layers_take_longer(runtime: str, brief: Budget, tries: range) -> None:
    def told_apart() -> bool:
        found = measure_table([SQUARE], runtime=runtime, batch=4, threads=1, detail=2, budget=brief)
        wide, narrow = found.ms(0, 64, 64), found.ms(0, 8, 8)
        return wide > narrow and found.total([(64, 64)]) > found.total([(8, 8)]) > found.call_ms

    assert any(told_apart() for _ in tries)


def test_a_table_of_what_cannot_be_timed() -> None:
    with pytest.raises(ConfigError, match="compiles whole networks"):
        measure_table([LINEAR], runtime="torch_compiled")
    with pytest.raises(ConfigError, match="runtime 'onnx' is unknown; did you mean 'onnxruntime'"):
        measure_table([LINEAR], runtime="onnx")


def blocks(block: int, slow: float = 1.0) -> dict[int, float]:
    """Times of a runtime that fills blocks, and takes ``slow`` times as long for what is none."""
    return {n: -(-n // block) * block * (slow if n % block else 1.0) for n in range(49, 65)}


@pytest.mark.parametrize(
    ("times", "expected"),
    [(blocks(1), 1), (blocks(4), 4), (blocks(8), 8), (blocks(16), 16), (blocks(1, 1.5), 1)],
)
def test_the_preferred_multiple_of_known_times(times: dict[int, float], expected: int) -> None:
    assert preferred_multiple(times) == expected


def test_leaving_the_fast_path_makes_rounding_pay() -> None:
    times = {n: n * (1.0 if n % 8 == 0 else 1.5) for n in range(49, 65)}
    assert preferred_multiple(times) == 8
    assert costs_of_rounding(times)[8] < 0.8
    with pytest.raises(ConfigError, match="time 49 to 64"):
        costs_of_rounding({1: 1.0, 2: 2.0})


def test_widths_are_measured(tries: range) -> None:
    brief = Budget(rounds=3, seconds=0.0, turn_ms=0.5, warm_up=1)
    found = (
        measure_widths((8, 16, 64), runtime="onnxruntime", threads=1, budget=brief) for _ in tries
    )
    assert any(each[64].median > each[8].median and each[8].n == 3 for each in found)


@pytest.mark.parametrize(
    ("layer", "side"),
    [
        (nn.Conv2d(4, 8, 3, padding=1), 9),
        (nn.Conv2d(4, 8, 3, stride=2, padding=1), 9),
        (nn.Conv2d(4, 8, 3, stride=2, padding=1), 8),
        (nn.Conv2d(4, 4, 5, padding="same", groups=4), 8),
        (nn.Conv2d(4, 8, 1, stride=2), 7),
        (nn.Conv2d(4, 8, 3, padding=2, dilation=2), 8),
    ],
    ids=str,
)
def test_layers_of_a_module_have_its_output_size(layer: nn.Conv2d, side: int) -> None:
    example = torch.zeros(1, 4, side, side)
    [(name, spec)] = layers_of(layer, example)
    assert (name, spec.groups, spec.kernel) == ("", layer.groups, layer.kernel_size)
    assert spec.output == tuple(layer(example).shape[2:])


def test_layers_that_run_twice_and_layers_of_tokens() -> None:
    layer = nn.Linear(6, 6)
    found = layers_of(nn.Sequential(layer, nn.ReLU(), layer), torch.zeros(1, 5, 6))
    assert found == [("0", LayerSpec("linear", 6, 6, height=5))] * 2
