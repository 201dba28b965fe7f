"""One safetensors file with its config in the metadata. Nothing is ever unpickled."""

import hashlib
import importlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast
from urllib.request import urlopen

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from facegan.core.errors import FaceganError, NotFoundError
from facegan.core.files import check_tensors, parse_json, reading, write_bytes, write_tensors
from facegan.core.paths import BUNDLED
from facegan.core.trust import is_trusted, refusal

WEIGHTS_FILE = "generator.safetensors"
DISCRIMINATOR_FILE = "discriminator.safetensors"
CACHE = Path("~/.cache/facegan")
TIMEOUT, MAX_SECONDS, MAX_BYTES = 30, 600, 256 << 20  # of a download; seconds without data


class Network(Protocol):
    """A module with the arguments that rebuild it."""

    config: dict[str, Any]

    def state_dict(self) -> dict[str, Tensor]: ...


N = TypeVar("N", bound=nn.Module)


def save(network: Network, path: Path, about: dict[str, str] | None = None) -> None:
    """Writes weights, config and the strings of `about` as one safetensors file, atomically."""
    kind = type(network)
    config = {"_target_": f"{kind.__module__}.{kind.__qualname__}", **network.config}
    metadata = {**(about or {}), "facegan": version("facegan"), "config": json.dumps(config)}
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    write_tensors(path, tensors, metadata)


def load(source: str | Path, kind: type[N]) -> N:
    """The network of class `kind` in a safetensors file or run folder, on the CPU, in eval mode.

    Raises FaceganError for a file that cannot be read, that is damaged, or that names a class which
    a file may not name.
    """
    path = find(source)
    config, tensors = _read(path)
    target = config.pop("_target_", None)
    network_class = _network_class(path, target, kind)
    try:
        with ExitStack() as stack:
            if not is_trusted(str(target)):  # no memory is allocated, since the width may be huge
                stack.enter_context(torch.device("meta"))
                stack.enter_context(_SkipInitialization())
            labels = config.pop("labels", None)
            network = network_class(**config)
            if labels is not None:
                network.condition_on(labels)  # type: ignore[operator]
        network.load_state_dict(tensors, assign=True)
    except (
        *(TypeError, ValueError, RuntimeError, AttributeError, ArithmeticError, LookupError),
    ) as error:
        raise FaceganError(
            f"{path}: the weights do not fit the network they name ({target}): {error}"
        ) from error
    return network.float().to(memory_format=torch.channels_last).eval()


def read_tensors(source: str | Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name, without the network. Raises FaceganError as `load`."""
    return _read(find(source))[1]


def find(source: str | Path) -> Path:
    """The safetensors file that `source` names.

    A bundled name, a run folder, a file; or a file that is downloaded into a cache first:
    hf:OWNER/REPOSITORY/FILE from the Hugging Face hub, https://…/FILE#sha256=… from anywhere.
    """
    text = str(source)
    if text in bundled():
        return BUNDLED / f"{text}.safetensors"
    if text.startswith("hf:"):
        return _from_hub(text)
    if text.startswith(("https://", "http://")):
        return _from_url(text)
    path = Path(source) / WEIGHTS_FILE if Path(source).is_dir() else Path(source)
    if not path.is_file():
        raise NotFoundError(
            f"weights={source}: there is no file {path}; give bundled weights "
            f"({', '.join(bundled())}), a run folder such as outputs/latest whose training has "
            "finished an epoch, or a .safetensors file"
        )
    return path


def find_discriminator(source: str | Path) -> Path | None:
    """The discriminator that was trained with the generator `source`; None if there is none.

    Its file is in the same folder: discriminator.safetensors in a run folder,
    full-28.discriminator.safetensors for bundled weights.
    """
    path = find(source)
    candidates = [path.with_name(f"{path.stem}.{DISCRIMINATOR_FILE}")]
    if path.name.startswith(Path(WEIGHTS_FILE).stem):
        candidates.append(path.with_name(DISCRIMINATOR_FILE))
    return next((found for found in candidates if found.is_file()), None)


def bundled() -> list[str]:
    """The names of the weights in the package."""
    files = BUNDLED.glob("*.safetensors")
    return sorted(path.stem for path in files if "." not in path.stem)  # no directions


def bundled_crop(name: str) -> int:
    """`data.crop` of the CelebA photographs that the bundled weights `name` were trained on."""
    crops = json.loads((BUNDLED / "crops.json").read_text(encoding="utf-8"))
    return int(crops[name])


def run_folder(source: str | Path) -> Path | None:
    """The folder of the weights; None for bundled and for downloaded ones."""
    path = Path(source)
    if str(source) in bundled() or not path.exists():
        return None
    return path if path.is_dir() else path.parent


def metadata(source: str | Path) -> dict[str, str]:
    """The strings that were saved with the weights."""
    with _opened(find(source)) as file:
        return cast(dict[str, str], file.metadata() or {})


def config_of(source: str | Path) -> dict[str, Any]:
    """The class and the arguments that rebuild the network of these weights; {} without them."""
    return _config(metadata(source))


def digest(network: nn.Module) -> str:
    """Ten hexadecimal digits that change with any weight of the network."""
    sha256 = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        sha256.update(name.encode())
        sha256.update(tensor.cpu().contiguous().numpy().tobytes())
    return sha256.hexdigest()[:10]


class _SkipInitialization(TorchFunctionMode):
    """Skips torch.nn.init: random numbers on the meta device import torch's compiler (1 s)."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs.get("tensor", args[0] if args else None)
        return func(*args, **kwargs)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The open file; see `reading`."""
    remedy = "give a .safetensors file (pickles such as .pt and .ckpt are never loaded)"
    with reading(path, remedy), safe_open(path, framework="pt") as file:
        yield file


def _config(header: dict[str, str]) -> dict[str, Any]:
    try:
        return dict(parse_json(header.get("config", "{}"), dict))
    except (ValueError, RecursionError):
        return {}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config and the tensors of a file, which must be finite numbers."""
    with _opened(path) as file:
        header = file.metadata() or {}
        check_tensors(path, header)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        bad = [name for name, x in tensors.items() if x.is_complex() or not x.isfinite().all()]
    if not _config(header):
        raise FaceganError(
            f"{path} has no facegan config in its metadata; "
            "give a file that facegan.train or Generator.save_pretrained has written"
        )
    if bad:
        raise FaceganError(
            f"{path}: {len(bad)} of {len(tensors)} tensors contain NaN or infinity, or are complex "
            f"({bad[0]}): the training diverged; use other weights, such as a run's "
            "generator-best.safetensors"
        )
    return _config(header), tensors


def _network_class(path: Path, target: object, kind: type[N]) -> type[N]:
    """The class that a file names: one of facegan.networks, or of a module that the user trusts."""
    module, _, name = str(target).rpartition(".")
    if not (is_trusted(str(target)) or re.fullmatch(r"facegan\.networks\.[a-z0-9_]+", module)):
        raise refusal(path, target)
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        found = None
    if not isinstance(found, type) or not issubclass(found, kind):
        raise FaceganError(
            f"{path} names {target!r}, which is not a {kind.__name__} of this package"
        )
    return found


def _from_hub(source: str) -> Path:
    match = re.fullmatch(r"hf:([^/]+/[^/]+)/(.+\.safetensors)", source)
    if match is None:
        raise FaceganError(f"weights={source} must read hf:OWNER/REPOSITORY/FILE.safetensors")
    try:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(match[1], match[2]))
    except Exception as error:  # of many libraries
        raise NotFoundError(
            f"weights={source} could not be downloaded by huggingface_hub, "
            f"pip install -e '.[hub]': {error}"
        ) from error


def _from_url(source: str) -> Path:
    match = re.fullmatch(r"(.+)#sha256=([0-9a-fA-F]{64})", source)
    if match is None:
        raise FaceganError(f"weights={source} must end in #sha256= and 64 hexadecimal digits")
    url, digest = match[1], match[2].lower()
    path = CACHE.expanduser() / f"{digest}.safetensors"
    if not (path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest):
        try:
            _download(url, digest, path)
        except (OSError, ValueError, HTTPException) as error:
            raise NotFoundError(f"weights={source} could not be downloaded: {error}") from error
    return path


def _download(url: str, digest: str, path: Path) -> None:
    """Raises ValueError for another digest, for too many bytes, and for a server that is slow."""
    deadline = time.monotonic() + MAX_SECONDS
    data = bytearray()
    with urlopen(url, timeout=TIMEOUT) as response:
        while part := response.read1():
            data += part
            if len(data) > MAX_BYTES or time.monotonic() > deadline:
                raise ValueError(f"more than {MAX_BYTES >> 20} MiB, or {MAX_SECONDS} seconds")
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError("the hash of the file is another one")
    write_bytes(path, data)
