"""Channel widths against time in each runtime: which multiples a 3x3 convolution likes here.

All widths of a runtime, batch size and thread count take turns; times are those of one layer inside
a program (see seam.evaluation.layer_graphs), medians with quartiles. The multiple is chosen by the
lower quartiles; ``load`` is the load average before and after: repeat it where that is above 1.
"""

from __future__ import annotations

import torch
from common import RESULTS, arguments, save

from seam.evaluation.machine import describe_machine, load_average, usable_cores
from seam.evaluation.rounding import (
    ROUNDS,
    WIDTHS,
    costs_of_rounding,
    measure_widths,
    preferred_multiple,
)
from seam.evaluation.timing import figure


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--runtimes", nargs="+", default=["onnxruntime", "openvino", "torch"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16])
    args = parser.parse_args()
    torch.manual_seed(0)
    cells, load = [], [load_average()]
    for runtime in args.runtimes:
        for batch in args.batches:
            for threads in sorted({1, min(2, usable_cores())}):
                found = measure_widths(runtime=runtime, batch=batch, threads=threads)
                lows = {width: spread.low for width, spread in found.items()}
                cell = {
                    "runtime": runtime,
                    "batch": batch,
                    "threads": threads,
                    "preferred_multiple": preferred_multiple(lows),
                    "cost_of_rounding": {
                        str(n): figure(cost) for n, cost in costs_of_rounding(lows).items()
                    },
                    "ms": {
                        str(width): {
                            "median": figure(spread.median),
                            "iqr": [figure(spread.low), figure(spread.high)],
                        }
                        for width, spread in found.items()
                    },
                }
                cells.append(cell)
                print({n: v for n, v in cell.items() if n != "ms"}, flush=True)
    load.append(load_average())
    facts = {"layer": "3x3 convolution, 16 x 16 pixels, with ReLU", "rounds": ROUNDS.rounds}
    facts |= {"widths": [WIDTHS[0], WIDTHS[-1]], "machine": describe_machine(), "load": load}
    save(args.out or RESULTS / "channel_rounding.json", {**facts, "cells": cells})


if __name__ == "__main__":
    main()
