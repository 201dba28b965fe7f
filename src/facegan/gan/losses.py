"""Adversarial losses: functions of the discriminator's logits, (B,) each, to a scalar."""

import torch.nn.functional as F
from torch import Tensor, nn

from facegan.core.checks import check_number


class AdversarialLoss(nn.Module):
    """A pair of objectives, one for each network.

    Both take the logits of a batch of real and a batch of generated images, (B,) float32, where
    positive means real, and return a scalar to minimize. In the generator's objective the real
    logits are those of the discriminator's step: they are detached and one update old. If the mean
    logits of real and generated images differ by `won_margin` or more, the loss is saturated.
    """

    won_margin: float = 10.0  # sigmoid(10) is within 1e-4 of 1

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """The discriminator's objective."""
        raise NotImplementedError

    def generator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        """The generator's objective."""
        raise NotImplementedError

    def real_margin(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """(B,), positive if the discriminator recognizes a real image; used by ADA."""
        return real_logits


class NonSaturating(AdversarialLoss):
    """The logistic loss; the generator maximizes log D(G(z)) (Goodfellow et al. 2014, section 3).

    `label_smoothing` = s in [0, 0.49] lowers the target of real images from 1 to 1 - s: one-sided
    label smoothing (Salimans et al. 2016, section 3.4). The target of fakes stays 0.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        check_number("label_smoothing", label_smoothing, 0, 0.49, whole=False)
        self.label_smoothing = label_smoothing

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        smooth = self.label_smoothing
        on_real = (1 - smooth) * F.softplus(-real_logits) + smooth * F.softplus(real_logits)
        return on_real.mean() + F.softplus(fake_logits).mean()

    def generator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        return F.softplus(-fake_logits).mean()


class Minimax(NonSaturating):
    """The original zero-sum game: G minimizes log(1 - D(G(z))) (Goodfellow et al. 2014, eq. 1).

    Its gradient vanishes when the discriminator rejects the fakes with confidence; that of
    `NonSaturating` does not.
    """

    def generator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        return -F.softplus(fake_logits).mean()


class LeastSquares(AdversarialLoss):
    """Least squares with the targets 0 and 1 (Mao et al. 2017, eq. 9)."""

    won_margin = 0.98  # its targets are 0 and 1

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return 0.5 * (real_logits - 1).square().mean() + 0.5 * fake_logits.square().mean()

    def generator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        return 0.5 * (fake_logits - 1).square().mean()

    def real_margin(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return real_logits - 0.5  # halfway between the targets


class Hinge(AdversarialLoss):
    """The hinge loss (Lim and Ye 2017; Miyato et al. 2018, eqs. 16 and 17)."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()

    def generator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        return -fake_logits.mean()


class Wasserstein(AdversarialLoss):
    """The Kantorovich-Rubinstein dual of the earth mover's distance (Arjovsky et al. 2017, eq. 2).

    It is valid for a Lipschitz discriminator only: combine it with `GradientPenalty`.
    """

    won_margin = float("inf")  # its logits have no scale

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return fake_logits.mean() - real_logits.mean()

    def generator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        return -fake_logits.mean()

    def real_margin(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return real_logits - fake_logits  # logits are defined up to a constant


class RelativisticPairing(AdversarialLoss):
    """Each fake is compared with the real image at the same index (Huang et al. 2024, eq. 2).

    After Jolicoeur-Martineau 2019 ("The relativistic discriminator"). Huang et al. maximize
    it with f(t) = -softplus(-t); here its negative is minimized. Do not use it with batch norm in
    the discriminator.
    """

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return F.softplus(fake_logits - real_logits).mean()

    def generator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        return F.softplus(real_logits - fake_logits).mean()

    def real_margin(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return real_logits - fake_logits  # logits are defined up to a constant


def label_matching(logits: Tensor) -> Tensor:
    """Whether images fit their own labels better than those of the other images: (B, B) -> scalar.

    0 for the logits of a discriminator without labels, (B,).

    Row i has the logits of image i with the labels of each image of the batch; on the diagonal they
    are its own. Reed et al. 2016 ("Generative Adversarial Text to Image Synthesis"), section 4.1,
    give the discriminator real images with the texts of others as a third kind of input. Here the
    two logits of one image are compared, as by `RelativisticPairing`. An attribute then counts in
    the pairs that differ in it, as many images with it as without it, however rare it is. Only the
    discriminator minimizes it, on real images: a generator that did would exaggerate the labels.
    """
    if logits.ndim == 1:
        return logits.new_zeros(())
    return F.softplus(logits - own_logits(logits)[:, None]).mean()


def own_logits(logits: Tensor) -> Tensor:
    """Those of each image with its own labels: (B, B) or (B,) -> (B,)."""
    return logits.diagonal() if logits.ndim == 2 else logits
