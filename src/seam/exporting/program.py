"""To a `torch.export` program: one file that runs where seam is not installed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from seam.errors import ModelError, in_line


def to_program(
    module: nn.Module, example: Tensor, path: Path, *, info: Mapping[str, str] | None = None
) -> None:
    """Write ``module`` as a ``.pt2`` file that takes batches of any size.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "model.pt2"
    >>> to_program(nn.Linear(3, 2), torch.zeros(1, 3), file)
    >>> torch.export.load(file).module()(torch.zeros(5, 3)).shape
    torch.Size([5, 2])

    Args:
        module: gives (b, K) logits for images (b, C, H, W) or texts (b, length); it is copied, and
            stays as it is.
        example: such images or texts; only their shape but for b, and their type, matter.
        path: the file to write.
        info: texts to keep inside the file, each as an extra file of its name.

    Raises:
        ModelError: the module cannot be traced, or only for one batch size.
    """
    torch.export.save(traced(module, example), path, extra_files=dict(info or {}))


def input_name(example: Tensor) -> str:
    """What a program calls its input: ``images``, or ``tokens`` where they are whole numbers.

    >>> input_name(torch.zeros(1, 8, dtype=torch.int64))
    'tokens'
    """
    return "images" if example.is_floating_point() else "tokens"


def traced(module: nn.Module, example: Tensor) -> ExportedProgram:
    """A copy of ``module`` on the CPU, in evaluation mode, as a program for any batch size.

    Where its code lies on this machine, which PyTorch notes at every node, is left out.

    >>> list(traced(nn.Linear(3, 2), torch.zeros(1, 3)).module()(torch.zeros(7, 3)).shape)
    [7, 2]

    Raises:
        ModelError: the module cannot be traced, or only for one batch size.
    """
    plain = copy.deepcopy(module).cpu().to(memory_format=torch.contiguous_format).eval()
    # A batch of one would be taken for a constant.
    images = example.detach().cpu()[:1].expand(2, *example.shape[1:]).contiguous()
    try:
        with torch.no_grad():
            dimensions = ({0: Dim("batch", min=1)},)
            program = torch.export.export(plain, (images,), dynamic_shapes=dimensions)
    except Exception as error:  # modules of others raise what they like
        raise ModelError(
            f"the model cannot be traced for batches of any size ({in_line(error)}); "
            "its forward must not depend on the batch size or on pixel values"
        ) from error
    for graph in program.graph_module.modules():
        for node in graph.graph.nodes if isinstance(graph, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)
    return program
