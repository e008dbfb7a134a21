"""Every reader on every kept file, and on fresh mutations: one line or a good value, no more."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest
from good import GOOD
from harness import judge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutate import mutate
from targets import CORPUS, TARGETS

KEPT = sorted(CORPUS.glob("*/*"))


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the good files."""
    return shutil.copytree(GOOD, tmp_path_factory.mktemp("hostile") / "good")


@pytest.mark.parametrize("name", TARGETS)
def test_good_files_are_taken(name: str, place: Path) -> None:
    TARGETS[name].read(place)  # what is imported late is not what the file takes
    data = (place / TARGETS[name].file).read_bytes()
    assert judge(TARGETS[name], data, place).line == ""


@pytest.mark.parametrize("file", KEPT, ids=lambda file: f"{file.parent.name}-{file.name}")
def test_files_that_were_once_too_much_are_borne(file: Path, place: Path) -> None:
    TARGETS[file.parent.name].read(place)
    judge(TARGETS[file.parent.name], file.read_bytes(), place)


@pytest.mark.parametrize("name", TARGETS)
@given(seed=st.integers(0, 2**32 - 1))
@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_mutations_are_borne(name: str, place: Path, seed: int) -> None:
    target = TARGETS[name]
    seeds = target.corpus(place)
    random = Random(seed)
    judge(target, mutate(random.choice(seeds), target.kind, random, seeds), place)
