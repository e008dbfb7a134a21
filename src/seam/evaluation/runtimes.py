"""A model opened in each runtime, ready to be timed."""

from __future__ import annotations

import copy
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import environ
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seam.errors import ConfigError, MissingExtraError, ModelError, in_line, nearest
from seam.exporting.extras import needs
from seam.exporting.onnx import to_onnx
from seam.exporting.openvino import to_openvino
from seam.exporting.session import onnx_session, open_session

Program = Callable[[Tensor], Any]
RUNTIMES = ("torch", "torch_compiled", "onnxruntime", "openvino")
SUFFIXES = {"onnxruntime": ".onnx", "openvino": ".xml"}
EXTRAS = {"onnxruntime": "onnx", "openvino": "openvino"}


def known_runtimes(names: Sequence[str]) -> tuple[str, ...]:
    """The runtimes of these names, each once.

    >>> known_runtimes(["torch", "openvino", "torch"])
    ('torch', 'openvino')

    Raises:
        ConfigError: there is none of such a name, or no name at all.
    """
    for name in names:
        if name not in RUNTIMES:
            hint = nearest(name, list(RUNTIMES)) or f"; there are {', '.join(RUNTIMES)}"
            raise ConfigError(f"runtime '{name}' is unknown{hint}")
    if not names:
        raise ConfigError(f"no runtime is named; give some of {', '.join(RUNTIMES)}")
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class Subject:
    """A model to be timed: a module, and the files it is written to for other runtimes.

    ``files`` are programs that exist already, by runtime (a quantized one exists in no other form:
    its ``module`` is None); what is missing is exported to ``folder`` when it is needed.
    """

    name: str
    module: nn.Module | None
    folder: Path
    files: Mapping[str, Path] = field(default_factory=dict)

    def open(self, runtime: str, images: Tensor, *, threads: int) -> Program:
        """The model as a call in ``runtime``, for batches like ``images`` (b, C, H, W).

        PyTorch runs on the threads that are set; ``threads`` is for the other runtimes.

        Raises:
            MissingExtraError: the runtime is not installed.
            ModelError: the model cannot be exported, opened or compiled there.
        """
        if runtime in SUFFIXES:
            file = self.file(runtime, images)
            if runtime == "onnxruntime":
                return quiet_onnx(file, threads)
            return open_session(file, threads=threads, batch=len(images))
        module = self._plain(runtime)
        return compiled(module, images) if runtime == "torch_compiled" else without_grad(module)

    def file(self, runtime: str, images: Tensor) -> Path:
        """The program file for ONNX Runtime or OpenVINO; exported the first time."""
        if runtime in self.files:
            return self.files[runtime]
        file = self.folder / f"{self.name}{SUFFIXES[runtime]}"
        if not file.exists():
            needs(runtime, extra=EXTRAS[runtime])
            write = to_onnx if runtime == "onnxruntime" else to_openvino
            write(self._plain(runtime), images[:1], file)
        return file

    def _plain(self, runtime: str) -> nn.Module:
        if self.module is None:
            raise ModelError(
                f"the quantized model has no program for {runtime}; "
                f"name one of {', '.join(self.files)}"
            )
        return self.module


def on_cpu(module: nn.Module) -> nn.Module:
    """A copy of ``module`` on the CPU, in evaluation mode.

    >>> on_cpu(nn.Dropout()).training
    False
    """
    return copy.deepcopy(module).cpu().eval()


def without_grad(module: Program) -> Program:
    """``module``, whatever it is, called without a graph for gradients.

    >>> without_grad(nn.Linear(3, 2))(torch.zeros(1, 3)).requires_grad
    False
    """
    return torch.inference_mode()(module)


def compiled(module: nn.Module, images: Tensor) -> Program:
    """``module`` compiled by `torch.compile` for batches like ``images``.

    Raises:
        ModelError: there is no C++ compiler, or the module cannot be compiled.
    """
    compilers = [environ.get("CXX", ""), "g++", "clang++", "cl"]
    if not any(map(shutil.which, filter(None, compilers))):
        raise ModelError(
            "torch.compile needs a C++ compiler and finds none; install g++ or clang++"
        )
    program = without_grad(torch.compile(module, dynamic=False))
    logger = logging.getLogger("torch.utils.cpp_extension")  # warns that there is no CUDA
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        program(images)
    except Exception as error:  # a compiler fails in many ways
        raise ModelError(
            f"torch.compile cannot compile the model ({in_line(error)}); leave torch_compiled out"
        ) from error
    finally:
        logger.setLevel(level)
    return program


def quiet_onnx(model: Path | bytes, threads: int) -> Program:
    """A model in ONNX Runtime whose threads rest between calls.

    Left alone they spin for some 50 ms after each call, to be quick at the next one. Of two models
    that take turns, the resting one then takes its threads' cores from the other: with 2 threads on
    2 cores that doubled the times of both.

    Args:
        model: a file, or the bytes of one.
        threads: how many it may use.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        ModelError: it cannot open the model.
    """
    needs("onnxruntime", extra="onnx")
    try:
        session = onnx_session(model, threads, resting=True)
    except Exception as error:  # it has errors of its own
        raise ModelError(
            f"onnxruntime cannot open the model ({in_line(error)}); export it again"
        ) from error
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images.numpy()})


def reason_to_skip(error: MissingExtraError | ModelError) -> str:
    """Why a runtime was left out, in one line with what to do about it.

    >>> reason_to_skip(ModelError("no compiler; install one"))
    'no compiler; install one'
    """
    return in_line(error, 300)
