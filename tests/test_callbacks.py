"""Evaluation during training, grids, and what TensorBoard shows."""

import re
from pathlib import Path

import pytest
import torch
from conftest import TINY, logged
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from facegan.core.images import open_image
from facegan.core.pretrained import metadata
from facegan.evaluation import features
from facegan.gan.ema import recalibrate_batch_norm
from facegan.networks.dcgan import DCGANGenerator
from facegan.training import callbacks, evaluation
from facegan.training.budget import Budget
from facegan.training.metrics import (
    HPARAMS_METRICS,
    MetricsFile,
    RunTensorBoard,
    layout,
)

ARGUMENTS = (
    *TINY,
    "data=generated",
    "data.count=600",
    "trainer.max_epochs=2",
)


@pytest.fixture
def run(cli, packed_dir: str, workdir: Path, monkeypatch: pytest.MonkeyPatch):
    """run(every) trains two epochs, evaluates after each `every`, and returns the run folder."""
    monkeypatch.setattr(evaluation, "MIN_FACES", 20)
    monkeypatch.setattr(evaluation, "EVALUATION_FACES", 40)

    def train(every: int) -> Path:
        folder = f"hydra.run.dir=run{every}"
        result = cli("train", *ARGUMENTS, packed_dir, f"evaluate_every={every}", folder)
        assert result.code == 0, result.err
        return workdir / f"run{every}"

    return train


def measured(folder: Path) -> list[dict[str, float]]:
    return [line for line in logged(folder) if "frechet_distance" in line]


def test_an_evaluation_is_logged_keeps_the_best_generator_and_fills_the_charts(run) -> None:
    folder = run(1)
    lines = measured(folder)
    assert [line["images"] for line in lines] == [512, 1024]
    assert all({"kernel_distance", "precision", "recall", "seconds"} < set(line) for line in lines)
    best = min(lines, key=lambda line: line["frechet_distance"])
    about = metadata(folder / "generator-best.safetensors")
    assert about["images_seen"] == str(best["images"])
    assert float(about["frechet_distance"]) == best["frechet_distance"]
    check_tensorboard(folder)


def check_tensorboard(folder: Path) -> None:
    """Every chart but that of penalties has curves; coverage and layout are there."""
    events = EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()
    charts = {title: tags for group in layout().values() for title, (_, tags) in group.items()}
    scalars = events.Tags()["scalars"]
    for title, tags in charts.items():
        found = [name for name in scalars if any(re.search(tag, name) for tag in tags)]
        assert found or title == "penalties", title
    tensors = events.Tags()["tensors"]
    assert {"attribute coverage/text_summary", "custom_scalars__config__"} <= set(tensors)
    assert {key for line in logged(folder) for key in line} <= {*scalars, "images"}
    check_hyperparameters(events)


def check_hyperparameters(events: EventAccumulator) -> None:
    """The columns of the table are curves, and its rows the config."""
    contents = [data.plugin_data for data in events.summary_metadata.values()]
    data = [HParamsPluginData.FromString(c.content) for c in contents if c.plugin_name == "hparams"]
    tags = {info.name.tag for item in data for info in item.experiment.metric_infos}
    assert tags == set(HPARAMS_METRICS)
    assert tags <= set(events.Tags()["scalars"])
    values = [event.value for event in events.Scalars("frechet_distance")]
    assert events.Scalars("best_frechet_distance")[-1].value == min(values)
    started = [dict(item.session_start_info.hparams) for item in data]
    assert any("recipe" in values and values["recipe"].string_value == "lite" for values in started)


def test_every_second_epoch_is_evaluated_on_the_trainings_device_and_no_weight_changes(
    run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [run(0)]  # packs the data set, with attributes by another device
    monkeypatch.setattr(features, "best_device", lambda: torch.device("meta"))  # of no use
    folders.append(run(2))
    assert [line["images"] for line in measured(folders[1])] == [1024]
    without, with_it = (load_file(folder / "generator.safetensors") for folder in folders)
    assert all(with_it[name].equal(without[name]) for name in without)


def test_the_gif_is_in_the_order_of_the_epochs(tmp_path: Path) -> None:
    for name, grey in (("998", 0), ("999-000000064", 50), ("999", 100), ("1000", 200)):
        Image.new("RGB", (8, 8), (grey, grey, grey)).save(tmp_path / f"epoch-{name}.png")
    (tmp_path / "epoch-500.png").write_bytes(b"damaged")  # left out
    callbacks.SampleGrid(tmp_path, 1.0).on_fit_end(None, None)
    with Image.open(tmp_path / "epochs.gif") as video:
        shown = []
        for frame in range(video.n_frames):
            video.seek(frame)
            shown.append(video.convert("L").getpixel((0, 0)))
    assert shown == [0, 50, 100, 200]


def test_the_gif_of_many_epochs_has_few_frames(tmp_path: Path) -> None:
    for epoch in range(1, 242):
        Image.new("L", (8, 8), epoch).save(tmp_path / f"epoch-{epoch:03}.png")
    callbacks.SampleGrid(tmp_path, 1.0).on_fit_end(None, None)
    with Image.open(tmp_path / "epochs.gif") as video:
        assert video.n_frames == 81 <= callbacks.GIF_FRAMES
        video.seek(video.n_frames - 1)
        assert video.convert("L").getpixel((0, 0)) == 241


def test_few_validation_photographs_are_compared_by_the_kernel_distance(
    cli, packed_dir: str, workdir: Path
) -> None:
    result = cli("train", *ARGUMENTS, packed_dir, "trainer.max_epochs=1", "hydra.run.dir=run")
    assert result.code == 0, result.err
    assert "evaluation by 30 validation photographs: kernel_distance" in result.out
    first = next(line for line in logged(workdir / "run") if "kernel_distance" in line)
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


def test_grids_within_an_epoch_change_no_weight(
    cli, small: tuple[str, ...], trained_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Budget, "grid_seconds", 0)  # as in epochs that take long
    assert not (trained_run / "samples/live.png").exists()
    live = ("trainer.max_epochs=3", "sample_every=0", "hydra.run.dir=live")
    cli.ok("train", *small, *live)
    assert open_image("live/samples/live.png").size == open_image("live/samples/epoch-001.png").size
    first = [path.name for path in sorted(Path("live/samples").glob("epoch-001*"))]
    assert first == [*(f"epoch-001-0000000{n}.png" for n in ("08", "16", "24")), "epoch-001.png"]
    with Image.open("live/samples/epochs.gif") as video:
        assert video.n_frames == 13
    weights = [Path(run, "generator.safetensors").read_bytes() for run in ("live", trained_run)]
    assert weights[0] == weights[1]


def test_events_after_the_checkpoint_are_hidden(tmp_path: Path) -> None:
    for process, seen in enumerate((0, 64)):
        board = RunTensorBoard(tmp_path, seen)
        for step in (seen + 64, seen + 128):
            board.log_metrics({"loss": process}, step)
        board.finalize("success")
    scalars = EventAccumulator(str(tmp_path)).Reload().Scalars("loss")
    assert [(event.step, event.value) for event in scalars] == [(64, 0), (128, 1), (192, 1)]


def test_a_full_disk_names_the_metrics_file(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.path = Path("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        metrics.write_line({"images": 64})
    assert caught.value.filename == "/dev/full"
