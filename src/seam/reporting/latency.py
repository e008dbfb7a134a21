"""Speed, size and memory on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from seam.evaluation.runtimes import RUNTIMES

EXPLAINED = {
    "masked": "the masked model: removed weights are zeros that a runtime still multiplies",
    "shrunk": "the shrunk model: removed channels are gone",
    "quantized": "the quantized model: removed channels are gone, the others are 8-bit integers",
}


def speed(report: Mapping[str, Any]) -> RenderableType:
    """All that `seam evaluate --latency` adds to a report.

    Says which model was timed, with how many threads, and which runtime is fastest.
    """
    latency = report["latency"]
    machine = latency["machine"]
    title = (
        f"milliseconds a batch of {EXPLAINED[latency['model']]}\n"
        f"{latency['threads']} thread(s), {machine['cpu']}, {machine['cores']} cores"
    )
    table = Table(title=Text(title), title_justify="left", show_edge=False)
    table.add_column("runtime")
    headings = ("batch", "base", f"{latency['model']} result", "ratio", "quartiles", "rounds")
    for heading in headings:
        table.add_column(heading, justify="right")
    for runtime in RUNTIMES:
        cells = latency.get(runtime, {})
        for size, cell in () if "skipped" in cells else cells.items():
            table.add_row(runtime, size, *_figures(cell))
    texts = (*_skipped(latency), *_busy(machine), *_fastest(latency), *_needs(report))
    lines = [Text(text) for text in texts]
    return Group(Text(""), table, Text(""), *lines)


def _figures(cell: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = cell["iqr"]
    return (
        f"{cell['base_ms']:.4g}",
        f"{cell['result_ms']:.4g}",
        f"{cell['ratio']:.3f}",
        f"{low:.3f} to {high:.3f}",
        f"{cell['rounds']}",
    )


def _skipped(latency: Mapping[str, Any]) -> list[str]:
    return [
        f"{runtime} was skipped: {latency[runtime]['skipped']}"
        for runtime in RUNTIMES
        if "skipped" in latency.get(runtime, {})
    ]


def _busy(machine: Mapping[str, Any]) -> list[str]:
    """A warning where there was more to do than the machine has cores."""
    load, cores = machine.get("load_average"), machine["cores"]
    if load is None or load <= cores:
        return []
    return [f"The machine was busy (load {load:g} on {cores} cores): repeat it on a quiet one."]


def _fastest(latency: Mapping[str, Any]) -> list[str]:
    lines = []
    for size, best in latency["fastest"].items():
        if best is None:
            continue
        line = f"Batch {size}: the {latency['model']} model is fastest in {best['runtime']}"
        line += f" ({best['result_ms']:.4g} ms)"
        if best["gain_over_plain_torch"] is not None:
            line += f", {best['gain_over_plain_torch']:.3g} times the speed of the base in torch"
        lines.append(f"{line}.")
    return lines


def _needs(report: Mapping[str, Any]) -> list[str]:
    size, memory = report["size_bytes"], report["peak_memory_bytes"]
    lines = [f"Float32 file: base {_megabytes(size['base'])}, result {_megabytes(size['result'])}."]
    if "skipped" in memory:
        return [*lines, f"Peak memory was skipped: {memory['skipped']}"]
    base, result, empty = (_megabytes(memory[name]) for name in ("base", "result", "empty"))
    lines.append(
        f"Peak memory in {memory['runtime']}, batch {memory['batch']}: base {base}, "
        f"result {result} (the runtime alone: {empty})."
    )
    return lines


def _megabytes(count: int) -> str:
    """Bytes in MB.

    >>> _megabytes(1_234_000)
    '1.23 MB'
    """
    return f"{count / 1e6:.3g} MB"
