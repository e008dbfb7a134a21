"""What searches cost, measured and on paper, as tables: of bench/scaling and bench/sweep.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from scaling.model import Base, Device, Work, adapter_bytes, gradient_seconds, problem_seconds
from tables import markdown, provenance

Values = Mapping[str, Any]
PRESETS = ("bitmask", "default")
BYTES_A_WEIGHT = {"bitmask": 16, "default": 24}
"""Weight, score and the score's momentum and gradient; then the weight's moments."""
GPU = Device(peak=989e12, reached=0.4, memory=80e9, link=450e9)
"""An H100 SXM by its data sheet: bfloat16 without sparsity, NVLink in one direction. The share
reached is an assumption."""
DENSITY, EPOCHS = 0.1, 20
PAPER = {
    "ResNet-50, 1,000 ImageNet labels": (
        Base(25.6e6, 4.1e9, 110e3),
        Work(2600, EPOCHS, 2700),
        1000,
    ),
    "ViT-L/16, 10,000 labels": (Base(304e6, 61.6e9, 110e3), Work(2600, EPOCHS, 2700), 10_000),
}
"""One against the rest: 1,300 images of the label and as many others, 100 to test on; looked at
are the test images twice and the four views that the base answers, near enough."""
COUNTS = (1, 8, 64)


def weights(found: Values | None) -> str:
    """Time and memory of a step against the number of weights."""
    heads = ["weights", "plain step, ms", *(f"{kind}: time ratio" for kind in PRESETS),
             *(f"{kind}: memory ratio" for kind in PRESETS), "n"]  # fmt: skip
    rows = [
        [
            f"{row['weights'] / 1e6:.1f} M",
            f"{row['plain']['ms']:,.0f}",
            *(f"{row[kind]['ratio']:.2f}" for kind in PRESETS),
            *(f"{row[kind]['memory_ratio']:.2f}" for kind in PRESETS),
            f"{row['n']}",
        ]
        for row in (found or {}).get("rows", [])
    ]
    slopes = ", ".join(
        f"{kind} {each['p']:.2f} (largest residual {100 * each['largest_residual']:.0f} %)"
        for kind, each in (found or {}).get("exponents", {}).items()
    )
    note = (
        "Medians of interleaved steps; memory: growth of the peak of a process that gives back "
        f"what it frees. Exponent of time over weights: {slopes}. "
        + provenance(found or {}, "scaling/weights.json")
    )
    return markdown(heads, rows, note)


def samples(found: Values | None) -> str:
    """Seconds of a search against the number of samples, and the line through them."""
    heads = ["varied", "from", "to", "fixed, s", "each more, ms", "largest residual, %"]
    rows = [
        [
            name,
            f"{curve['sizes'][0]:,}",
            f"{curve['sizes'][-1]:,}",
            f"{curve['line']['fixed']:.2f}",
            f"{1000 * curve['line']['each']:.2f}",
            f"{100 * curve['line']['largest_residual']:.0f}",
        ]
        for name, curve in (found or {}).get("curves", {}).items()
    ]
    note = (
        "Processor seconds of a search, one thread, median of three: "
        "fixed + number x each. " + provenance(found or {}, "scaling/samples.json")
    )
    return markdown(heads, rows, note)


def sweep(found: Values | None) -> str:
    """Many problems: single runs, one worker, two, a cluster that loses a node."""
    heads = [
        *("way", "problems", "seconds", "n", "seconds a problem", "of single runs"),
        *("adapters", "equal to single runs'", "equal to one worker's"),
    ]
    modes = (found or {}).get("modes", {})
    names = {
        "single": "the command, once a problem",
        "one": "a sweep, one worker",
        "two": "a sweep, two workers",
        "cluster": "a sweep, two nodes, one killed half way",
    }
    each = {mode: median(row["seconds"]) / row["problems"] for mode, row in modes.items()}
    rows = [
        [
            names[mode],
            f"{row['problems']}",
            _spread(row["seconds"]),
            f"{len(row['seconds'])}",
            f"{each[mode]:.1f}",
            f"{each[mode] / each['single']:.2f}" if "single" in each else "",
            f"{row['adapters']}",
            f"{row['equal_to_single']}",
            f"{row['equal_to_one']}",
        ]
        for mode, row in modes.items()
    ]
    settings = ", ".join(f"{k} {v}" for k, v in (found or {}).get("settings", {}).items())
    ratio = ""
    if {"one", "two"} <= modes.keys():
        pairs = zip(modes["one"]["seconds"], modes["two"]["seconds"], strict=False)
        ratios = [one / two for one, two in pairs]
        ratio = (
            f"Two workers finish {median(ratios):.2f} times as fast as one ({min(ratios):.2f} to "
            f"{max(ratios):.2f}, {len(ratios)} pairs run in turns). "
        )
    note = (
        "Labels of gtsrb against the rest, a ResNet-20, "
        f"{settings}, one thread a worker; seconds are medians, in brackets lowest and highest. "
        f"{ratio}" + provenance(found or {}, "sweep.json")
    )
    return markdown(heads, rows, note)


def sweep_grid(found: Values | None) -> str:
    """A grid whose runs share a groundwork, beside the same runs without one."""
    seconds = (found or {}).get("seconds", {})
    names = {"groundwork": "on one groundwork", "none": "each by itself"}
    rows = [[names[way], _spread(each), f"{len(each)}"] for way, each in seconds.items()]
    ratios = [a / b for a, b in zip(*(seconds.get(way, []) for way in names), strict=True)]
    note = provenance(found or {}, "sweep_grid.json")
    if found is not None:
        settings = ", ".join(f"{name} {value}" for name, value in found["settings"].items())
        equal = "are equal" if found["equal_adapters"] else "DIFFER"
        note = (
            f"`{found['label']}` of CIFAR-10 against the rest, a ResNet-20, {found['runs']} values "
            f"of `final_density`, {settings}; one worker with one thread, start of Ray included; "
            "medians, in brackets lowest and highest. Together in "
            f"{median(ratios):.2f} of the time ({min(ratios):.2f} to {max(ratios):.2f}, in turns); "
            f"the adapters {equal}. {note}"
        )
    return markdown(["runs", "seconds", "n"], rows, note)


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def paper(found: Values | None) -> str:
    """What two large sets of problems would cost, by the model of bench/scaling/model.py."""
    heads = ["problems", "GPUs", "hours", "memory beside activations, GB", "images read, TB",
             "adapters at 1 bit, GB", "coded, GB", "with kept values, GB"]  # fmt: skip
    if not found:
        return markdown(heads, [])
    largest = found["rows"][-1]
    rows = []
    for name, (base, work, problems) in PAPER.items():
        seconds = problem_seconds(base, work, GPU, largest["default"]["ratio"])
        for count in COUNTS:
            sizes = [
                problems * adapter_bytes(base, DENSITY, coded=coded, value_bytes=value) / 1e9
                for coded, value in ((False, 0), (True, 0), (True, 4))
            ]
            rows.append(
                [
                    name,
                    str(count),
                    f"{problems * seconds / count / 3600:,.1f}",
                    " / ".join(f"{b * base.weights / 1e9:.1f}" for b in BYTES_A_WEIGHT.values()),
                    f"{problems * (work.images + 200) * base.image_bytes / 1e12:.2f}",
                    *(f"{size:,.1f}" for size in sizes),
                ]
            )
    vit, _, _ = PAPER["ViT-L/16, 10,000 labels"]
    apart = 1000 * gradient_seconds(vit, GPU, 8, 2)
    note = (
        f"Density {DENSITY}, {EPOCHS} epochs, a problem a GPU; memory: preset bitmask / default. "
        f"Assumed: an H100 at {100 * GPU.reached:.0f} % of {GPU.peak / 1e12:.0f} TFLOPS, and a "
        f"search step of {largest['default']['ratio']:.2f} plain ones, as measured at "
        f"{largest['weights'] / 1e6:.0f} M weights. One ViT-L search on 8 GPUs would add up "
        f"gradients for {apart:.0f} ms a step."
    )
    return markdown(heads, rows, note)
