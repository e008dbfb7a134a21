"""A model hub on 127.0.0.1, with a cache and a token of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import pytest
from hub_server import Hub, Server

import seam

TOKEN = "hf_of_alice"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The client asks this hub and no other; alice is logged in."""
    running = Server(Hub(users={TOKEN: "alice"}))
    constants = huggingface_hub.constants
    template = f"{running.hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    for name, value in {
        "ENDPOINT": running.hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": template,
        "HF_HUB_OFFLINE": False,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": True,
        "HF_TOKEN_PATH": str(tmp_path / "token"),
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield running
    running.close()


@pytest.fixture
def hub(server: Server) -> Hub:
    return server.hub


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on as with HF_HUB_OFFLINE=1."""
    return lambda: monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run for single weights; copy it before changing it."""
    out = tmp_path_factory.mktemp("hub") / "run"
    problem = seam.Problem.of(["3", "5"])
    settings = seam.plan(problem, epochs=1, shots=20, validation=0.2)
    seam.reengineer(seam.load_base("zoo:digits"), problem, "digits", out=out, settings=settings)
    return out


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run for channels; copy it before changing it."""
    out = tmp_path_factory.mktemp("hub") / "small"
    problem = seam.Problem.of(["3", "5"])
    settings = seam.plan(
        problem, granularity="channel", keep_macs=0.5, epochs=1, shots=20, validation=0.2
    )
    seam.reengineer(seam.load_base("zoo:digits"), problem, "digits", out=out, settings=settings)
    return out
