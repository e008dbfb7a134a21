"""A process that works at ``url`` until ``pipe`` says to let go."""

import os
import tempfile

from seam.artefacts import storage_lock
from seam.artefacts.mirroring import WORK, mirrored

os.environ.update(environment)  # noqa: F821
tempfile.tempdir = environment["TMPDIR"]  # noqa: F821
storage_lock.BEAT_S, storage_lock.STALE_S = 0.1, 0.5
with mirrored(url, WORK):  # noqa: F821
    pipe.send("held")  # noqa: F821
    pipe.recv()  # noqa: F821
