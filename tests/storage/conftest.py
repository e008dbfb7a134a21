"""An S3 server in this process, and buckets on it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import fsspec
import pytest

import seam

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",
    "NO_PROXY": "127.0.0.1",
}
collect_ignore = ["child.py", "holder.py"]  # run in other processes
_numbers = count()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of an S3 server; processes that are started find it in the environment."""
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    address = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": address}.items():
            patch.setenv(name, value)
        yield address
    running.stop()


@pytest.fixture
def bucket(server: str) -> str:
    """The URL of a new bucket."""
    name = f"bucket{next(_numbers)}"
    fsspec.filesystem("s3").mkdir(name)
    return f"s3://{name}"


@pytest.fixture(scope="session")
def finished_run(server: str) -> str:
    """The URL of a finished run; copy it before changing it."""
    problem, url = seam.Problem.of(["3", "5"]), "s3://finished/run"
    fsspec.filesystem("s3").mkdir("finished")
    base, settings = seam.load_base("zoo:digits"), seam.plan(problem, epochs=2)
    result = seam.reengineer(base, problem, "digits", out=url, settings=settings)
    assert result.folder == url
    return url


@pytest.fixture
def finished(finished_run: str, bucket: str) -> str:
    """A copy of the finished run."""
    fsspec.filesystem("s3").copy(f"{finished_run}/", f"{bucket}/run/", recursive=True)
    return f"{bucket}/run"
