"""The job with seam: three labels, 30 % of the multiply-accumulates, ONNX.

Beside model.onnx it writes test accuracy with intervals, next to the base's, and what the ONNX file
was compared with; the run continues where it was interrupted.
"""

from own import LABELS, MEAN, PIXELS, STD, net

import seam

base = seam.BaseModel(net(), LABELS, seam.Preprocessing(size=PIXELS, mean=MEAN, std=STD))
problem = seam.Problem.of(["3", "5", "8"])
settings = seam.plan(problem, granularity="channel", keep_macs=0.3)
seam.reengineer(base, problem, "images", out="run", settings=settings)
seam.export("run", to=["onnx"], base=base)
