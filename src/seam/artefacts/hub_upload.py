"""An adapter's way to a model hub, through `huggingface_hub`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from seam.artefacts.adapter_file import JSON_FILE
from seam.artefacts.atomic import shown
from seam.artefacts.hub import LIMITS
from seam.artefacts.hub_client import LOG_IN, TIMEOUT_S, client, explained, offline
from seam.errors import HubError


def upload(
    repository: str, files: Mapping[str, bytes], *, private: bool, message: str
) -> tuple[str, str]:
    """Make the repository hold ``files`` in one commit; returns the commit and its address.

    What an earlier adapter has left beside them (its model) is deleted in the same commit.

    Raises:
        HubError: nobody is logged in, the hub refuses, or the repository holds something else.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, get_token

    api = client()
    if offline():
        raise HubError("HF_HUB_OFFLINE is set, so nothing can be uploaded; unset it")
    if get_token() is None:
        raise HubError(f"nobody is logged in to the hub; {LOG_IN}")
    with explained(repository, None), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the client's own libraries, and of cards it would like
        api.create_repo(repository, private=private or None, exist_ok=True)
        there = api.model_info(repository, timeout=TIMEOUT_S)
        names = [each.rfilename for each in there.siblings or []]
        _check_place(repository, names, public=private and there.private is False)
        stale = [name for name in names if name in LIMITS and name not in files]
        done = api.create_commit(
            repository,
            [
                *(CommitOperationAdd(name, data) for name, data in files.items()),
                *(CommitOperationDelete(name) for name in stale),
            ],
            commit_message=message,
        )
    return done.oid, f"{api.endpoint}/{repository}"


def licence_on_hub(repository: str, revision: str) -> dict[str, str]:
    """The licence that a repository's card states, as the card's own keys; empty where none.

    >>> licence_on_hub("timm/resnet18.a1_in1k", "")  # doctest: +SKIP
    {'license': 'apache-2.0'}

    Raises:
        HubError: the hub cannot be reached, or has no such repository.
    """
    with explained(repository, revision or None):
        found = client().model_info(repository, revision=revision or None, timeout=TIMEOUT_S)
    card: Any = found.card_data or {}
    keys = ("license", "license_name")
    stated = {key: card.get(key) for key in keys}
    if not isinstance(stated["license"], str):
        return {}
    return {key: value for key, value in stated.items() if isinstance(value, str)}


def _check_place(repository: str, names: list[str], *, public: bool) -> None:
    """Refuse to publish what should be private, or to write over another's model."""
    if public:
        raise HubError(
            f"hub repository {shown(repository)} is there already, and public; make it private in "
            "its settings, or leave --private out"
        )
    others = [name for name in names if name not in LIMITS and name != ".gitattributes"]
    if others and JSON_FILE not in names:
        raise HubError(
            f"hub repository {shown(repository)} holds something else ({shown(others[0])}), and no "
            "adapter; give a new name"
        )
