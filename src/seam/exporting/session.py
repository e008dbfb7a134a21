"""An exported model opened in its runtime, called like a module."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from seam.artefacts.atomic import shown
from seam.core.checks import at_least
from seam.errors import ConfigError, DataError, ModelError, SeamError, in_line
from seam.exporting.damage import check_openvino, check_program
from seam.exporting.extras import needs


class Session(Protocol):
    """A model file in its runtime: images or texts in, logits (b, K) out, on the CPU.

    Images are float32 (b, C, H, W), texts int64 (b, length). ``runtime`` is ``onnxruntime``,
    ``openvino`` or ``torch``.
    """

    runtime: str

    def __call__(self, images: Tensor) -> Tensor:
        """Logits of a batch.

        Raises:
            DataError: the file was made for images or batches of another size.
        """
        ...


def open_session(path: Path, *, threads: int | None = None, batch: int | None = None) -> Session:
    """Open ``model.onnx``, ``model.xml`` or ``model.pt2`` in the runtime it is for.

    >>> import tempfile
    >>> from seam.exporting.program import to_program
    >>> file = Path(tempfile.mkdtemp()) / "model.pt2"
    >>> to_program(torch.nn.Linear(3, 2), torch.zeros(1, 3), file)
    >>> open_session(file)(torch.zeros(5, 3)).shape
    torch.Size([5, 2])

    OpenVINO computes in float32: left alone it takes bfloat16 where the processor can.

    Args:
        path: the model file; its suffix says which runtime.
        threads: how many the runtime may use; by default what it chooses.
        batch: every batch has this size, others are refused: that spares OpenVINO some work at
            each call. By default the sizes that the file takes.

    Raises:
        MissingExtraError: the runtime is not installed.
        ModelError: the file is missing, damaged, or holds pickled values.
        ConfigError: no runtime is known for files of this suffix, or ``threads`` is below 1.
    """
    kind = SESSIONS.get(path.suffix)
    if kind is None:
        raise ConfigError(
            f"no runtime is known for {shown(path)}; give a file ending in {', '.join(SESSIONS)}"
        )
    if threads is not None:
        at_least("threads", threads, 1, whole=True)
    if not path.is_file():
        raise ModelError(f"model file {shown(path)} is missing; export again with seam export")
    if kind.extra is not None:
        needs(kind.runtime, extra=kind.extra)
    try:
        session = kind(path, threads, batch)
        if batch is not None:
            session.shape = [batch, *session.shape[1:]]
        return session
    except SeamError:
        raise
    except Exception as error:  # each runtime has errors of its own
        raise ModelError(
            f"{kind.runtime} cannot open {shown(path)} ({in_line(error)}); "
            "export again with seam export"
        ) from error


def onnx_session(model: Path | bytes, threads: int | None, *, resting: bool = False) -> Any:
    """A file, or the bytes of one, in ONNX Runtime; if ``resting``, threads stop between calls."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    if threads is not None:
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    if resting:
        options.add_session_config_entry("session.force_spinning_stop", "1")
    source = str(model) if isinstance(model, Path) else model
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


class _Runtime:
    """What the three have in common: the shape check, and errors as one line."""

    runtime: str
    extra: str | None
    shape: Sequence[int | None]
    """Of the input; None where any size is taken."""
    dtype: torch.dtype = torch.float32

    def __call__(self, images: Tensor) -> Tensor:
        """Logits of a batch, (b, K)."""
        self._check(tuple(images.shape))
        try:
            return self._run(images.detach().to("cpu", self.dtype).contiguous())
        except Exception as error:  # each runtime has errors of its own
            raise DataError(
                f"{self.runtime} cannot run {self._inputs} of shape {tuple(images.shape)} "
                f"({in_line(error)}); export the model again"
            ) from error

    @property
    def _inputs(self) -> str:
        return "texts" if self.dtype == torch.int64 else "images"

    def _check(self, given: tuple[int, ...]) -> None:
        wanted = tuple(self.shape)
        if not given or given[0] == 0:  # OpenVINO would answer with the batch before
            raise DataError(f"a batch of no {self._inputs} was given; give at least one")
        if len(given) == len(wanted) and all(
            want in (None, have) for have, want in zip(given, wanted, strict=True)
        ):
            return
        if wanted[0] is not None and given[1:] == wanted[1:]:
            raise DataError(
                f"the program was exported for batches of {wanted[0]}, not of {given[0]}; "
                f"give {wanted[0]} {self._inputs} at a time, or export it again with seam export"
            )
        names = " x ".join("b" if size is None else str(size) for size in wanted)
        found = " x ".join(map(str, given))
        raise DataError(
            f"the program takes {self._inputs} of shape {names}, not {found}; "
            "prepare them as its model.json says"
        )

    def _run(self, images: Tensor) -> Tensor:
        raise NotImplementedError


class OnnxSession(_Runtime):
    """A model file in ONNX Runtime."""

    runtime, extra = "onnxruntime", "onnx"

    def __init__(self, path: Path, threads: int | None, _batch: int | None) -> None:
        self._session = onnx_session(path, threads)
        (entry,) = self._session.get_inputs()
        self._name = entry.name
        self.shape = [size if isinstance(size, int) else None for size in entry.shape]
        self.dtype = torch.int64 if entry.type == "tensor(int64)" else torch.float32

    def _run(self, images: Tensor) -> Tensor:
        return torch.from_numpy(self._session.run(None, {self._name: images.numpy()})[0])


class OpenVinoSession(_Runtime):
    """A model file in OpenVINO."""

    runtime, extra = "openvino", "openvino"

    def __init__(self, path: Path, threads: int | None, batch: int | None) -> None:
        import openvino

        check_openvino(path)
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
        settings["PERFORMANCE_HINT"] = "LATENCY"
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        core = openvino.Core()
        program = core.read_model(path)
        if batch is not None:
            program.reshape([batch, *list(program.input(0).partial_shape)[1:]])
        model = core.compile_model(program, "CPU", settings)
        sizes = model.input(0).partial_shape
        self.shape = [size.get_length() if size.is_static else None for size in sizes]
        whole = model.input(0).element_type == openvino.Type.i64
        self.dtype = torch.int64 if whole else torch.float32
        self._request = model.create_infer_request()

    def _run(self, images: Tensor) -> Tensor:
        found = self._request.infer([images.numpy()], share_inputs=True, share_outputs=False)
        return torch.from_numpy(found[0])


class ProgramSession(_Runtime):
    """A `torch.export` program in PyTorch."""

    runtime, extra = "torch", None

    def __init__(self, path: Path, threads: int | None, _batch: int | None) -> None:
        check_program(path)
        program = torch.export.load(path)
        self._module, self._threads = program.module(), threads
        name = program.graph_signature.user_inputs[0]
        node = next(node for node in program.graph.nodes if node.name == name)
        self.shape = [size if isinstance(size, int) else None for size in node.meta["val"].shape]
        self.dtype = node.meta["val"].dtype

    def _run(self, images: Tensor) -> Tensor:
        before = torch.get_num_threads()
        if self._threads not in (None, before):
            torch.set_num_threads(self._threads)
        try:
            with torch.no_grad():
                logits: Tensor = self._module(images)
                return logits
        finally:
            if torch.get_num_threads() != before:
                torch.set_num_threads(before)


SESSIONS: dict[str, type[OnnxSession] | type[OpenVinoSession] | type[ProgramSession]] = {
    ".onnx": OnnxSession,
    ".xml": OpenVinoSession,
    ".pt2": ProgramSession,
}
"""The runtime of each kind of model file."""
