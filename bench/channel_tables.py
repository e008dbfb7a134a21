"""The tables of channel runs, from the JSON in bench/results/channels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tables import MISSING, listed, markdown, over_seeds, percent, provenance, spread

Values = Mapping[str, Any]
RUNTIMES = ("onnxruntime", "openvino", "torch")
BATCHES = ("1", "16")
MARKS: dict[str, dict[str, Any]] = {
    "zoo:cifar_vgg16": {
        "points": -0.005,
        "macs": 0.04,
        "weights": 0.02,
        "time": {"onnxruntime": (1 / 20, 1 / 12), "openvino": (1 / 20, 1 / 12)},
    },
    "zoo:cifar_resnet20": {"points": -0.005, "macs": 0.25, "time": {"openvino": (0.65, 0.5)}},
    "timm:mobilenetv2_100": {"points": 0.0, "macs": 0.35, "time": {"openvino": (0.5, 0.5)}},
}
"""What was to be reached, set before anything was measured; shares of the base's."""


def grouped(runs: Sequence[Values]) -> dict[tuple[str, str, str], list[Values]]:
    """Runs by base, problem and schedule, seeds together."""
    found: dict[tuple[str, str, str], list[Values]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run["base"], run["seed"])):
        found[run["base"], problem_name(run["problem"]), schedule(run)].append(run)
    return dict(found)


def schedule(run: Values) -> str:
    """Epochs, levels, learning rate, and the rest where it is not 0: `48, 2, 0.003, 8 views`."""
    search = run["settings"]["search"]
    found = f"{search['epochs']}, {search['pressure']['levels']}, {search['rates']['tune']:g}"
    if search.get("views"):
        found += f"; {search['views']} views, {search['distill']:g} at {search['temperature']:g}"
    floor = search["channels"].get("floor", 0)
    return f"{found}; floor {floor:g}" if floor else found


def problem_name(problem: Values) -> str:
    outputs = problem["outputs"]
    if problem["kind"] == "one-vs-rest":
        return f"{outputs[1]} or not"
    return ", ".join(outputs) if len(outputs) <= 4 else f"{outputs[0]} and {len(outputs) - 1} more"


def source(runs: Sequence[Values], folder: str) -> str:
    return provenance(runs[0] if runs else {}, folder)


def channels(runs: Sequence[Values]) -> str:
    """Accuracy and size, one row a base and problem."""
    heads = [
        *("base", "problem", "full", "restricted", "re-engineered", "against restricted"),
        *("MACs left", "weights left", "minutes"),
        *("epochs, levels, rate; views, distilled at; floor", "seeds"),
    ]
    rows = []
    for (base, problem, how), group in grouped(runs).items():
        rows.append(
            [
                base,
                problem,
                *(
                    over_seeds([run["accuracy"][method] for run in group])
                    for method in ("full", "restricted", "reengineered")
                ),
                over_seeds([run["against_restricted"]["difference"] for run in group]),
                spread([run["macs"]["executed"] / run["macs"]["base"] for run in group]),
                spread([run["weights"]["kept"] / run["weights"]["base"] for run in group]),
                f"{sum(run['seconds']['total'] for run in group) / len(group) / 60:.0f}",
                how,
                listed([run["seed"] for run in group]),
            ]
        )
    n = listed([run["accuracy"]["full"]["n"] for run in runs])
    note = (
        f"All in %, differences in points; n = {n} test images. One seed: the 95 % interval; "
        "several: the mean, lowest to highest. MACs and weights are those of the shrunk model, its "
        "head counted. The size was fixed beforehand. " + source(runs, "channels/*.json")
    )
    return markdown(heads, rows, note)


def marks(runs: Sequence[Values]) -> str:
    """What was to be reached and what was, one row a base and mark."""
    heads = ["base", "mark", "asked", "measured", "reached by"]
    rows: list[list[str]] = []
    for base, asked in MARKS.items():
        mine = [run for run in runs if run["base"] == base]
        if not mine:
            continue
        gains = [run["against_restricted"]["difference"]["value"] for run in mine]
        least = asked["points"]
        by = f"{sum(gain >= least for gain in gains)} of {len(gains)} runs"
        rows.append([base, "points against restricted", percent(least), spread(gains), by])
        for name, ours in (("macs", "executed"), ("weights", "kept")):
            if name in asked:
                found = [run[name][ours] / run[name]["base"] for run in mine]
                by = f"{sum(each <= asked[name] for each in found)} of {len(found)} runs"
                rows.append([base, name, percent(asked[name]), spread(found), by])
        for runtime, limits in asked["time"].items():
            for size, limit in zip(BATCHES, limits, strict=True):
                rows.append([base, *_timed(mine, runtime, size, limit)])
    note = (
        "In %. Time: the shrunk model's over the base's in the same runtime. More than one figure: "
        "the mean, lowest to highest. " + source(runs, "channels/*.json")
    )
    return markdown(heads, rows, note)


def _timed(runs: Sequence[Values], runtime: str, size: str, limit: float) -> list[str]:
    """A row for a limit of time, without the base."""
    cells = [run["latency"][runtime][size]["ratio"] for run in runs if "latency" in run]
    by = f"{sum(ratio <= limit for ratio in cells)} of {len(cells)} networks" if cells else ""
    measured = spread(cells) if cells else "not timed"
    return [f"time, {runtime}, batch {size}", percent(limit), measured, by]


def latency(runs: Sequence[Values]) -> str:
    """Time of the shrunk model over the base's, one row a base, problem and runtime."""
    heads = ["base", "problem", "runtime"]
    for size in BATCHES:
        heads += [f"batch {size}: base to shrunk, ms", "ratio (quartiles)"]
    heads.append("processor")
    timed = [run for run in runs if "latency" in run]
    rows, ratios = [], []
    for (base, problem, _), group in grouped(timed).items():
        found = group[0]["latency"]
        for runtime in RUNTIMES:
            if "skipped" in found.get(runtime, {"skipped": ""}):
                continue
            row = [base, problem, runtime]
            for size in BATCHES:
                cell = found[runtime][size]
                low, high = cell["iqr"]
                row += [
                    f"{cell['base_ms']:.3g} to {cell['result_ms']:.3g}",
                    f"{cell['ratio']:.3f} ({low:.3f} to {high:.3f})",
                ]
                if runtime != "torch":
                    ratios.append(cell["ratio"])
            rows.append([*row, found["machine"].get("cpu", "")])
    threads = listed([run["latency"]["threads"] for run in timed])
    note = "Nothing was timed."
    if ratios:
        mean = 1 - sum(ratios) / len(ratios)
        note = (
            f"The shrunk model with its head against the base with its own; threads: {threads}. "
            f"Mean reduction of inference time "
            f"over the {len(ratios)} cells of ONNX Runtime and OpenVINO: {percent(mean, 1)} %. "
            + source(timed, "channels/*.json")
        )
    return markdown(heads, rows, note)


def sizes(runs: Sequence[Values]) -> str:
    """Disk, memory, and the gain from plain PyTorch to the best runtime."""
    heads = [
        *("base", "problem", "base, MB", "shrunk, MB", "peak memory: base to shrunk, MB"),
        *(f"batch {size}: fastest runtime, gain over the base in PyTorch" for size in BATCHES),
    ]
    timed = [run for run in runs if "latency" in run]
    rows = []
    for (base, problem, _), group in grouped(timed).items():
        run = group[0]
        memory = run["peak_memory_bytes"]
        fastest = run["latency"]["fastest"]
        rows.append(
            [
                base,
                problem,
                f"{run['size_bytes']['base'] / 1e6:.2f}",
                f"{run['size_bytes']['result'] / 1e6:.3f}",
                f"{memory['base'] / 1e6:.0f} to {memory['result'] / 1e6:.0f}"
                if "base" in memory
                else "",
                *(
                    f"{fastest[size]['runtime']}, {fastest[size]['gain_over_plain_torch']:.1f} x"
                    for size in BATCHES
                ),
            ]
        )
    return markdown(heads, rows, source(timed, "channels/*.json"))


def rounding(found: Values | None) -> str:
    """What rounding channels up costs in each runtime, and the multiple that it prefers."""
    if found is None:
        return f"{MISSING}\n"
    multiples = [*found["cells"][0]["cost_of_rounding"]]
    heads = ["runtime", "batch", "threads", *(f"to {n}" for n in multiples), "preferred"]
    rows = [
        [
            cell["runtime"],
            str(cell["batch"]),
            str(cell["threads"]),
            *(f"{cell['cost_of_rounding'][n]:.3f}" for n in multiples),
            str(cell["preferred_multiple"]),
        ]
        for cell in found["cells"]
    ]
    low, high = found["widths"]
    load = " to ".join(f"{each:.2f}" for each in found["load"])
    note = (
        f"Time of a {found['layer']}, with {low} to {high} channels rounded up to a multiple, over "
        "the time without; lower quartiles. Preferred: the largest that costs at most a hundredth "
        f"more than the best. {found['machine']['cpu']}, load average {load}. "
        + provenance(found, "channel_rounding.json")
    )
    return markdown(heads, rows, note)
