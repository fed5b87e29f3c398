"""The gradient descent step of a stage: Eq. (6) for a known A, Eq. (7) for a learned one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dgunet.network.operators import LinearOperator


class GradientBlock(nn.Module):
    """Residual block that replaces A or A^T in Eq. (7): z + conv(act(conv(z))), 3x3 each.

    Args:
        channels: channels of the image, C.
        width: hidden channels.
        activation: the activation; it may be shared between blocks.
    """

    def __init__(self, channels: int, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, width, 3, padding=1)
        self.activation = activation
        self.reduce = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Map ``z`` (B, C, H, W) to the same shape."""
        reduced: Tensor = self.reduce(self.activation(self.expand(z)))
        return z + reduced


class FlexibleGradientDescent(nn.Module):
    """v^k = x_hat^{k-1} - rho^k A^T(A x_hat^{k-1} - y), with a trainable step size rho^k.

    With a known operator this is Eq. (6); without one, A and A^T are two independent residual
    blocks, Eq. (7).

    Args:
        blocks: the pair (F_A, F_At) that replaces A and A^T; None if the operator is known.
    """

    def __init__(self, blocks: tuple[GradientBlock, GradientBlock] | None) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((1,), 0.5))
        self.f_a: GradientBlock | None
        self.f_at: GradientBlock | None
        self.f_a, self.f_at = blocks or (None, None)

    def forward(self, x: Tensor, y: Tensor, operator: LinearOperator | None) -> Tensor:
        """Compute v^k (B, C, H, W).

        Args:
            x: the estimate x_hat^{k-1}, (B, C, H, W).
            y: the observation: (B, C, H, W) if A is learned, else measurements of ``operator``.
            operator: the known A; None if it is learned.

        Raises:
            TypeError: if the step has no learned blocks and no operator is given.
        """
        residual = self.measure(x, operator) - y
        return x - self.rho * self.back_project(residual, operator)

    def measure(self, x: Tensor, operator: LinearOperator | None) -> Tensor:
        """Compute A x with the learned block F_A, or with the known operator."""
        forward = self.f_a if self.f_a is not None else _known(operator)
        measured: Tensor = forward(x)
        return measured

    def back_project(self, residual: Tensor, operator: LinearOperator | None) -> Tensor:
        """Compute A^T r of a residual r with the learned block F_At, or with the known operator."""
        if self.f_at is not None:
            image: Tensor = self.f_at(residual)
            return image
        return _known(operator).adjoint(residual)


def _known(operator: LinearOperator | None) -> LinearOperator:
    if operator is None:
        raise TypeError("a gradient step without learned blocks needs a known operator")
    return operator
