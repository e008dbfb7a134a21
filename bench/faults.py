"""Injected faults: what is left of a run or a sweep that is killed, starved, cut off or crowded.

    python bench/faults.py --seed 0 --each 8                     # as root, for disks that fill up
    python bench/faults.py --seed 0 --each 8 --cases sweep       # other cases' rows stay
    python bench/faults.py --seed 0 --only "weights/kill -9/3"   # one trial again

A trial harms a run with a small search at a moment drawn over the whole of an unbroken run, then
gives the same command again and compares every file with the unbroken run's. `KINDS` and
`SWEEP_KINDS` of tests/faults say what is done. Searches of weights get ``--each`` trials of each
kind, the longer ones a part of them (`EVERY`). The results are written after each trial.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # as everything that is forked from here
from common import RESULTS, ROOT, arguments, save

sys.path.insert(0, str(ROOT / "tests" / "faults"))
from cases import COMMANDS, Case
from disks import why_not
from forks import Server
from kinds import KINDS, NEED_DISK
from sweeps import SWEEP_KINDS, Sweep
from trials import Fault, Trial

EVERY = {"weights": 1, "channels": 8, "transfer": 8, "sweep": 1}
COUNTS = ("trials", "injected", "survived", "refused", "lost")
BLOWS = 10


def names(cases: Collection[str], each: int) -> Iterator[tuple[str, str, int]]:
    """Case, kind and number of every trial."""
    for number in range(each):
        for case, every in EVERY.items():
            if case in cases and number % every == 0:
                for kind in SWEEP_KINDS if case == "sweep" else KINDS:
                    if kind not in NEED_DISK or not why_not():
                        yield case, kind, number


def fault_of(kind: str) -> Fault:
    return {**KINDS, **SWEEP_KINDS}[kind]


def measured(name: str, server: Server, place: Path) -> Case | Sweep:
    if name in COMMANDS:
        return Case.measured(name, server, place)
    return Sweep.measured(server, place)


def tried(trial: Trial[Any], kind: str) -> dict[str, Any]:
    """One trial's counts; a trial that breaks off has lost what it did not get to compare."""
    try:
        fault_of(kind)(trial)
    except Exception as error:
        trial.wrong.append(f"{type(error).__name__}: {error}")
    return {
        "trials": 1,
        "injected": trial.injected,
        "survived": 0 if trial.wrong else trial.injected,
        "refused": trial.refused,
        "lost": len(trial.wrong) and max(1, trial.injected),
    }


def others(
    file: Path, cases: Collection[str]
) -> tuple[dict[tuple[str, str], dict[str, int]], list[dict[str, Any]]]:
    """Rows and failures that the file has of other cases than these."""
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"rows": []}
    kept = [row for row in found["rows"] if row["case"] not in cases]
    rows = {(r["case"], r["kind"]): {name: r[name] for name in COUNTS} for r in kept}
    failures = [f for f in found.get("failures", []) if f["trial"].split("/")[0] not in cases]
    return rows, failures


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=8, help="trials of a kind, for weights")
    parser.add_argument("--cases", nargs="+", choices=list(EVERY), default=list(EVERY))
    parser.add_argument("--only", help="CASE/KIND/NUMBER: that trial alone; writes nothing")
    args = parser.parse_args()
    file = args.out or RESULTS / "reliability" / "faults.json"
    rows, failures = others(file, args.cases)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        server, cases = Server(Path(scratch)), {}
        for case, kind, number in names(args.cases, args.each):
            name = f"{case}/{kind}/{number}"
            if args.only not in (None, name):
                continue
            if case not in cases:
                cases[case] = measured(case, server, Path(scratch) / case)
            place = Path(scratch) / name.replace("/", "-")
            place.mkdir()
            trial = Trial(cases[case], place, random.Random(f"{args.seed}/{name}"), blows=BLOWS)
            found = tried(trial, kind)
            row = rows.setdefault((case, kind), dict.fromkeys(COUNTS, 0))
            for count in COUNTS:
                row[count] += found[count]
            if trial.wrong:
                failures.append({"trial": name, "wrong": trial.wrong})
            print(f"{time.monotonic() - start:6.0f} s", name, found, *trial.wrong, flush=True)
            if not args.only:
                document = {
                    "seed": args.seed,
                    "rows": [{"case": c, "kind": k, **counts} for (c, k), counts in rows.items()],
                    "total": {n: sum(row[n] for row in rows.values()) for n in COUNTS},
                    "failures": failures,
                    "skipped": why_not(),
                    "seconds": round(time.monotonic() - start),
                    "threads": 1,
                }
                save(file, document)


if __name__ == "__main__":
    main()
