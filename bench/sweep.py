"""43 one-vs-rest problems of gtsrb: single runs, a sweep by one worker, by two, and on a cluster.

    python bench/signs_base.py             # first, for the base; 12 minutes
    python bench/sweep.py one two one two one two
    python bench/sweep.py single --problems 12     # costs a problem are compared
    python bench/sweep.py cluster

`single` is the command `seam reengineer` once a problem, each in a process of its own; `one` and
`two` are `seam.sweep` with that many workers; `cluster` has two nodes on this machine
(`ray.cluster_utils.Cluster`), of which one is killed when half of the problems are finished. Every
worker has one thread. A mode given again is run again, in another folder. Adapters are compared
byte by byte with those of `single`.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common import RESULTS, ROOT, arguments, save
from signs_base import FOLDER, LABELS, WEIGHTS

import seam

SETTINGS: dict[str, Any] = {"shots": 20, "epochs": 5, "augment": "crop"}
MODES = ("single", "one", "two", "cluster")


def labels() -> list[str]:
    return (FOLDER / LABELS).read_text(encoding="utf-8").splitlines()


def single(data: str, out: Path, parts: Sequence[Any]) -> dict[str, Any]:
    """Every problem by the command, one after the other."""
    for part in parts:
        command = [sys.executable, "-m", "seam", "reengineer", "zoo:cifar_resnet20"]
        command += ["--weights", str(FOLDER / WEIGHTS), "--labels-file", str(FOLDER / LABELS)]
        command += ["--model-args", f"num_classes={len(labels())}", "--data", data, "--quiet"]
        command += ["--labels", part.problem.outputs[-1], "--out", str(out / "runs" / part.name)]
        for name, value in SETTINGS.items():
            command += [f"--{name}", str(value)]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return {}


def swept(data: str, out: Path, parts: Sequence[Any], workers: Any, told: Any) -> dict[str, Any]:
    """All problems as one sweep; the states they ended in."""
    rows = seam.sweep(base(), parts, data, out=out, workers=workers, told=told)
    return {"states": sorted({row["state"] for row in rows})}


def cluster(data: str, out: Path, parts: Sequence[Any]) -> dict[str, Any]:
    """A sweep on two nodes of one core each; one is killed half way, with what it is working on."""
    from ray.cluster_utils import Cluster

    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    nodes = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    doomed = [nodes.add_node(num_cpus=1)]
    killed: dict[str, Any] = {}

    def told(rows: Sequence[dict[str, Any]]) -> None:
        count = sum(row["state"] == "finished" for row in rows)
        if doomed and 2 * count >= len(rows):
            nodes.remove_node(doomed.pop(), allow_graceful=False)
            killed["finished_when_a_node_was_killed"] = count

    try:
        workers = seam.Workers(address=nodes.address)
        return {**swept(data, out, parts, workers, told), **killed}
    finally:
        nodes.shutdown()


def base() -> seam.BaseSpec:
    return seam.BaseSpec(
        name="zoo:cifar_resnet20",
        weights=str(FOLDER / WEIGHTS),
        labels_file=str(FOLDER / LABELS),
        model_args={"num_classes": len(labels())},
    )


def adapters(out: Path) -> dict[str, str]:
    """SHA-256 of every problem's adapter tensors."""
    return {
        file.parts[-3]: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(out.glob("runs/*/adapter/adapter.safetensors"))
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("modes", nargs="+", choices=MODES)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "sweep")
    parser.add_argument("--problems", type=int, default=None, help="the first so many labels")
    args = parser.parse_args()
    data, file = str(args.shared / "data" / "gtsrb"), args.out or RESULTS / "sweep.json"
    problems = {label: seam.Problem.one_vs_rest(label) for label in labels()[: args.problems]}
    parts = seam.parts_of(problems, **SETTINGS)

    def workers(count: int) -> Callable[..., dict[str, Any]]:
        given = seam.Workers(count=count)
        return lambda data, out, parts: swept(data, out, parts, given, lambda _rows: None)

    ways: dict[str, Callable[..., dict[str, Any]]] = {
        "single": single, "one": workers(1), "two": workers(2), "cluster": cluster,
    }  # fmt: skip
    found: dict[str, Any] = {}
    if file.exists():
        found = json.loads(file.read_text(encoding="utf-8"))["modes"]
    for mode in args.modes:
        row = found.setdefault(mode, {"problems": len(parts), "seconds": []})
        if row["problems"] != len(parts):
            parser.error(f"{file.name} has {mode} with {row['problems']} problems; start another")
        out = args.runs / mode / str(len(row["seconds"]))
        start = time.monotonic()
        row |= ways[mode](data, out, parts)
        row["seconds"].append(round(time.monotonic() - start, 1))
        print(mode, row, flush=True)
        save(file, {"settings": SETTINGS, "seed": 0, "modes": compared(found, args.runs)})


def compared(modes: dict[str, Any], runs: Path) -> dict[str, Any]:
    """The modes in their order, with the least number of adapters of a run.

    And of those that are equal to those of `single` and, as that has fewer, of the first of `one`.
    """
    others = {name: adapters(runs / name / "0") for name in ("single", "one")}
    found = {}
    for mode in filter(modes.__contains__, MODES):
        mine = [adapters(runs / mode / str(n)) for n in range(len(modes[mode]["seconds"]))]
        equal = {
            f"equal_to_{name}": min(len(each.items() & other.items()) for each in mine)
            for name, other in others.items()
        }
        found[mode] = {**modes[mode], "adapters": min(map(len, mine)), **equal}
    return found


if __name__ == "__main__":
    main()
