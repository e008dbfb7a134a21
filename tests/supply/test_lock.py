"""What is installed is what was reviewed, and no bound lets in what is known to be weak."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import audit
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
PINS = audit.pins_of(ROOT / "requirements.lock")


def shipped() -> list[Requirement]:
    """What users get: all but the extras of contributors."""
    extras = [
        line for name, lines in EXTRAS.items() if name not in ("dev", "docs") for line in lines
    ]
    return [Requirement(line) for line in [*PROJECT["dependencies"], *extras]]


def test_every_line_of_the_lock_is_a_version_with_hashes() -> None:
    entries = re.split(r"\n(?=\S)", LOCK.strip())
    whole = re.compile(r"[\w.-]+==\S+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+")
    assert [entry for entry in entries if not whole.fullmatch(entry)] == []
    assert len(entries) == len(PINS)


def test_the_lock_fits_the_bounds() -> None:
    declared = [*shipped(), *(Requirement(line) for line in EXTRAS["dev"] + EXTRAS["docs"])]
    own = [line for line in declared if line.name != "seam"]
    wrong = [str(r) for r in own if PINS[canonicalize_name(r.name)] not in r.specifier]
    assert wrong == []


@pytest.mark.parametrize("requirement", shipped(), ids=lambda requirement: requirement.name)
def test_the_lowest_version_has_no_known_weakness(requirement: Requirement) -> None:
    lowest = [Version(part.version) for part in requirement.specifier if part.operator == ">="]
    assert len(lowest) == 1
    pins = {canonicalize_name(requirement.name): lowest[0]}
    _, kept = audit.advisories()
    assert [line for line in kept if line.applies(pins) and not line.accepted] == []


def test_no_upper_bound_is_tighter_than_a_major_release() -> None:
    """Such bounds keep users from mended versions; the lock is what makes installs repeatable."""
    upper = [part for line in shipped() for part in line.specifier if part.operator != ">="]
    assert {part.operator for part in upper} == {"<"}
    assert [str(part) for part in upper if not part.version.isdigit()] == []
