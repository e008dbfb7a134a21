"""Models of `transformers` from a hub: their commit, the cache, and what the hub refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import hf_models
import pytest
from hub_server import Hub, Server

import seam
from seam.errors import ModelError
from seam.jobs.bases import base_of_adapter

NAME = "somebody/words"


@pytest.fixture
def commit(hub: Hub, tmp_path: Path) -> str:
    folder = hf_models.save_text_model(tmp_path / "bert")
    return hub.add(NAME, {file.name: file.read_bytes() for file in folder.iterdir()})


def test_a_base_comes_from_the_hub_and_then_from_the_cache(
    commit: str, server: Server, offline: Callable[[], None]
) -> None:
    base = seam.load_base(f"hf:{NAME}")
    assert base.source == f"hf:{NAME}@{commit}"
    assert base.origin is not None
    assert (base.origin.repository, base.origin.revision) == (NAME, commit)
    server.close()
    offline()
    assert seam.load_base(f"hf:{NAME}@{commit}").fingerprint == base.fingerprint
    with pytest.raises(ModelError, match=r"'somebody/other' cannot be fetched .* somebody/words"):
        seam.load_base("hf:somebody/other")


def test_an_adapter_names_its_base(commit: str, hub: Hub) -> None:
    base, problem = seam.load_base(f"hf:{NAME}"), seam.Problem.subset(["animal", "tool"])
    settings = seam.plan(problem, epochs=1)
    result = seam.reengineer(base, problem, hf_models.text_data(), settings=settings)
    hub.add(NAME, {"README.md": b"another commit"})
    assert base_of_adapter(result.adapter).fingerprint == base.fingerprint


def test_what_a_hub_refuses(hub: Hub) -> None:
    hub.add("somebody/secret", {"config.json": b"{}"}, private=True)
    for name in ("somebody/nothing", "somebody/secret"):
        with pytest.raises(ModelError, match=r"does not exist or is private; .* hf auth login"):
            seam.load_base(f"hf:{name}")
