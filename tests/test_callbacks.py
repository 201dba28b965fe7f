"""Evaluation during training: what it logs, what it keeps, and that it changes nothing."""

import json
from pathlib import Path

import pytest
import torch
from conftest import TINY
from PIL import Image
from safetensors.torch import load_file

from facegan.core.images import open_image
from facegan.core.pretrained import metadata
from facegan.evaluation import features
from facegan.gan.ema import recalibrate_batch_norm
from facegan.networks.dcgan import DCGANGenerator
from facegan.training import callbacks, evaluation

ARGUMENTS = (
    *TINY,
    "data=generated",
    "data.count=600",
    "trainer.max_epochs=2",
)


@pytest.fixture
def run(cli, packed_dir: str, workdir: Path, monkeypatch: pytest.MonkeyPatch):
    """run(every) trains two epochs, measured after every `every`, and returns the run folder."""
    monkeypatch.setattr(evaluation, "MIN_FACES", 20)
    monkeypatch.setattr(evaluation, "EVALUATION_FACES", 40)

    def train(every: int) -> Path:
        result = cli(
            "train", *ARGUMENTS, packed_dir, f"evaluate_every={every}", f"hydra.run.dir=run{every}"
        )
        assert result.code == 0, result.err
        return workdir / f"run{every}"

    return train


def measured(folder: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if "frechet_distance" in line]


def test_distances_against_images_and_seconds(run) -> None:
    lines = measured(run(1))
    assert [line["images"] for line in lines] == [512, 1024]
    for line in lines:
        assert line["seconds"] > 0
        assert {"kernel_distance", "precision", "recall"} < set(line)


def test_the_best_generator_is_kept(run) -> None:
    folder = run(1)
    best = min(measured(folder), key=lambda line: line["frechet_distance"])
    about = metadata(folder / "generator-best.safetensors")
    assert about["images_seen"] == str(best["images"])
    assert float(about["frechet_distance"]) == best["frechet_distance"]


def test_every_second_epoch(run) -> None:
    assert [line["images"] for line in measured(run(2))] == [1024]


def test_measuring_changes_nothing(run) -> None:
    with_it, without = (load_file(run(every) / "generator.safetensors") for every in (1, 0))
    assert all(with_it[name].equal(without[name]) for name in without)


def test_faces_are_measured_where_they_are_trained(run, monkeypatch: pytest.MonkeyPatch) -> None:
    run(0)  # makes the dataset, whose attributes are taken elsewhere
    monkeypatch.setattr(features, "best_device", lambda: torch.device("meta"))  # of no use
    assert measured(run(1))


def test_the_gif_is_in_the_order_of_the_epochs(tmp_path: Path) -> None:
    for epoch, grey in ((998, 0), (999, 100), (1000, 200)):
        Image.new("RGB", (8, 8), (grey, grey, grey)).save(tmp_path / f"epoch-{epoch:03}.png")
    callbacks.SampleGrid(tmp_path).on_fit_end(None, None)
    with Image.open(tmp_path / "epochs.gif") as video:
        shown = []
        for frame in range(video.n_frames):
            video.seek(frame)
            shown.append(video.convert("L").getpixel((0, 0)))
    assert shown == [0, 100, 200]


def test_the_gif_of_many_epochs_has_few_frames(tmp_path: Path) -> None:
    for epoch in range(1, 242):
        Image.new("L", (8, 8), epoch).save(tmp_path / f"epoch-{epoch:03}.png")
    callbacks.SampleGrid(tmp_path).on_fit_end(None, None)
    with Image.open(tmp_path / "epochs.gif") as video:
        assert video.n_frames == 81 <= callbacks.GIF_FRAMES
        video.seek(video.n_frames - 1)
        assert video.convert("L").getpixel((0, 0)) == 241


def test_too_few_validation_faces(cli, workdir: Path) -> None:
    result = cli("train", *ARGUMENTS, "hydra.run.dir=run")
    assert result.code == 0, result.err
    assert "evaluation by 30 validation photographs: kernel_distance" in result.out
    lines = map(json.loads, (workdir / "run" / "metrics.jsonl").read_text().splitlines())
    first = next(line for line in lines if "kernel_distance" in line)
    assert first["photographs"] == 30
    assert first["kernel_distance_error"] > 0
    assert 0 <= first["memorization"] <= 1
    assert "frechet_distance" not in first
    assert (workdir / "run" / "generator-best.safetensors").exists()


def test_recalibration_runs_without_dropout() -> None:
    torch.manual_seed(0)
    plain = DCGANGenerator(latent_dim=5, width=8, image_size=14)
    dropping = DCGANGenerator(latent_dim=5, width=8, image_size=14, dropout=0.5)
    dropping.load_state_dict(plain.state_dict())
    batches = torch.randn(40, 5).split(10)
    for generator in (plain, dropping):
        recalibrate_batch_norm(generator, batches)
        assert not any(module.training for module in generator.modules())
    for expected, buffer in zip(plain.buffers(), dropping.buffers(), strict=True):
        assert torch.equal(expected, buffer)


def test_without_batch_norm_nothing_is_recalibrated() -> None:
    generator = DCGANGenerator(latent_dim=5, width=8, image_size=14, norm="none")
    calls: list[object] = []
    generator.register_forward_hook(lambda *call: calls.append(call))
    recalibrate_batch_norm(generator, [torch.randn(2, 5)])
    assert not calls


def test_a_live_grid_is_written_during_an_epoch_and_changes_no_weight(cli, packed_dir) -> None:
    for name, every in (("plain", "null"), ("live", "0")):
        arguments = ("evaluate_every=0", f"sample_every={every}", f"hydra.run.dir={name}")
        assert cli("train", *ARGUMENTS, packed_dir, *arguments).code == 0
    assert not Path("plain/samples/live.png").exists()
    for name in ("live", "epoch-001"):
        assert open_image(f"live/samples/{name}.png").size == (462, 462)
    weights = [Path(name, "generator.safetensors").read_bytes() for name in ("plain", "live")]
    assert weights[0] == weights[1]
