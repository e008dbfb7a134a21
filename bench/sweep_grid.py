"""One problem of CIFAR-10 at eight sizes: a sweep whose runs share a groundwork, and one without.

    python bench/sweep_grid.py --rounds 3

Both sweeps, in turns, have one worker with one thread. Adapters are compared byte by byte. What a
worker takes to start and to import is in both.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from common import RESULTS, ROOT, arguments, save
from sweep import adapters

import seam
from seam.jobs import sweep as sweeps

SIZES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
LABEL, SETTINGS = "cat", {"shots": 20, "epochs": 5, "keep": 0.6}
WAYS = {"groundwork": sweeps.SHARED_BY, "none": len(SIZES) + 1}
"""From how many runs on one is laid."""


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "sweep_grid")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    weights, data = args.shared / "models" / "resnet20_cifar10.safetensors", args.shared / "data"
    base = seam.BaseSpec(name="zoo:cifar_resnet20", weights=str(weights))
    problem = seam.Problem.one_vs_rest(LABEL)
    parts = seam.parts_of({LABEL: problem}, grid={"final_density": SIZES}, **SETTINGS)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    made: list[dict[str, str]] = []
    for number in range(args.rounds):
        for way, least in WAYS.items():
            sweeps.SHARED_BY = least
            out, start = args.runs / f"{way}-{number}", time.monotonic()
            rows: list[dict[str, Any]] = seam.sweep(
                base, parts, data / "cifar10", out=out, workers=seam.Workers(count=1)
            )
            seconds[way].append(round(time.monotonic() - start, 1))
            assert {row["state"] for row in rows} == {"finished"}
            made.append(adapters(out))
            print(way, seconds[way], flush=True)
    found = {
        "settings": SETTINGS,
        "label": LABEL,
        "runs": len(parts),
        "seed": 0,
        "seconds": seconds,
        "equal_adapters": all(each == made[0] for each in made),
    }
    save(args.out or RESULTS / "sweep_grid.json", found)


if __name__ == "__main__":
    main()
