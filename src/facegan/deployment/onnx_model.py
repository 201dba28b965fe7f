"""A generator as an ONNX model: latents in, uint8 images out. Needs the extra `export`."""

import json
import logging
import warnings
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime
import onnxscript  # noqa: F401  torch.onnx.export needs it
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.core.images import to_uint8
from facegan.networks.base import Generator
from facegan.networks.latents import latents

CHECKED_BATCHES = (1, 63)  # two sizes, since the batch is dynamic
MAX_DIFFERENCE = 1  # of 255 levels: a rounding


class _ImageGenerator(nn.Module):
    """(N, latent_dim) float32 -> (N, H, W, C) uint8, as image files and canvases store pixels.

    A conditional generator takes labels, (N, A) in [-1, 1], as well.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        images = self.generator(self.generator.condition(latents, labels))
        return to_uint8(images).permute(0, 2, 3, 1)


def to_onnx(generator: Generator, about: dict[str, str]) -> onnx.ModelProto:
    """The model: input `latents` (N, latent_dim), output `images` (N, H, W, C), metadata `about`.

    A conditional generator's has a second input, `labels` (N, A). `about` has the key license; the
    metadata have the template of a mark, too. Weights that are exact in half
    precision are stored in it, as in the bundled files.
    """
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):  # they report every optimization
        logging.getLogger(name).setLevel(logging.ERROR)
    inputs, batch = model_inputs(generator, 2), torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch's own modules
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "# The axis name")  # both inputs share the batch
        program = torch.onnx.export(
            _ImageGenerator(generator).eval(),
            tuple(inputs.values()),
            input_names=[*inputs],
            output_names=["images"],
            dynamic_shapes={name: {0: batch} for name in inputs},
            dynamo=True,
            optimize=False,  # else batch norms change weights that are exact in half precision
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _remove_traces(model)
    _store_in_half_precision(model.graph)
    mark = replace(generator.provenance(), license=about["license"]).template()
    helper.set_model_props(model, {**about, **_metadata(generator), "mark": mark})
    onnx.checker.check_model(model, full_check=True)
    return model


def _metadata(generator: Generator) -> dict[str, str]:
    labels = {"labels": json.dumps(generator.labels.config)} if generator.labels else {}
    return {
        "image_size": str(generator.image_size),
        "channels": str(generator.channels),
        "latent_dim": str(generator.latent_dim),
        "input": "latents (N, latent_dim), float32, drawn from N(0, 1)",
        **labels,
        "output": "images (N, image_size, image_size, channels), uint8",
        "facegan": version("facegan"),
        "weights": pretrained.digest(generator),
    }


def model_inputs(generator: Generator, count: int) -> dict[str, Tensor]:
    """The model's inputs for the seeds 0 … count-1, by name."""
    inputs = {"latents": latents(range(count), generator.latent_dim)}
    if generator.labels is not None:
        inputs["labels"] = generator.labels.draw(range(count))
    return inputs


def largest_difference(model: bytes, generator: Generator) -> int:
    """Between the images of ONNX Runtime and of torch, in levels of 255.

    Raises FaceganError if it is larger than MAX_DIFFERENCE.
    """
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    largest = 0
    for count in CHECKED_BATCHES:
        inputs = model_inputs(generator, count)
        (images,) = session.run(None, {name: part.numpy() for name, part in inputs.items()})
        expected = generator.sample(count).permute(0, 2, 3, 1).numpy()
        largest = max(largest, int(np.abs(images.astype(int) - expected.astype(int)).max()))
    if largest > MAX_DIFFERENCE:
        raise FaceganError(
            f"the ONNX model and torch differ by {largest}/255, and at most {MAX_DIFFERENCE}/255 "
            "is allowed; nothing was written"
        )
    return largest


def _store_in_half_precision(graph: onnx.GraphProto) -> None:
    """Stores weights that are exact in half precision in it, with a Cast back to float32."""
    casts = []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < 64:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if np.array_equal(half.astype(np.float32), values):
            name, stored = weight.name, f"{weight.name}_half"
            weight.CopyFrom(numpy_helper.from_array(half, stored))
            casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _remove_traces(model: onnx.ModelProto) -> None:
    """Removes the source lines that torch stores, with paths of the machine that exports."""
    graph = model.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.metadata_props[:]
    del model.metadata_props[:]
