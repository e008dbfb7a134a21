"""Every error a user can cause. Each is a `SeamError` and also the fitting builtin.

The message is one line: what came, what was expected, and the mend. The command line prints it and
ends with exit code 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class SeamError(Exception):
    """Base of all errors that a user can mend.

    >>> issubclass(LabelError, SeamError) and issubclass(LabelError, ValueError)
    True

    ``page`` is the page of the documentation that helps with errors of this kind, if there is one;
    the command line names it.
    """

    page: ClassVar[str] = ""

    def __str__(self) -> str:
        """The message, one line whatever names from files are in it."""
        return " ".join(super().__str__().splitlines())


class ConfigError(SeamError, ValueError):
    """A setting is out of range, unknown or contradicts another."""


class LabelError(SeamError, ValueError):
    """A label is unknown, absent from the data, or used twice."""


class DataError(SeamError, ValueError):
    """The data is empty, has a single class, is unreadable or has the wrong form."""


class ModelError(SeamError, ValueError):
    """The base model cannot be built, or its weights or input size do not fit."""


class NumericalError(SeamError, ArithmeticError):
    """The loss stopped being a number."""


class AdapterError(SeamError, ValueError):
    """An adapter file is truncated, damaged, hostile or of another format version."""

    page = "docs/adapter-format.md#what-a-reader-checks"


class BaseMismatchError(AdapterError):
    """An adapter belongs to another base model."""

    page = "docs/adapter-format.md#applying-an-adapter"


class RunFolderError(SeamError, OSError):
    """A run folder cannot be written, is in use, or belongs to another configuration."""

    page = "docs/run-folder.md"


class StorageError(SeamError, OSError):
    """What a URL names cannot be reached, refuses, or is in use."""

    page = "docs/how-to/remote-storage.md"


class HubError(SeamError, OSError):
    """A model hub cannot be reached, refuses, or does not hold what was named."""

    page = "docs/hub.md"


class RankError(SeamError, RuntimeError):
    """Another process of the same search has stopped; the main one says why."""


class MissingExtraError(SeamError, ImportError):
    """An optional dependency is not installed; the message holds the install command."""


_NO_MEMORY = ("DefaultCPUAllocator: can't allocate", "DefaultCPUAllocator: not enough memory")
"""What PyTorch says, which has no type of error for the machine's own memory."""
_LEAST_BYTES = 2**26


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether the machine's or the device's memory was too small.

    >>> ran_out_of_memory(MemoryError()), ran_out_of_memory(ValueError("bad"))
    (True, False)

    Libraries fail in their own words where memory ends, so it is tried whether there is any left.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(text in str(error) for text in _NO_MEMORY) or not _is_free(_LEAST_BYTES)


def _is_free(size: int) -> bool:
    try:
        return len(bytearray(size)) == size
    except MemoryError:
        return False


def in_line(error: BaseException, limit: int = 160) -> str:
    r"""Another library's error as part of one line.

    >>> in_line(ValueError("bad\n  thing"))
    'bad thing'
    """
    text = " ".join(str(error).split())
    if not text or isinstance(error, KeyError):  # whose text is the key alone
        text = ": ".join(filter(None, (type(error).__name__, text)))
    return text if len(text) <= limit else f"{text[:limit]}..."


def some(names: Sequence[str], limit: int = 8) -> str:
    """The first of some names as part of one line.

    >>> some(["cat", "dog"]), some([str(number) for number in range(99)])
    ('cat, dog', '0, 1, 2, 3, 4, 5, 6, 7, ...')
    """
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def nearest(word: str, choices: list[str], *, count: int = 1) -> str:
    """A hint naming the choices closest to ``word``: ``"; did you mean 'truck'?"`` or ``""``.

    >>> nearest("truk", ["cat", "truck"])
    "; did you mean 'truck'?"
    """
    import difflib

    by_fold = {choice.casefold(): choice for choice in choices}
    close = difflib.get_close_matches(word.casefold(), list(by_fold), n=count, cutoff=0.5)
    if not close:
        return ""
    return "; did you mean " + " or ".join(f"'{by_fold[name]}'" for name in close) + "?"
