"""Known linear degradations A and their adjoints, for the gradient step of Eq. (6)."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LinearOperator(nn.Module, ABC):
    """A linear map A from images to measurements, with its exact adjoint A^T.

    Subclasses satisfy <A x, y> = <x, A^T y> for all x and y; the tests check this in float64.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Compute measurements A x of images ``x`` (B, C, H, W)."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Compute images A^T y (B, C, H, W) from measurements ``y``."""


class BlockSampling(LinearOperator):
    """Block compressive sensing (Section 4.5): y = Phi x for each block, with one learned Phi.

    Args:
        measurements: number of measurements per block, M.
        block: side of a square block in pixels; Phi is (M, block * block), pixels row by row.

    Shapes: images are (B, 1, H, W) with H and W multiples of ``block``; measurements are
    (B, M, H / block, W / block), in the arrangement of the blocks.

    Phi^T (Phi x - y) takes 2 M block^2 multiplications per block. With a precomputed Phi^T Phi it
    would take block^4, plus the computation of Phi^T Phi in each training step. For
    M <= block^2 / 2, that is for ratios up to 50 %, this is not cheaper, so it is not used.
    """

    def __init__(self, measurements: int, block: int = 32) -> None:
        super().__init__()
        self.block = block
        self.phi = nn.Parameter(torch.empty(measurements, block * block))
        nn.init.xavier_normal_(self.phi)

    def forward(self, x: Tensor) -> Tensor:
        """Apply Phi to every block of ``x``: (B, 1, H, W) -> (B, M, H / block, W / block)."""
        blocks = F.pixel_unshuffle(x, self.block)
        measured = self.phi @ blocks.flatten(2)
        return torch.unflatten(measured, 2, blocks.shape[2:])

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply Phi^T to every measurement: (B, M, h, w) -> (B, 1, h * block, w * block)."""
        blocks = torch.unflatten(self.phi.t() @ y.flatten(2), 2, y.shape[2:])
        return F.pixel_shuffle(blocks, self.block)
