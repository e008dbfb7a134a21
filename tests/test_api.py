"""The front door: what `import seam` promises, and what it costs."""

from __future__ import annotations

import doctest
import inspect
import pkgutil
import resource
import subprocess
import sys

import pytest

import seam

PROMISED = [
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


def test_promised_names() -> None:
    assert sorted(seam.__all__) == PROMISED
    assert set(PROMISED) <= set(dir(seam))


@pytest.mark.parametrize("name", PROMISED)
def test_every_name_is_explained_with_an_example(name: str) -> None:
    text = inspect.getdoc(getattr(seam, name))
    assert text
    assert text.partition("\n")[0].endswith((".", ":"))
    assert doctest.DocTestParser().get_examples(text)


def test_no_name_is_hidden_by_a_folder() -> None:
    """Importing ``seam.x.y`` sets ``seam.x``: a public name must not be called like a folder."""
    folders = {each.name for each in pkgutil.iter_modules(seam.__path__)}
    assert not folders & set(PROMISED)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="module 'seam' has no attribute 'reengineeer'"):
        _ = seam.reengineeer


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [(["-c", "import seam, sys; assert 'torch' not in sys.modules"], 1.0), (["-m", "seam"], 1.0)],
    ids=["import seam", "seam --help"],
)
def test_the_start_is_quick(arguments: list[str], seconds: float) -> None:
    """Processor time, so that a busy machine does not matter; half of it is the promise."""
    if arguments == ["-m", "seam"]:
        arguments = ["-X", "importtime", "-m", "seam", "--help"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    heavy = ("torch", "numpy", "datasets", "PIL", "matplotlib", "timm")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & set(heavy)
    assert after.ru_utime - before.ru_utime < seconds
