"""Known linear degradations A and their adjoints, for the gradient step of Eq. (6)."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LinearOperator(nn.Module, ABC):
    """A linear map A from images to measurements, with its exact adjoint.

    A subclass must satisfy <A x, y> = <x, A^T y> for all x and y; the tests check it in float64.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Measurements A x of the images ``x`` (B, C, H, W)."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Images A^T y (B, C, H, W) of the measurements ``y``."""


class BlockSampling(LinearOperator):
    """Block compressive sensing: every block of pixels is measured by one learned matrix Phi.

    Args:
        measurements: rows M of Phi.
        block: side of a square block; Phi is (M, block * block), pixels in row-major order.

    Shapes: images are (B, 1, H, W) with H and W multiples of ``block``; measurements are
    (B, M, H / block, W / block), so that they carry the geometry of the image.

    The gradient Phi^T (Phi x - y) costs 2 M block^2 multiplications a block in this form and
    block^4 with a precomputed Phi^T Phi, which would have to be built anew in every training
    step: for M <= block^2 / 2, that is for every ratio up to 50 %, the product is never cheaper,
    so it is never built.
    """

    def __init__(self, measurements: int, block: int = 32) -> None:
        super().__init__()
        self.block = block
        self.phi = nn.Parameter(torch.empty(measurements, block * block))
        nn.init.xavier_normal_(self.phi)

    def forward(self, x: Tensor) -> Tensor:
        """Phi applied to every block of ``x``: (B, 1, H, W) -> (B, M, H/block, W/block)."""
        blocks = F.pixel_unshuffle(x, self.block)
        measured = self.phi @ blocks.flatten(2)
        return torch.unflatten(measured, 2, blocks.shape[2:])

    def adjoint(self, y: Tensor) -> Tensor:
        """Phi^T applied to every measurement: (B, M, h, w) -> (B, 1, h*block, w*block)."""
        blocks = torch.unflatten(self.phi.mT @ y.flatten(2), 2, y.shape[2:])
        return F.pixel_shuffle(blocks, self.block)
