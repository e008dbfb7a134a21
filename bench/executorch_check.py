"""A shrunk model lowered by ExecuTorch, run in its runtime, and held against the seam program.

    pip install executorch          # not an extra of seam: it brings its own torch pin
    python bench/executorch_check.py --program runs/three/model/model.pt2

Needs no seam where it runs: the program alone. The batch size becomes a fixed 1.
"""

from __future__ import annotations

import argparse
import json
import platform
from importlib.metadata import version
from pathlib import Path

import torch

OUT = Path(__file__).parent / "results" / "executorch.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path, required=True, help="a model.pt2 of seam's own")
    parser.add_argument("--shape", type=int, nargs=3, default=[1, 8, 8])
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()

    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    torch.manual_seed(0)
    module = torch.export.load(args.program).module()
    images = torch.rand(args.samples, *args.shape)
    fixed = torch.export.export(module, (images[:1],))
    lowered = to_edge_transform_and_lower(fixed, partitioner=[XnnpackPartitioner()])
    file = args.program.with_suffix(".pte")
    file.write_bytes(lowered.to_executorch().buffer)

    method = Runtime.get().load_program(file).load_method("forward")
    found = torch.cat([method.execute([image[None]])[0] for image in images])
    wanted = module(images)
    document = {
        "executorch": version("executorch"),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "seed": 0,
        "n": args.samples,
        "bytes": file.stat().st_size,
        "largest_difference": ((found - wanted).abs().max() / wanted.abs().max()).item(),
        "top1_agreement": (found.argmax(1) == wanted.argmax(1)).float().mean().item(),
    }
    args.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(document)


if __name__ == "__main__":
    main()
