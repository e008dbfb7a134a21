"""Every reader on every kept file, and on fresh mutations: one line or a good value, no more."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest
from good import GOOD
from harness import Verdict, ViolationError, judge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutate import mutate
from targets import CORPUS, TARGETS, Target

KEPT = sorted(CORPUS.glob("*/*"))
WARM: set[str] = set()


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the good files."""
    return shutil.copytree(GOOD, tmp_path_factory.mktemp("hostile") / "good")


def judged(name: str, data: bytes, place: Path) -> Verdict:
    """The verdict, once the reader has read a good file: late imports are not the file's doing."""
    if name not in WARM:
        TARGETS[name].read(place)
        WARM.add(name)
    return judge(TARGETS[name], data, place)


@pytest.mark.parametrize("name", TARGETS)
def test_good_files_are_taken(name: str, place: Path) -> None:
    data = (place / TARGETS[name].file).read_bytes()
    assert judged(name, data, place).line == ""


@pytest.mark.parametrize("file", KEPT, ids=lambda file: f"{file.parent.name}-{file.name}")
def test_files_that_were_once_too_much_are_borne(file: Path, place: Path) -> None:
    judged(file.parent.name, file.read_bytes(), place)


@pytest.mark.parametrize("name", TARGETS)
@given(seed=st.integers(0, 2**32 - 1))
@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_mutations_are_borne(name: str, place: Path, seed: int) -> None:
    target, random = TARGETS[name], Random(seed)
    seeds = target.corpus(place)
    judged(name, mutate(random.choice(seeds), target.kind, random, seeds), place)


CRIMES = {
    "another error": lambda place: {}["a"],
    "a panic": lambda place: (_ for _ in ()).throw(KeyboardInterrupt),
    "a write outside": lambda place: (place.parent / "x").write_text("x"),
    "a folder outside": lambda place: (place.parent / "x").mkdir(),
    "a pickle": lambda place: __import__("pickle").loads(b"cos\nsystem\n."),
    "much memory": lambda place: len(b"x" * 2**27),
}


@pytest.mark.parametrize("crime", CRIMES)
def test_the_judge_sees(crime: str, place: Path) -> None:
    target = Target("crime", "text", "labels.txt", CRIMES[crime])
    if crime == "much memory" and not Path("/proc/self/clear_refs").exists():
        pytest.skip("memory is measured on Linux alone")
    with pytest.raises(ViolationError):
        judge(target, b"", place)
    assert not (place.parent / "x").exists()
