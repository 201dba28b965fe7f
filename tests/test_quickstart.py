"""From a folder of photographs to a page, by one command."""

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Cli, save_photos
from PIL import Image

from facegan import quickstart
from facegan.core.pretrained import WEIGHTS_FILE
from facegan.data.align import CELEBA_LANDMARKS
from facegan.latent import movement
from facegan.networks.dcgan import DCGANGenerator
from facegan.training import plan as planning
from facegan.training.plan import Facts, look, next_steps, plan

FAMILY = Facts(300, 3024, 4032, 24, 23, 22, 900, gpu=False, cores=2)


def overrides(facts: Facts, given: dict[str, str]) -> str:
    return " ".join(text for choice in plan(facts, given) if (text := choice.overrides))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "data.align=true data.crop=108 data.image_size=28 init=full-28 model.batch_size=64"),
        ({}, "model/augment=diffaugment trainer.max_images=20000"),
        ({"photographs": 60}, "trainer.max_images=10000"),
        ({"photographs": 9000}, "model/augment=none"),
        ({"gpu": True}, "data.align=true data.crop=148 data.image_size=64 init=full-64"),
        ({"gpu": True, "side": 50}, "data.crop=108 data.image_size=28 init=full-28"),
        ({"gpu": True}, "trainer.max_images=200000"),
        ({"with_face": 3}, "data.align=null data.image_size=28 model=lite model/augment"),
        ({"with_face": 3}, "trainer.max_images=200000"),
        ({"whole": 4}, "data.align=null data.image_size=28 init=full-28"),
        ({"with_face": None}, "data.align=null data.image_size=28 init=full-28"),
    ],
)
def test_the_choices_follow_from_the_facts(changes: dict[str, int], expected: str) -> None:
    assert expected in overrides(replace(FAMILY, **changes), {})


@pytest.mark.parametrize(
    ("given", "absent", "present"),
    [
        ({"data.image_size": "64"}, "data.image_size", "data.crop=148 init=full-64"),
        ({"data.image_size": "56"}, "init", "data.align=true model=lite"),
        ({"trainer.max_epochs": "3"}, "max_images", "diffaugment"),
        ({"trainer.max_time": "01:00:00"}, "max_images", "diffaugment"),
        ({"model": "lite"}, "init", "data.align=true data.image_size"),
        ({"model": "lite"}, "crop", "trainer.max_images=200000"),
        ({"init": "outputs/latest"}, "init", "data.align=true data.image_size"),
        ({"data.align": "null"}, "data.crop", "init=full-28"),
        ({"model/augment": "ada"}, "diffaugment", "init=full-28"),
    ],
)
def test_the_users_keys_take_precedence(given: dict[str, str], absent: str, present: str) -> None:
    text = overrides(FAMILY, given)
    assert absent not in text
    assert present in text


def test_the_facts_of_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        Image.new("RGB", (400, 600)).save(tmp_path / f"{number}.png")
    (tmp_path / "99.jpg").write_bytes(b"not an image")
    found = iter([*[CELEBA_LANDMARKS * 2] * 20, *[CELEBA_LANDMARKS + 280] * 10])
    monkeypatch.setattr(planning, "find_landmarks", lambda photo: [next(found)])
    facts = look(tmp_path)
    assert (facts.photographs, facts.width, facts.height, facts.looked_at) == (31, 400, 600, 23)
    assert (facts.with_face, facts.whole, facts.side) == (23, 20, 296)


@pytest.fixture
def photos(workdir: Path) -> Path:
    folder = workdir / "The Smiths (2024)"
    save_photos(folder, 40, 32)
    return folder


def test_a_dry_run_prints_choices_and_commands(cli: Cli, photos: Path) -> None:
    result = cli("quickstart", f"photos={photos}", "--dry-run", "trainer.max_images=64")
    assert (result.code, result.err) == (0, "")
    assert "facegan.train data=folder 'data.root=" in result.out
    assert "trainer.max_images=20000" not in result.out
    assert "length        your own keys take precedence" in result.out
    assert "'title=The Smiths (2024)'" in result.out
    assert [path.name for path in photos.parent.iterdir()] == [photos.name, "outputs"]


def test_a_wrong_key_is_refused_before_the_work(cli: Cli, photos: Path) -> None:
    assert "image_sise" in cli.refusal("quickstart", f"photos={photos}", "data.image_sise=64")


@pytest.mark.parametrize(
    ("failing", "code", "begun"),
    [
        ("", 0, ["prepare", "train", "evaluate", "export"]),
        ("evaluate", 2, ["prepare", "train", "evaluate", "export"]),
        ("evaluate", 130, ["prepare", "train", "evaluate"]),
        ("prepare", 2, ["prepare"]),
        ("train", 130, ["prepare", "train"]),
    ],
)
def test_the_commands_follow_each_other(
    failing: str, code: int, begun: list[str], cli: Cli, photos: Path, monkeypatch
) -> None:
    ran = []

    def run(words: list[str]) -> int:
        ran.append(words[0])
        return code if words[0] == failing else 0

    monkeypatch.setattr(quickstart, "run", run)
    monkeypatch.setattr(movement, "still_the_start", lambda run: "")
    monkeypatch.setattr(movement, "train_longer", lambda run: "")
    result = cli("quickstart", f"photos={photos}")
    stopped = begun[-1] == failing
    assert (ran, result.code) == (begun, code if stopped else 0)
    assert ("what is left:" in result.out) is stopped


@pytest.mark.parametrize(
    ("code", "expected", "first"), [(130, 130, " resume="), (0, 2, " trainer.max_images=32000")]
)
def test_what_is_left_begins_with_a_resume(
    code: int, expected: int, first: str, cli: Cli, photos: Path, monkeypatch
) -> None:
    def run(words: list[str]) -> int:
        folder = Path(words[-1].removeprefix("hydra.run.dir="))
        about = {movement.FACT: "warning: these are still the faces", "images_seen": "16000"}
        if words[0] == "train":
            DCGANGenerator(2, width=8, image_size=8).save_pretrained(folder / WEIGHTS_FILE, about)
            (folder / "config.yaml").touch()
        return code if words[0] == "train" else 0

    monkeypatch.setattr(quickstart, "run", run)
    result = cli("quickstart", f"photos={photos}")
    left = result.out.partition("what is left:\n")[2].splitlines()
    assert result.code == expected
    commands = [line.split("facegan.")[1].split()[0] for line in left if "facegan." in line]
    assert commands == ["train", "evaluate", "export"]
    assert first in left[0]


def test_what_to_try_next_depends_on_the_report() -> None:
    copied = {"measures": {"memorization": {"value": 0.2}}}
    assert "20% of the faces" in "".join(next_steps(FAMILY, copied, "again", "anew"))
    assert next_steps(FAMILY, {}, "again", "anew")[0] == "longer (for sharper faces): again"
    stock = {"facts": {"verdict": "the faces still resemble those of init=full-28"}}
    assert next_steps(FAMILY, stock, "again", "anew")[1].endswith("): anew")
