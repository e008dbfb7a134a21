"""The runtimes are optional, and OpenVINO reports its use: both are dealt with here."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module

from seam.errors import MissingExtraError


def needs(*modules: str, extra: str) -> None:
    """Import ``modules``, which an extra brings.

    >>> needs("json", extra="onnx")

    Raises:
        MissingExtraError: one cannot be imported; the message names the command that installs it.
    """
    for name in modules:
        try:
            with silent(), untracked():
                import_module(name)
        except ImportError as error:
            raise MissingExtraError(
                f"{name} is needed for this and is not installed; pip install 'seam[{extra}]'"
            ) from error


@contextmanager
def untracked() -> Iterator[None]:
    """Keep OpenVINO and NNCF from reporting their use to their maker.

    >>> with untracked():
    ...     os.environ["CI"]
    'true'

    Importing either, and converting a model, sends an event to a statistics server, unless a file
    in the home folder forbids it or the process runs in continuous integration. The user of seam
    has not been asked, so both are told the latter.
    """
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before


@contextmanager
def silent() -> Iterator[None]:
    """Keep NNCF's progress bars off stdout, and its search for CUDA off stderr.

    >>> with silent():
    ...     print("Statistics collection 100 %")
    """
    said = logging.getLogger("torch.utils.cpp_extension")
    before = said.level
    said.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        said.setLevel(before)
