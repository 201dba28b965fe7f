"""Optimizers that torch.optim lacks: steepest descent under the spectral norm."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from facegan.core.checks import check_number

# Newton-Schulz iteration p(s) = 3.4445 s - 4.775 s³ + 2.0315 s⁵: Jordan et al. 2024
NS_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NS_STEPS = 5  # Jordan et al. 2024
EPSILON = 1e-8  # Adam's: Kingma and Ba 2015, algorithm 1
MIN_NORM = 1e-18  # its square is above the smallest float32


class SpectralDescent(Optimizer):
    """Steepest descent under the spectral norm for matrices, Adam without momentum for the rest.

    The gradient of a weight of shape (out, ...) is reshaped to a matrix (out, rest) with the
    singular value decomposition U·S·Vᵀ. The update is -lr·√n·U·Vᵀ, where n is the longer side of
    the matrix: all singular values are replaced by the same number, and the root mean square of
    the entries is lr.

    Biases and weights with one output use Adam(lr, betas=(0, beta2)). Its steps depend on the size
    of the gradient, which a lazy penalty needs: with steps of a fixed size for all parameters the
    gradient norm of the discriminator kept growing (benchmarks/recipes.md, round 8).

    Carlson et al. 2015 ("Preconditioned Spectral Descent for Deep Learning"), but without the
    factor that grows with S; Jordan et al. 2024 ("Muon: An optimizer for hidden layers in neural
    networks"), but without momentum. torch.optim.Muon accepts matrices only.

    Raises ValueError for an `lr` or a `beta2` out of range.
    """

    def __init__(self, params: ParamsT, lr: float, beta2: float) -> None:
        check_number("lr", lr, 1e-12, 10, whole=False)
        check_number("beta2", beta2, 0, 0.999999, whole=False)
        super().__init__(params, {"lr": lr, "beta2": beta2})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None if closure is None else torch.enable_grad()(closure)()
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
    """√n·U·Vᵀ of a gradient, in its shape; the root mean square of the entries is about 1."""
    matrix = gradient.flatten(1)
    return orthogonalize(matrix).reshape(gradient.shape) * max(matrix.shape) ** 0.5


def adam_step(gradient: Tensor, state: dict[str, Any], beta2: float) -> Tensor:
    """gradient / √(its bias-corrected mean square): a step of Adam without momentum."""
    if not state:
        state.update(steps=0, mean_square=torch.zeros_like(gradient))
    state["steps"] += 1
    state["mean_square"].lerp_(gradient.square(), 1 - beta2)
    corrected = state["mean_square"] / (1 - beta2 ** state["steps"])
    return gradient / (corrected.sqrt() + EPSILON)


def orthogonalize(matrix: Tensor) -> Tensor:
    """U·S·Vᵀ, (m, n) -> approximately U·Vᵀ, float32: singular values between 0.68 and 1.21.

    This holds for singular values of at least 0.002 times the Frobenius norm; smaller ones are
    multiplied by at most 480. The Newton-Schulz iteration of Jordan et al. 2024, written in terms
    of the Gram matrix: only its first and last products involve the longer side.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalize(matrix.T).T
    matrix = matrix.float()
    # bf16 is too imprecise for the Gram matrix
    with torch.autocast(matrix.device.type, enabled=False):
        matrix = matrix / matrix.norm().clamp(min=MIN_NORM)
        gram = matrix @ matrix.T
        factor = product = _newton_schulz_factor(gram)
        for _ in range(NS_STEPS - 1):
            gram = factor @ gram @ factor
            factor = _newton_schulz_factor(gram)
            product = factor @ product
        return product @ matrix


def _newton_schulz_factor(gram: Tensor) -> Tensor:
    """The factor F(gram) with F·M = U·p(S)·Vᵀ for a matrix M = U·S·Vᵀ and gram = M·Mᵀ."""
    linear, cubic, quintic = NS_COEFFICIENTS
    factor = torch.addmm(gram, gram, gram, beta=cubic, alpha=quintic)
    factor.diagonal().add_(linear)
    return factor
