"""Compare requirements.lock with today's advisories or, where none can be asked, with those kept.

`python .ci/audit.py` exits with 0 where no pin is known to be vulnerable, 1 where one is. Where no
advisory service answers, the list in advisories.txt takes its place, which is said; with --strict
that is exit code 2. Options that are not known here go to pip-audit.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

HERE = Path(__file__).resolve().parent
LOCK = HERE.parent / "requirements.lock"
ADVISORIES = HERE / "advisories.txt"
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)", re.MULTILINE)
# Known to be vulnerable: a service that does not say so knows nothing, as a mirror of packages.
CANARY = "jinja2==3.1.5 --hash=sha256:" + 64 * "0"


@dataclass(frozen=True)
class Advisory:
    """One line of advisories.txt: versions with a known weakness, and its name."""

    versions: Requirement
    identity: str
    accepted: bool

    def applies(self, pins: dict[str, Version]) -> bool:
        """Whether the pinned version is among those with the weakness."""
        pin = pins.get(canonicalize_name(self.versions.name))
        return pin is not None and self.versions.specifier.contains(pin, prereleases=True)


def pins_of(lock: Path) -> dict[str, Version]:
    """The versions of a lock by their packages' canonical names."""
    found = PIN.finditer(lock.read_text(encoding="utf-8"))
    return {canonicalize_name(pin["name"]): Version(pin["version"]) for pin in found}


def advisories(file: Path = ADVISORIES) -> tuple[str, list[Advisory]]:
    """The day of the list, and its lines: `package<version  name  what, or accepted: why`."""
    lines = file.read_text(encoding="utf-8").splitlines()
    day = next(line.split()[-1] for line in lines if line.startswith("# As of "))
    rows = [re.split(r"\s{2,}", line) for line in lines if line and not line.startswith("#")]
    return day, [
        Advisory(Requirement(versions), identity, what.startswith("accepted: "))
        for versions, identity, what in rows
    ]


def asked(lock: Path, options: list[str]) -> tuple[set[str], list[str]]:
    """The packages that the advisory service answered for, and one line for each weakness."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--format", "json"]
    command += ["--disable-pip", "--require-hashes", "--progress-spinner", "off", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        answers = json.loads(done.stdout)["dependencies"]
    except ValueError:  # it ended before it had anything to report
        return set(), []
    answered = [answer for answer in answers if "skip_reason" not in answer]
    return {canonicalize_name(answer["name"]) for answer in answered}, list(_weak(answered))


def _weak(answered: list[dict]) -> Iterator[str]:
    for answer in answered:
        for known in answer["vulns"]:
            mended = ", ".join(known["fix_versions"]) or "no version yet"
            yield f"{answer['name']} {answer['version']}: {known['id']}, mended in {mended}"


def is_alive(options: list[str]) -> bool:
    """Whether the service knows a weakness that everybody knows."""
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder) / "canary.txt"
        lock.write_text(CANARY + "\n", encoding="utf-8")
        return bool(asked(lock, options)[1])


def main() -> int:
    """Print one line for each finding and one of summary; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, default=LOCK)
    parser.add_argument("--strict", action="store_true", help="the kept list is not enough")
    given, options = parser.parse_known_args()
    pins = pins_of(given.lock)
    answered, found = asked(given.lock, options)
    if answered and not found and not is_alive(options):
        answered = set()
    if not found and answered >= pins.keys():
        print(f"{given.lock.name}: {len(pins)} packages audited, no known vulnerability")
        return 0
    day, kept = advisories()
    found += [
        f"{line.versions.name} {pins[canonicalize_name(line.versions.name)]}: {line.identity}"
        for line in kept
        if line.applies(pins) and not line.accepted
    ]
    if not answered >= pins.keys():
        print(
            f"{given.lock.name}: NOT AUDITED: the advisory service knows {len(answered)} of "
            f"{len(pins)} packages; compared with {len(kept)} advisories kept on {day} instead. "
            "What was published since is not seen: run it where the package index answers."
        )
    print("\n".join(found) or "none of the advisories applies")
    return 1 if found else 2 * given.strict


if __name__ == "__main__":
    sys.exit(main())
