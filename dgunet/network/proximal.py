"""The informative proximal mapping (IPMM) of a stage, in the order of Section 3.2.

Channel attention block -> encoder at three scales (with inter-stage fusion) -> decoder ->
supervised attention module, whose features the next stage receives by subspace projection.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dgunet.network.config import DGUNetConfig
from dgunet.network.layers import SCALES, SUBSPACE


def conv3x3(channels_in: int, channels_out: int, *, bias: bool = True) -> nn.Conv2d:
    """Return a 3x3 convolution with zero padding, which keeps the resolution."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=bias)


class ChannelAttentionBlock(nn.Module):
    """CAB: z + u * sigmoid(W2 relu(W1 mean(u))) with u = conv(act(conv(z))).

    The mean is over all pixels, and W1 reduces the channels by 4.

    Args:
        width: number of channels, a multiple of 4.
        activation: the activation between the two convolutions; it may be shared.
    """

    def __init__(self, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.expand = conv3x3(width, width, bias=False)
        self.activation = activation
        self.reduce = conv3x3(width, width, bias=False)
        self.squeeze = nn.Conv2d(width, width // 4, 1, bias=False)
        self.excite = nn.Conv2d(width // 4, width, 1, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        """Map features (B, width, H, W) to features of the same shape."""
        u: Tensor = self.reduce(self.activation(self.expand(z)))
        attention = self.excite(F.relu(self.squeeze(u.mean((2, 3), keepdim=True))))
        u = u * torch.sigmoid(attention)
        u += z
        return u


class ShallowFeatures(nn.Module):
    """First layers of the proximal mapping: a convolution of the image, then a CAB."""

    def __init__(self, channels: int, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.lift = conv3x3(channels, width, bias=False)
        self.attend = ChannelAttentionBlock(width, activation)

    def forward(self, v: Tensor) -> Tensor:
        """Map an image (B, channels, H, W) to features (B, width, H, W)."""
        features: Tensor = self.attend(self.lift(v))
        return features


class HalfInstanceNorm(nn.Module):
    """Instance normalisation (affine, no running statistics) of the first half of the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(width // 2, affine=True)

    def forward(self, z: Tensor) -> Tensor:
        """Map features (B, width, H, W) with H * W > 1 to features of the same shape."""
        first, second = z.chunk(2, dim=1)
        return torch.cat([self.norm(first), second], dim=1)


class ResidualBlock(nn.Module):
    """Residual block of the encoder and the decoder.

    "plain" (text): conv, ReLU, conv, plus the input. "leaky" (code): conv, half-instance
    normalisation if ``norm``, LeakyReLU 0.2, conv, LeakyReLU 0.2, plus a 1x1 convolution of the
    input. A plain block that changes the number of channels also convolves its input (1x1).
    """

    def __init__(
        self, channels_in: int, channels_out: int, config: DGUNetConfig, *, norm: bool
    ) -> None:
        super().__init__()
        self.leaky = config.residual_block == "leaky"
        self.first = conv3x3(channels_in, channels_out)
        self.norm = HalfInstanceNorm(channels_out) if norm else nn.Identity()
        self.second = conv3x3(channels_out, channels_out)
        self.identity = (
            nn.Conv2d(channels_in, channels_out, 1)
            if self.leaky or channels_in != channels_out
            else nn.Identity()
        )

    def forward(self, z: Tensor) -> Tensor:
        """Map features (B, channels_in, H, W) to (B, channels_out, H, W)."""
        hidden = self.norm(self.first(z))
        # In place: the pre-activations are kept neither by inference nor for the backward pass.
        hidden = (
            F.leaky_relu(hidden, 0.2, inplace=True) if self.leaky else F.relu(hidden, inplace=True)
        )
        hidden = self.second(hidden)
        if self.leaky:
            hidden = F.leaky_relu(hidden, 0.2, inplace=True)
        output: Tensor = hidden + self.identity(z)
        return output


class Encoder(nn.Module):
    """Residual blocks at full, 1/2 and 1/4 resolution and a bottleneck at 1/8.

    Args:
        config: defines widths, residual block, normalisation and downsampling.
        fusions: one fusion for each fused scale, finest first; empty to fuse nothing.
    """

    def __init__(self, config: DGUNetConfig, fusions: nn.ModuleList) -> None:
        super().__init__()
        norm = config.encoder_norm == "half-instance"
        widths = [config.width(level) for level in (0, 1, 2, 3, 3)]
        self.blocks = nn.ModuleList(
            ResidualBlock(a, b, config, norm=norm) for a, b in pairwise(widths)
        )
        self.fusions = fusions
        self.down = nn.ModuleList(
            nn.Conv2d(width, width, 4, stride=2, padding=1, bias=False)
            if config.downsample == "strided-convolution"
            else nn.MaxPool2d(2)
            for width in widths[1:4]
        )

    def forward(
        self, z: Tensor, previous: tuple[list[Tensor], list[Tensor]] | None
    ) -> tuple[list[Tensor], Tensor]:
        """Compute the features F_enc^k and the bottleneck.

        Args:
            z: features (B, n_feat, H, W) with H and W multiples of 8.
            previous: (F_enc^{k-1}, F_dec^{k-1}) of the previous stage, both finest first.

        Returns:
            F_enc^k at three scales, finest first: (B, n_feat + (i + 1) * scale, H / 2^i, W / 2^i);
            and the bottleneck (B, n_feat + 3 * scale, H / 8, W / 8).
        """
        features = []
        for level in range(SCALES):
            z = self.blocks[level](z)
            if previous is not None and level < len(self.fusions):
                z = self.fusions[level](z, previous[0][level], previous[1][level])
            features.append(z)
            z = self.down[level](z)
        return features, self.blocks[SCALES](z)


class Decoder(nn.Module):
    """Three steps of upsampling, merging with the encoder features of that scale, residual block.

    "concatenate" (code): the skip is convolved and concatenated with the upsampled features. "add"
    (Fig. 2): the skip is added, and the residual block reduces the number of channels.
    """

    def __init__(self, config: DGUNetConfig) -> None:
        super().__init__()
        self.concatenate = config.decoder_merge == "concatenate"
        self.up, self.skips, self.blocks = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level in range(SCALES, 0, -1):
            wide, narrow = config.width(level), config.width(level - 1)
            self.up.append(_upsample(wide, narrow if self.concatenate else wide, config))
            self.skips.append(conv3x3(wide, narrow) if self.concatenate else nn.Identity())
            merged = 2 * narrow if self.concatenate else wide
            self.blocks.append(ResidualBlock(merged, narrow, config, norm=False))

    def forward(self, bottleneck: Tensor, encoder: list[Tensor]) -> list[Tensor]:
        """Compute F_dec^k at three scales, finest first: (B, n_feat + i * scale, H / 2^i, W / 2^i).

        Args:
            bottleneck: (B, n_feat + 3 * scale, H / 8, W / 8).
            encoder: F_enc^k, finest first.
        """
        features: list[Tensor] = []
        z = bottleneck
        for up, skip, block, encoded in zip(
            self.up, self.skips, self.blocks, reversed(encoder), strict=True
        ):
            z, skipped = up(z), skip(encoded)
            z = block(torch.cat([z, skipped], dim=1) if self.concatenate else z + skipped)
            features.insert(0, z)
        return features


def _upsample(channels_in: int, channels_out: int, config: DGUNetConfig) -> nn.Module:
    if config.upsample == "transposed-convolution":
        return nn.ConvTranspose2d(channels_in, channels_out, 2, stride=2)
    bilinear = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return nn.Sequential(bilinear, conv3x3(channels_in, channels_out))


class SupervisedAttention(nn.Module):
    """SAM: computes the stage's image x_hat = v + conv(f) and the features f' for the next stage.

    With the attention map (text; code for compressive sensing) f' = f + conv(f) *
    sigmoid(conv(x_hat)); without it (code for deraining, deblurring and denoising)
    f' = f + conv(f). All convolutions are 1x1 without bias.
    """

    def __init__(self, config: DGUNetConfig) -> None:
        super().__init__()
        n, c = config.n_feat, config.channels
        self.features = nn.Conv2d(n, n, 1, bias=False)
        self.image = nn.Conv2d(n, c, 1, bias=False)
        self.attention = nn.Conv2d(c, n, 1, bias=False) if config.sam_attention else None

    def forward(self, f: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Compute x_hat (B, C, H, W) and f' (B, n_feat, H, W).

        Args:
            f: decoder features (B, n_feat, H, W).
            v: the image v^k, (B, C, H, W).
        """
        x: Tensor = v + self.image(f)
        refined = self.features(f)
        if self.attention is not None:
            refined = refined * torch.sigmoid(self.attention(x))
        return x, f + refined


class SubspaceProjection(nn.Module):
    """Projection of the previous stage's features b onto a subspace learned from both stages.

    S (16 x HW) is a convolution of [x, b] whose rows are divided by their L1 norms. With the
    projection P = S^T (S S^T)^{-1} S, the output is x + conv([x, P b]).

    The projection always runs in float32 or float64: in bfloat16 the Gram matrix S S^T has errors
    of several percent. The 16 x 16 system is solved; the matrix is not inverted.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.subspace = conv3x3(2 * width, SUBSPACE)
        self.merge = conv3x3(2 * width, width)
        self.unrolled = False
        """Whether to solve by unrolled elimination; needed for ONNX, which has no linear solver."""

    def forward(self, x: Tensor, b: Tensor) -> Tensor:
        """Compute x + conv([x, P b]); ``x``, ``b`` and the result are (B, width, H, W)."""
        with torch.autocast(x.device.type, enabled=False):
            projected = self.project(x.to(self.subspace.weight.dtype), b)
        merged: Tensor = self.merge(torch.cat([x, projected.to(x.dtype)], dim=1))
        merged += x
        return merged

    def project(self, x: Tensor, b: Tensor) -> Tensor:
        """Compute P b (B, width, H, W) in float32, or in float64 for a float64 network."""
        s = self.subspace(torch.cat([x, b.to(x.dtype)], dim=1)).flatten(2)
        wide = torch.promote_types(s.dtype, torch.float32)
        s = s.to(wide)
        s = s / (1e-6 + s.abs().sum(dim=2, keepdim=True))
        gram = s @ s.transpose(1, 2)
        # Machine epsilon on the diagonal is below the error of the Gram matrix itself, and keeps
        # the system solvable when the rows of S are equal (constant feature maps).
        ulp, tiny = torch.finfo(wide).eps, torch.finfo(wide).tiny
        # Without `diagonal` and `mT`, which some converters lack.
        one = torch.eye(SUBSPACE, dtype=wide, device=s.device)
        ridge = ulp * (gram * one).sum(dim=(1, 2), keepdim=True) / SUBSPACE + tiny
        gram = gram + ridge * one
        right = s @ b.to(wide).flatten(2).transpose(1, 2)
        solved = _eliminate(gram, right) if self.unrolled else torch.linalg.solve(gram, right)
        projected: Tensor = (solved.transpose(1, 2) @ s).unflatten(2, b.shape[2:])
        return projected


def _eliminate(a: Tensor, b: Tensor) -> Tensor:
    """Solve ``a z = b`` by Gauss-Jordan elimination, in elementary operations.

    Args:
        a: symmetric positive definite matrices (B, n, n), which need no pivoting.
        b: right-hand sides (B, n, m).

    Returns:
        The solutions z, (B, n, m).
    """
    system = torch.cat([a, b], dim=2)
    for i in range(a.shape[1]):
        pivot = system[:, i : i + 1] / system[:, i : i + 1, i : i + 1]
        reduced = system - system[:, :, i : i + 1] * pivot
        system = torch.cat([reduced[:, :i], pivot, reduced[:, i + 1 :]], dim=1)
    return system[:, :, a.shape[2] :]


class Concatenation(nn.Module):
    """Injection of the previous stage's features without projection: conv([x, b])."""

    def __init__(self, width: int, width_out: int) -> None:
        super().__init__()
        self.merge = conv3x3(2 * width, width_out, bias=False)

    def forward(self, x: Tensor, b: Tensor) -> Tensor:
        """Compute features (B, width_out, H, W) from ``x`` and ``b``, both (B, width, H, W)."""
        merged: Tensor = self.merge(torch.cat([x, b], dim=1))
        return merged
