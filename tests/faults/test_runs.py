"""A run that meets any fault at a random moment is finished by the same command, byte by byte.

`bench/faults.py` does the same many times more, and for longer commands.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from cases import Case
from disks import why_not
from forks import Server
from kinds import KINDS, NEED_DISK
from trials import Trial

SEED = 59


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("faults")
    return Case.measured("weights", Server(folder), folder / "weights")


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_command_ends_as_if_nothing_had_happened(
    case: Case, kind: str, tmp_path: Path
) -> None:
    if kind in NEED_DISK and why_not():
        pytest.skip(why_not())
    trial = Trial(case, tmp_path, random.Random(f"{SEED}/{kind}"), blows=1)
    KINDS[kind](trial)
    assert trial.wrong == [], f"{kind}, seed {SEED}"
    assert trial.injected, f"{kind}, seed {SEED}: no fault came in time"
