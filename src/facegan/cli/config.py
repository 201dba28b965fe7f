"""Configs: where they lie, their types, and the objects they describe."""

import dataclasses
import difflib
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, UnsupportedValueType

from facegan.cli.arguments import LITERAL_KEYS, absolute, escape, has_interpolation, sweep_folder
from facegan.cli.size_rules import discriminator_width, generator_width, r1_gamma
from facegan.cli.types import describe_type, is_list, is_text
from facegan.core.errors import FaceganError, is_out_of_memory, out_of_memory
from facegan.core.files import atomic_path
from facegan.core.trust import check_targets

RENAMED = {  # classes in the config.yaml of earlier versions' runs
    "facegan.training.extensions.EarlyStopping": "facegan.training.evaluation.EarlyStopping",
    "facegan.training.loggers.RunTensorBoard": "facegan.training.metrics.RunTensorBoard",
}

# of conf/train.yaml; here, since a launcher's processes import this module before they start a run
OmegaConf.register_new_resolver("sweep_folder", sweep_folder, replace=True)


# the networks' channels follow the data's mode
OmegaConf.register_new_resolver(
    "channels", lambda mode: {"RGB": 3, "L": 1}.get(mode, 3), replace=True
)


def _register_size_rule(rule: Callable[..., float]) -> None:
    def resolve(value: Any, *others: Any) -> Any:  # the last one is the image size
        # anything else is refused by the networks, whose message says which sizes there are
        return rule(value, *others) if isinstance(others[-1], int) else value

    OmegaConf.register_new_resolver(rule.__name__, resolve, replace=True)


for rule in (generator_width, discriminator_width, r1_gamma):
    _register_size_rule(rule)


class ConfigError(FaceganError):
    """A config that cannot be built: the message names the key, the value, the rule, the remedy."""


def number(least: float, most: float) -> Any:
    """A field of a schema that holds a number of [least, most]; its default is in the YAML."""
    return dataclasses.field(default=MISSING, metadata={"range": (least, most)})


def validate(cfg: DictConfig, schema: type) -> DictConfig:
    """`cfg` with the types and ranges of the dataclass `schema`.

    Raises ConfigError for a value of another type and for a number out of its range. The arguments
    of classes are checked by `instantiate`.
    """
    _check_fields(cfg, schema, "")
    return typing.cast(DictConfig, OmegaConf.merge(OmegaConf.structured(schema), cfg))


def _check_fields(cfg: DictConfig, schema: type, prefix: str) -> None:
    for field in dataclasses.fields(schema):
        if field.name not in cfg:
            continue
        key, value = f"{prefix}{field.name}", cfg[field.name]
        if not dataclasses.is_dataclass(field.type):
            _check_type(key, value, field.type, field.metadata.get("range"))
        elif isinstance(value, DictConfig):
            _check_fields(value, typing.cast(type, field.type), f"{key}.")
        else:
            example = dataclasses.fields(field.type)[0].name
            raise ConfigError(f"{key} must hold keys such as {key}.{example}, got {shown(value)}")


def shown(value: Any) -> str:
    """`value` as it is typed on a command line."""
    return (
        str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
    )


def resolve_paths(cfg: DictConfig) -> None:
    """Makes the paths of `cfg` absolute, so that a stored config does not depend on a folder."""
    for key, kind in LITERAL_KEYS.items():
        value = OmegaConf.select(cfg, key)
        if isinstance(value, str):
            OmegaConf.update(cfg, key, escape(absolute(value, kind)))


def save_config(cfg: DictConfig, path: Path) -> None:
    """Writes `cfg` as YAML, atomically, with every interpolation resolved."""
    values = OmegaConf.to_container(cfg, resolve=True)
    with atomic_path(path) as temporary:
        OmegaConf.save(OmegaConf.create(_map_strings(values, escape)), temporary)


def _map_strings(node: Any, change: Callable[[str], str]) -> Any:
    """Nested dicts and lists with every string changed."""
    if isinstance(node, dict):
        return {name: _map_strings(child, change) for name, child in node.items()}
    if isinstance(node, list):
        return [_map_strings(child, change) for child in node]
    return change(node) if isinstance(node, str) else node


def load_config(path: Path) -> DictConfig:
    """The config in the file `path`, such as a run folder's, from which objects may be built.

    Raises FaceganError if it is none, if it names a class that a file may not name, and for
    interpolations, which would read the environment.
    """
    cfg = read_config(path)
    _refuse_interpolations(cfg, path)
    check_targets(OmegaConf.to_container(cfg), path)
    return cfg


def _refuse_interpolations(cfg: DictConfig, path: Path) -> None:
    def check(text: str) -> str:
        if has_interpolation(text):
            raise FaceganError(
                f"{path}: {text} is an interpolation, which no run stores: restore the file, or "
                "start a new run"
            )
        return text

    _map_strings(OmegaConf.to_container(cfg), check)


def read_data_config(run: Path | None) -> dict[str, Any]:
    """The config of the data of the run in a folder; empty where there is no such run."""
    if run is None or not (run / "config.yaml").is_file():
        return {}
    return dict(read_config(run / "config.yaml").get("data") or {})


def read_config(path: Path) -> DictConfig:
    """The config in the file `path`, to look at; `load_config` is for building objects from it."""
    try:
        cfg = OmegaConf.load(path)
    except FileNotFoundError as error:
        raise FaceganError(f"{path} does not exist; give the folder of a run") from error
    except (yaml.YAMLError, UnicodeDecodeError, OmegaConfBaseException, ValueError) as error:
        raise FaceganError(
            f"{path} is no readable YAML ({first_line(error)}): restore it, or start a new run"
        ) from error
    if not isinstance(cfg, DictConfig):
        raise FaceganError(f"{path} holds no config of a run: restore it, or start a new run")
    return OmegaConf.create(
        _map_strings(OmegaConf.to_container(cfg), lambda text: RENAMED.get(text, text))
    )


def instantiate(node: DictConfig, kind: str, **extra: Any) -> Any:
    """Builds the object that `node` describes by its `_target_`, and whatever is nested in it.

    `kind` is the key that the user knows it by. Every argument is checked against the signature of
    its target first. `extra` arguments are objects that no YAML can hold. Raises ConfigError.
    """
    for key, part in _targets(node, kind):
        _check_arguments(key, part, extra if part is node else {})
    try:
        return hydra.utils.instantiate(_without_interpolations(node), _convert_="all", **extra)
    except HydraException as error:
        cause = error.__cause__
        if isinstance(cause, FaceganError | ModuleNotFoundError):
            raise cause from None
        if cause is not None and is_out_of_memory(cause):
            raise out_of_memory(cause) from error
        if isinstance(cause, ValueError | TypeError):
            inner = re.search(r"^full_key: (.+)$", str(error), re.M)  # of the nested target
            raise ConfigError(keyed(f"{kind}.{inner[1]}" if inner else kind, cause)) from error
        raise


def keyed(key: str, error: Exception) -> str:
    """The message of a constructor's error, with the full key of the argument that it begins with.

    ("model.generator", "width must be …") -> "model.generator.width must be …".
    """
    argument = re.match(r"[a-z_][a-z0-9_.]* must ", str(error)) is not None
    return f"{key}.{error}" if argument else f"{key}: {error}"


def accepted(node: DictConfig, offered: dict[str, Any]) -> dict[str, Any]:
    """Those of the `offered` arguments that the target of `node` takes and `node` does not give."""
    parameters = inspect.signature(hydra.utils.get_object(node._target_)).parameters
    return {name: v for name, v in offered.items() if name in parameters and name not in node}


def _without_interpolations(node: DictConfig) -> DictConfig:
    """`node` resolved, its strings escaped for the two resolutions of Hydra's instantiate."""
    values = OmegaConf.to_container(node, resolve=True)
    return OmegaConf.create(_map_strings(values, lambda text: escape(escape(text))))


def _targets(node: Any, key: str) -> Iterator[tuple[str, DictConfig]]:
    """Every node with a `_target_` in `node`, itself included, with its full key."""
    if isinstance(node, DictConfig):
        if "_target_" in node:
            yield key, node
        for name in node:
            yield from _targets(node[name], f"{key}.{name!s}")


def _check_arguments(key: str, node: DictConfig, extra: dict[str, Any]) -> None:
    target = hydra.utils.get_object(node._target_)
    call = target.__init__ if inspect.isclass(target) else target
    hints = _type_hints(call)
    parameters = inspect.signature(target).parameters
    given = {name: node[name] for name in map(str, node) if not name.startswith("_")}
    for name, value in given.items():
        if name not in parameters:
            raise ConfigError(unknown_key(f"{key}.{name}", list(parameters)))
        hint = hints.get(name, Any)
        _check_type(f"{key}.{name}", value, hint)
        if is_text(hint) and not isinstance(value, str | None):  # a schema would convert it
            raise ConfigError(f"{key}.{name} must be {describe_type(hint)}, got {shown(value)}")
    for name, parameter in parameters.items():
        required = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        if required and name not in {*given, *extra} and not node.get("_partial_"):
            raise ConfigError(f"{key}.{name} has no default and must be set")


def _type_hints(call: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(call)
    except NameError:  # of an optional package that the library imports for type checkers alone
        return {}


def _check_type(key: str, value: Any, hint: Any, bounds: tuple[float, float] | None = None) -> None:
    """Raises ConfigError unless `value` may stand where `hint` is asked for, within `bounds`."""
    if not _has_type(value, hint, bounds):
        raise ConfigError(f"{key} must be {describe_type(hint, bounds)}, got {shown(value)}")


def _has_type(value: Any, hint: Any, bounds: tuple[float, float] | None) -> bool:
    """OmegaConf decides, as in a schema: it takes "7" for a whole number. No number is a bool."""
    if is_list(hint):
        return isinstance(value, ListConfig)
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    try:
        schema = OmegaConf.structured(dataclasses.make_dataclass("Argument", [("value", hint)]))
    except (UnsupportedValueType, OmegaConfBaseException):
        return True  # the hint is a class of ours, and the value a node, which has its own check
    try:
        schema.value = escape(value) if isinstance(value, str) else value  # ${x} is a value here
    except OmegaConfBaseException:
        return False
    converted = schema.value
    if isinstance(converted, bool):
        return isinstance(value, bool | str)
    return bounds is None or converted is None or bounds[0] <= converted <= bounds[1]  # no NaN


def unknown_key(full_key: str, known: list[str]) -> str:
    *_, name = full_key.split(".")
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(sorted(known))}"
    return f"{full_key} is no key of this config; {hint}"


def first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
