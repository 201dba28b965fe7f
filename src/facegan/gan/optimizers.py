"""What torch.optim lacks: steepest descent under the spectral norm, for all of a network."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

NS_COEFFICIENTS = (
    3.4445,
    -4.7750,
    2.0315,
)  # p(s) = 3.4445 s - 4.775 s³ + 2.0315 s⁵: Jordan et al. 2024
NS_STEPS = 5  # the same
EPSILON = 1e-8  # Adam's: Kingma and Ba 2015, algorithm 1
MIN_NORM = 1e-18  # whose square fp32 still tells from nothing


class SpectralDescent(Optimizer):
    """A layer's weights move by lr·√n·U·Vᵀ, where U·S·Vᵀ is their gradient as an (m, n) matrix.

    All directions of a layer move by as much, not only those that the loss is steepest in. The
    matrix has the weights' first dimension as rows and all others as columns, n is its longer side,
    so that entries change by lr in the root mean square. Biases and what has but one output take
    the steps of Adam(lr, betas=(0, beta2)), of the same size. These follow the gradient's length,
    by which a lazy penalty makes itself heard: without them a discriminator grows ever steeper
    (benchmarks/recipes.md, the eighth round).

    Carlson et al. 2015 ("Preconditioned Spectral Descent for Deep Learning"), whose steps grow with
    S; Jordan et al. 2024 ("Muon: An optimizer for hidden layers in neural networks"), without its
    momentum. torch.optim.Muon takes matrices alone.
    """

    def __init__(self, params: ParamsT, lr: float, beta2: float) -> None:
        if not 0 <= beta2 < 1:
            raise ValueError(f"beta2 must lie in [0, 1), got {beta2}; try 0.99")
        super().__init__(params, {"lr": lr, "beta2": beta2})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                gradient = weight.grad
                if gradient is None:
                    continue
                if gradient.ndim > 1 and len(gradient) > 1:
                    change = spectral_step(gradient)
                else:
                    change = adam_step(gradient, self.state[weight], group["beta2"])
                weight.sub_(change, alpha=group["lr"])
        return loss


def spectral_step(gradient: Tensor) -> Tensor:
    """√n·U·Vᵀ of a gradient, in its shape: entries of 1 in the root mean square, about."""
    matrix = gradient.flatten(1)
    return orthogonalize(matrix).reshape(gradient.shape) * max(matrix.shape) ** 0.5


def adam_step(gradient: Tensor, state: dict[str, Any], beta2: float) -> Tensor:
    """The gradient over the root of its mean square: Adam's step without momentum."""
    if not state:
        state.update(steps=0, mean_square=torch.zeros_like(gradient))
    state["steps"] += 1
    state["mean_square"].lerp_(gradient.square(), 1 - beta2)
    corrected = state["mean_square"] / (1 - beta2 ** state["steps"])
    return gradient / (corrected.sqrt() + EPSILON)


def orthogonalize(matrix: Tensor) -> Tensor:
    """U·S·Vᵀ, (m, n) -> about U·Vᵀ in fp32: singular values of 0.68 to 1.21 instead of S.

    So it is for those of at least 0.002 of the matrix's Frobenius norm; smaller ones grow by a
    factor of 480 at the most. Jordan et al.'s Newton-Schulz iteration, of which all factors are
    polynomials of the Gram matrix: only the first product and the last have the longer side.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalize(matrix.T).T
    matrix = matrix.float()
    with torch.autocast(matrix.device.type, enabled=False):  # bf16 has too few digits for squares
        matrix = matrix / matrix.norm().clamp(min=MIN_NORM)
        gram = matrix @ matrix.T
        factor = product = _newton_schulz_factor(gram)
        for _ in range(NS_STEPS - 1):
            gram = factor @ gram @ factor
            factor = _newton_schulz_factor(gram)
            product = factor @ product
        return product @ matrix


def _newton_schulz_factor(gram: Tensor) -> Tensor:
    """What multiplies a matrix of this Gram matrix, so that s -> p(s) for its singular values."""
    linear, cubic, quintic = NS_COEFFICIENTS
    factor = torch.addmm(gram, gram, gram, beta=cubic, alpha=quintic)
    factor.diagonal().add_(linear)
    return factor
