"""Write the tables of README.md and docs/ from the JSON in bench/results; `--check` only compares.

A table stands between `<!-- table:NAME -->` and `<!-- /table -->`. What was not measured yet says
so. The presets' settings come from the code.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path("bench/results")
PICTURE = Path("docs/images/frontier.png")
CURVES = Path("docs/images/searches.png")
MARKED = re.compile(r"(<!-- table:(?P<name>[\w-]+) -->\n)(?P<body>.*?)(<!-- /table -->)", re.DOTALL)
MARKER = re.compile(r"<!-- (?:table:[\w-]+|/table) -->")
MISSING = "not measured"
METHODS = ("full", "restricted", "head_only", "reengineered")

Values = Mapping[str, Any]


# -------------------------------------------------------------------------------------- figures


def percent(share: float, digits: int = 2) -> str:
    return f"{100 * share:.{digits}f}"


def interval(figure: Values) -> str:
    """`94.75 (93.68 to 95.64)`: a share with its 95 % interval, in %."""
    return f"{percent(figure['value'])} ({percent(figure['low'])} to {percent(figure['high'])})"


def spread(values: Sequence[float]) -> str:
    """A share over seeds, in %: the mean, lowest to highest; one seed has no spread."""
    if len(values) == 1:
        return percent(values[0])
    mean = sum(values) / len(values)
    return f"{percent(mean)} ({percent(min(values))} to {percent(max(values))})"


def over_seeds(figures: Sequence[Values]) -> str:
    """One seed: the interval. Several: the mean, lowest to highest."""
    if len(figures) == 1:
        return interval(figures[0])
    return spread([figure["value"] for figure in figures])


def listed(values: Sequence[Any]) -> str:
    return ", ".join(f"{value:,}" for value in sorted(set(values)))


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> str:
    """A table; the first column is text, the others are figures. No rows: not measured."""
    filled = rows or [[MISSING, *[""] * (len(heads) - 1)]]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *filled]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{table}\n\n{note}\n" if note and rows else f"{table}\n"


def by_method(
    rows: Iterable[Values], names: Sequence[str], methods: Sequence[str]
) -> dict[tuple[Any, ...], list[Values]]:
    """Rows by what they have under ``names``, sorted by it; methods as ``methods`` has them."""
    groups: dict[tuple[Any, ...], list[Values]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    place = names.index("method")
    order = {key: (*key[:place], methods.index(key[place]), *key[place + 1 :]) for key in groups}
    return {key: groups[key] for key in sorted(groups, key=order.__getitem__)}


def provenance(found: Values, file: str) -> str:
    """Where the figures come from: file, machine, versions."""
    machine = found.get("environment", {})
    versions = machine.get("versions", {})
    words = [
        f"`{RESULTS / file}`",
        machine.get("cpu", ""),
        f"threads: {machine['threads']}" if "threads" in machine else "",
        f"torch {versions['torch']}" if "torch" in versions else "",
    ]
    return "Source: " + ", ".join(word for word in words if word) + "."


def changed_since(search: Values, problem: Any, names: Iterable[str]) -> bool:
    """Whether any of these settings of a search's preset is another one today.

    Of rates the bound of a step and the warm-up are compared, for some methods set the others. What
    a run of before a setting does not name was off.
    """
    from seam.search.presets import preset

    granularity = search.get("granularity", "weight")
    today = preset(search["preset"], problem, granularity=granularity).to_dict()

    def of(values: Values, name: str) -> Any:
        value = values.get(name)
        if isinstance(value, Mapping):
            return value.get("bound") or None, value.get("warmup") or None
        return value or None

    return any(of(search, name) != of(today, name) for name in names)


# --------------------------------------------------------------------------------------- tables


def reference(found: Values | None) -> str:
    """The `paper` preset against the published algorithm's own run."""
    heads = ["preset paper", "measured"]
    if not found:
        return markdown(heads, [])
    later = found["rows"][1:]
    gaps = [row["test_accuracy"]["value"] - row["reference_accuracy"] for row in later]
    rows = [
        ["largest difference in density", f"{found['largest_density_difference']:.4f}"],
        [
            "mean difference in accuracy, points (lowest to highest)",
            f"{percent(found['mean_accuracy_difference'])} "
            f"({percent(min(gaps))} to {percent(max(gaps))})",
        ],
        [
            "mean absolute difference in accuracy, points",
            percent(found["mean_absolute_accuracy_difference"]),
        ],
    ]
    sizes = listed([row["test_accuracy"]["n"] for row in later])
    note = (
        f"{len(later)} epochs, seed {found['seed']} on both sides, n = {sizes} test images. "
        f"{found['definition'][0].upper()}{found['definition'][1:]}. "
        + provenance(found, "paper_reference.json")
    )
    return markdown(heads, rows, note)


def vehicles(found: Values | None) -> str:
    """MobileNetV2 for ten of its 1,000 labels."""
    heads = ["MobileNetV2, ten vehicles", "measured"]
    if not found:
        return markdown(heads, [])
    report = found["report"]
    names = ("full", "restricted", "head only", "re-engineered")
    rows = [
        [f"{name}, test accuracy", interval(report["accuracy"][method])]
        for name, method in zip(names, METHODS, strict=True)
    ]
    macs = report["macs"]
    gain = report["against_restricted"]["difference"]
    rows += [
        ["against restricted, points", interval(gain)],
        ["density", percent(report["density"])],
        ["weights kept", percent(found["weights_kept_share"])],
        ["non-zero MACs", percent(macs["theoretical"] / macs["base"])],
        ["peak memory, GB", f"{found['peak_memory_bytes'] / 1e9:.2f}"],
        ["minutes, all in all", f"{found['seconds'] / 60:.1f}"],
    ]
    note = (
        f"In % where nothing else is said; in brackets the 95 % interval; n = {gain['n']:,} test "
        f"images; seed {found['seed']}, {found['config']['epochs']} epochs. "
        + provenance(found, "mobilenet_vehicles.json")
    )
    return markdown(heads, rows, note)


def step_cost(found: Values | None) -> str:
    """What a masked training step costs beside a plain one."""
    heads = [
        *("model", "preset", "batch", "plain step, ms", "masked step, ms"),
        *("time ratio (IQR)", "memory ratio", "n"),
    ]

    def quartiles(value: Any) -> str:
        if isinstance(value, list):
            return " to ".join(f"{each:.3f}" for each in value)
        return f"{value:.3f}"

    rows = [
        [
            row["model"],
            row.get("preset", ""),
            f"{row['batch']} x {row['pixels']} px" if "batch" in row else "",
            f"{row['plain_ms']:.1f}",
            f"{row['masked_ms']:.1f}",
            f"{row['ratio']:.3f} ({quartiles(row['iqr'])})",
            f"{row['memory_ratio']:.3f}" if row.get("memory_ratio") is not None else MISSING,
            f"{row['n']:,}" if "n" in row else "",
        ]
        for row in (found or {}).get("rows", [])
    ]
    note = "Medians; in brackets the interquartile range. " + provenance(
        found or {}, "masked_step.json"
    )
    return markdown(heads, rows, note)


def peers(results: Path) -> str:
    """Channel runs beside other pruners, as far as both were run."""
    from peers.table import gathered, table

    rows = gathered(results)
    return table(rows) if rows else f"{MISSING}\n"


def effort(found: Values | None) -> str:
    """What a user writes for one job with each tool."""
    heads = ["tool", "what makes the model smaller", "lines", "statements"]
    rows = [
        [row["tool"], row["smaller_by"], str(row["lines"]), str(row["statements"])]
        for row in (found or {}).get("rows", [])
    ]
    return markdown(heads, rows, f"Source: `{RESULTS / 'ux.json'}`, scripts in `bench/peers/ux`.")


def presets() -> str:
    """The presets' settings, from the code."""
    from seam.core.problem import Problem
    from seam.search.presets import PRESETS, default_pick, preset

    problems = {"one-vs-rest": Problem.one_vs_rest("a"), "others": Problem.subset(["a", "b"])}
    columns: dict[str, dict[str, str]] = {}
    for name in PRESETS:
        found = {kind: flat(preset(name, each).to_dict()) for kind, each in problems.items()}
        if found["one-vs-rest"] == found["others"]:
            found = {"": found["others"]}
        pick = default_pick(name)
        for kind, values in found.items():
            rule = pick.rule if pick.rule == "paper" else f"{pick.rule} {pick.value:g}"
            columns[f"{name}, {kind}" if kind else name] = {**values, "pick": rule}
    small = flat(preset("default", problems["others"], granularity="channel").to_dict())
    columns["default, channels"] = {**small, "pick": columns["default"]["pick"]}
    return compared(columns)


def transfer_presets() -> str:
    """The same for new labels."""
    from seam.core.problem import Problem
    from seam.search.presets import default_pick, preset

    new = Problem.new_labels(["a", "b"])
    columns = {}
    for title, name, granularity in (
        ("default", "default", "weight"),
        ("default, channels", "default", "channel"),
        ("paper", "paper", "weight"),
    ):
        pick = default_pick(name)
        rule = pick.rule if pick.rule == "paper" else f"{pick.rule} {pick.value:g}"
        columns[title] = {
            **flat(preset(name, new, granularity=granularity).to_dict()),  # type: ignore[arg-type]
            "pick": rule,
        }
    return compared(columns)


def compared(columns: Mapping[str, Mapping[str, str]]) -> str:
    """Settings as rows, presets as columns."""
    settings = list(dict.fromkeys(key for values in columns.values() for key in values))
    rows = [
        [f"`{key}`", *(values.get(key, "") for values in columns.values())]
        for key in settings
        if key != "preset"
    ]
    return markdown(["setting", *columns], rows)


def flat(values: Values, prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        elif value is not None:
            found[f"{prefix}{key}"] = f"{value:g}" if isinstance(value, float) else str(value)
    return found


def picture(file: Path, text: str, document: Path) -> str:
    """A link to a picture, where it was drawn."""
    if not file.exists():
        return f"{MISSING}\n"
    return f"![{text}]({Path(os.path.relpath(file, document.parent)).as_posix()})\n"


def pictures(root: Path, document: Path) -> dict[str, Callable[[], str]]:
    """Those that bench/search_pictures.py draws."""
    first = (
        "Validation accuracy against density, ResNet-20, airplane or not: the published search, "
        "the default search and the restricted base"
    )
    every = "Validation accuracy against density, and against multiply-accumulates, of every search"
    return {
        "picture": lambda: picture(root / PICTURE, first, document),
        "curves": lambda: picture(root / CURVES, every, document),
    }


def render(name: str, root: Path, document: Path) -> str:
    """The text of table ``name``, as it should stand in ``document``.

    Raises:
        ValueError: there is no such table.
    """

    def read(file: str) -> Values | None:
        path = root / RESULTS / file
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def read_all(folder: str) -> list[Values]:
        files = sorted((root / RESULTS / folder).glob("*.json"))
        return [json.loads(file.read_text(encoding="utf-8")) for file in files]

    import architecture_tables
    import backdoor_tables
    import channel_tables
    import cli_tables
    import encoder_tables
    import reliability_tables
    import scaling_tables
    import search_tables
    import transfer_tables

    tables: dict[str, Callable[[], str]] = {
        "reuse": lambda: search_tables.reuse(read_all("search")),
        "paper-reference": lambda: reference(read("paper_reference.json")),
        "mobilenet-vehicles": lambda: vehicles(read("mobilenet_vehicles.json")),
        "masked-step": lambda: step_cost(read("masked_step.json")),
        "channels": lambda: channel_tables.channels(read_all("channels")),
        "channels-marks": lambda: channel_tables.marks(read_all("channels")),
        "channels-latency": lambda: channel_tables.latency(read_all("channels")),
        "channels-size": lambda: channel_tables.sizes(read_all("channels")),
        "channel-rounding": lambda: channel_tables.rounding(read("channel_rounding.json")),
        "searches": lambda: search_tables.searches(read_all("search")),
        "unseen": lambda: search_tables.unseen(read("unseen.json")),
        "search-speed": lambda: search_tables.speed(read_all("search_speed")),
        "transfer": lambda: transfer_tables.students(read_all("transfer")),
        "transfer-less": lambda: transfer_tables.reductions(read_all("transfer")),
        "architectures": lambda: architecture_tables.architectures(read("architectures.json")),
        "backdoor": lambda: backdoor_tables.backdoor(read("backdoor.json")),
        "encoders": lambda: encoder_tables.encoders(read("encoders.json")),
        "peers": lambda: peers(root / RESULTS),
        "ablation": lambda: search_tables.ablation(read_all("search")),
        "reliability": lambda: reliability_tables.reliability(
            read("reliability/faults.json"), read("reliability/fuzz.json")
        ),
        "faults": lambda: reliability_tables.faults(read("reliability/faults.json")),
        "fuzzed": lambda: reliability_tables.fuzzed(read("reliability/fuzz.json")),
        "scaling-weights": lambda: scaling_tables.weights(read("scaling/weights.json")),
        "scaling-samples": lambda: scaling_tables.samples(read("scaling/samples.json")),
        "scaling-paper": lambda: scaling_tables.paper(read("scaling/weights.json")),
        "sweep": lambda: scaling_tables.sweep(read("sweep.json")),
        "sweep-grid": lambda: scaling_tables.sweep_grid(read("sweep_grid.json")),
        "commands": cli_tables.commands,
        "exit-codes": cli_tables.exit_codes,
        "ux": lambda: effort(read("ux.json")),
        "presets": presets,
        "transfer-presets": transfer_presets,
        **pictures(root, document),
    }
    if name not in tables:
        raise ValueError(f"{document.name}: there is no table '{name}'; give {', '.join(tables)}")
    return tables[name]()


# ------------------------------------------------------------------------------------ documents


def filled(document: Path, root: Path) -> str:
    """The document's text with every table as it should be.

    Raises:
        ValueError: a marker has no partner, or names no table.
    """

    def replace(match: re.Match[str]) -> str:
        return f"{match[1]}\n{render(match['name'], root, document)}\n{match[4]}"

    text = document.read_text(encoding="utf-8")
    if any(MARKER.search(part) for part in MARKED.split(text)[:: MARKED.groups + 1]) or any(
        MARKER.search(match["body"]) for match in MARKED.finditer(text)
    ):
        raise ValueError(f"{document.name}: a table's marker has no partner")
    return MARKED.sub(replace, text)


def documents(root: Path) -> list[Path]:
    return [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    args = parser.parse_args(arguments)
    stale = []
    for document in documents(args.root):
        text = filled(document, args.root)
        if text != document.read_text(encoding="utf-8"):
            stale.append(document.relative_to(args.root).as_posix())
            if not args.check:
                document.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{name}: {'out of date; run bench/tables.py' if args.check else 'written'}")
    return 1 if stale and args.check else 0


if __name__ == "__main__":
    sys.exit(main())
