"""Where the files of a `transformers` model come from: a local folder, or the hub by its client."""

from __future__ import annotations

import os
from pathlib import Path

from seam.artefacts.reading import is_there
from seam.errors import ModelError, in_line, nearest

FILES = (
    *("config.json", "preprocessor_config.json", "processor_config.json"),
    *("model*.safetensors", "model.safetensors.index.json"),
    *("tokenizer*.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.*", "merges.txt", "spiece.model", "sentencepiece*.model"),
)
"""What is fetched: configuration, safetensors, tokenizer; no pickles, no code."""
MOST_NAMES = 4


def folder_of(name: str) -> tuple[Path, str]:
    """The local folder of ``hf:`` model ``name``, and its commit on the hub (empty for a folder).

    >>> folder_of("runs/no/such")
    Traceback (most recent call last):
    seam.errors.ModelError: model folder 'runs/no/such' does not exist; check the path

    ``name`` is a folder that ``save_pretrained`` wrote, or ``OWNER/NAME``, with ``@REVISION`` where
    another than the latest is wanted. What the hub's cache holds is not fetched again.

    Raises:
        ModelError: there is no such folder or repository, it is private, or the hub is out of reach
            and nothing is cached.
    """
    place = Path(name).expanduser()
    if is_there(place) and place.is_dir():
        return place, ""
    repository, _, revision = name.partition("@")
    if place.is_absolute() or name.startswith((".", "~")) or repository.count("/") > 1:
        raise ModelError(f"model folder '{name}' does not exist; check the path")
    folder = _fetched(repository, revision or None)
    return folder, folder.name


def _fetched(repository: str, revision: str | None) -> Path:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import huggingface_hub
    from huggingface_hub import errors

    where = f"hub model '{repository}'" + (f" at revision '{revision}'" if revision else "")
    try:
        found = huggingface_hub.snapshot_download(
            repository, revision=revision, allow_patterns=list(FILES), tqdm_class=None
        )
        return Path(found)
    except errors.HFValidationError as error:
        raise ModelError(
            f"'{repository}' is neither a folder nor the name of a hub repository; "
            "give hf:FOLDER or hf:OWNER/NAME"
        ) from error
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{where} is gated: ask for access on its page, then run hf auth login"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"{where} does not exist or is private; check the name, or run hf auth login"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"{where} does not exist; check the revision") from error
    except Exception as error:  # of the connection: each client has errors of its own
        raise ModelError(
            f"{where} cannot be fetched ({in_line(_first(error), 100)}) and is not cached; "
            f"{_cached(repository)}; give hf:FOLDER, a folder that save_pretrained wrote"
        ) from error


def _first(error: BaseException) -> BaseException:
    """What an error came of, first of all: the connection's own words."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _cached(repository: str) -> str:
    """Which models the hub's cache holds, and how to use them without the hub."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        repos = frozenset()
    names = sorted(each.repo_id for each in repos if each.repo_type == "model")
    if not names:
        return "the cache holds no model"
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return (
        f"the cache holds {', '.join(names[:MOST_NAMES])}{more}{nearest(repository, names)} "
        "(HF_HUB_OFFLINE=1 takes it without asking the hub)"
    )
