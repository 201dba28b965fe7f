"""Real trainings of tiny networks on a few small photographs, by the command's own code."""

import json
import os
import platform
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Cli, Compose
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from facegan import Generator
from facegan.cli.config import validate
from facegan.core.errors import FaceganError
from facegan.core.images import to_pil
from facegan.core.paths import CONFIG_PATH
from facegan.core.pretrained import metadata
from facegan.gan.module import GAN
from facegan.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from facegan.networks.latents import balanced_latents
from facegan.train import TrainConfig, stored_config
from facegan.training import callbacks, monitors
from facegan.training.build import one_process
from facegan.training.checkpoints import AtomicCheckpointIO
from facegan.training.devices import default_precision
from facegan.training.interruption import Interruption
from facegan.training.run import train

pytestmark = pytest.mark.usefixtures("workdir")

TINY = (
    "model.batch_size=8",  # of 36 photographs: four batches an epoch
    "trainer.accelerator=cpu",
    "trainer.log_every_n_steps=1",
)
RUN = Path("outputs/run")


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIG_PATH / group).glob("[!_]*.yaml"))


def narrow(node: Any) -> None:
    """Every network under `node` gets eight channels."""
    if isinstance(node, DictConfig):
        if "width" in node:
            node.width = 8
        for name in node:
            narrow(node[name])


@pytest.fixture
def tiny(compose: Compose, small_photos: tuple[str, ...]) -> Any:
    """tiny("model=lite", …) -> the config of a small training."""

    def run(*overrides: str) -> DictConfig:
        cfg = validate(
            compose("train", "evaluate_every=0", *small_photos, *TINY, *overrides), TrainConfig
        )
        narrow(cfg.model)
        return cfg

    return run


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def checkpoint(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every tensor and number of nested dicts and lists, with its place."""
    children = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for name, child in children:
        if isinstance(child, dict | list | tuple):
            yield from leaves(child, f"{path}/{name}")
        else:
            yield f"{path}/{name}", child


def assert_same(one: Any, other: Any) -> None:
    ours, theirs = dict(leaves(one)), dict(leaves(other))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        same = torch.equal(value, theirs[name]) if torch.is_tensor(value) else value == theirs[name]
        assert same, name


@pytest.mark.parametrize("model", options("model"))
def test_every_model_trains_for_a_step(model: str, compose: Compose, tiny_celeba: Path) -> None:
    data = ["data=celeba", f"data.root={tiny_celeba}", "data.verify=false", "data.image_size=8"]
    cfg = compose("train", f"model={model}", *data, *TINY, "trainer.max_epochs=1")
    narrow(cfg.model)
    train(validate(cfg, TrainConfig), RUN, resume=False)
    assert checkpoint(RUN)["images_seen"] == 8
    assert list(RUN.glob("*.safetensors"))


@pytest.mark.parametrize("penalty", options("model/penalty"))
@pytest.mark.parametrize("loss", options("model/loss"))
def test_every_pair_of_loss_and_penalty_trains(loss: str, penalty: str, tiny: Any) -> None:
    choice = (f"model/loss={loss}", f"model/penalty={penalty}", "model.discriminator.norm=none")
    cfg = tiny("model=dcgan", *choice, "trainer.max_epochs=1", "+trainer.limit_train_batches=2")
    train(cfg, RUN, resume=False)
    first, last = lines(RUN)
    assert (first["images"], last["images"]) == (8, 16)
    assert {"D_loss", "G_loss", "D_real_logits", "D_fake_logits"} <= last.keys()
    assert all(np.isfinite(value) for value in (*first.values(), *last.values()))


def test_a_run_leaves_what_the_design_says(tiny: Any, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = tiny("model=lite", "trainer.max_epochs=2")
    train(cfg, RUN, resume=False)
    files = {path.relative_to(RUN).as_posix() for path in RUN.rglob("*") if path.is_file()}
    (events,) = RUN.glob("events.out.tfevents.*")
    assert files == {
        "config.yaml",
        ".lock",
        "run.json",
        "checkpoints/last.ckpt",
        "checkpoints/previous-1.ckpt",
        "samples/epoch-001.png",
        "samples/epoch-002.png",
        "samples/epochs.gif",
        "metrics.jsonl",
        "generator.safetensors",
        "discriminator.safetensors",
        events.name,
    }
    assert OmegaConf.load(RUN / "config.yaml") == OmegaConf.to_container(cfg, resolve=True)
    assert [line["images"] for line in lines(RUN)] == list(range(8, 72, 8))
    assert [line["epoch"] for line in lines(RUN)] == [1] * 4 + [2] * 4
    step = {"D_loss", "G_loss", "D_real_logits", "D_fake_logits", "images_per_second", "seconds"}
    rates = {"learning_rate/discriminator", "learning_rate/generator"}
    assert step | rates <= lines(RUN)[-1].keys()
    assert Path("outputs/latest").resolve() == RUN.resolve()
    out = capsys.readouterr().out
    for part in (
        "device     CPU",
        "36 train, 2 val, 2 test",
        "parameters",
        "32 images in batches of 8",
    ):
        assert part in out


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [({}, "32-true"), ({"avx512_bf16": True}, "bf16-mixed"), ({"amx_bf16": True}, "bf16-mixed")],
)
def test_a_cpu_that_multiplies_in_bf16_trains_in_it(
    capabilities: dict[str, bool], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert default_precision("cpu") == precision


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_a_gpu_that_would_emulate_bf16_trains_in_fp32(
    native: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def supported(including_emulation: bool) -> bool:
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert default_precision("auto") == precision


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_freed_memory_is_kept_for_the_next_tensors() -> None:
    script = """
import resource, torch
from facegan.training.devices import keep_freed_memory
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
    command = [sys.executable, "-c", script]  # a process of its own, which pytest has not used
    returned, kept = map(int, subprocess.check_output(command).split())
    assert kept < returned / 10


def test_the_networks_are_compiled_on_demand(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(type(module)))
    train(tiny("model=lite", "trainer.max_epochs=1"), RUN, resume=False)
    assert compiled == []
    cfg = tiny("model=lite", "trainer.max_epochs=1", "trainer.compile=true")
    train(cfg, RUN.with_name("compiled"), resume=False)
    assert compiled == [DCGANGenerator, DCGANDiscriminator]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.compile=maybe", "trainer.compile must be one of true, false, got maybe"),
        (
            "trainer.log_every_n_steps=0",
            "log_every_n_steps must be a whole number from 1 to 1000000, got 0",
        ),
        (
            "trainer.log_every_n_steps=often",
            "log_every_n_steps must be a whole number from 1 to 1000000, got often",
        ),
        ("seed=-1", "seed must be a whole number from 0 to 4294967295, got -1"),
        ("seed=4294967296", "seed must be a whole number from 0 to 4294967295, got 4294967296"),
    ],
)
def test_bad_values_are_named(override: str, message: str, tiny: Any) -> None:
    with pytest.raises(FaceganError, match=message):
        train(tiny(override), RUN, resume=False)
    assert not RUN.exists()


def test_pictures_of_a_run(tiny: Any) -> None:
    train(tiny("model=lite", "trainer.max_epochs=3"), RUN, resume=False)
    side = (8 * 9 - 1) * 2
    frames = [Image.open(path) for path in sorted(RUN.glob("samples/*.png"))]
    assert [frame.size for frame in frames] == [(side, side)] * 3
    assert len({frame.tobytes() for frame in frames}) == 3
    with Image.open(RUN / "samples/epochs.gif") as gif:
        assert (gif.n_frames, gif.size) == (3, (side, side))


def test_weights_of_a_run_are_its_moving_average(tiny: Any) -> None:
    train(tiny("model=lite", "trainer.max_epochs=1"), RUN, resume=False)
    state = checkpoint(RUN)["state_dict"]
    weights = Generator.from_pretrained(RUN).state_dict()
    assert weights
    for name, value in weights.items():
        assert torch.equal(value, state[f"ema.{name}"])
    assert metadata(RUN)["images_seen"] == "32"
    assert "license" not in metadata(RUN)  # the photographs are the user's own


def test_the_moving_averages_norms_have_statistics_of_their_own(tiny: Any) -> None:
    train(tiny("model=lite", "trainer.max_epochs=2"), RUN, resume=False)
    ema = Generator.from_pretrained(RUN)
    dense, unflatten, norm = ema.layers[:3]
    z = balanced_latents(range(1_000_000, 1_000_500), ema.latent_dim)
    with torch.no_grad():
        made = unflatten(dense(z)).transpose(0, 1).flatten(1)  # (channels, numbers)
    assert torch.allclose(norm.running_mean, made.mean(dim=1), atol=1e-6)
    assert torch.allclose(norm.running_var, made.var(dim=1), rtol=0.02)
    of_the_trained = checkpoint(RUN)["state_dict"]["generator.layers.2.running_var"]
    assert not torch.allclose(norm.running_var, of_the_trained, rtol=0.02)


def test_curves_in_tensorboard_are_against_images(tiny: Any) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tiny("model=lite", "trainer.max_epochs=2"), RUN, resume=False)
    events = EventAccumulator(str(RUN)).Reload()
    assert [event.step for event in events.Scalars("D_loss")] == list(range(8, 72, 8))
    assert [event.step for event in events.Images("samples")] == [32, 64]


class KilledError(Exception):
    """What ends a training in the middle of an epoch."""


@pytest.mark.parametrize("model", ["lite", "dcgan"])
def test_a_killed_run_goes_on_bit_for_bit(
    model: str, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step_until_killed(self: GAN, *arguments: Any) -> Any:
        if self.images_seen == 80:
            raise KilledError
        return generator_step(self, *arguments)

    generator_step = GAN.generator_step
    whole, parts = Path("outputs/whole"), Path("outputs/parts")
    train(tiny(f"model={model}", "trainer.max_epochs=4"), whole, resume=False)
    monkeypatch.setattr(GAN, "generator_step", step_until_killed)
    with pytest.raises(KilledError):
        train(tiny(f"model={model}", "trainer.max_epochs=4"), parts, resume=False)
    monkeypatch.setattr(GAN, "generator_step", generator_step)
    train(stored_config(parts, []), parts, resume=True)
    one, other = checkpoint(whole), checkpoint(parts)
    for key in ("state_dict", "optimizer_states"):
        assert_same(one[key], other[key])
    assert (one["images_seen"], one["epoch"]) == (other["images_seen"], other["epoch"]) == (128, 3)
    clocks = {"seconds", "images_per_second"}
    one_lines, other_lines = (
        [{key: value for key, value in line.items() if key not in clocks} for line in lines(folder)]
        for folder in (whole, parts)
    )
    assert one_lines == other_lines
    for picture in ("epoch-001.png", "epoch-004.png", "epochs.gif"):
        assert (whole / "samples" / picture).read_bytes() == (
            parts / "samples" / picture
        ).read_bytes()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("images", [16, 24])  # 24: the last step of an epoch of 32
def test_a_signal_ends_a_training_after_a_checkpoint(
    name: str,
    images: int,
    tiny: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def step_with_signal(self: GAN, *arguments: Any) -> Any:
        if self.images_seen == images:
            os.kill(os.getpid(), signum)
        return generator_step(self, *arguments)

    signum = getattr(signal, name)
    generator_step, handler = GAN.generator_step, signal.getsignal(signum)
    monkeypatch.setattr(GAN, "generator_step", step_with_signal)
    with pytest.raises(SystemExit) as end:
        train(tiny("model=lite", "trainer.max_epochs=2"), RUN, resume=False)
    assert end.value.code == 128 + signum
    assert f"ended by {name}; its state is saved: go on by resume={RUN}" in capsys.readouterr().err
    assert checkpoint(RUN)["images_seen"] == images + 8
    assert signal.getsignal(signum) == handler
    monkeypatch.setattr(GAN, "generator_step", generator_step)
    train(stored_config(RUN, []), RUN, resume=True)
    train(tiny("model=lite", "trainer.max_epochs=2"), RUN.with_name("whole"), resume=False)
    assert_same(checkpoint(RUN)["state_dict"], checkpoint(RUN.with_name("whole"))["state_dict"])
    assert [line["images"] for line in lines(RUN)] == list(range(8, 72, 8))


@pytest.mark.parametrize("moment", ["variety", "save_video"])
def test_ctrl_c_before_the_first_step_and_after_the_last(
    moment: str, cli: Cli, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning would end with exit code 1 there, and without a word."""
    module = {"variety": monitors, "save_video": callbacks}[moment]
    with monkeypatch.context() as patch:
        patch.setattr(module, moment, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        result = cli("train", *small, f"hydra.run.dir={RUN}")
    assert (result.code, "finished" in result.out) == (130, False)
    assert cli("train", f"resume={RUN}").code == 0
    assert (RUN / "samples/epochs.gif").is_file()


def test_a_terminal_that_is_closed(small: tuple[str, ...]) -> None:
    """What is printed is dropped, the training goes on, and SIGHUP ends it as it always does."""
    terminal, ours = pty.openpty()
    arguments = (*small, "trainer.max_epochs=10000", f"hydra.run.dir={RUN}")
    command = [sys.executable, "-m", "facegan.train", *arguments]
    with subprocess.Popen(command, stdin=ours, stdout=ours, stderr=ours) as process:
        os.close(ours)
        printed = b""
        while b"epoch 2" not in printed:
            printed += os.read(terminal, 1000)
        os.close(terminal)
        metrics = RUN / "metrics.jsonl"
        enough = metrics.read_text().count("\n") + 10
        while metrics.read_text().count("\n") < enough and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGHUP)
    assert process.returncode == 129
    assert lines(RUN)[-1]["images"] == checkpoint(RUN)["images_seen"]


def test_a_second_signal_ends_a_training_at_once() -> None:
    interruption = Interruption(RUN)
    interruption.receive(signal.SIGINT, None)
    with pytest.raises(SystemExit) as end:
        interruption.receive(signal.SIGINT, None)
    assert end.value.code == 130


def test_a_run_without_a_checkpoint_starts_again(
    tiny: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(*arguments: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(GAN, "generator_step", killed)
        with pytest.raises(KilledError):
            train(tiny("model=lite", "trainer.max_epochs=1"), RUN, resume=False)
    with pytest.raises(FaceganError, match="holds a run already, with another model, seed; go on"):
        train(tiny("model=lite", "trainer.max_epochs=1", "seed=1"), RUN, resume=False)
    train(tiny("model=lite", "trainer.max_epochs=1"), RUN, resume=False)
    assert "has no checkpoint yet: the run starts again" in capsys.readouterr().out
    assert checkpoint(RUN)["images_seen"] == 32


def test_half_a_day_more(tiny: Any) -> None:
    """In YAML 1.1, as OmegaConf reads it, 12:00:00 is a number of base 60."""
    RUN.mkdir(parents=True)
    cfg = tiny("model=lite", "trainer.max_time=00:00:10")
    OmegaConf.save(cfg, RUN / "config.yaml", resolve=True)
    changed = stored_config(RUN, ["trainer.max_time=12:00:00", "+trainer.num_nodes=1"])
    assert (changed.trainer.max_time, changed.trainer.num_nodes) == ("12:00:00", 1)


@pytest.mark.parametrize("new", ["max_epochs=9", "max_images=960", "max_time=00:00:10"])
@pytest.mark.parametrize("old", ["max_epochs=2", "max_images=320", "max_time=00:00:05"])
def test_a_budget_of_a_resume_takes_the_place_of_the_runs_own(
    old: str, new: str, tiny: Any
) -> None:
    RUN.mkdir(parents=True)
    cfg = tiny("model=lite", f"trainer.{old}")
    OmegaConf.save(cfg, RUN / "config.yaml", resolve=True)
    trainer = stored_config(RUN, [f"trainer.{new}"]).trainer
    key, value = new.split("=")
    assert str(trainer[key]) == value
    others = {"max_images", "max_time"} - {key}
    assert all(trainer[other] is None for other in others)


def test_a_resume_without_a_budget_keeps_the_runs_own(tiny: Any) -> None:
    RUN.mkdir(parents=True)
    OmegaConf.save(tiny("model=lite", "trainer.max_images=320"), RUN / "config.yaml", resolve=True)
    assert stored_config(RUN, ["checkpoint.keep=3"]).trainer.max_images == 320


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
    assert one_process(OmegaConf.create(trainer)) == one


def test_a_checkpoint_is_written_beside_the_last_one(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(source: Path, target: Path) -> None:
        assert source.parent == target.parent  # elsewhere may be another disk: a copy
        raise KilledError

    path = workdir / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"images_seen": 1}, path)
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", never)
    with pytest.raises(KilledError):
        AtomicCheckpointIO().save_checkpoint({"images_seen": 2}, path)
    assert path.read_bytes() == before
    assert list(workdir.iterdir()) == [path]


def test_the_seconds_of_a_run_go_on(tiny: Any) -> None:
    train(tiny("model=lite", "trainer.max_epochs=1"), RUN, resume=False)
    train(stored_config(RUN, ["trainer.max_epochs=2"]), RUN, resume=True)
    seconds = [line["seconds"] for line in lines(RUN)]
    assert len(seconds) == 8
    assert seconds == sorted(seconds)


def test_what_a_killed_try_had_logged_after_its_checkpoint_is_dropped(tiny: Any) -> None:
    train(tiny("model=lite", "trainer.max_epochs=1"), RUN, resume=False)
    with (RUN / "metrics.jsonl").open("a") as file:
        file.write('{"images": 40, "D_loss": 7.0}\n')
    train(stored_config(RUN, ["trainer.max_epochs=2"]), RUN, resume=True)
    assert [line["images"] for line in lines(RUN)] == list(range(8, 72, 8))


def test_a_seed_repeats_a_training_and_another_does_not(tiny: Any) -> None:
    weights = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        folder = Path("outputs") / name
        train(tiny("model=lite", "trainer.max_epochs=1", f"seed={seed}"), folder, resume=False)
        weights[name] = checkpoint(folder)["state_dict"]
    assert_same(weights["a"], weights["b"])
    key = "generator.layers.0.weight"
    assert not torch.equal(weights["a"][key], weights["c"][key])


def test_a_training_that_diverges_stops_with_words(tiny: Any) -> None:
    cfg = tiny("model=dcgan", "model/loss=wasserstein", "trainer.max_epochs=9")
    cfg.model.discriminator.norm = "none"
    cfg.model.discriminator_optimizer.lr = 1e30
    with pytest.raises(FaceganError, match=r"became NaN or infinite after \d+ images.*try half"):
        train(cfg, RUN, resume=False)


def test_a_folder_that_holds_a_run_is_not_overwritten(tiny: Any) -> None:
    train(tiny("model=lite", "trainer.max_epochs=1"), RUN, resume=False)
    before = (RUN / "generator.safetensors").read_bytes()
    with pytest.raises(FaceganError, match=r"holds a finished run already; go on"):
        train(tiny("model=lite", "trainer.max_epochs=1"), RUN, resume=False)
    assert (RUN / "generator.safetensors").read_bytes() == before


@pytest.fixture
def small(small_photos: tuple[str, ...]) -> tuple[str, ...]:
    """What a user types for a small training."""
    widths = ("model.generator.width=8", "model.discriminator.width=8")
    return ("model=lite", *small_photos, *TINY, *widths, "trainer.max_epochs=1")


def test_the_command_trains_and_goes_on(cli: Cli, small: tuple[str, ...]) -> None:
    result = cli("train", *small)
    assert (result.code, result.err) == (0, "")
    (run,) = Path("outputs").glob("2*")
    assert Path("outputs/latest").resolve() == run.resolve()
    result = cli("train", "resume=outputs/latest", "trainer.max_epochs=2")
    assert (result.code, result.err) == (0, "")
    assert list(Path("outputs").glob("2*")) == [run]
    steps = [line["images"] for line in lines(run) if "G_loss" in line]
    assert steps == list(range(8, 72, 8))
    assert (run / "samples/epoch-002.png").is_file()


def test_a_sweep_trains_every_combination(cli: Cli, small: tuple[str, ...]) -> None:
    result = cli("train", "-m", *small, "model/loss=hinge,non_saturating", "data.packed_dir=./a/b")
    assert result.code == 0
    (sweep,) = Path("outputs/sweeps").iterdir()
    configs = sorted(sweep.rglob("config.yaml"))
    losses = {OmegaConf.load(path).model.loss._target_ for path in configs}
    assert losses == {"facegan.gan.losses.Hinge", "facegan.gan.losses.NonSaturating"}
    assert {path.parent.parent for path in configs} == {sweep}
    for path in configs:
        assert (path.parent / "generator.safetensors").is_file()


def test_sample_draws_from_a_run(cli: Cli, small: tuple[str, ...]) -> None:
    assert cli("train", *small).code == 0
    result = cli(
        "sample", "weights=outputs/latest", "seeds=0-3,7", "out=faces", "grid=true", "upscale=3"
    )
    assert (result.code, result.err) == (0, "")
    names = {path.name for path in Path("faces").iterdir()}
    assert names == {*(f"seed-{seed:04}.png" for seed in (0, 1, 2, 3, 7)), "grid.png"}
    faces = Generator.from_pretrained("outputs/latest").sample(seeds=[7])
    with Image.open("faces/seed-0007.png") as picture:
        assert np.array_equal(np.asarray(picture), np.asarray(to_pil(faces[0], 3)))


def test_sample_draws_ten_where_nothing_is_said(cli: Cli, small: tuple[str, ...]) -> None:
    assert cli("train", *small).code == 0
    result = cli("sample", "weights=outputs/latest")
    assert (result.code, result.err) == (0, "")
    names = sorted(path.name for path in Path("outputs/faces").iterdir())
    assert names == [f"seed-{seed:04}.png" for seed in range(10)]
