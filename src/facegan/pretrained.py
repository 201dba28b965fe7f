"""One safetensors file with its own config in the metadata. Nothing is ever unpickled."""

import importlib
import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from facegan.errors import FaceganError
from facegan.files import replacing

WEIGHTS_FILE = "generator.safetensors"


class Network(Protocol):
    """A module that knows the arguments which rebuild it."""

    config: dict[str, Any]

    def state_dict(self) -> dict[str, Tensor]: ...


N = TypeVar("N", bound=nn.Module)


def save(network: Network, path: Path, about: dict[str, str] | None = None) -> None:
    """Writes weights, config and the strings of `about` as one safetensors file, atomically."""
    kind = type(network)
    config = {"_target_": f"{kind.__module__}.{kind.__qualname__}", **network.config}
    metadata = {**(about or {}), "facegan": version("facegan"), "config": json.dumps(config)}
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata)


def load(source: str | Path, kind: type[N]) -> N:
    """The network of class `kind` in a safetensors file or run folder, on the CPU, in eval mode."""
    path = find(source)
    config, tensors = _read(path)
    target = config.pop("_target_", None)
    network_class = _network_class(path, target, kind)
    try:
        network = network_class(**config)
        network.load_state_dict(tensors)
    except (TypeError, ValueError, RuntimeError) as error:
        raise FaceganError(
            f"{path}: the weights do not fit the network they name ({target}): {error}; "
            "the file was changed or made by another version: write it again with facegan.train"
        ) from error
    return network.eval()


def find(source: str | Path) -> Path:
    """The safetensors file that `source` means: itself, or the generator of a run folder."""
    path = Path(source)
    if path.is_dir():
        path = path / WEIGHTS_FILE
    if not path.is_file():
        raise FaceganError(
            f"weights={source}: there is no file {path}; give a run folder such as outputs/latest, "
            "whose training has finished an epoch, or a .safetensors file"
        )
    return path


def metadata(source: str | Path) -> dict[str, str]:
    """The strings that were saved beside the weights."""
    with _opened(find(source)) as file:
        return cast(dict[str, str], file.metadata() or {})


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with _opened(path) as file:
        header = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    try:
        config = json.loads(header["config"])
    except (KeyError, ValueError) as error:
        raise FaceganError(
            f"{path} holds tensors but no facegan config in its metadata; "
            "give a file that facegan.train or Generator.save_pretrained has written"
        ) from error
    return config, tensors


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise FaceganError(
            f"{path} is no readable safetensors file ({error}): it is damaged, or of another kind "
            "(pickles such as .pt and .ckpt are never loaded): write it again or fetch it afresh"
        ) from error


def _network_class(path: Path, target: object, kind: type[N]) -> type[N]:
    """The class that a file names, which must be one of ours: a file cannot choose what runs."""
    match = re.fullmatch(r"(facegan\.networks\.[a-z0-9_]+)\.([A-Za-z0-9_]+)", str(target))
    try:
        found = getattr(importlib.import_module(match[1]), match[2]) if match else None
    except (ImportError, AttributeError):
        found = None
    if not isinstance(found, type) or not issubclass(found, kind):
        raise FaceganError(
            f"{path} names {target!r} as its network, which is no {kind.__name__} of "
            "facegan.networks; weights may name no other class"
        )
    return found
