"""A sweep at a URL: workers keep their runs there, the driver follows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import fsspec
import pyarrow.parquet as pq

SWEEP = ["sweep", "zoo:digits", "--data", "digits", "--epochs", "1", "--keep", "0.2"]


def test_a_sweep_is_run_once_and_then_read(
    bucket: str, call: Callable[..., object], tmp_path: Path
) -> None:
    url, system, file = f"{bucket}/sweep", fsspec.filesystem("s3"), tmp_path / "problems.yaml"
    file.write_text("seven: 7\nfew: ['3', 5]")
    command = [*SWEEP, "--problems", file, "--out", url, "--workers", "1", "--json"]
    done = call(*command)
    assert done.code == 0, done.err
    rows = json.loads(done.out)["runs"]
    assert [row["state"] for row in rows] == ["finished"] * 2
    assert [row["folder"] for row in rows] == [f"{url}/runs/seven", f"{url}/runs/few"]
    with system.open(f"{url}/sweep.parquet") as stream:
        assert pq.read_table(stream).num_rows == 2
    assert url in system.cat_file(f"{url}/compare.html").decode()
    assert call("inspect", f"{url}/runs/few/adapter", "--quiet").code == 0

    again = call(*command)  # on a machine that knows nothing of it; all has finished
    assert again.code == 0, again.err
    assert json.loads(again.out)["runs"] == rows
    assert not [name for name in system.find(url) if name.endswith("/.lock")]
