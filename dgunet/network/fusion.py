"""Inter-stage feature fusion (ISFF), Eq. (8), and its ablation by plain addition."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dgunet.network.config import DGUNetConfig


class AdditiveFusion(nn.Module):
    """F_hat + Conv(F_enc^{k-1}) + Conv(F_dec^{k-1}) at one scale (Table 6, "w/o SP").

    Args:
        config: defines the widths and the kernel size of the two embedding convolutions.
        level: encoder scale; 0 is full resolution.

    Shapes: encoder features are (B, config.width(level + 1), h, w) and decoder features
    (B, config.width(level), h, w), with h and w the sides at this scale.
    """

    def __init__(self, config: DGUNetConfig, level: int) -> None:
        super().__init__()
        width, kernel = config.width(level + 1), config.fusion_kernel
        self.from_encoder = nn.Conv2d(width, width, kernel, padding=kernel // 2)
        self.from_decoder = nn.Conv2d(config.width(level), width, kernel, padding=kernel // 2)

    def embed(self, encoder: Tensor, decoder: Tensor) -> Tensor:
        """Compute H_n^{k-1}, the first line of Eq. (8), from F_enc^{k-1} and F_dec^{k-1}."""
        embedded: Tensor = self.from_encoder(encoder)
        embedded += self.from_decoder(decoder)
        return embedded

    def forward(self, features: Tensor, encoder: Tensor, decoder: Tensor) -> Tensor:
        """Compute the fused features, of the shape of ``features`` (F_hat)."""
        return features + self.embed(encoder, decoder)


class SpatialAdaptiveFusion(AdditiveFusion):
    """Eq. (8): F_hat * alpha + beta, with maps alpha and beta computed from H_n^{k-1}.

    The text states the kernel size of the embeddings (1x1) but not of Conv_alpha and Conv_beta,
    which are 3x3 as in the released code.
    """

    def __init__(self, config: DGUNetConfig, level: int) -> None:
        super().__init__(config, level)
        width = config.width(level + 1)
        self.alpha = nn.Conv2d(width, width, 3, padding=1)
        self.beta = nn.Conv2d(width, width, 3, padding=1)
        self.leaky = config.fusion_activation == "leaky"
        self.bounded = config.fusion_gain == "one-plus-sigmoid"

    def forward(self, features: Tensor, encoder: Tensor, decoder: Tensor) -> Tensor:
        """Compute the modulated features, of the shape of ``features`` (F_hat)."""
        h = self.embed(encoder, decoder)
        if self.leaky:
            h = F.leaky_relu(h, 0.1, inplace=True)
        gain = self.alpha(h)
        if self.bounded:
            gain = 1 + torch.sigmoid(gain)
        modulated: Tensor = features * gain
        modulated += self.beta(h)
        return modulated


def fusions(config: DGUNetConfig) -> nn.ModuleList:
    """Create the fusions of one encoder, one for each of its ``fusion_scales`` finest scales."""
    if config.fusion == "none":
        return nn.ModuleList()
    kind = SpatialAdaptiveFusion if config.fusion == "spatial" else AdditiveFusion
    return nn.ModuleList(kind(config, level) for level in range(config.fusion_scales))
