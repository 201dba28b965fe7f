"""Weights files: saving, loading, downloading; nothing else is accepted or run."""

import functools
import hashlib
import http.server
import json
import os
import pickle
import re
import resource
import socket
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from conftest import python
from safetensors.torch import load_file, save_file

from facegan import Generator
from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.networks.attributes import AttributeNetwork
from facegan.networks.dcgan import DCGANGenerator

CONFIG = {"latent_dim": 4, "width": 8, "image_size": 14, "channels": 3, "dropout": 0.1}
TARGET = "facegan.networks.dcgan.DCGANGenerator"


def tiny_generator() -> DCGANGenerator:
    torch.manual_seed(0)
    generator = DCGANGenerator(**CONFIG).to(memory_format=torch.channels_last)
    generator(torch.randn(8, 4))  # sets the running statistics
    return generator


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    tiny_generator().save_pretrained(tmp_path / "faces.safetensors")
    return tmp_path / "faces.safetensors"


def with_config(weights: Path, config: object) -> Path:
    """The same tensors under another config."""
    save_file(load_file(weights), weights, {"config": json.dumps(config)})
    return weights


def refusal(source: str | Path) -> str:
    with pytest.raises(FaceganError) as error:
        Generator.from_pretrained(source)
    assert str(source) in str(error.value)
    return str(error.value)


def test_saved_weights_load_unchanged(weights: Path) -> None:
    loaded, generator = Generator.from_pretrained(weights), tiny_generator()
    assert type(loaded) is DCGANGenerator
    assert loaded.config == generator.config
    assert not any(module.training for module in loaded.modules())
    saved = generator.state_dict()
    assert loaded.state_dict().keys() == saved.keys()
    assert all(torch.equal(value, saved[name]) for name, value in loaded.state_dict().items())
    assert torch.equal(loaded.sample(n=3), generator.sample(n=3))


def test_about_joins_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "faces.safetensors"
    tiny_generator().save_pretrained(path, about={"images_seen": "640", "config": "mine"})
    metadata = pretrained.metadata(path)
    assert metadata["images_seen"] == "640"
    assert json.loads(metadata["config"])["_target_"] == TARGET


def test_missing_weights_are_refused_with_the_bundled_names(tmp_path: Path) -> None:
    message = refusal(tmp_path / "nowhere.safetensors")
    assert "there is no file" in message
    names = "attributes-28, attributes-64, dcgan-28, full-28, full-64, labels-28, lite-28"
    assert f"give bundled weights ({names})" in message


def test_a_run_folder_without_weights(tmp_path: Path) -> None:
    assert "whose training has finished an epoch" in refusal(tmp_path)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(weights: Path, kept: float) -> None:
    data = weights.read_bytes()
    weights.write_bytes(data[: int(kept * len(data))])
    assert "is damaged" in refusal(weights)
    weights.write_bytes(b"\xff" * 64)  # a huge header
    assert "is damaged" in refusal(weights)


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return (os.mkdir, (str(self.trace),))


def test_a_pickle_in_disguise_is_never_opened(tmp_path: Path) -> None:
    for name, dump in (("pt", torch.save), ("pkl", lambda x, p: p.write_bytes(pickle.dumps(x)))):
        path = tmp_path / f"{name}.safetensors"
        dump(Bomb(tmp_path / "boom"), path)
        assert "pickles such as .pt and .ckpt are never loaded" in refusal(path)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("text", ["{", "[]", '"dcgan"', "null", None])
def test_a_file_without_a_config_is_refused(weights: Path, text: str | None) -> None:
    save_file(load_file(weights), weights, {"config": text} if text else None)
    assert "no facegan config in its metadata" in refusal(weights)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.nn.Linear",
        "facegan.gan.module.GAN",
        "facegan.networks.dcgan.DCGANDiscriminator",
        "facegan.networks.dcgan.nn.Linear",
        "facegan.networks.dcgan.base_and_levels",
        "facegan.networks.dcgan.LEAKY_SLOPE",
        "facegan.networks.dcgan.Missing",
        "facegan.networks.missing.DCGANGenerator",
        "facegan.networks..dcgan.DCGANGenerator",
        "facegan.networks.dcgan.DCGANGenerator\n",
        "",
        None,
        5,
    ],
)
def test_a_file_cannot_choose_what_runs(weights: Path, target: object) -> None:
    message = refusal(with_config(weights, {"_target_": target, **CONFIG}))
    assert f"names {target!r}" in message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"width": 16}, "size mismatch"),
        ({"norm": "none"}, "Missing key"),
        ({"depth": 3}, "unexpected keyword argument 'depth'"),
        ({"width": "wide"}, "width must be"),
        ({"width": None}, "width must be"),
        ({"norm": ["batch"]}, "norm must be one of"),
    ],
    ids=str,
)
def test_arguments_that_do_not_fit(weights: Path, changes: dict, reason: str) -> None:
    message = refusal(with_config(weights, {"_target_": TARGET, **CONFIG, **changes}))
    assert re.search(rf"do not fit the network they name \({TARGET}\): .*{reason}", message, re.S)


BUNDLED = [pretrained.find(name) for name in pretrained.bundled()]


def test_a_bundled_name_precedes_a_folder(workdir: Path) -> None:
    tiny_generator().save_pretrained(workdir / "lite-28" / "generator.safetensors")
    assert pretrained.find("lite-28") == pretrained.BUNDLED / "lite-28.safetensors"
    assert pretrained.find("./lite-28") == Path("lite-28/generator.safetensors")


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_bundled_weights_are_small_complete_and_described(path: Path) -> None:
    assert path.stat().st_size < 5_000_000
    kind = AttributeNetwork if path.stem.startswith("attributes") else Generator
    network = pretrained.load(path.stem, kind)
    assert all(torch.isfinite(tensor).all() for tensor in network.state_dict().values())
    metadata = pretrained.metadata(path.stem)
    config = json.loads(metadata["config"])
    # an argument that is missing in an older file has its default
    assert network.config.items() >= {k: v for k, v in config.items() if k != "_target_"}.items()
    assert path.stem.endswith(f"-{config['image_size']}")
    assert int(metadata["images_seen"]) > 0
    assert metadata["facegan"]
    assert path.stem in path.with_suffix(".md").read_text()  # its card


@pytest.fixture
def site(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a web site with the file faces.safetensors."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    files = http.server.SimpleHTTPRequestHandler
    handler = functools.partial(files, directory=str(weights.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def url(site: str, weights: Path) -> str:
    """The URL of these weights, with their checksum."""
    return f"{site}/faces.safetensors#sha256={hashlib.sha256(weights.read_bytes()).hexdigest()}"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pretrained, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def test_a_url_with_its_checksum_is_fetched_until_the_cache_has_it(
    url: str, cache: Path, weights: Path
) -> None:
    pretrained.find(url).write_bytes(b"another")
    assert torch.equal(Generator.from_pretrained(url).sample(n=2), tiny_generator().sample(n=2))
    weights.unlink()
    Generator.from_pretrained(url)
    assert len([*cache.iterdir()]) == 1


def test_a_url_with_another_checksum_leaves_nothing(site: str, cache: Path) -> None:
    message = refusal(f"{site}/faces.safetensors#sha256={'0' * 64}")
    assert "could not be downloaded" in message
    assert "hash" in message
    assert not cache.exists()


def test_a_download_ends(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(pretrained, "MAX_BYTES", 1000)
        assert "more than 0 MiB" in refusal(url)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(pretrained, "TIMEOUT", 0.1)
        source = f"http://127.0.0.1:{silent.getsockname()[1]}/faces.safetensors"
        assert "timed out" in refusal(f"{source}#sha256={'0' * 64}")
    assert not cache.exists()


@pytest.mark.parametrize("end", ["", "#sha256=", "#sha256=abc", "#md5=" + "0" * 32])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_url_without_a_checksum_is_not_requested(scheme: str, end: str, cache: Path) -> None:
    assert "must end in #sha256=" in refusal(f"{scheme}://127.0.0.1:9/faces.safetensors{end}")
    assert not cache.exists()


def install_hub(monkeypatch: pytest.MonkeyPatch, download: Callable[[str, str], str]) -> None:
    """Makes `download` the hf_hub_download of an installed huggingface_hub."""
    package = types.SimpleNamespace(hf_hub_download=download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", package)


def test_the_hub_gets_repository_and_file(monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    requests = []
    install_hub(monkeypatch, lambda *arguments: requests.append(arguments) or str(weights))
    loaded = Generator.from_pretrained("hf:some.one/faces-56/sub/best.safetensors")
    assert requests == [("some.one/faces-56", "sub/best.safetensors")]
    assert torch.equal(loaded.sample(n=2), tiny_generator().sample(n=2))


def test_an_error_of_the_hub_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: str) -> str:
        raise ConnectionError("no such repository")

    install_hub(monkeypatch, fail)
    message = refusal("hf:some.one/faces/best.safetensors")
    assert "could not be downloaded" in message
    assert "no such repository" in message


@pytest.mark.parametrize(
    "name", ["", "faces", "one/faces", "one/faces/best.ckpt", "/faces/a.safetensors"]
)
def test_a_name_that_the_hub_cannot_have(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    install_hub(monkeypatch, lambda *_: pytest.fail("requested"))
    assert "must read hf:OWNER/REPOSITORY/FILE.safetensors" in refusal(f"hf:{name}")


def test_the_hubs_package_is_named_if_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "pip install -e '.[hub]'" in refusal("hf:some.one/faces/best.safetensors")


def test_the_run_that_weights_belong_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_generator().save_pretrained("run/generator.safetensors")
    assert pretrained.run_folder("run") == Path("run")
    assert pretrained.run_folder("run/generator.safetensors") == Path("run")
    assert pretrained.run_folder("lite-28") is None
    assert pretrained.run_folder("hf:owner/repository/a.safetensors") is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1j])
def test_weights_that_are_not_finite_numbers_are_refused(weights: Path, bad: complex) -> None:
    config = {"config": pretrained.metadata(weights)["config"]}
    tensors = load_file(weights)
    tensors["layers.0.weight"] = tensors["layers.0.weight"] + bad
    save_file(tensors, weights, config)
    assert "1 of" in (message := refusal(weights))
    assert "contain NaN or infinity, or are complex" in message


@pytest.mark.parametrize("width", [2**13, 2**40])
def test_a_huge_network_is_refused_before_memory_is_allocated(weights: Path, width: int) -> None:
    config = {"_target_": TARGET, **CONFIG, "width": width, "latent_dim": 8192}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "do not fit the network" in refusal(with_config(weights, config))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 200_000  # KiB


def test_the_same_weights_are_the_same_file(weights: Path, tmp_path: Path) -> None:
    generator = Generator.from_pretrained(weights)
    about = {name: name for name in "qwertyuiop"}
    files = [tmp_path / f"{number}.safetensors" for number in range(5)]
    for file in files:
        generator.save_pretrained(file, about)
    assert len({file.read_bytes() for file in files}) == 1


def test_loading_does_not_import_the_compiler() -> None:
    code = (
        "import sys; from facegan import Generator; Generator.from_pretrained('lite-28'); "
        "print('torch._dynamo' in sys.modules)"
    )
    result = python(Path(), "-c", code)
    assert result.stdout.strip() == "False", result.stderr
