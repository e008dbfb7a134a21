"""Search the weights of a trained network that a problem needs; remove the rest; prove it.

>>> import seam
>>> base = seam.load_base("zoo:digits")
>>> problem = seam.Problem.one_vs_rest("7")
>>> result = seam.reengineer(base, problem, "digits", settings=seam.plan(problem, epochs=2))
>>> result.report["density"] <= 1
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seam.artefacts.adapter import Adapter, apply_adapter, load_adapter, save_adapter
    from seam.core.config import SearchConfig
    from seam.core.pick import Pick
    from seam.core.preprocessing import Preprocessing
    from seam.core.problem import Problem
    from seam.defects.backdoor import Trigger
    from seam.defects.plan import DefectsPlan
    from seam.errors import SeamError
    from seam.evaluation.latency import LatencyPlan
    from seam.jobs.again import evaluate, pick_again
    from seam.jobs.defects import measure_defects
    from seam.jobs.direct import reengineer
    from seam.jobs.export import export
    from seam.jobs.indirect import transfer
    from seam.jobs.plan import Plan, plan
    from seam.jobs.predict import Predictor, load
    from seam.jobs.ranks import launched
    from seam.jobs.result import Result
    from seam.jobs.share import pull, push
    from seam.jobs.sweep import sweep
    from seam.jobs.sweep_parts import parts_of
    from seam.jobs.track import track
    from seam.jobs.workers import Workers
    from seam.masking.parametrization import MaskSet, attach
    from seam.models.base import BaseModel
    from seam.models.load import BaseSpec, load_base
    from seam.reporting.page import compare, report

__version__ = "0.1.0"

_HOMES = {
    "Adapter": "artefacts.adapter",
    "BaseModel": "models.base",
    "BaseSpec": "models.load",
    "DefectsPlan": "defects.plan",
    "LatencyPlan": "evaluation.latency",
    "MaskSet": "masking.parametrization",
    "Pick": "core.pick",
    "Plan": "jobs.plan",
    "Predictor": "jobs.predict",
    "Preprocessing": "core.preprocessing",
    "Problem": "core.problem",
    "Result": "jobs.result",
    "SeamError": "errors",
    "SearchConfig": "core.config",
    "Trigger": "defects.backdoor",
    "Workers": "jobs.workers",
    "apply_adapter": "artefacts.adapter",
    "attach": "masking.parametrization",
    "compare": "reporting.page",
    "evaluate": "jobs.again",
    "export": "jobs.export",
    "launched": "jobs.ranks",
    "load": "jobs.predict",
    "load_adapter": "artefacts.adapter",
    "load_base": "models.load",
    "measure_defects": "jobs.defects",
    "pick_again": "jobs.again",
    "parts_of": "jobs.sweep_parts",
    "plan": "jobs.plan",
    "pull": "jobs.share",
    "push": "jobs.share",
    "reengineer": "jobs.direct",
    "report": "reporting.page",
    "save_adapter": "artefacts.adapter",
    "sweep": "jobs.sweep",
    "track": "jobs.track",
    "transfer": "jobs.indirect",
}

__all__ = [
    "Adapter",
    "BaseModel",
    "BaseSpec",
    "DefectsPlan",
    "LatencyPlan",
    "MaskSet",
    "Pick",
    "Plan",
    "Predictor",
    "Preprocessing",
    "Problem",
    "Result",
    "SeamError",
    "SearchConfig",
    "Trigger",
    "Workers",
    "apply_adapter",
    "attach",
    "compare",
    "evaluate",
    "export",
    "launched",
    "load",
    "load_adapter",
    "load_base",
    "measure_defects",
    "parts_of",
    "pick_again",
    "plan",
    "pull",
    "push",
    "reengineer",
    "report",
    "save_adapter",
    "sweep",
    "track",
    "transfer",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: PyTorch takes seconds to import."""
    if name not in _HOMES:
        raise AttributeError(f"module 'seam' has no attribute '{name}'")
    value = getattr(import_module(f"seam.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
