"""The formats there are: how each is written, and how it is asked as its users will ask it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from bakeoff.fields import RecipeError
from bakeoff.machine import quiet

Array = NDArray[Any]
Ask = Callable[[Array], Array]
OPSET = 18


@dataclass(frozen=True)
class Runtime:
    """A format: its file's name, who runs it, how to write it and how to open what was written."""

    file: str
    library: str
    write: Callable[[ExportedProgram, Path, str, str], None]
    open: Callable[[Path], Ask]

    @property
    def name(self) -> str:
        """The library that runs it, with its version."""
        return f"{self.library} {version(self.library)}"


def program(module: nn.Module, example: Tensor, *, whole: bool) -> ExportedProgram:
    """Trace `module`; batches of any size, with `whole` photographs (N, H, W, 3) of any size."""
    free: dict[int, Any] = {0: Dim.DYNAMIC}
    if whole:
        free |= {1: Dim.DYNAMIC, 2: Dim.DYNAMIC}
    with quiet(), torch.no_grad():
        return torch.export.export(module, (example,), dynamic_shapes=(free,))


def _write_onnx(traced: ExportedProgram, path: Path, input_name: str, output_name: str) -> None:
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise RecipeError(
            f"--to onnx needs {error.name}; install it with pip install 'bakeoff[export]'"
        ) from None
    with quiet():
        made = torch.onnx.export(
            traced,
            dynamo=True,
            opset_version=OPSET,
            input_names=[input_name],
            output_names=[output_name],
            external_data=False,
            verbose=False,
        )
    assert made is not None
    made.save(path, external_data=False)


def _open_onnx(path: Path) -> Ask:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: np.asarray(session.run(None, {name: batch})[0])


def _write_torch(traced: ExportedProgram, path: Path, _input: str, _output: str) -> None:
    traced.example_inputs = None  # would be kept in the file, as a pickle
    with quiet(), path.open("wb") as file:
        torch.export.save(traced, file)


def _open_torch(path: Path) -> Ask:
    with quiet(), path.open("rb") as file:
        module = torch.export.load(file).module()
    return lambda batch: asked(module, batch)


@torch.inference_mode()
def asked(module: nn.Module, batch: Array) -> Array:
    """Return what `module` says to an array, as an array."""
    output: Tensor = module(torch.from_numpy(batch))
    return output.numpy()


RUNTIMES = {
    "onnx": Runtime("model.onnx", "onnxruntime", _write_onnx, _open_onnx),
    "torch": Runtime("model.pt2", "torch", _write_torch, _open_torch),
}
