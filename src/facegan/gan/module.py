"""The training step of a GAN as a LightningModule: D step, G step, EMA, image counter."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from facegan.core.batch import Batch
from facegan.core.checks import MANY, check_number
from facegan.core.errors import FaceganError
from facegan.core.images import to_float
from facegan.core.seeds import derive_seed
from facegan.gan.augment import Augmentation, NoAugmentation
from facegan.gan.ema import ema_decay, update_ema
from facegan.gan.losses import AdversarialLoss, label_matching, own_logits
from facegan.gan.penalties import Critic, Logs, Penalty
from facegan.networks.base import Discriminator, Generator

LABEL_DROPOUT = 0.1  # of the images


class GAN(pl.LightningModule):
    """A generator and a discriminator, trained in alternation by manual optimization.

    `batch_size` is the number of real images in one step, over all devices. The generator is
    updated after every `n_critic` updates of the discriminator. `ema` is the moving average of the
    generator, with a half-life of `ema_halflife` images; sampling, evaluation and saving use it.
    With a half-life of 0, `ema` is a copy of the generator. With `labels`, the arguments of a
    `LabelTable`, both networks are conditional.

    Raises ValueError for values out of range and for networks of different image sizes.
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
        seed: int = 0,
        augment: Augmentation | None = None,
        labels: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if generator.image_shape != discriminator.image_shape:
            raise ValueError(
                "generator and discriminator must have the same image_size and channels, got "
                f"{generator.image_shape} and {discriminator.image_shape}"
            )
        check_number("batch_size", batch_size, 1, MANY)
        check_number("n_critic", n_critic, 1, 1000)
        check_number("ema_halflife", ema_halflife, 0, MANY, whole=False)
        check_number("seed", seed, 0, 2**32 - 1)
        if labels is not None:
            generator.condition_on(labels)
            discriminator.condition_on(labels)
        self.automatic_optimization = False
        self.generator = generator.to(memory_format=torch.channels_last)
        self.discriminator = discriminator.to(memory_format=torch.channels_last)
        self.ema = copy.deepcopy(generator).requires_grad_(False).eval()
        self.loss = loss
        self.penalty = penalty
        self.augment = augment or NoAugmentation()
        self.optimizer_by_name = {
            "discriminator": _optimizer("discriminator", discriminator_optimizer, discriminator),
            "generator": _optimizer("generator", generator_optimizer, generator),
        }
        self.batch_size = batch_size
        self.n_critic = n_critic
        self.ema_halflife = ema_halflife
        self.seed = seed
        self.images_seen = 0

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of real and generated images."""
        return self.generator.image_shape

    def compile_networks(self) -> None:
        """Compiles both networks in place, which keeps the names of their parameters."""
        self.generator.compile()
        self.discriminator.compile()

    def configure_optimizers(self) -> list[Optimizer]:
        return [*self.optimizer_by_name.values()]

    def training_step(self, batch: Batch, batch_idx: int) -> Logs:
        """One batch of real images and one batch of fakes; the fakes serve both updates."""
        # seeded by the position in the run, so that a resumed run needs no saved random state
        position = (self.seed, self.images_seen, self.global_rank)
        torch.manual_seed(derive_seed("training step", *position))
        step = self.images_seen // self.batch_size
        update_generator = (step + 1) % self.n_critic == 0
        real = to_float(batch.images)  # (B, C, H, W) uint8 -> float in [-1, 1]
        z = torch.randn(len(real), self.generator.latent_dim, device=real.device)
        labels = self.labels(batch)  # (B, A), the same for the fakes, or None
        with torch.set_grad_enabled(update_generator):
            fake = self.generator(self.generator.condition(z, labels))

        critic = partial(self.critic, labels=labels)
        real_logits, logs = self.discriminator_step(step, critic, real, fake.detach(), labels)
        if update_generator:
            logs |= self.generator_step(critic, fake, real_logits)
            self.ema_step()
        self.images_seen += len(real) * self.trainer.world_size
        return logs

    def labels(self, batch: Batch) -> Tensor | None:
        """The labels of a batch, (B, A) in {-1, 0, 1}, those of some images dropped to 0.

        So the networks learn faces without labels, too (Ho and Salimans 2022, "Classifier-Free
        Diffusion Guidance", section 3.2). None without conditional networks.
        """
        if self.generator.labels is None:
            return None
        kept = torch.rand(len(batch.attributes), 1, device=self.device) >= LABEL_DROPOUT
        return batch.attributes * kept.float()

    def critic(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """What losses and penalties differentiate: images (B, C, H, W) -> logits (B,)."""
        return own_logits(self.logits(images, labels))

    def logits(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Of augmented images: (B,), or (B, B) with the labels of every image of the batch."""
        given = () if labels is None else (labels,)  # not every discriminator takes labels
        logits: Tensor = self.discriminator(self.augment(images), *given)
        expected = (len(images), *map(len, given))
        if logits.shape != expected:  # (B, 1) would broadcast
            raise FaceganError(
                f"the discriminator must return logits of shape {expected}, got "
                f"{tuple(logits.shape)}"
            )
        return logits

    def discriminator_step(
        self, step: int, critic: Critic, real: Tensor, fake: Tensor, labels: Tensor | None
    ) -> tuple[Tensor, Logs]:
        """One update of the discriminator; returns the real images' logits, (B,), detached."""
        logits = self.logits(real, labels)
        matching = label_matching(logits)
        real_logits, fake_logits = own_logits(logits), critic(fake)
        loss = self.loss.discriminator(real_logits, fake_logits)
        penalty, penalty_logs = self.penalty.lazy(step, critic, real, fake)
        self.update("discriminator", loss + matching + penalty)

        real_logits, fake_logits = real_logits.detach(), fake_logits.detach()
        sign = self.loss.real_margin(real_logits, fake_logits).sign().mean()
        augment_logs = self.augment.adapt(sign, self.batch_size)
        logs = {
            "D_loss": loss.detach(),
            "D_real_logits": real_logits.mean(),
            "D_fake_logits": fake_logits.mean(),
        }
        if labels is not None:
            logs["D_label_matching"] = matching.detach()
        return real_logits, logs | penalty_logs | augment_logs

    def generator_step(self, critic: Critic, fake: Tensor, real_logits: Tensor) -> Logs:
        """One update of the generator through the frozen discriminator."""
        with frozen(self.discriminator):
            loss = self.loss.generator(critic(fake), real_logits)
            self.update("generator", loss)
        return {"G_loss": loss.detach()}

    def ema_step(self) -> None:
        """One update of the moving average, for the images since the last one."""
        images = self.batch_size * self.n_critic
        update_ema(self.ema, self.generator, ema_decay(self.ema_halflife, self.images_seen, images))

    def update(self, name: str, loss: Tensor) -> None:
        """One step of the optimizer of "discriminator" or "generator"."""
        if loss.ndim:
            raise FaceganError(
                f"the loss of the {name} must be a scalar, got shape {tuple(loss.shape)}: take the "
                "mean over the images"
            )
        wrapped = cast(list[Optimizer], self.optimizers())  # by Lightning, for mixed precision
        optimizer = dict(zip(self.optimizer_by_name, wrapped, strict=True))[name]
        optimizer.zero_grad()
        # under autocast, a penalty's second derivatives in linear layers would be in half precision
        with torch.autocast(loss.device.type, enabled=False):
            self.manual_backward(loss)
        optimizer.step()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["images_seen"] = self.images_seen

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.images_seen = checkpoint["images_seen"]


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Within the block, gradients pass through `module`, and its weights get none."""
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def _optimizer(player: str, factory: partial[Optimizer], network: nn.Module) -> Optimizer:
    try:
        optimizer = factory(network.parameters())
    except (IndexError, TypeError, ValueError) as error:  # torch's own rules
        raise ValueError(f"{player}_optimizer: {error}, got {factory.keywords}") from error
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])  # as torch's schedulers name it
    return optimizer
