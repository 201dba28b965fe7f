"""The sample command, paths between latents, and faces in a terminal."""

import io
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facegan import Generator, sample
from facegan.core.images import open_image
from facegan.core.terminal import Strip, half_blocks
from facegan.latent.interpolation import slerp_loop, slerp_path
from facegan.networks.latents import latents


@pytest.fixture
def face() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_ten_faces_by_default(cli, workdir: Path) -> None:
    cli.ok("sample")
    grid, *faces = sorted((workdir / "outputs" / "faces").iterdir())
    assert [path.name for path in faces] == [f"seed-{seed:04}.png" for seed in range(10)]
    assert open_image(grid).size == (2 * (4 * 65 - 1), 2 * (3 * 65 - 1))
    assert cli("verify", str(grid)).out.endswith("the same\n")
    assert {open_image(path).size for path in faces} == {(64, 64)}


def test_faces_of_a_size(cli, workdir: Path) -> None:
    cli.ok("sample", "weights=lite-28", "n=3", "size=100", "out=here")
    paths = sorted((workdir / "here").iterdir())
    side = round((2 * 29 - 1) * 100 / 28)
    assert [open_image(path).size for path in paths] == [(side, side), *[(100, 100)] * 3]
    assert cli("verify", *map(str, paths)).out.count("the same\n") == 4


@pytest.mark.parametrize("video", ["gif", "mp4"])
def test_interpolation_writes_a_video(cli, workdir: Path, video: str) -> None:
    arguments = ("weights=lite-28", "interpolate=3,7,12", "frames=9", "out=.")
    cli.ok("sample", *arguments, f"video={video}")
    path = workdir / f"interpolation-3-7-12.{video}"
    assert path.stat().st_size > 500
    if video == "gif":
        with Image.open(path) as picture:
            assert (picture.n_frames, picture.size) == (9, (140, 140))


def test_stream_runs_until_it_is_stopped(
    cli, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps = iter([lambda: None, lambda: None, lambda: signal.raise_signal(signal.SIGINT)])
    monkeypatch.setattr(sample.time, "sleep", lambda _: next(naps)())
    result = cli("sample", "weights=lite-28", "stream=true", "seeds=5", "out=strip")
    assert result.code == 130
    names = sorted(path.name for path in (workdir / "strip").iterdir())
    assert names == ["seed-0005.png", "seed-0006.png", "seed-0007.png"]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("filter=cubic", "nearest, lanczos"),
        ("weights=lite-28 interpolate=3,7 video=avi", "must end in .gif or .mp4"),
        ("size=256 upscale=4", "size and upscale exclude each other"),
        ("size=32", "from 64 to 6400 for faces of 64 pixels, got 32"),
        ("attributes=Female", "Female is not an attribute; it is the lack of Male: -Male"),
        ("n=0", "n must be a whole number from 1 to 1000000, got 0"),
        ("truncation=nan", "truncation must be a number from 0 to 10, got nan"),
        ("upscale=0", "upscale must be a whole number from 1 to 100, got 0"),
        ("fps=0", "fps must be a number from 0.01 to 100, got 0"),
        ("frames=1", "frames must be a whole number from 2 to 100000, got 1"),
        ("grid=maybe", "grid: Value 'maybe' is not a valid bool"),
        ("interpolate=1,2 stream=true", "stream and interpolate exclude each other"),
        ("sweep=-3:3", "sweep needs edit=Smiling"),
        ("attributes=Smiling seeds=3", "keep chooses n seeds by itself, as attributes does"),
        ("latent=latent.json seeds=3", "latent and seeds exclude each other"),
        ("latent=latent.json", "No such file or directory"),
        ("keep=0.5 seeds=3", "keep chooses n seeds by itself"),
        ("exclude=3 seeds=3", "exclude and seeds exclude each other"),
        ("keep=2", "keep must be a number from 0.01 to 1"),
        ("weights=nobody", "dcgan-28, full-28, full-64, labels-28, lite-28"),
    ],
)
def test_sample_refuses(cli, argument: str, words: str) -> None:
    message = cli.refusal("sample", *argument.split())
    assert message.startswith("facegan.sample: ")
    assert words in message


def test_slerp_loop_passes_its_keyframes_and_is_closed() -> None:
    keyframes = latents([3, 7, 12], 16)
    path = slerp_loop(keyframes, 30)
    torch.testing.assert_close(path[[0, 10, 20]], keyframes)
    steps = (path - path.roll(1, 0)).norm(dim=1)
    assert steps.max() < 0.3 * keyframes.norm(dim=1).max()  # the last leads back to the first


def test_slerp_path_passes_its_keyframes_and_has_two_ends() -> None:
    keyframes = torch.randn(3, 8)
    torch.testing.assert_close(slerp_path(keyframes, 9)[[0, 4, 8]], keyframes)


def test_slerp_loop_stays_on_the_sphere() -> None:
    path = slerp_loop(torch.tensor([[3.0, 0.0], [0.0, 3.0]]), 12)
    torch.testing.assert_close(path.norm(dim=1), torch.full((12,), 3.0))
    torch.testing.assert_close(path[3], torch.tensor([3.0, 3.0]) / 2**0.5)


@pytest.mark.parametrize("keyframe", [latents([1], 8), torch.zeros(1, 8)])
def test_slerp_loop_between_equal_keyframes_is_constant(keyframe: torch.Tensor) -> None:
    torch.testing.assert_close(slerp_loop(keyframe.expand(2, -1), 6), keyframe.expand(6, -1))


def test_half_blocks_colour_every_pixel(face: Image.Image) -> None:
    text = half_blocks(face, 28, 14)
    assert text.count("▀") == 28 * 14
    red, green, blue = np.asarray(face)[0, 0]
    assert text.startswith(f"\x1b[38;2;{red};{green};{blue}m")


def test_large_faces_are_scaled_to_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "20")
    assert Strip(io.StringIO(), 64).columns == 36


def test_strip_starts_a_new_row_when_one_is_full(
    face: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    out = io.StringIO()
    monkeypatch.setenv("LINES", "40")
    strip = Strip(out, 28)
    for _ in range(3):
        strip.show(face)
    assert out.getvalue().count("\n" * 15) == 2  # two faces fit side by side


def test_faces_are_written_as_they_are_drawn(cli, workdir: Path, monkeypatch) -> None:
    written: list[int] = []
    draw = Generator.draw

    def counted(generator: Generator, z: torch.Tensor) -> torch.Tensor:
        written.append(len(list((workdir / "out").glob("*.png"))))
        return draw(generator, z)

    monkeypatch.setattr(Generator, "draw", counted)
    cli.ok("sample", "weights=lite-28", "n=70", "out=out")
    assert written == [0, 64]
