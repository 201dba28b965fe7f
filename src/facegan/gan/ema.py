"""The exponential moving average (EMA) of the generator's weights, and its batch norms."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

RAMP_UP = 0.05  # of the images seen: Karras et al. 2022 ("EDM"), training code


def ema_decay(halflife: float, images_seen: int, images: int) -> float:
    """The factor of the old average in one update, after `images` more images; in [0, 1).

    After `halflife` images an old weight counts half. At the start of a run the half-life is
    shorter, 0.05 of the images seen, so that the average drops the initial weights early. A
    half-life of 0 gives 0: the average is a copy of the current weights.
    """
    ramped = min(halflife, RAMP_UP * max(images_seen, 1))
    return 0.5 ** (images / ramped) if ramped > 0 else 0.0


@torch.no_grad()
def update_ema(ema: nn.Module, current: nn.Module, decay: float) -> None:
    """ema <- decay · ema + (1 - decay) · current for the parameters; buffers are copied."""
    average = get_ema_multi_avg_fn(decay)
    average([*ema.parameters()], [*current.parameters()], None)
    for old, new in zip(ema.buffers(), current.buffers(), strict=True):
        old.copy_(new)


@torch.no_grad()
def recalibrate_batch_norm(generator: nn.Module, batches: Iterable[Tensor]) -> None:
    """Sets each batch norm's running statistics to its mean statistics over `batches` of latents.

    The running statistics of the trained generator do not fit averaged weights, whose activations
    have another variance: Izmailov et al. 2018 ("Averaging Weights Leads to Wider Optima and Better
    Generalization"), algorithm 1. All other layers are in eval mode, dropout included, as when
    images are sampled. The generator is in eval mode afterwards.
    """
    generator.eval()
    norms = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean instead of an exponential one
        norm.train()
    for z in batches:
        generator(z)
    generator.eval()
