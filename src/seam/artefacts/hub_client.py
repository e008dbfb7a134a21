"""The client of a model hub, its cache, and its errors as one line each."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seam.artefacts.adapter_file import JSON_FILE, TENSOR_FILE
from seam.artefacts.atomic import shown
from seam.errors import HubError, in_line

if TYPE_CHECKING:
    from huggingface_hub import HfApi

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
TIMEOUT_S = 10


def client() -> HfApi:
    """The hub's own client, without progress bars."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import HfApi

    without_bars()
    return HfApi(library_name="seam")


def without_bars() -> None:
    """Have nothing but seam itself draw progress: bars of others fill logs, and spoil its own."""
    from huggingface_hub.utils.tqdm import disable_progress_bars

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an environment variable has the last word
        disable_progress_bars()


def offline() -> bool:
    """Whether ``HF_HUB_OFFLINE`` forbids to ask the hub."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def in_cache(repository: str, names: Iterable[str], revision: str | None) -> dict[str, Path]:
    """Those of a repository's files that the hub's cache holds, by name."""
    from huggingface_hub import try_to_load_from_cache

    found = {name: try_to_load_from_cache(repository, name, revision=revision) for name in names}
    return {name: Path(place) for name, place in found.items() if isinstance(place, str)}


@contextmanager
def explained(repository: str, revision: str | None = None) -> Iterator[None]:
    """Turn what the client raises into one line that names the repository and the mend."""
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    name = shown(repository)
    try:
        yield
    except HubError:
        raise
    except (HfHubHTTPError, EntryNotFoundError) as error:
        raise HubError(_refusal(error, name, revision or "main")) from error
    except Exception as error:  # its HTTP library changes with its version
        if isinstance(error, OSError) and error.filename is not None:
            raise HubError(
                f"the hub's cache cannot be used ({in_line(error)}); free it, or set HF_HOME"
            ) from error
        if isinstance(error, ValueError):
            raise HubError(
                f"the hub and its client do not agree on {name} ({in_line(error)}); "
                "give another --licence if that is what it says, or check HF_ENDPOINT"
            ) from error
        mend = f"nothing of {name} is in its cache: connect, or give a local folder"
        if len(kept := in_cache(repository, (JSON_FILE, TENSOR_FILE), revision)) == 2:
            commit = kept[JSON_FILE].parent.name
            mend = (
                f"revision {commit[:12]} of {name} is in its cache: set HF_HUB_OFFLINE=1 to go on "
                "with that"
            )
        cause = error.__cause__ or error
        raise HubError(f"the hub cannot be reached ({in_line(cause, 80)}); {mend}") from error


def _refusal(error: Any, name: str, revision: str) -> str:
    """What the hub's answer means."""
    from huggingface_hub import errors

    kinds = {
        errors.GatedRepoError: f"hub repository {name} asks for an agreement; accept it on its "
        f"page, then {LOG_IN}",
        errors.RepositoryNotFoundError: f"{name} is no folder here, and no hub repository that you "
        f"may read; check the name, or, if it is private, {LOG_IN}",
        errors.RevisionNotFoundError: f"hub repository {name} has no revision {shown(revision)}; "
        "give another",
        errors.EntryNotFoundError: f"a file of hub repository {name} is gone; give the same "
        "command again",
    }
    for kind, text in kinds.items():
        if isinstance(error, kind):
            return text
    codes = {
        401: f"the hub does not know your token; {LOG_IN}",
        403: f"your token may not do that with hub repository {name}; use one that may, or "
        "another name",
    }
    busy = f"the hub refuses {name} ({in_line(error, 100)}); try again later"
    return codes.get(error.response.status_code, busy)
