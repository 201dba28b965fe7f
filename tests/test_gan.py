"""The training step, on a GAN of a few hundred weights, without and with Lightning."""

import copy
import itertools
import math
from collections.abc import Callable
from functools import partial, partialmethod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from test_losses import LOSSES
from test_penalties import PENALTIES
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

from facegan.core.batch import Batch
from facegan.core.errors import FaceganError
from facegan.core.images import to_float
from facegan.core.paths import CONFIG_PATH
from facegan.gan.augment import ADA, Augmentation, DiffAugment, NoAugmentation
from facegan.gan.ema import ema_decay, update_ema
from facegan.gan.losses import AdversarialLoss, Hinge, NonSaturating, RelativisticPairing
from facegan.gan.module import GAN, frozen
from facegan.gan.optimizers import SpectralDescent
from facegan.gan.penalties import R1, GradientPenalty, NoPenalty, Penalty
from facegan.networks.base import Discriminator
from facegan.networks.dcgan import DCGANDiscriminator, DCGANGenerator

SIZE, LATENT, BATCH = 14, 3, 4
COMBINED = {
    "loss": LOSSES,
    "penalty": [NoPenalty(), *PENALTIES],
    "augment": [NoAugmentation(), DiffAugment(), ADA(p=0.5)],
}


class BareGAN(GAN):
    """A GAN without Lightning: one device, unwrapped optimizers."""

    trainer = SimpleNamespace(world_size=1)
    global_rank = 0

    def optimizers(self) -> list[Optimizer]:
        return [*self.optimizer_by_name.values()]

    def manual_backward(self, loss: Tensor) -> None:
        loss.backward()


def arguments(norm: str = "batch", **changes: object) -> dict:
    torch.manual_seed(0)
    return {
        "generator": DCGANGenerator(LATENT, width=4, image_size=SIZE, dropout=0.3, norm=norm),
        "discriminator": DCGANDiscriminator(width=3, image_size=SIZE, dropout=0.3, norm=norm),
        "loss": NonSaturating(),
        "penalty": NoPenalty(),
        "generator_optimizer": partial(Adam, lr=0.01, betas=(0.5, 0.999)),
        "discriminator_optimizer": partial(Adam, lr=0.01, betas=(0.5, 0.999)),
        "batch_size": BATCH,
        **changes,
    }


def tiny(**changes: object) -> BareGAN:
    return BareGAN(**arguments(**changes))


def faces(seed: int = 0, count: int = BATCH) -> Batch:
    noise = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=noise)
    return Batch(images, torch.zeros(count, 0, dtype=torch.bool))


def train(gan: GAN, steps: int, start: int = 0) -> list[dict[str, Tensor]]:
    return [gan.training_step(faces(seed), seed) for seed in range(start, start + steps)]


def weights(network: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def gradients(network: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


def equal(some: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def equal_states(one: nn.Module, other: nn.Module) -> bool:
    pairs = one.state_dict(), other.state_dict()
    assert pairs[0].keys() == pairs[1].keys()
    return equal(list(pairs[0].values()), list(pairs[1].values()))


@pytest.mark.parametrize("group", COMBINED)
def test_the_combinations_contain_every_shipped_part(group: str) -> None:
    paths = (CONFIG_PATH / "model" / group).glob("*.yaml")
    kinds = map(type, COMBINED[group])
    assert {OmegaConf.load(path)._target_ for path in paths} == {
        f"{kind.__module__}.{kind.__name__}" for kind in kinds
    }


@pytest.mark.parametrize("augment", COMBINED["augment"])
@pytest.mark.parametrize("penalty", COMBINED["penalty"], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("loss", COMBINED["loss"], ids=lambda loss: type(loss).__name__)
def test_every_loss_trains_with_every_penalty_and_augmentation(
    loss: AdversarialLoss, penalty: Penalty, augment: Augmentation
) -> None:
    gan = tiny(norm="none", loss=loss, penalty=penalty, augment=copy.deepcopy(augment))
    before = weights(gan.generator), weights(gan.discriminator)
    logs = train(gan, 2)[-1]
    assert {"D_loss", "G_loss", "D_real_logits", "D_fake_logits"} <= logs.keys()
    assert all(value.isfinite() for value in logs.values())
    assert not any(value.requires_grad for value in logs.values())
    assert not equal(before[0], weights(gan.generator))
    assert not equal(before[1], weights(gan.discriminator))


def test_the_step_of_one_network_does_not_change_the_other() -> None:
    gan = tiny(loss=RelativisticPairing(), penalty=GradientPenalty())
    train(gan, 1)
    networks, real = (gan.discriminator, gan.generator), to_float(faces().images)
    fake = gan.generator(torch.randn(BATCH, LATENT))
    states = [[(weights(network), gradients(network)) for network in networks]]
    real_logits, _ = gan.discriminator_step(0, gan.discriminator, real, fake.detach(), None)
    states.append([(weights(network), gradients(network)) for network in networks])
    gan.generator_step(gan.discriminator, fake, real_logits)
    states.append([(weights(network), gradients(network)) for network in networks])
    changed = [
        [not all(map(equal, old, new)) for old, new in zip(before, after, strict=True)]
        for before, after in itertools.pairwise(states)
    ]
    assert changed == [[True, False], [False, True]]
    assert all(parameter.requires_grad for parameter in gan.discriminator.parameters())


def test_the_discriminator_evaluates_the_real_images_once() -> None:
    gan, outputs = tiny(norm="none", loss=RelativisticPairing()), []
    gan.discriminator.register_forward_hook(lambda *call: outputs.append(call[2].detach()))
    (logs,) = train(gan, 1)
    on_real, on_fake, on_fake_after_update = outputs
    expected = torch.nn.functional.softplus(on_real - on_fake_after_update).mean()
    assert torch.equal(logs["G_loss"], expected)
    assert logs["D_real_logits"] == on_real.mean()
    assert logs["D_fake_logits"] == on_fake.mean()


def test_a_step_agrees_with_the_algorithm_written_out() -> None:
    plain = partial(SGD, lr=0.1)
    optimizers = {"generator_optimizer": plain, "discriminator_optimizer": plain}
    gan = tiny(norm="none", loss=Hinge(), penalty=R1(2.0), **optimizers).eval()  # no dropout
    generator, discriminator = copy.deepcopy(gan.generator), copy.deepcopy(gan.discriminator)
    drawn = []
    gan.generator.register_forward_pre_hook(lambda _, inputs: drawn.append(inputs[0]))
    gan.training_step(faces(), 0)

    real = to_float(faces().images).requires_grad_(True)
    fake = generator(drawn[0])
    on_real, on_fake = discriminator(real), discriminator(fake.detach())
    (slope,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
    loss = (1 - on_real).relu().mean() + (1 + on_fake).relu().mean()
    descend(discriminator, loss + slope.square().sum() / BATCH)  # gamma/2 = 1
    descend(generator, -discriminator(fake).mean())
    for mine, theirs in ((generator, gan.generator), (discriminator, gan.discriminator)):
        for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
            assert torch.allclose(a, b, atol=1e-6)


def descend(network: nn.Module, loss: Tensor) -> None:
    parameters = list(network.parameters())
    slopes = torch.autograd.grad(loss, parameters, retain_graph=True)
    for parameter, slope in zip(parameters, slopes, strict=True):
        parameter.data = parameter.detach() - 0.1 * slope  # a new tensor: the graph keeps the old


@pytest.mark.parametrize(
    ("n_critic", "turns"),
    [(1, [True, True, True, True, True]), (3, [False, False, True, False, False])],
)
def test_one_batch_of_fakes_serves_every_critic_update_and_every_n_critic_th_generator_update(
    n_critic: int, turns: list[bool]
) -> None:
    gan, made, moves = tiny(n_critic=n_critic), [], []
    gan.generator.register_forward_hook(lambda *call: made.append(call[2]))
    for step in range(len(turns)):
        before = weights(gan.generator), weights(gan.ema), weights(gan.discriminator)
        (logs,) = train(gan, 1, start=step)
        moved = not equal(before[0], weights(gan.generator))
        assert moved == (not equal(before[1], weights(gan.ema))) == ("G_loss" in logs)
        assert not equal(before[2], weights(gan.discriminator))
        moves.append(moved)
    assert moves == [fakes.requires_grad for fakes in made] == turns
    assert [len(fakes) for fakes in made] == [BATCH] * len(turns)


def test_the_penalty_is_added_at_every_interval_th_step() -> None:
    gan = tiny(penalty=R1(1.0, interval=2))
    assert ["R1" in logs for logs in train(gan, 4)] == [True, False, True, False]


def test_images_seen_counts_the_images_of_all_devices_and_is_in_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gan, resumed, checkpoint = tiny(), tiny(), {}
    train(gan, 3)
    assert gan.images_seen == 3 * BATCH
    monkeypatch.setattr(BareGAN, "trainer", SimpleNamespace(world_size=2))
    gan.training_step(faces(count=BATCH // 2), 3)
    gan.on_save_checkpoint(checkpoint)
    resumed.on_load_checkpoint(checkpoint)
    assert gan.images_seen == resumed.images_seen == 4 * BATCH


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # which torch.compile reads
def test_compiled_networks_take_the_same_steps_and_the_penalty_runs_eagerly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []  # of compiled code

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., object]:
        return lambda *arguments: calls.append(graph) or graph.forward(*arguments)

    class EagerR1(R1):
        def discriminator(self, *arguments):
            before = len(calls)
            result = super().discriminator(*arguments)
            assert len(calls) == before
            return result

    plain, compiled = (tiny(penalty=EagerR1(0.5, interval=2)) for _ in range(2))
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend=backend))
    compiled.compile_networks()
    for gan in (plain, compiled):
        train(gan, 2)  # the first with the penalty
    assert calls
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    for name, value in plain.state_dict().items():
        assert torch.allclose(compiled.state_dict()[name], value, atol=1e-5), name


def test_update_ema_averages_parameters_and_copies_buffers() -> None:
    ema, current = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    with torch.no_grad():
        ema.weight.fill_(1), current.weight.fill_(3)
        ema.bias.fill_(0), current.bias.fill_(-4)
        current.running_mean.fill_(7)
    update_ema(ema, current, decay=0.75)
    assert [ema.weight.item(), ema.bias.item(), ema.running_mean.item()] == [1.5, -1, 7]
    update_ema(ema, current, decay=0)
    assert equal(weights(ema), weights(current))
    assert current.weight.item() == 3


def test_without_a_halflife_the_ema_is_a_copy() -> None:
    gan = tiny(ema_halflife=0)
    train(gan, 3)
    assert equal_states(gan.ema, gan.generator)


def test_a_weight_of_the_ema_counts_half_after_a_halflife() -> None:
    gan = tiny(ema_halflife=BATCH)
    assert equal_states(gan.ema, gan.generator)
    assert not any(parameter.requires_grad for parameter in gan.ema.parameters())
    gan.images_seen = 1000 * BATCH  # after the ramp-up
    old = weights(gan.ema)
    train(gan, 1)
    for before, after, average in zip(old, *map(weights, (gan.generator, gan.ema)), strict=True):
        assert torch.allclose(average, (before + after) / 2, atol=1e-6)
    for images in (BATCH, 5 * BATCH):
        assert ema_decay(1000, 10**6, images) ** (1000 / images) == pytest.approx(0.5)


def test_the_halflife_grows_with_the_run() -> None:
    decays = [ema_decay(1000, seen, BATCH) for seen in (0, 1000, 10_000, 20_000, 10**6)]
    halflives = [50, 500, 1000, 1000]  # 0.05 of the images seen, up to the full half-life
    assert decays[0] < 1e-6  # drops the initial weights
    assert decays[1:] == pytest.approx([0.5 ** (BATCH / halflife) for halflife in halflives])


def test_frozen_restores_what_was_trainable_also_after_an_error() -> None:
    layer = nn.Linear(2, 1)
    layer.bias.requires_grad_(False)
    with pytest.raises(ZeroDivisionError), frozen(layer):
        raise ZeroDivisionError
    assert [layer.weight.requires_grad, layer.bias.requires_grad] == [True, False]


def test_the_seed_alone_decides_the_bits() -> None:
    one, other, third = (tiny(penalty=GradientPenalty(), seed=seed) for seed in (1, 1, 2))
    logs = train(one, 3)
    torch.manual_seed(999)  # other draws from the global generator have no effect
    assert logs == train(other, 3)
    assert equal_states(one, other)
    train(third, 3)
    assert not equal_states(one, third)


def test_devices_and_steps_draw_different_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for rank in (0, 1):
        monkeypatch.setattr(BareGAN, "global_rank", rank)
        gan = tiny()
        gan.generator.register_forward_pre_hook(lambda _, inputs: drawn.append(inputs[0]))
        train(gan, 2)
    assert drawn[0].shape == (BATCH, LATENT)
    assert len({str(z) for z in drawn}) == 4


@pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training")
@pytest.mark.filterwarnings("ignore:.*have no `validation_step`")
@pytest.mark.filterwarnings("ignore:.*LeafSpec")
@pytest.mark.filterwarnings("ignore:The '?train_dataloader'? does not have many workers")
def test_lightning_runs_the_same_algorithm(tmp_path: Path) -> None:
    changes = {"penalty": R1(1.0, interval=2), "n_critic": 2}
    bare, gan = tiny(**changes), GAN(**arguments(**changes))
    train(bare, 4)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(gan, DataLoader([faces(seed) for seed in range(4)], batch_size=None))
    assert gan.images_seen == 4 * BATCH
    assert equal_states(bare, gan)


@pytest.mark.parametrize(
    ("discriminator", "shape"),
    [
        (DCGANDiscriminator(3, image_size=28), "(3, 28, 28)"),
        (DCGANDiscriminator(3, image_size=SIZE, channels=1), "(1, 14, 14)"),
    ],
)
def test_networks_of_different_shapes_are_refused(discriminator: nn.Module, shape: str) -> None:
    with pytest.raises(ValueError, match="must have the same image_size and channels") as error:
        tiny(discriminator=discriminator)
    assert str(error.value).endswith(f"got (3, 14, 14) and {shape}")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: tiny(seed=2**32), "seed must be a whole number from 0 to"),
        (lambda: NonSaturating(0.5), "label_smoothing must be a number from 0 to 0.49, got 0.5"),
        (lambda: GradientPenalty(weight=math.inf), "weight must be a number from 0 to"),
        (lambda: ADA(p=2), "p must be a number from 0 to 1, got 2"),
        (lambda: ADA(full_images=0), "full_images must be a whole number from 1 to"),
        (lambda: ADA(target=1.5), "target must be a number from -1 to 1, got 1.5"),
        (lambda: DiffAugment(["colour"]), "policy must be one of color, translation, cutout, got"),
        (lambda: SpectralDescent([], 0.1, beta2=1), "beta2 must be a number from 0 to 0.999999"),
        (
            lambda: tiny(generator_optimizer=partial(Adam, betas=[0.5])),
            r"generator_optimizer: .*, got {'betas': \[0.5\]}",
        ),
    ],
)
def test_values_out_of_range_are_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


class Columns(DCGANDiscriminator):
    def logits(self, features: Tensor) -> Tensor:
        return super().logits(features)[:, None]


class Unreduced(NonSaturating):
    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return fake_logits - real_logits


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"discriminator": Columns(3, image_size=SIZE)}, r"shape \(4,\), got \(4, 1\)"),
        ({"loss": Unreduced()}, r"loss of the discriminator must be a scalar, got shape \(4,\)"),
    ],
)
def test_logits_and_losses_of_other_shapes_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(FaceganError, match=message):
        train(tiny(**changes), 1)


def test_each_parameter_group_keeps_its_own_learning_rate() -> None:
    def two_groups(parameters) -> Optimizer:
        first, *others = parameters
        return Adam([{"params": [first], "lr": 0.5}, {"params": others}], lr=0.1)

    gan = tiny(generator_optimizer=partial(two_groups))
    groups = gan.optimizer_by_name["generator"].param_groups
    assert [group["initial_lr"] for group in groups] == [0.5, 0.1]


class MatrixProducts(TorchDispatchMode):
    """Records the types of matrix products, which autocast may have changed."""

    def __init__(self) -> None:
        super().__init__()
        self.types: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default):
            self.types |= {value.dtype for value in args if isinstance(value, Tensor)}
        return func(*args, **(kwargs or {}))


def test_second_derivatives_of_penalties_are_in_fp32_under_autocast() -> None:
    discriminator = DCGANDiscriminator(width=3, image_size=SIZE, norm="none", hidden=4)
    gan = tiny(discriminator=discriminator, penalty=R1(1.0))
    with torch.autocast("cpu", torch.bfloat16):
        value, _ = gan.penalty.lazy(0, gan.discriminator, to_float(faces().images), Tensor())
        with MatrixProducts() as products:
            gan.update("discriminator", value)
    assert products.types == {torch.float32}


def test_a_discriminator_without_labels_needs_a_forward_of_images_only() -> None:
    class Mean(Discriminator):
        def __init__(self) -> None:
            super().__init__(SIZE, 3)
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
            return self.scale * images.mean(dim=(1, 2, 3))

    gan = tiny(discriminator=Mean())
    train(gan, steps=1)
    assert gan.discriminator.scale != 1
