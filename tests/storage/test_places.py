"""Places that cannot be used: exit code 2, one line that names the mend, nothing written."""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import fsspec
import pytest

import seam
from seam.artefacts.adapter import load_adapter
from seam.errors import StorageError

SEARCH = ["reengineer", "zoo:digits", "--data", "digits", "--labels", "3,5", "--epochs", "1"]
READERS = {"Version": "2012-10-17", "Statement": []}
READERS["Statement"] = [{"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}]


def refused(outcome: object, expected: str) -> None:
    assert outcome.code == 2
    assert outcome.out == ""
    assert re.fullmatch(r"seam: [^\n]+\n", outcome.err), outcome.err
    assert re.search(expected, outcome.err), outcome.err
    assert "/tmp/" not in outcome.err


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://no-such-bucket/runs/a", r"bucket does not exist.*; check the name, and that the bu"),
        ("s3://", r"'s3://' names no folder; write it as s3://BUCKET/FOLDER"),
        ("s3://bucket/a/../../b", r"names no folder"),
        ("nope://bucket/a", r"Protocol not known: nope"),
        ("memory://places/none", r"is no|not an adapter folder: it holds no adapter\.json"),
    ],
)
@pytest.mark.usefixtures("server")
def test_one_line_that_names_the_mend(call: Callable[..., object], url: str, expected: str) -> None:
    refused(call("inspect", url), expected)


def test_a_bucket_that_is_missing_stops_a_search_before_it_begins(
    server: str, call: Callable[..., object]
) -> None:
    refused(call(*SEARCH, "--out", "s3://no-such-bucket/a", "--quiet"), "bucket does not exist")


def test_a_package_that_is_missing(
    call: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    refused(call("inspect", "s3://bucket/a"), r"is not installed; run: pip install 'seam\[s3\]'")


def test_no_network(
    server: str, call: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    fsspec.filesystem("s3").clear_instance_cache()
    try:
        refused(call("inspect", "s3://bucket/a"), r"Could not connect .*check the network and the")
    finally:
        fsspec.filesystem("s3").clear_instance_cache()


def test_a_folder_of_something_else_is_left_alone(bucket: str, call: Callable[..., object]) -> None:
    system = fsspec.filesystem("s3")
    system.pipe_file(f"{bucket}/photos/1.jpg", b"mine")
    refused(
        call(*SEARCH, "--out", bucket, "--quiet"),
        r"holds 'photos/1\.jpg' and neither a run nor an adapter; give the folder of one, or anoth",
    )
    refused(call("inspect", f"{bucket}/photos/1.jpg"), "is a file; give the folder it lies in")
    assert system.find(bucket) == [f"{bucket.removeprefix('s3://')}/photos/1.jpg"]


@pytest.mark.parametrize("name", ["../../../../escaped", "a//b", "a\\..\\b"])
def test_no_object_is_written_outside_the_copy(
    bucket: str, call: Callable[..., object], name: str
) -> None:
    system = fsspec.filesystem("s3")
    system.pipe_file(f"{bucket}/run/config.yaml", b"{}")
    system.pipe_file(f"{bucket}/run/{name}", b"evil")
    refused(call("evaluate", f"{bucket}/run", "--quiet"), r"holds an object of the unsafe name ")


def test_a_database_is_not_kept_at_a_url(
    call: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found = call(*SEARCH, "--out", "memory://places/tracked", "--track", "mlflow", "--quiet")
    refused(found, "works on disks only, not at the URL of --out; name a server")
    assert not fsspec.filesystem("memory").exists("/places/tracked")


def test_several_processes_that_search_together(
    call: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    found = call(*SEARCH, "--out", "memory://places/several", "--quiet")
    refused(found, "in a folder that they share, not at 'memory://places/several'")


@pytest.mark.parametrize(
    ("option", "expected"), [("--data", "data folder"), ("--weights", "weights file")]
)
def test_what_cannot_be_read_from_a_url(
    bucket: str, call: Callable[..., object], tmp_path: Path, option: str, expected: str
) -> None:
    fsspec.filesystem("s3").pipe_file(f"{bucket}/some/file", b"some")
    found = call(*SEARCH, option, f"{bucket}/some", "--out", tmp_path / "out", "--quiet")
    refused(found, f"{expected} '{bucket}/some' is a URL, .*; copy it to this machine")
    assert not (tmp_path / "out").exists()


def test_an_object_that_is_also_a_folder(bucket: str, call: Callable[..., object]) -> None:
    system = fsspec.filesystem("s3")
    for name in ("config.yaml", "config.yaml/more"):
        system.pipe_file(f"{bucket}/run/{name}", b"{}")
    refused(call("evaluate", f"{bucket}/run", "--quiet"), r"(cannot be|while it is) read")


def test_a_url_that_became_a_path(call: Callable[..., object]) -> None:
    with pytest.raises(seam.SeamError, match="is a URL made a path"):
        load_adapter(Path("s3://bucket/runs/a"))
    refused(call("demo", "--out", "s3://bucket/demo", "--quiet"), "is a URL made a path")


@pytest.mark.usefixtures("server")
def test_what_has_to_be_a_file_of_this_machine(call: Callable[..., object]) -> None:
    pages = ["memory://a", "memory://b", "--out", "memory://page"]
    refused(call("compare", *pages), "is written on this machine")
    with pytest.raises(seam.SeamError, match="trackers write on this machine"):
        seam.track("tensorboard", out="s3://bucket/runs/a")


@pytest.fixture
def reader(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """A call after which this process may only read, and others nothing."""
    iam = boto3.client("iam")
    iam.create_user(UserName="reader")
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=json.dumps(READERS))
    key = iam.create_access_key(UserName="reader")["AccessKey"]

    def become() -> None:
        guard(server, 0)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        fsspec.filesystem("s3").clear_instance_cache()

    yield become
    guard(server, float("inf"))
    fsspec.filesystem("s3").clear_instance_cache()


def guard(server: str, free: float) -> None:
    """Have the server check credentials after so many requests."""
    request = urllib.request.Request(
        f"{server}/moto-api/reset-auth", str(free).encode(), {"Content-Type": "text/plain"}
    )
    urllib.request.urlopen(request).close()


def test_credentials_that_may_only_read(
    finished: str,
    reader: Callable[[], None],
    call: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader()
    assert call("inspect", f"{finished}/adapter", "--quiet").code == 0
    assert call("evaluate", finished, "--quiet").code == 0
    refused(
        call("reengineer", "--out", finished, "--pick", "1", "--quiet"), r"check the credentials"
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
    fsspec.filesystem("s3").clear_instance_cache()
    refused(call("inspect", f"{finished}/adapter"), r"cannot be read .*check the credentials")
    with pytest.raises(StorageError, match="check the credentials"):
        load_adapter(f"{finished}/adapter")
