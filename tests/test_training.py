"""Trainings of tiny networks on a few small photographs."""

import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import torch
from conftest import Cli, compose_config, logged, options
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from facegan import Generator
from facegan.cli.config import validate
from facegan.core.errors import FaceganError
from facegan.core.pretrained import metadata
from facegan.data.recorded import read_record
from facegan.evaluation.features import AttributeFeatures
from facegan.gan.module import GAN
from facegan.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from facegan.networks.latents import balanced_latents
from facegan.train import TrainConfig, stored_config
from facegan.training import callbacks, health
from facegan.training.budget import Budget
from facegan.training.build import default_precision, one_process
from facegan.training.checkpoints import Interruption
from facegan.training.run import train

pytestmark = pytest.mark.usefixtures("workdir")
RUN = Path("outputs/run")


def narrow(node: Any) -> None:
    """Every network under `node` gets eight channels."""
    if isinstance(node, DictConfig):
        if "width" in node:
            node.width = 8
        for name in node:
            narrow(node[name])


@pytest.fixture
def tiny(small: tuple[str, ...]) -> Any:
    """tiny("seed=1", …) -> the config of a small training."""
    return lambda *overrides: validate(compose_config("train", *small, *overrides), TrainConfig)


def resume(folder: Path, *overrides: str) -> None:
    cfg = compose_config("train", *overrides)
    train(stored_config(folder, cfg, list(overrides)), folder, resume=True)


def checkpoint(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


@pytest.mark.parametrize("model", options("model"))
def test_every_model_trains_for_a_step(model: str, tiny: Any) -> None:
    few = ("trainer.max_epochs=1", "+trainer.limit_train_batches=1")
    cfg = tiny(f"model={model}", "model.batch_size=8", *few)
    narrow(cfg.model)
    train(cfg, RUN, resume=False)
    assert checkpoint(RUN)["images_seen"] == 8
    assert list(RUN.glob("*.safetensors"))


def test_what_runs_share_is_computed_while_the_budget_is_paused(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = [False]
    found = []

    @contextmanager
    def pause(self: Budget) -> Iterator[None]:
        paused.append(True)
        yield
        paused.pop()

    def embed(self: AttributeFeatures, images: torch.Tensor) -> torch.Tensor:
        found.append((len(images), paused[-1]))
        return torch.randn(len(images), 256)

    monkeypatch.setattr(Budget, "paused", pause)
    monkeypatch.setattr(AttributeFeatures, "embed", embed)
    new = f"data.packed_dir={tmp_path}"
    train(tiny("evaluate_every=1", "trainer.max_epochs=1", new), RUN, resume=False)
    assert [count for count, while_paused in found if while_paused] == [2, 36]  # photographs
    assert found.count((250, False)) == 2000 / 250  # generated faces
    assert (2, False) not in found


def test_a_run_leaves_its_files(trained_run: Path) -> None:
    paths = [path for path in trained_run.rglob("*") if path.is_file()]
    files = {path.relative_to(trained_run).as_posix() for path in paths}
    (events,) = trained_run.glob("events.out.tfevents.*")
    assert files == {
        "config.yaml",
        ".lock",
        "run.json",
        "checkpoints/last.ckpt",
        "checkpoints/previous-1.ckpt",
        *(f"samples/epoch-00{number}.png" for number in range(4)),
        "samples/epochs.gif",
        "metrics.jsonl",
        "generator.safetensors",
        "discriminator.safetensors",
        events.name,
    }
    assert (trained_run.parent / "outputs/latest").resolve() == trained_run.resolve()


def test_metrics_are_logged_against_images(trained_run: Path) -> None:
    lines = logged(trained_run)
    assert [line["images"] for line in lines] == list(range(8, 104, 8))
    assert [line["epoch"] for line in lines] == [1] * 4 + [2] * 4 + [3] * 4
    step = {"D_loss", "G_loss", "D_real_logits", "D_fake_logits", "images_per_second", "seconds"}
    assert step | {"learning_rate/discriminator", "learning_rate/generator"} <= lines[-1].keys()
    events = EventAccumulator(str(trained_run)).Reload()
    assert [event.step for event in events.Scalars("D_loss")] == list(range(8, 104, 8))
    assert [event.step for event in events.Images("samples")] == [0, 32, 64, 96]


def test_pictures_of_a_run(trained_run: Path) -> None:
    side = (8 * 9 - 1) * 2
    frames = [Image.open(path) for path in sorted(trained_run.glob("samples/*.png"))]
    assert [frame.size for frame in frames] == [(side, side)] * 4
    assert len({frame.tobytes() for frame in frames}) == 4
    with Image.open(trained_run / "samples/epochs.gif") as gif:
        assert (gif.n_frames, gif.size) == (4, (side, side))


def test_weights_of_a_run_are_its_moving_average(trained_run: Path) -> None:
    state = checkpoint(trained_run)["state_dict"]
    weights = Generator.from_pretrained(trained_run).state_dict()
    assert weights
    assert all(torch.equal(value, state[f"ema.{name}"]) for name, value in weights.items())
    assert metadata(trained_run)["images_seen"] == "96"
    assert "license" not in metadata(trained_run)  # the photographs are the user's


def test_the_norms_of_the_moving_average_have_the_statistics_of_its_activations(
    trained_run: Path,
) -> None:
    ema = Generator.from_pretrained(trained_run)
    dense, unflatten, norm = ema.layers[:3]
    z = balanced_latents(range(1_000_000, 1_000_500), ema.latent_dim)
    with torch.no_grad():
        made = unflatten(dense(z)).transpose(0, 1).flatten(1)  # (channels, numbers)
    assert torch.allclose(norm.running_mean, made.mean(dim=1), atol=1e-6)
    assert torch.allclose(norm.running_var, made.var(dim=1), rtol=0.02)
    trained = checkpoint(trained_run)["state_dict"]["generator.layers.2.running_var"]
    assert not torch.allclose(norm.running_var, trained, rtol=0.02)


@pytest.mark.parametrize(
    ("device", "native", "precision"),
    [
        ("cpu", {}, "32-true"),
        ("cpu", {"avx512_bf16": True}, "bf16-mixed"),
        ("cpu", {"amx_bf16": True}, "bf16-mixed"),
        ("auto", False, "32-true"),  # a GPU that would emulate it
        ("auto", True, "bf16-mixed"),
    ],
)
def test_a_device_that_multiplies_in_bf16_trains_in_it(
    device: str, native: Any, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: native)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: device == "auto")
    supported = "torch.cuda.is_bf16_supported"
    monkeypatch.setattr(supported, lambda including_emulation: native or including_emulation)
    assert default_precision(device) == precision


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_freed_memory_is_kept_for_the_next_tensors() -> None:
    script = """
import resource, torch
from facegan.training.build import keep_freed_memory
def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        tensors = [torch.zeros(2**20) for _ in range(4)]  # 4 MiB each
        del tensors
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
returned = page_faults()
keep_freed_memory()
page_faults()  # takes what it keeps
print(returned, page_faults())
"""
    command = [sys.executable, "-c", script]  # a new process, without pytest's allocations
    returned, kept = map(int, subprocess.check_output(command).split())
    assert kept < returned / 10


def test_the_networks_are_compiled_on_demand(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(type(module)))
    monkeypatch.setattr("facegan.training.run.check_compiler", lambda: None)
    train(tiny("trainer.max_epochs=1", "trainer.compile=true"), RUN, resume=False)
    assert compiled == [DCGANGenerator, DCGANDiscriminator]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.compile=maybe", "trainer.compile must be true or false, got maybe"),
        ("trainer.log_every_n_steps=0", "log_every_n_steps must be a whole number from 1"),
        ("trainer.max_images=0", "trainer.max_images must be a whole number from 1"),
        ("trainer.max_epochs=0", "trainer.max_epochs must be a whole number from 1"),
        ("trainer.max_time=soon", "trainer.max_time must read HH:MM:SS"),
        ("trainer.precision=64-true", "trainer.precision must be one of 32-true, bf16-mixed"),
        ("trainer.accelerator=abacus", "trainer: .*abacus"),
        ("trainer.accelerator=tpu", "trainer: .*torch_xla"),
        ("+trainer.max_steps=10", "trainer.max_steps must be left out: the run sets it itself"),
        ("+trainer.limit_train_batches=0", "limit_train_batches must be above 0, got 0"),
        ("+trainer.strategy=ddp", "trainer.strategy must be left out: the run sets it"),
        ("+trainer.gradient_clip_val=1", "trainer.gradient_clip_val must be left out"),
        ("freeze_d=1", "freeze_d=1 keeps layers as they are"),
    ],
)
def test_bad_values_are_named(override: str, message: str, tiny: Any) -> None:
    with pytest.raises(FaceganError, match=message):
        train(tiny(override), RUN, resume=False)
    assert not (RUN / "config.yaml").exists()


@pytest.mark.parametrize(
    ("trainer", "one"),
    [
        ({"devices": 1}, True),
        ({"devices": [1]}, True),
        ({"devices": 2}, False),
        ({"devices": [0, 1]}, False),
        ({"devices": "auto", "accelerator": "cpu"}, True),
        ({"devices": 1, "num_nodes": 2}, False),
    ],
)
def test_one_process(trainer: dict[str, Any], one: bool) -> None:
    assert one_process(trainer) == one


class KilledError(Exception):
    """Ends a training in the middle of an epoch."""


def at_images(images: int, action: Any, patch: pytest.MonkeyPatch) -> None:
    """Calls `action` in the generator's step after `images` images."""
    generator_step = GAN.generator_step

    def step(self: GAN, *arguments: Any) -> Any:
        if self.images_seen == images:
            action()
        return generator_step(self, *arguments)

    patch.setattr(GAN, "generator_step", step)


def kill() -> None:
    raise KilledError


@pytest.mark.parametrize("model", ["lite", "dcgan"])
def test_a_killed_run_resumes_bit_for_bit(
    model: str, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = Path("outputs/whole"), Path("outputs/parts")
    cfg = tiny(f"model={model}", "trainer.max_epochs=4")
    train(cfg, whole, resume=False)
    with monkeypatch.context() as patch:
        at_images(80, kill, patch)
        with pytest.raises(KilledError):
            train(cfg, parts, resume=False)
    resume(parts)
    one, other = checkpoint(whole), checkpoint(parts)
    torch.testing.assert_close(one["state_dict"], other["state_dict"], rtol=0, atol=0)
    assert (one["images_seen"], one["epoch"]) == (other["images_seen"], other["epoch"]) == (128, 3)
    clocks = {"seconds", "images_per_second"}
    one_lines, other_lines = (
        [
            {key: value for key, value in line.items() if key not in clocks}
            for line in logged(folder)
        ]
        for folder in (whole, parts)
    )
    assert one_lines == other_lines
    for picture in ("samples/epoch-000.png", "samples/epoch-004.png", "samples/epochs.gif"):
        assert (whole / picture).read_bytes() == (parts / picture).read_bytes()


@pytest.mark.parametrize(
    ("name", "images"), [("SIGINT", 16), ("SIGHUP", 16), ("SIGTERM", 24)]
)  # 24: the last step of an epoch of 32
def test_a_signal_ends_a_training_after_a_checkpoint(
    name: str,
    images: int,
    tiny: Any,
    trained_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    signum = getattr(signal, name)
    handler = signal.getsignal(signum)
    with monkeypatch.context() as patch:
        at_images(images, lambda: os.kill(os.getpid(), signum), patch)
        with pytest.raises(SystemExit) as end:
            train(tiny("trainer.max_epochs=3"), RUN, resume=False)
    assert end.value.code == 128 + signum
    assert f"ended by {name}; its state is saved: resume={RUN}" in capsys.readouterr().err
    assert checkpoint(RUN)["images_seen"] == images + 8
    assert metadata(RUN / "generator.safetensors")["images_seen"] == str(images + 8)
    assert signal.getsignal(signum) == handler
    resume(RUN)
    one, other = (checkpoint(run)["state_dict"] for run in (RUN, trained_run))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert [line["images"] for line in logged(RUN)] == list(range(8, 104, 8))


@pytest.mark.parametrize(("module", "name"), [(health, "variety"), (callbacks, "save_video")])
def test_ctrl_c_before_the_first_step_and_after_the_last(
    module: Any, name: str, cli: Cli, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning would end with exit code 1 there, and without a message."""
    with monkeypatch.context() as patch:
        patch.setattr(module, name, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        result = cli("train", *small, "trainer.max_epochs=1", f"hydra.run.dir={RUN}")
    assert result.code == 130
    cli.ok("train", f"resume={RUN}")
    assert (RUN / "samples/epochs.gif").is_file()


def test_a_second_signal_ends_a_training_at_once() -> None:
    interruption = Interruption(RUN)
    interruption.receive(signal.SIGINT, None)
    with pytest.raises(SystemExit) as end:
        interruption.receive(signal.SIGINT, None)
    assert end.value.code == 130


def test_a_signal_ends_work_that_can_be_left_out() -> None:
    interruption = Interruption(RUN)
    assert interruption.unless_interrupted(lambda: "measured") == "measured"

    def measure() -> str:
        interruption.receive(signal.SIGINT, None)
        return "measured"

    assert interruption.unless_interrupted(measure) is None
    assert interruption.unless_interrupted(lambda: "measured") is None  # the signal came before


def test_a_run_without_a_checkpoint_starts_again(
    tiny: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        at_images(0, kill, patch)
        with pytest.raises(KilledError):
            train(tiny("trainer.max_epochs=1"), RUN, resume=False)
    with pytest.raises(FaceganError, match="has a run with another model, seed already; resume"):
        train(tiny("trainer.max_epochs=1", "seed=1"), RUN, resume=False)
    train(tiny("trainer.max_epochs=1"), RUN, resume=False)
    assert "has no checkpoint yet: the run starts again" in capsys.readouterr().out
    assert checkpoint(RUN)["images_seen"] == 32


def test_a_trained_run_is_not_overwritten(tiny: Any, trained_run: Path) -> None:
    before = (trained_run / "generator.safetensors").read_bytes()
    with pytest.raises(FaceganError, match=r"has a finished run already; resume it by"):
        train(tiny("trainer.max_epochs=3"), trained_run, resume=False)
    assert (trained_run / "generator.safetensors").read_bytes() == before


def test_a_checkpoint_of_a_finished_twin_brings_its_weights(tiny: Any) -> None:
    twin = Path("twin")
    for folder, epochs in ((RUN, 1), (twin, 2)):
        train(tiny(f"trainer.max_epochs={epochs}"), folder, resume=False)
    shutil.copy(twin / "checkpoints/last.ckpt", RUN / "checkpoints/last.ckpt")
    resume(RUN, "trainer.max_epochs=2")
    for name in ("generator.safetensors", "discriminator.safetensors"):
        assert (RUN / name).read_bytes() == (twin / name).read_bytes()


@pytest.fixture
def changed(tiny: Any) -> Any:
    """changed(old, new) -> the config of a run with the overrides `old`, resumed with `new`."""

    def run(old: str, *new: str) -> DictConfig:
        RUN.mkdir(parents=True)
        OmegaConf.save(tiny(old), RUN / "config.yaml", resolve=True)
        return stored_config(RUN, compose_config("train", *new), list(new))

    return run


def test_times_on_a_resume_are_text(changed: Any) -> None:
    """In YAML 1.1, as OmegaConf reads it, 12:00:00 is a number of base 60."""
    new = ("trainer.max_time=12:00:00", "+trainer.num_nodes=1")
    trainer = changed("trainer.max_time=00:00:10", *new).trainer
    assert (trainer.max_time, trainer.num_nodes) == ("12:00:00", 1)


@pytest.mark.parametrize("new", ["max_epochs=9", "max_images=960", "max_time=00:00:10"])
@pytest.mark.parametrize("old", ["max_epochs=2", "max_images=320", "max_time=00:00:05"])
def test_the_budget_of_a_resume_replaces_the_stored_one(old: str, new: str, changed: Any) -> None:
    trainer = changed(f"trainer.{old}", f"trainer.{new}").trainer
    key, value = new.split("=")
    assert str(trainer[key]) == value
    assert all(trainer[other] is None for other in {"max_images", "max_time"} - {key})


def test_other_keys_of_a_resume_keep_the_budget(changed: Any) -> None:
    cfg = changed("trainer.max_images=320", "checkpoint.keep=3", "logger=csv")
    assert (cfg.trainer.max_images, cfg.checkpoint.keep, [*cfg.logger]) == (320, 3, ["csv"])


def test_another_seed_gives_another_training(tiny: Any, trained_run: Path) -> None:
    train(tiny("trainer.max_epochs=3", "seed=1"), RUN, resume=False)
    one, other = (checkpoint(run)["state_dict"] for run in (trained_run, RUN))
    key = "generator.layers.0.weight"
    assert not torch.equal(one[key], other[key])


def test_the_command_trains_and_resumes(cli: Cli, small: tuple[str, ...]) -> None:
    result = cli("train", *small, "trainer.max_epochs=1")
    assert (result.code, result.err) == (0, "")
    for part in ("device     CPU", "36 train, 2 val, 2 test", "32 images in batches of 8"):
        assert part in result.out
    (run,) = Path("outputs").glob("2*")
    assert Path("outputs/latest").resolve() == run.resolve()
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("replay: null\n", ""))  # as of earlier versions
    with (run / "metrics.jsonl").open("a") as file:  # after the checkpoint
        file.write('{"images": 40, "D_loss": 7.0, "seconds": 0.0}\n')
    result = cli("train", "resume=outputs/latest", "trainer.max_epochs=2")
    assert (result.code, result.err) == (0, "")
    assert list(Path("outputs").glob("2*")) == [run]
    assert [line["images"] for line in logged(run)] == list(range(8, 72, 8))
    seconds = [line["seconds"] for line in logged(run)]
    assert seconds == sorted(seconds)
    assert (run / "samples/epoch-002.png").is_file()


def test_a_run_is_replayed_in_another_folder(cli: Cli, home: Path) -> None:
    result = cli("train", "replay=run", "hydra.run.dir=again", "checkpoint.keep=1")
    assert (result.code, result.err) == (0, "")
    one, other = ((home / name / "generator.safetensors").read_bytes() for name in ("run", "again"))
    assert one == other
    environment = read_record(home / "again")["environment"]
    assert environment == {**read_record(home / "run")["environment"], "command": ANY}
    threads = torch.get_num_threads()
    assert environment["device"] == f"CPU, {threads} thread{'s' * (threads > 1)}"


@pytest.mark.parametrize(("limit", "images"), [("0.5", 16), ("9", 32)])
def test_the_summary_has_the_true_length_of_an_epoch(
    limit: str, images: int, tiny: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny("trainer.max_epochs=1", f"+trainer.limit_train_batches={limit}"), RUN, resume=False)
    assert f"{images} images in batches of 8" in capsys.readouterr().out
    assert checkpoint(RUN)["images_seen"] == images
