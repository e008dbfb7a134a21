"""The runs of a sweep, named: problems times the values of a grid."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seam.core.problem import Problem
from seam.errors import ConfigError
from seam.jobs.plan import Plan, plan

LONGEST = 80
"""Bytes of each part of a folder's name: file systems take 255 for all."""


@dataclass(frozen=True)
class Part:
    """One run of a sweep: a problem with its settings, under a name of its own.

    ``varied`` are the settings in which it differs from the other runs of its problem.
    """

    name: str
    problem: Problem
    settings: Plan
    varied: Mapping[str, Any] = field(default_factory=dict)


def parts_of(
    problems: Mapping[str, Problem],
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    **settings: Any,
) -> list[Part]:
    """One part a problem and combination of the ``grid``'s values; ``settings`` as `plan` takes.

    >>> found = parts_of({"is it a 7?": Problem.of(["7"])}, grid={"keep": [0.1, 0.2]}, epochs=3)
    >>> [part.name for part in found]
    ['is_it_a_7-keep=0.1', 'is_it_a_7-keep=0.2']

    Raises:
        ConfigError: there is no problem, or a setting is unknown or out of range.
    """
    if not problems:
        raise ConfigError("there is no problem to search; name at least one")
    grid = grid or {}
    parts: list[Part] = []
    for title, problem in problems.items():
        for values in itertools.product(*grid.values()):
            varied = dict(zip(grid, values, strict=True))
            words = [title, *(f"{name}={value}" for name, value in varied.items())]
            name = _free("-".join(map(_as_folder, words)), [part.name for part in parts])
            parts.append(Part(name, problem, plan(problem, **{**settings, **varied}), varied))
    return parts


def _as_folder(text: str) -> str:
    """A name that any file system takes.

    >>> _as_folder("Speed limit (20km/h)")
    'Speed_limit_20km_h'
    """
    name = re.sub(r"[^\w.=-]+", "_", text).encode()[:LONGEST].decode(errors="ignore")
    return name.strip("_.") or "problem"


def _free(name: str, taken: Sequence[str]) -> str:
    """The name, or with a number behind it, unlike all others also where case does not count."""
    lowered = {each.casefold() for each in taken}
    for number in itertools.count(1):
        found = name if number == 1 else f"{name}-{number}"
        if found.casefold() not in lowered:
            return found
    raise AssertionError
