"""The GAN: alternating steps, the moving average of the generator, the image counter."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.optim import Optimizer

from facegan.budget import budget_spent, cosine_decay
from facegan.callbacks import EvaluateGenerator, SampleGrid, SaveGenerator, SettleNorms
from facegan.data.datamodule import Batch
from facegan.images import to_float
from facegan.losses import AdversarialLoss, Critic, Logs
from facegan.networks.base import Discriminator, Generator
from facegan.penalties import Penalty
from facegan.streams import stream_seed


class GAN(pl.LightningModule):
    """A generator and a discriminator, trained in alternation by manual optimisation.

    `batch_size` counts the real images of one step over all devices. The generator takes a step
    after every `n_critic` steps of the discriminator. `ema_halflife` is in images: after so many,
    an old weight counts half in `self.averaged`, the generator that is shown, judged and saved.
    Every `evaluate_every` epochs it is measured; 0 for never. The learning rates fall on a half
    cosine to the fraction `decay_to` of their values by the end of the budget, be that in epochs,
    images or time.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        loss: AdversarialLoss,
        penalty: Penalty,
        generator_optimizer: partial[Optimizer],
        discriminator_optimizer: partial[Optimizer],
        batch_size: int,
        n_critic: int = 1,
        ema_halflife: float = 10_000,
        decay_to: float = 1.0,
        evaluate_every: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        _check_pair(generator, discriminator)
        _check_at_least("n_critic", n_critic, 1)
        _check_at_least("ema_halflife", ema_halflife, 1)
        _check_at_least("decay_to", decay_to, 0)
        self.automatic_optimization = False
        self.generator = generator.to(memory_format=torch.channels_last)
        self.discriminator = discriminator.to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(generator).requires_grad_(False).eval()
        self.loss = loss
        self.penalty = penalty
        self.optimizer_pair = [
            _optimizer("discriminator_optimizer", discriminator_optimizer, discriminator),
            _optimizer("generator_optimizer", generator_optimizer, generator),
        ]
        self.batch_size = batch_size
        self.n_critic = n_critic
        self.ema_halflife = ema_halflife
        self.decay_to = decay_to
        self.peak_rates = [optimizer.param_groups[0]["lr"] for optimizer in self.optimizer_pair]
        self.evaluate_every = evaluate_every
        self.seed = seed
        self.images_seen = 0

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Of the images it makes and judges: (channels, height, width)."""
        return self.generator.channels, self.generator.image_size, self.generator.image_size

    def compile_networks(self) -> None:
        """Compiles both networks in place, so that their weights keep their names."""
        self.generator.compile()
        self.discriminator.compile()

    def configure_callbacks(self) -> list[Callback]:
        folder = Path(self.trainer.default_root_dir)
        return [
            SettleNorms(),  # before the others use the moving average
            SampleGrid(folder / "samples"),
            SaveGenerator(folder),
            EvaluateGenerator(folder, self.evaluate_every),
        ]

    def configure_optimizers(self) -> list[Optimizer]:
        return self.optimizer_pair

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        spent = budget_spent(self.trainer, batch_idx, self.images_seen)
        factor = cosine_decay(spent, self.decay_to)
        for optimizer, rate in zip(self.optimizer_pair, self.peak_rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor

    def training_step(self, batch: Batch, batch_idx: int) -> Logs:
        """One batch of real images and one batch of fakes, which serves both steps."""
        # latents, dropout and penalties draw from a stream that is a pure function of the position:
        # a resumed run repeats them without any saved state
        key = (self.seed, self.images_seen, self.global_rank)
        torch.manual_seed(stream_seed("training step", *key))
        step = self.images_seen // self.batch_size
        generator_turn = (step + 1) % self.n_critic == 0
        real = to_float(batch.images)  # (B, C, H, W) uint8 -> float in [-1, 1]
        with torch.set_grad_enabled(generator_turn):
            fake = self.generator(self.latents(real))

        critic = OneVerdict(self.discriminator, real)
        logs = self.discriminator_step(step, critic, real, fake.detach())
        if generator_turn:
            logs |= self.generator_step(critic, real, fake)
            update_average(self.averaged, self.generator, self.ema_decay())
        self.images_seen += len(real) * self.trainer.world_size
        return logs

    def discriminator_step(self, step: int, critic: Critic, real: Tensor, fake: Tensor) -> Logs:
        optimizer, _ = cast(list[Optimizer], self.optimizers())
        loss, logs = self.loss.discriminator(critic, real, fake)
        # forward() itself is never compiled: compiled code has no second derivative
        penalty, penalty_logs = self.penalty.lazy(step, self.discriminator.forward, real, fake)
        optimizer.zero_grad()
        self.manual_backward(loss + penalty)
        optimizer.step()
        return logs | penalty_logs

    def generator_step(self, critic: Critic, real: Tensor, fake: Tensor) -> Logs:
        _, optimizer = cast(list[Optimizer], self.optimizers())
        with frozen(self.discriminator):
            loss, logs = self.loss.generator(critic, real, fake)
            optimizer.zero_grad()
            self.manual_backward(loss)
        optimizer.step()
        return logs

    def latents(self, real: Tensor) -> Tensor:
        """z ~ N(0, 1), (B, latent_dim): one for each real image, on its device."""
        return torch.randn(len(real), self.generator.latent_dim, device=real.device)

    def ema_decay(self) -> float:
        """What an old weight is worth after one step of the generator.

        The half-life grows with the run up to its value, so that the first images are soon
        forgotten: the ramp-up of EDM's training code (Karras et al. 2022), 0.05 of what was seen.
        """
        halflife = min(self.ema_halflife, 0.05 * max(self.images_seen, 1))
        return 0.5 ** (self.batch_size * self.n_critic / halflife)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["images_seen"] = self.images_seen

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.images_seen = checkpoint["images_seen"]


class OneVerdict:
    """The critic of one training step: it judges the batch of real images once.

    In the generator's step it repeats, without a graph, what it said in the discriminator's, which
    is one update old: no gradient flows there, and a pass over the images is saved.
    """

    def __init__(self, critic: Critic, real: Tensor) -> None:
        self.critic = critic
        self.real = real
        self.verdict: Tensor | None = None

    def __call__(self, images: Tensor) -> Tensor:
        if images is not self.real:
            return self.critic(images)
        if self.verdict is not None:
            return self.verdict
        logits = self.critic(images)
        self.verdict = logits.detach()
        return logits


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Within the block, gradients pass through `module` but are not computed for its weights."""
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


@torch.no_grad()
def update_average(averaged: nn.Module, current: nn.Module, decay: float) -> None:
    """averaged <- decay · averaged + (1 - decay) · current, for the weights.

    The statistics of norm layers do not average with them: `SettleNorms` measures them.
    """
    torch._foreach_lerp_([*averaged.parameters()], [*current.parameters()], 1 - decay)


def _check_at_least(name: str, value: float, least: float) -> None:
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def _check_pair(generator: Generator, discriminator: Discriminator) -> None:
    for name in ("image_size", "channels"):
        made, judged = getattr(generator, name), getattr(discriminator, name)
        if made != judged:
            raise ValueError(
                f"generator and discriminator must agree on {name}, got {made} and {judged}"
            )


def _optimizer(name: str, factory: partial[Optimizer], network: nn.Module) -> Optimizer:
    rate = factory.keywords.get("lr", 1)
    if not isinstance(rate, int | float):
        raise ValueError(f"{name}.lr must be a number, got {rate!r}; try 2e-4")
    if rate <= 0:
        raise ValueError(f"{name}.lr must be positive, got {rate}; try 2e-4")
    return factory(network.parameters())
