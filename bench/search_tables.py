"""The comparison of searches as a table, from the JSON in bench/results/search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tables import (
    changed_since,
    interval,
    listed,
    markdown,
    over_seeds,
    percent,
    provenance,
    spread,
)

from seam.core.problem import Problem

Values = Mapping[str, Any]
CHANGED = {
    "norm": ("default, statistics follow", "default, statistics stay"),
    "corrected": ("default, mistakes taught",),
    "graded": ("default, believed in any case",),
    "rates": (
        "default, four times the steps",
        "default, steps of any length",
        "default, full rates at once",
    ),
}
"""Settings of presets that have changed, and the methods that set them themselves."""
NAMED_BY_LABELS = ("resnet20", "vgg16")
"""Bases whose problems go by their labels in `search.problems`; others' go by a group's name."""
LEAST_MEANT = 3
"""Problems of a kind from which on they have a mean."""
LEAST = 200
"""Training images below which a search is one from few samples."""


def searches(runs: Sequence[Values]) -> str:
    """Hypervolume, the picked point, and test accuracy against restricted at sizes fixed before."""
    sizes = _sizes(runs)
    heads = [
        *("problem", "method", "hypervolume", "by MACs", "steps", "CPU seconds"),
        "picked density",
        "picked, against restricted",
        *(f"against restricted at {100 * size:g} %" for size in sizes),
        "seeds",
    ]
    rows = []
    keys = {(run["problem"], run["samples"]["train"], run["method"]) for run in runs}
    volumes = {key: _mean_volume(_group(runs, key)) for key in keys}
    for key in sorted(keys, key=lambda key: (key[:2], -volumes[key], key[2])):
        mine = _group(runs, key)
        last = [run["points"][-1] for run in mine]
        rows.append(
            [
                f"{key[0]}, {key[1]:,} images",
                _marked(mine),
                *(spread([run["hypervolume"][by] for run in mine]) for by in ("density", "macs")),
                listed([point["steps"] for point in last]),
                f"{sum(point['cpu_seconds'] for point in last) / len(last):.0f}",
                _picked(mine),
                *(_against(mine, size) for size in (None, *sizes)),
                listed([run["seed"] for run in mine]),
            ]
        )
    note = (
        f"{_note(runs)} Hypervolume: the mean over log density, 1 to 100 %, of the best validation "
        "accuracy at no more than that, counted above chance; by MACs over the share of non-zero "
        "ones. Seconds hold the measurements "
        "between epochs, and are of a machine with other work. "
        + provenance(runs[0] if runs else {}, "search/*.json")
    )
    return markdown(heads, rows, note)


def reuse(runs: Sequence[Values]) -> str:
    """What preset `default` reaches, with the most images there are of a problem.

    The point it picks, and sizes fixed beforehand.
    """
    mine = [r for r in runs if r["method"] == "default" and r["samples"]["train"] >= LEAST]
    most: dict[str, int] = {}
    for run in mine:
        most[run["problem"]] = max(most.get(run["problem"], 0), run["samples"]["train"])
    mine = [run for run in mine if run["samples"]["train"] == most[run["problem"]]]
    sizes = _sizes(mine)
    heads = [
        *("problem", "training images", "restricted", "no worse than *full*: density"),
        *("picked: density", "accuracy", "against restricted"),
        *(f"`--keep {size:g}`" for size in sizes),
        "seeds",
    ]
    rows = []
    for key in sorted({(run["problem"], run["samples"]["train"], "default") for run in mine}):
        group = _group(mine, key)
        tested = [run["test"][0] for run in group]
        picked = _at(group, None)
        rows.append(
            [
                f"{key[0]}{_mark(group)}",
                f"{key[1]:,}",
                over_seeds([row["restricted"] for row in tested]),
                _published(group),
                _picked(group),
                over_seeds([row["accuracy"] for row in picked]) if picked else "",
                *(_against(group, size) for size in (None, *sizes)),
                listed([run["seed"] for run in group]),
            ]
        )
    rows += _means(mine, sizes)
    note = (
        f"{_note(mine)} Under `--keep`: points against restricted at that share of the weights. "
        "No worse than *full*: the smallest point that reaches the untouched base's accuracy on "
        "validation images, as the published rule asks. "
        + provenance(mine[0] if mine else {}, "search/*.json")
    )
    return markdown(heads, rows, note)


def _means(runs: Sequence[Values], sizes: Sequence[float]) -> list[list[str]]:
    """A row for the problems of each base that have as many labels and training images.

    Only where a problem's name is its labels.
    """
    alike: dict[tuple[str, int, int], list[Values]] = {}
    for run in runs:
        base, _, labels = run["problem"].partition("/")
        if base not in NAMED_BY_LABELS:
            continue
        alike.setdefault((base, labels.count("-") + 1, run["samples"]["train"]), []).append(run)
    rows = []
    for (base, labels, images), mine in sorted(alike.items()):
        count = len({run["problem"] for run in mine})
        if count < LEAST_MEANT:
            continue
        picked = _at(mine, None)
        what = "one label against the rest" if labels == 1 else f"{labels} labels"
        rows.append(
            [
                f"**mean of {count}: {base}, {what}**{_mark(mine)}",
                f"{images:,}",
                spread([row["restricted"]["value"] for row in picked]),
                _published(mine),
                spread([row["density"] for row in picked]),
                spread([row["accuracy"]["value"] for row in picked]),
                *(
                    spread([row["against_restricted"]["value"] for row in found])
                    if len(found) == len(mine)
                    else "not all have one"
                    for found in (_at(mine, size) for size in (None, *sizes))
                ),
                listed([run["seed"] for run in mine]),
            ]
        )
    return rows


ABLATED = "default, "
AT = (0.2, 0.1)


def ablation(runs: Sequence[Values]) -> str:
    """Preset `default` with one thing changed at a time, on test data at sizes fixed beforehand."""
    changed = [run for run in runs if run["method"].startswith(ABLATED)]
    problems = sorted({(run["problem"], run["samples"]["train"]) for run in changed})
    heads = [
        "changed",
        *(
            f"{name}, {count:,} images: at {100 * size:g} %"
            for name, count in problems
            for size in AT
        ),
    ]
    rows = []
    for method in ("default", *sorted({run["method"] for run in changed})):
        groups = [_group(runs, (*problem, method)) for problem in problems]
        cells = [_against(mine, size) if mine else "" for mine in groups for size in AT]
        what = method.removeprefix(ABLATED) if method != "default" else "nothing"
        rows.append([f"{what}{_mark([run for mine in groups for run in mine])}", *cells])
    return markdown(heads, rows if changed else [], _note(changed or runs))


def unseen(values: Values | None) -> str:
    """What choosing by images takes that the base was trained on, and by ones it has not seen."""
    heads = [
        *("choosing images", "n", "*full* on them", "*full* on test", "*restricted* on test"),
        *("picked: density", "smallest point: density", "loses on choosing images", "on test"),
    ]
    rows = []
    for row in values["rows"] if values else []:
        choosing, accuracy, smallest = row["validation"], row["accuracy"], row["smallest"]
        lost = smallest["point"]["validation_accuracy"] - choosing["restricted"]
        against = smallest["against_restricted"]
        rows.append(
            [
                {"train": "the base was trained on them", "test": "not seen"}[row["from"]],
                f"{row['samples']['validation']:,}",
                percent(choosing["full"]),
                interval(accuracy["full"]),
                interval(accuracy["restricted"]),
                percent(row["picked"]),
                percent(smallest["point"]["density"]),
                percent(lost),
                interval(against),
            ]
        )
    note = ""
    if values:
        note = (
            f"ResNet-20, {values['rows'][0]['label']} or not, {values['epochs']} epochs, seed "
            f"{values['seed']}, steps in {values['precision']}. In %, losses in points against "
            "restricted; in brackets the 95 % interval. " + provenance(values, "unseen.json")
        )
    return markdown(heads, rows, note)


def speed(runs: Sequence[Values]) -> str:
    """Wall seconds of whole searches, measured on an idle machine, beside the published one's."""
    heads = [
        *("problem", "training images", "method", "steps", "seconds in all", "to the picked point"),
        *("times `paper`", "precision"),
    ]
    paper = {
        (run["problem"], run["samples"]["train"]): run["points"][-1]["seconds"]
        for run in runs
        if run["method"] == "paper"
    }
    rows = []
    for run in sorted(runs, key=lambda run: (run["problem"], run["samples"]["train"])):
        seconds = {point["epoch"]: point["seconds"] for point in run["points"]}
        last = run["points"][-1]
        published = paper.get((run["problem"], run["samples"]["train"]))
        rows.append(
            [
                run["problem"],
                f"{run['samples']['train']:,}",
                run["method"],
                f"{last['steps']:,}",
                f"{last['seconds']:.0f}",
                f"{seconds.get(run['test'][0]['epoch'], 0):.0f}",
                f"{last['seconds'] / published:.2f}" if published else "",
                run["settings"]["search"]["precision"],
            ]
        )
    threads = listed([run["threads"] for run in runs])
    note = (
        f"One run each, seed 0, {threads} threads; measurements between epochs included, reading "
        "data not. " + provenance(runs[0] if runs else {}, "search_speed/*.json")
    )
    return markdown(heads, rows, note)


def _sizes(runs: Sequence[Values]) -> list[float]:
    """Sizes fixed beforehand, largest first."""
    found = {row["size"] for run in runs for row in run["test"] if row["size"] is not None}
    return sorted(found, reverse=True)


def _note(runs: Sequence[Values]) -> str:
    held, tested = (
        listed([run["samples"][part] for run in runs]) for part in ("validation", "test")
    )
    named = sorted(
        {
            f"{run['problem']} with {run['samples']['train']:,} images"
            for run in runs
            if run["settings"]["search"]["precision"] == "bfloat16"
        }
    )
    return (
        "All in %, differences in points, on test images; in brackets the 95 % interval, of "
        "several seeds or problems, lowest to highest. Chosen on validation images "
        f"(n = {held}), tested on others (n = {tested})."
        + (f" Steps in bfloat16: {'; '.join(named)}." if named else "")
        + (" *: of an older default (decisions 033 to 041)." if any(map(_older, runs)) else "")
    )


def _older(run: Values) -> bool:
    """Whether a run has settings that have changed since, and not because its method says so."""
    settings = run["settings"]["search"]
    if settings.get("preset") not in ("default", "bitmask"):
        return False
    names = [name for name, own in CHANGED.items() if run["method"] not in own]
    return changed_since(settings, Problem.one_vs_rest("any"), names)


def _marked(runs: Sequence[Values]) -> str:
    """A method's name, with a mark where it has changed since."""
    return f"{runs[0]['method']}{_mark(runs)}"


def _mark(runs: Sequence[Values]) -> str:
    return " *" * any(map(_older, runs))


def _group(runs: Sequence[Values], key: tuple[Any, ...]) -> list[Values]:
    found = [r for r in runs if (r["problem"], r["samples"]["train"], r["method"]) == key]
    return sorted(found, key=lambda run: run["seed"])


def _mean_volume(runs: Sequence[Values]) -> float:
    total: float = sum(run["hypervolume"]["density"] for run in runs)
    return total / len(runs)


def _at(runs: Sequence[Values], size: float | None) -> list[Values]:
    """The tested points of a size, or those that the rule picked (None).

    A pick from points without pairs is not today's rule.
    """
    found = [run for run in runs if size is not None or "lost" in run["points"][-1]]
    return [row for run in found for row in run["test"] if row["size"] == size]


def _published(runs: Sequence[Values]) -> str:
    """Density of the smallest point that is no worse than the untouched base, by validation."""
    smallest = []
    for run in runs:
        bar = run["validation"]["full"]
        good = [p["density"] for p in run["points"] if p["validation_accuracy"] >= bar]
        smallest.append(min(good, default=1))
    return spread(smallest)


def _picked(runs: Sequence[Values]) -> str:
    found = _at(runs, None)
    return spread([row["density"] for row in found]) if found else "not measured"


def _against(runs: Sequence[Values], size: float | None) -> str:
    found = [row["against_restricted"] for row in _at(runs, size)]
    if not found:
        return "" if size is None else "no such point"
    return over_seeds(found)
