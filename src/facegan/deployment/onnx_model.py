"""A generator as an ONNX model: latents in, uint8 images out."""

import logging
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from facegan.core.errors import FaceganError
from facegan.core.images import to_uint8
from facegan.networks.base import Generator
from facegan.networks.latents import latents

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

CHECKED_BATCHES = (1, 63)  # the batch is dynamic, so that two sizes are checked
MAX_DIFFERENCE = 1  # of 255 levels


class _ImageGenerator(nn.Module):
    """(N, latent_dim) float32 -> (N, H, W, C) uint8, as image files and canvases store pixels."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, latents: Tensor) -> Tensor:
        return to_uint8(self.generator(latents)).permute(0, 2, 3, 1)


def to_onnx(generator: Generator, about: dict[str, str]) -> "ModelProto":
    """The model, input `latents` (N, latent_dim), output `images` (N, H, W, C), `about` in it.

    Weights that are exact in half precision are stored in it, as in the bundled files. Raises
    FaceganError where the packages of the extra `export` are missing.
    """
    onnx = _import_onnx()
    example = latents(range(2), generator.latent_dim)
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, of its own modules
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            _ImageGenerator(generator).eval(),
            (example,),
            input_names=["latents"],
            output_names=["images"],
            dynamic_shapes={"latents": {0: batch}},
            dynamo=True,
            optimize=False,  # it would fold batch norms into weights that half precision holds
            verbose=False,
        )
    if program is None:
        raise FaceganError("torch.onnx.export returned no model; take a newer torch")
    model = program.model_proto
    _remove_traces(model)
    _store_in_half_precision(model.graph)
    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model, full_check=True)
    return model


def largest_difference(model: bytes, generator: Generator) -> int:
    """Between the images of ONNX Runtime and of torch, in levels of 255.

    Raises FaceganError where it is larger than one level, the difference of a rounding.
    """
    runtime = _import_runtime()
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    largest = 0
    for count in CHECKED_BATCHES:
        z = latents(range(count), generator.latent_dim)
        (images,) = session.run(None, {"latents": z.numpy()})
        expected = generator.draw(z).permute(0, 2, 3, 1).numpy()
        largest = max(largest, int(np.abs(images.astype(int) - expected.astype(int)).max()))
    if largest > MAX_DIFFERENCE:
        raise FaceganError(
            f"the ONNX model and torch differ by {largest}/255, and at most {MAX_DIFFERENCE}/255 "
            "is allowed; nothing was written. Report the network and the versions of torch and "
            "onnxruntime"
        )
    return largest


def _store_in_half_precision(graph: "GraphProto") -> None:
    """Stores the weights that half precision holds exactly in it, with a Cast back to float32."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < 64:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _remove_traces(model: "ModelProto") -> None:
    """Removes the source lines that torch leaves, with paths of the machine that exports."""
    graph = model.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.metadata_props[:]
    del model.metadata_props[:]


def _import_onnx() -> Any:
    try:
        import onnx
        import onnxscript  # noqa: F401  torch.onnx.export needs it
    except ImportError as error:
        raise _missing(error) from error
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):  # they report every optimization
        logging.getLogger(name).setLevel(logging.ERROR)
    return onnx


def _import_runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing(error) from error
    return onnxruntime


def _missing(error: ImportError) -> FaceganError:
    return FaceganError(f"facegan.export needs {error.name}: pip install -e '.[export]'")
