"""One search on several processes: same frontier as one, and any number of them goes on with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from together import together

import seam
from seam.artefacts.run import RunFolder
from seam.errors import ConfigError, RankError, RunFolderError
from seam.jobs.observe import Silent
from seam.jobs.ranks import launched
from seam.search.parallel import ALONE, Ranks

PROBLEM = seam.Problem.of(["3", "7"])
KINDS: dict[str, dict[str, Any]] = {
    "weights": {},
    "paper": {"preset_name": "paper", "score_lr": 0.2},
    "channels": {"granularity": "channel", "final_macs": 0.3, "levels": 2},
    "parts": {"accumulate": 2, "tune": "norm", "norm": "frozen"},
}


class Stop(Silent):
    """Ends a search after an epoch, as a kill would."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def point(self, point: Any, epochs: int) -> None:
        if point.epoch == self.epoch:
            raise InterruptedError


def search(ranks: Ranks, out: Path, *, stop: int = 0, **changes: Any) -> list[dict[str, Any]]:
    settings = seam.plan(PROBLEM, epochs=4, batch_size=50, **changes)
    base = seam.load_base("zoo:digits")
    observer = Stop(stop) if stop else None
    result = seam.reengineer(
        base, PROBLEM, "digits", out=out, settings=settings, observer=observer, ranks=ranks
    )
    return result.history


def same(found: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]) -> None:
    """Equal points, to rounding: a sum over other parts may turn a few scores at the threshold."""
    assert len(found) == len(wanted)
    for mine, other in zip(found, wanted, strict=True):
        assert mine["density"] == pytest.approx(other["density"], abs=2e-3)
        assert mine["loss"] == pytest.approx(other["loss"], rel=2e-3)
        assert mine["validation_accuracy"] == pytest.approx(other["validation_accuracy"], abs=0.03)


@pytest.mark.parametrize("kind", list(KINDS))
def test_frontier_is_that_of_one_process(kind: str, tmp_path: Path) -> None:
    alone = search(ALONE, tmp_path / "one", **KINDS[kind])
    found = together(2, lambda ranks: search(ranks, tmp_path / "two", **KINDS[kind]))
    assert found[0] == found[1]
    same(found[0], alone)
    assert RunFolder(tmp_path / "two").read_history() == found[0]
    report = json.loads((tmp_path / "two/report.json").read_text())
    assert report["processes"] == 2


def test_other_numbers_of_processes_go_on(tmp_path: Path) -> None:
    """Two, then one, then three."""
    alone = search(ALONE, tmp_path / "one")
    out, folder = tmp_path / "many", RunFolder(tmp_path / "many")
    stopped = together(2, lambda ranks: search(ranks, out, stop=2))
    assert {type(each) for each in stopped} == {InterruptedError}
    shards = sorted(file.name for file in (out / "checkpoint").glob("state*"))
    assert shards == [
        "state-0002-1-of-2.safetensors", "state-0002-2-of-2.safetensors", "state.json",
    ]  # fmt: skip
    with pytest.raises(InterruptedError):
        search(ALONE, out, stop=3)
    assert [file.name for file in (out / "checkpoint").glob("state*")] == ["state.safetensors"]
    found = together(3, lambda ranks: search(ranks, out))
    same(found[2], alone)
    state = folder.load_state()
    assert state is not None
    assert state[1]["epoch"] == 4


def test_a_damaged_share_is_named(tmp_path: Path) -> None:
    together(2, lambda ranks: search(ranks, tmp_path / "run", stop=1))
    file = tmp_path / "run/checkpoint/state-0001-2-of-2.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(RunFolderError, match=r"state-0001-2-of-2\.safetensors"):
        search(ALONE, tmp_path / "run")


def test_a_budget_in_time_is_refused(tmp_path: Path) -> None:
    def timed(ranks: Ranks) -> Any:
        return search(ranks, tmp_path / "run", granularity="channel", final_latency=0.5)

    for error in together(2, timed):
        assert isinstance(error, ConfigError)
        assert "measured by one process alone" in str(error)
    assert not (tmp_path / "run").exists()


def test_bad_input_is_said_once(tmp_path: Path) -> None:
    def elsewhere(ranks: Ranks) -> Any:
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run/notes.txt").touch()
        return search(ranks, tmp_path / "run")

    main, other = together(2, elsewhere)
    assert isinstance(main, RunFolderError)
    assert isinstance(other, RankError)


def test_accelerate_launch(tmp_path: Path) -> None:
    """The command itself: one table, one run folder, no word of the second process."""
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    launch += ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    launch += ["--dynamo_backend", "no", "--main_process_port", "0", "-m", "seam", "reengineer"]
    launch += ["zoo:digits", "--data", "digits", "--labels", "3,7", "--epochs", "1"]
    launch += ["--device", "cpu", "--json", "--quiet", "--out", str(tmp_path / "run")]
    done = subprocess.run(launch, check=False, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["processes"] == 2
    assert (tmp_path / "run/checkpoint/state.json").exists()


def test_a_process_alone_has_the_device_it_asked_for() -> None:
    with launched("meta") as ranks:
        assert (ranks.count, ranks.device.type) == (1, "meta")
