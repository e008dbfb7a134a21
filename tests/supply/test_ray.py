"""The Ray of a sweep listens on all networks of the machine, and is open to nobody else."""

from __future__ import annotations

import os
import sys

import pytest

from seam.jobs import workers


@pytest.mark.parametrize(
    ("address", "set_by_user", "mode"),
    [(None, None, "token"), (None, "disabled", "disabled"), ("ray://there:10001", None, None)],
)
def test_a_ray_of_our_own_wants_a_token(
    address: str | None, set_by_user: str | None, mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {"RAY_AUTH_MODE": set_by_user} if set_by_user else {})
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    monkeypatch.setattr(workers, "import_module", lambda name: name)  # cannot be imported twice
    assert workers.ray_of(address) == "ray"
    assert os.environ.get("RAY_AUTH_MODE") == mode
