"""A process that holds the run folder ``run`` until ``pipe`` says to let go."""

from seam.artefacts.run import RunFolder

with RunFolder(run).held():  # noqa: F821
    pipe.send("held")  # noqa: F821
    pipe.recv()  # noqa: F821
