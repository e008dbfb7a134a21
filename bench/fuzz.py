"""Hostile files by the thousand: each reader on mutations of good files.

    python bench/fuzz.py --target all --inputs 5000

A target is fuzzed in a process of its own, guided by coverage where atheris is installed. What must
hold of every input stands in ``tests/hostile/harness.py``; an input of which it does not is kept in
``tests/hostile/corpus`` and counted as a crash. Figures go to
``bench/results/reliability/fuzz.json``, target by target.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

HERE = Path(__file__).parent
HOSTILE = HERE.parent / "tests/hostile"
OUT = HERE / "results/reliability/fuzz.json"
SPARE = 3 * 2**30
"""Bytes of address space beside what is taken at first; more is refused, and counts as a crash."""
LONGEST_S = 60
FROM_GOOD = 0.6
"""Share of inputs that are the good file, changed: what is bad already is refused early."""


@dataclass
class Tally:
    """What came of a target's inputs."""

    inputs: int = 0
    rejected: int = 0
    accepted: int = 0
    crashes: int = 0
    largest_memory_ratio: float = 0.0
    largest_memory_mib: float = 0.0
    slowest_seconds: float = 0.0
    seconds: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="all", help="names with commas between them, or all")
    parser.add_argument("--inputs", type=int, default=1000, help="of each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=("atheris", "random"), default=_engine())
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    sys.path.insert(0, str(HOSTILE))
    if options.engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["seam"], enable_loader_override=False):
            import seam.jobs.again
            import seam.reporting.page  # noqa: F401
    from targets import TARGETS

    names = list(TARGETS) if options.target == "all" else options.target.split(",")
    for name in names:
        row = _in_child(name, options)
        print(name, json.dumps(row), flush=True)
        _record(options.out, name, row)


def _engine() -> str:
    return "atheris" if find_spec("atheris") is not None else "random"


def _in_child(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """A target's figures, from a process that may end as it likes."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        result = Path(folder) / "row.json"
        child = os.fork()  # with all that is imported already
        if child == 0:
            try:
                _fuzz(name, options, Path(folder), result)
            finally:
                os._exit(1)
        code = os.waitpid(child, 0)[1]
        if not result.exists():
            raise SystemExit(f"{name} ended with code {code} before its inputs did")
        row: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return {**row, "seed": options.seed, "engine": options.engine}


def _record(out: Path, name: str, row: dict[str, Any]) -> None:
    before = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"targets": {}}
    targets = dict(sorted({**before["targets"], name: row}.items()))
    keys = ("inputs", "rejected", "accepted", "crashes", "seconds")
    document = {
        "targets": targets,
        "total": {
            **{key: round(sum(each[key] for each in targets.values()), 1) for key in keys},
            "largest_memory_ratio": max(e["largest_memory_ratio"] for e in targets.values()),
        },
        "versions": {each: _version(each) for each in ("atheris", "pillow", "pyyaml", "torch")},
        "python": sys.version.split(maxsplit=1)[0],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _fuzz(name: str, options: argparse.Namespace, folder: Path, result: Path) -> None:
    """Fuzz one target in this process, which ends with it."""
    from good import GOOD
    from mutate import mutate
    from targets import TARGETS

    target, place = TARGETS[name], folder / "good"
    shutil.copytree(GOOD, place)
    seeds = target.corpus(place)
    target.read(place)  # what is imported late is not what the file takes
    _limit_memory()
    tally, start = Tally(), time.monotonic()

    def one(data: bytes) -> None:
        _try(target, data, place, tally)
        if tally.inputs >= options.inputs:
            tally.seconds = time.monotonic() - start
            row = {key: round(value, 3) for key, value in asdict(tally).items()}
            result.write_text(json.dumps(row), encoding="utf-8")
            os._exit(0)  # libFuzzer would go on

    def changed(data: bytes, seed: int) -> bytes:
        random = Random(seed)
        start = seeds[0] if random.random() < FROM_GOOD else data
        return mutate(start, target.kind, random, seeds)

    engines = {"atheris": _guided, "random": _random}
    engines[options.engine](one, changed, seeds, options.seed)


def _try(target: Any, data: bytes, place: Path, tally: Tally) -> None:
    """One input, and what came of it."""
    from harness import ViolationError, judge

    begun = time.monotonic()
    tally.inputs += 1
    try:
        verdict = judge(target, data, place)
    except ViolationError as error:
        tally.crashes += 1
        _keep(target.name, data, error)
    else:
        tally.rejected += bool(verdict.line)
        tally.accepted += not verdict.line
        tally.largest_memory_ratio = max(tally.largest_memory_ratio, verdict.ratio)
        tally.largest_memory_mib = max(tally.largest_memory_mib, verdict.grown / 2**20)
    tally.slowest_seconds = max(tally.slowest_seconds, time.monotonic() - begun)


def _memory() -> str | None:
    """Where files take no disk, if there is such a place."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE, resource.RLIM_INFINITY))


def _keep(name: str, data: bytes, error: Exception) -> None:
    digest = hashlib.sha256(data).hexdigest()[:8]
    folder = HOSTILE / "corpus" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"found-{digest}").write_bytes(data)
    print(f"{name} {digest}: {error}", file=sys.stderr, flush=True)


def _random(
    one: Callable[[bytes], None],
    changed: Callable[[bytes, int], bytes],
    seeds: list[bytes],
    seed: int,
) -> None:
    """Mutations of the seeds and of one another."""
    random = Random(seed)
    while True:
        one(changed(random.choice(seeds), random.getrandbits(32)))


def _guided(
    one: Callable[[bytes], None],
    changed: Callable[[bytes, int], bytes],
    seeds: list[bytes],
    seed: int,
) -> None:
    """Mutations of whatever reached new lines of seam."""
    import atheris

    longest = 16 * max(map(len, seeds)) + 2**16
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(seeds):
            (Path(folder) / f"{number:04}").write_bytes(data)
        flags = [
            f"-seed={seed + 1}",
            f"-max_len={longest}",
            f"-timeout={LONGEST_S}",
            f"-artifact_prefix={folder}/",
        ]
        flags += ["-rss_limit_mb=0", "-verbosity=0", "-print_final_stats=0"]

        def mutator(data: bytes, most: int, number: int) -> bytes:
            return changed(data, number)[:most]

        atheris.Setup(["fuzz", *flags, folder], one, custom_mutator=mutator)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
