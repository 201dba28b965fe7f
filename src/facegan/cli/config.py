"""Configs: their types, their files, and the objects that they describe."""

import dataclasses
import difflib
import inspect
import io
import logging
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.errors import InstantiationException
from omegaconf import MISSING, DictConfig, OmegaConf

from facegan.cli.arguments import LITERAL_KEYS, absolute, escape, sweep_folder
from facegan.cli.size_rules import discriminator_width, generator_width, r1_gamma
from facegan.core.checks import check_number
from facegan.core.errors import FaceganError, out_of_memory
from facegan.core.files import atomic_path, check_form, read_text, reading
from facegan.core.trust import check_stored

TYPE_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    types.NoneType: "null",
}
UNIONS = (types.UnionType, typing.Union)
RENAMED = {  # classes in the config.yaml of runs of earlier versions
    "facegan.training.extensions.EarlyStopping": "facegan.training.evaluation.EarlyStopping",
    "pytorch_lightning.loggers.CSVLogger": "facegan.training.metrics.RunCSV",
    "facegan.training.loggers.RunTensorBoard": "facegan.training.metrics.RunTensorBoard",
}
MAX_CONFIG, MAX_BRACKETS = 100_000, 1000  # of a stored config; PyYAML's time is their square


class ConfigError(FaceganError):
    """A config that cannot be built: the message names the key, the value, the rule, the remedy."""


def _for_image_sizes(rule: Callable[..., float]) -> Callable[..., Any]:
    """`rule` for an image size that is a number; the networks refuse any other."""
    return lambda value, *others: rule(value, *others) if isinstance(others[-1], int) else value


# at import, since a launcher's processes import this module before they start a run
for size_rule in (generator_width, discriminator_width, r1_gamma):
    OmegaConf.register_new_resolver(size_rule.__name__, _for_image_sizes(size_rule), replace=True)
OmegaConf.register_new_resolver("channels", lambda mode: 1 if mode == "L" else 3, replace=True)
OmegaConf.register_new_resolver("sweep_folder", sweep_folder, replace=True)


def number(least: float, most: float) -> Any:
    """A field of a schema for a number of [least, most]; its default is in the YAML."""
    return dataclasses.field(default=MISSING, metadata={"range": (least, most)})


def validate(cfg: DictConfig, schema: type) -> DictConfig:
    """`cfg` with the types and ranges of the dataclass `schema`.

    Raises an error of OmegaConf for a value of another type, and ConfigError for a number out of
    its range. The arguments of classes are checked by `instantiate`.
    """
    typed = typing.cast(DictConfig, OmegaConf.merge(OmegaConf.structured(schema), cfg))
    try:
        _check_ranges(typed, schema)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return typed


def plain(node: Any) -> Any:
    """A config as nested dicts and lists, interpolations resolved; any other value as it is."""
    if not OmegaConf.is_config(node):
        return node
    return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)


def instantiate(node: Any, kind: str, **extra: Any) -> Any:
    """Builds the object that `node` describes by its `_target_`, and everything nested in it.

    `kind` is the key of `node`, a config or nested dicts. The arguments are checked against the
    signatures of the targets first. `extra` arguments are objects that no YAML can hold. Raises
    ConfigError for what a signature or a constructor refuses.
    """
    node = plain(node)
    if not isinstance(node, dict) or "_target_" not in node:
        raise ConfigError(f"{kind} must have a _target_, the class to build, got {shown(node)}")
    for key, part in _targets(node, kind):
        _check_arguments(key, part)
    # escaped for the two resolutions of Hydra's instantiate
    escaped = OmegaConf.create(_map_strings(node, lambda text: escape(escape(text))))
    try:
        return hydra.utils.instantiate(escaped, _convert_="all", **extra)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, FaceganError | ModuleNotFoundError):
            raise cause from None
        inner = re.search(r"^full_key: (.+)$", str(error), re.M)  # of the nested target
        message = keyed(f"{kind}.{inner[1]}" if inner else kind, cause)
        raise out_of_memory(cause) or ConfigError(message) from error


def keyed(key: str, error: BaseException) -> str:
    """The message of a constructor's error, with the full key of the argument that it begins with.

    ("model.generator", "width must be …") -> "model.generator.width must be …".
    """
    argument = re.match(r"[a-z_][a-z0-9_.]*( must |: )", str(error)) is not None
    return f"{key}.{error}" if argument else f"{key}: {error}"


def accepted(node: dict[str, Any], offered: dict[str, Any]) -> dict[str, Any]:
    """Those of the `offered` arguments that the target of `node` takes and `node` does not give."""
    parameters = _parameters(str(node["_target_"]))
    return {name: v for name, v in offered.items() if name in parameters and name not in node}


def resolve_paths(cfg: DictConfig) -> None:
    """Makes the paths of `cfg` absolute, so that a stored config does not depend on a folder."""
    for key, kind in LITERAL_KEYS.items():
        value = OmegaConf.select(cfg, key)
        if isinstance(value, str):
            OmegaConf.update(cfg, key, escape(absolute(value, kind)))


def save_config(config: Any, path: Path) -> None:
    """Writes a config as YAML, atomically, with every interpolation resolved."""
    with atomic_path(path) as temporary:
        OmegaConf.save(OmegaConf.create(_map_strings(plain(config), escape)), temporary)


def load_config(path: Path) -> DictConfig:
    """The config in the file `path`, such as a run folder's, from which objects may be built.

    Raises FaceganError if the file is not a config, and for what a file may not name.
    """
    values = read_config(path)
    check_stored(values, path)
    return OmegaConf.create(values)


def read_config(path: Path) -> dict[str, Any]:
    """The config in the file `path`, to read values; `load_config` is for building objects."""
    with reading(path, "restore it, or start a new run"):
        values = OmegaConf.to_container(OmegaConf.load(io.StringIO(check_yaml(read_text(path)))))
        check_form(values, dict)
        return dict(_map_strings(values, lambda text: RENAMED.get(text, text)))


def check_yaml(text: str) -> str:
    """`text`, which must be short and without aliases, which turn a few lines into billions."""
    if len(text) > MAX_CONFIG or text.count("[") + text.count("{") > MAX_BRACKETS:
        raise ValueError(f"more than {MAX_CONFIG:,} characters or {MAX_BRACKETS:,} brackets")
    if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
        raise ValueError("a YAML alias, which no run stores")
    return text


def read_run_config(run: Path | None) -> dict[str, Any]:
    """The config of the run in a folder; empty if there is no such run."""
    if run is None or not (run / "config.yaml").is_file():
        return {}
    return read_config(run / "config.yaml")


def read_data_config(run: Path | None) -> dict[str, Any]:
    """The data config of the run in a folder; empty if there is no such run."""
    return dict(read_run_config(run).get("data") or {})


def shown(value: Any) -> str:
    """`value` as it is typed on a command line."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def unknown_key(full_key: str, known: list[str]) -> str:
    """The message for a key that does not exist, with the nearest one that does."""
    close = difflib.get_close_matches(full_key.rpartition(".")[2], known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(sorted(known))}"
    if not close and full_key.startswith("trainer."):
        hint += f"; other arguments of Lightning's Trainer need a plus: +{full_key}="
    return f"{full_key} is not a key of this config; {hint}"


def _map_strings(node: Any, change: Callable[[str], str]) -> Any:
    """Nested dicts and lists with every string changed."""
    if isinstance(node, dict):
        return {name: _map_strings(child, change) for name, child in node.items()}
    if isinstance(node, list):
        return [_map_strings(child, change) for child in node]
    return change(node) if isinstance(node, str) else node


def _targets(node: Any, key: str) -> Iterator[tuple[str, dict[Any, Any]]]:
    """Every node with a `_target_` in `node`, itself included, with its full key."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield key, node
        for name, child in node.items():
            yield from _targets(child, f"{key}.{name}")


def _parameters(target: str) -> Mapping[str, inspect.Parameter]:
    """The parameters of a class or function. Raises ConfigError if it cannot be imported."""
    logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # it logs what it raises
    try:
        return inspect.signature(hydra.utils.get_object(target)).parameters
    except (ImportError, ValueError) as error:
        raise ConfigError(f"_target_={target}: {' '.join(str(error).split())}") from error


def _check_arguments(key: str, node: dict[Any, Any]) -> None:
    """Raises ConfigError for an argument that the target of `node` does not take."""
    parameters = _parameters(str(node["_target_"]))
    for name in (name for name in map(str, node) if not name.startswith("_")):
        if name not in parameters:
            raise ConfigError(unknown_key(f"{key}.{name}", list(parameters)))
        hint, value = parameters[name].annotation, node[name]
        hints = typing.get_args(hint) if typing.get_origin(hint) in UNIONS else (hint,)
        if not any(_has_type(value, each) for each in hints):
            kinds = " or ".join(TYPE_NAMES.get(each, "a list") for each in hints)
            raise ConfigError(f"{key}.{name} must be {kinds}, got {shown(value)}")


def _has_type(value: Any, hint: Any) -> bool:
    """Whether an argument may be of the type `hint`. Classes are left to their constructors."""
    if hint in (int, float):  # a bool is not a number
        return isinstance(value, int | hint) and not isinstance(value, bool)
    if hint in TYPE_NAMES:
        return isinstance(value, hint)
    origin = typing.get_origin(hint)
    is_list = isinstance(origin, type) and issubclass(origin, Sequence)
    return isinstance(value, list) or not is_list


def _check_ranges(cfg: DictConfig, schema: type, prefix: str = "") -> None:
    """Raises ValueError for a number out of the range of its field; see `number`."""
    for field in dataclasses.fields(schema):
        key, value = f"{prefix}{field.name}", cfg.get(field.name)
        if dataclasses.is_dataclass(field.type):
            _check_ranges(value, typing.cast(type, field.type), f"{key}.")
        elif "range" in field.metadata and value is not None:
            least, most = field.metadata["range"]
            check_number(key, value, least, most, whole=field.type in (int, int | None))
