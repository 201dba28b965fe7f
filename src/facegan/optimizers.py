"""What torch.optim lacks: steepest descent under the spectral norm, for weights of any shape."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

QUINTIC = (3.4445, -4.7750, 2.0315)  # p(s) = 3.4445 s - 4.775 s³ + 2.0315 s⁵: Jordan et al. 2024
STEPS = 5  # the same
LEAST_NORM = 1e-18  # whose square fp32 still tells from nothing


class SpectralDescent(Optimizer):
    """Every step of a weight is lr·√n·U·Vᵀ, where U·S·Vᵀ is its gradient as an (m, n) matrix.

    All directions of a layer move by as much, not only those that the loss is steepest in. The
    matrix has a weight's first dimension as rows and all others as columns, n is the longer side,
    and a bias is one row; so entries change by lr in the root mean square, as with Adam(0, …).
    Nothing is remembered from step to step.

    Carlson et al. 2015 ("Preconditioned Spectral Descent for Deep Learning"), whose steps grow with
    S; Jordan et al. 2024 ("Muon: An optimizer for hidden layers in neural networks"), without its
    momentum. torch.optim.Muon takes matrices alone.
    """

    def __init__(self, params: ParamsT, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    gradient = weight.grad
                    rows = len(gradient) if gradient.ndim > 1 else 1
                    matrix = gradient.reshape(rows, -1)
                    size = group["lr"] * max(matrix.shape) ** 0.5
                    weight.sub_(orthogonalise(matrix).reshape(weight.shape), alpha=size)
        return loss


def orthogonalise(matrix: Tensor) -> Tensor:
    """U·S·Vᵀ, (m, n) -> about U·Vᵀ in fp32: singular values of 0.68 to 1.21 instead of S.

    So it is for those of at least 0.002 of the matrix's Frobenius norm; smaller ones grow by a
    factor of 480 at the most. Jordan et al.'s Newton-Schulz iteration, of which all factors are
    polynomials of the Gram matrix: only the first product and the last have the longer side.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalise(matrix.T).T
    matrix = matrix.float()
    with torch.autocast(matrix.device.type, enabled=False):  # bf16 has too few digits for squares
        matrix = matrix / matrix.norm().clamp(min=LEAST_NORM)
        if len(matrix) == 1:
            return matrix  # its only singular value is 1
        gram = matrix @ matrix.T
        factor = product = _quintic_factor(gram)
        for _ in range(STEPS - 1):
            gram = factor @ gram @ factor
            factor = _quintic_factor(gram)
            product = factor @ product
        return product @ matrix


def _quintic_factor(gram: Tensor) -> Tensor:
    """What multiplies a matrix of this Gram matrix, so that s -> p(s) for its singular values."""
    linear, cubic, quintic = QUINTIC
    factor = torch.addmm(gram, gram, gram, beta=cubic, alpha=quintic)
    factor.diagonal().add_(linear)
    return factor
