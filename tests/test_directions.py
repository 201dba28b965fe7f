"""Directions in latent space: finding them, their effects, edits on the command line."""

from pathlib import Path

import pytest
import torch
from conftest import edited_faces
from PIL import Image

from facegan import Generator, load_directions
from facegan.core import pretrained
from facegan.core.errors import FaceganError
from facegan.core.images import open_image
from facegan.latent import finding
from facegan.latent.directions import Directions, sweep_amounts
from facegan.networks.attributes import bundled_classifier
from facegan.networks.dcgan import DCGANGenerator
from facegan.networks.latents import latents
from facegan.networks.residual import ResidualGenerator


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.from_pretrained("lite-28")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Directions of few faces, which take a second."""
    for name, value in {"FIT": 120, "HELD_OUT": 40, "PCA": 60, "EFFECT_FACES": 4}.items():
        monkeypatch.setattr(finding, name, value)


def tiny_generator() -> DCGANGenerator:
    torch.manual_seed(0)
    return DCGANGenerator(latent_dim=6, width=8, image_size=8).eval()


@pytest.mark.parametrize(
    "name", [name for name in pretrained.bundled() if "attributes" not in name]
)
def test_bundled_generators_have_directions(name: str) -> None:
    generator = Generator.from_pretrained(name)
    path = finding.directions_path(pretrained.find(name))
    directions = Directions.load(path)
    assert directions.weights == pretrained.digest(generator), "compute them again"
    assert len(directions.names) == 50
    torch.testing.assert_close(directions.vectors.norm(dim=1), torch.ones(50))
    assert path.stat().st_size < 100_000


def test_an_edit_changes_the_attribute_it_names(generator: Generator) -> None:
    classifier = bundled_classifier(28)
    seeds = range(6000, 6064)  # the directions were found with others
    for name in ("Smiling", "Male", "Eyeglasses", "Blond_Hair", "Young"):
        column = classifier.attributes.index(name)
        less, more = (
            finding.classify(classifier, edited_faces(generator, seeds, {name: amount}))
            for amount in (-2, 2)
        )
        change = (more - less).sigmoid()[:, column]
        assert (change > 0.5).float().mean() > 0.9, name
        assert load_directions(generator).own_effect(name) > 0.05


def test_no_edit_is_the_same_face(generator: Generator) -> None:
    plain = generator.sample(seeds=[7])
    assert torch.equal(edited_faces(generator, [7], {"Smiling": 0}), plain)
    assert not torch.equal(edited_faces(generator, [7], {"Smiling": 2}), plain)


def test_directions_are_stored_beside_the_weights(small: None, tmp_path: Path) -> None:
    path = tmp_path / "generator.safetensors"
    tiny_generator().save_pretrained(path)
    found = load_directions(Generator.from_pretrained(path))
    beside = tmp_path / "generator.directions.safetensors"
    written = beside.stat().st_mtime_ns
    again = load_directions(Generator.from_pretrained(tmp_path))
    assert torch.equal(again.vectors, found.vectors)
    assert beside.stat().st_mtime_ns == written
    torch.manual_seed(1)
    DCGANGenerator(latent_dim=6, width=8, image_size=8).save_pretrained(path)
    other = load_directions(Generator.from_pretrained(path))  # of other weights
    assert not torch.equal(other.vectors, found.vectors)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    tiny_generator().save_pretrained(tmp_path / "generator.safetensors")
    (tmp_path / "generator.directions.safetensors").write_bytes(b"no directions")
    with pytest.raises(FaceganError, match="remove it"):
        load_directions(Generator.from_pretrained(tmp_path))


def test_grey_images_have_directions(small: None) -> None:
    torch.manual_seed(0)
    grey = DCGANGenerator(latent_dim=6, width=8, image_size=8, channels=1).eval()
    directions = finding.find_directions(grey, bundled_classifier(grey.image_size))
    assert directions.vectors.shape == (46, 6)
    assert directions.vectors.isfinite().all()


def test_orthogonal_gradients_are_kept() -> None:
    w = torch.eye(3, 5) * torch.tensor([[1.0], [2.0], [0.5]])
    torch.testing.assert_close(finding.orthogonalize(w), torch.eye(3, 5))


def test_orthogonalized_directions_move_the_others_less() -> None:
    torch.manual_seed(0)
    shared = torch.randn(20)
    gradients = torch.stack([shared + 0.7 * torch.randn(20) for _ in range(3)])
    plain = torch.nn.functional.normalize(gradients, dim=1) @ gradients.T
    spared = finding.orthogonalize(gradients) @ gradients.T
    for row in range(3):
        others = [column for column in range(3) if column != row]
        assert spared[row, row] > 0
        assert (spared[row, others] / spared[row, row]).abs().max() < 0.2
        assert (plain[row, others] / plain[row, row]).abs().max() > 0.5


def test_the_first_component_of_a_linear_generator_is_its_largest_singular_vector() -> None:
    torch.manual_seed(0)
    generator = tiny_generator()
    dense = generator.layers[0]
    with torch.no_grad():
        left, _, right = torch.linalg.svd(dense.weight, full_matrices=False)
        spectrum = torch.tensor([5.0, 3.0, 1.0, 0.5, 0.3, 0.1])
        dense.weight.copy_(left @ torch.diag(spectrum) @ right)
    generator.layers[3] = torch.nn.Identity()  # the activation at the lowest size
    vectors, shares = finding.principal_directions(generator, latents(range(500), 6))
    assert shares.tolist() == sorted(shares.tolist(), reverse=True)
    assert (vectors[0] @ right[0]).abs() > 0.95


@pytest.mark.parametrize(
    ("network", "features"),
    [
        (tiny_generator(), 8 * 4 * 4),
        (ResidualGenerator(6, width=32, blocks=1, image_size=8), 16 * 4 * 4),
    ],
)
def test_early_features_have_the_lowest_resolution(network: Generator, features: int) -> None:
    assert finding.early_features(network, torch.randn(3, 6)).shape == (3, features)


def test_names_ignore_case_and_suggest(generator: Generator) -> None:
    directions = load_directions(generator)
    assert torch.equal(directions["smiling"], directions["Smiling"])
    with pytest.raises(FaceganError, match="did you mean Eyeglasses"):
        directions["eyeglases"]
    assert "Smiling" in str(directions)
    assert directions.side_effects("Smiling")[0][0] == "High_Cheekbones"
    assert directions.own_effect("PCA_1") is None


def test_a_sweep_goes_there_and_back() -> None:
    amounts = sweep_amounts(-3, 3, 60)
    assert amounts[[0, 30]].tolist() == [-3, 3]
    torch.testing.assert_close(amounts[1:], amounts[1:].flip(0))


def test_edit_on_the_command_line(cli, workdir: Path) -> None:
    cli.ok("sample", "weights=lite-28", "seeds=7", "edit=Smiling:2,Young:-1", "out=.")
    expected = edited_faces(Generator.from_pretrained("lite-28"), [7], {"Smiling": 2, "Young": -1})
    picture = open_image(workdir / "seed-0007.png")
    assert picture.tobytes() == expected[0].permute(1, 2, 0).numpy().tobytes()


def test_sweep_on_the_command_line(cli, workdir: Path) -> None:
    cli.ok("sample", "weights=lite-28", "n=4", "edit=Smiling", "sweep=-3:3", "frames=4", "out=.")
    with Image.open(workdir / "sweep-Smiling.gif") as video:
        assert (video.n_frames, video.size) == (4, (285, 285))


@pytest.mark.parametrize("arguments", ["edit=Smiling,abc", "edit=abc sweep=-3:3"])
def test_an_unknown_direction_is_refused_before_directions_are_measured(
    arguments: str, cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    DCGANGenerator(latent_dim=4, width=8, image_size=8).save_pretrained("w.safetensors")
    monkeypatch.setattr(finding, "find_directions", None)  # a call would fail
    message = cli.refusal("sample", "weights=w.safetensors", *arguments.split())
    assert "abc is not a direction of this generator; known: 5_o_Clock_Shadow" in message
    assert message.endswith("PCA_4\n")
