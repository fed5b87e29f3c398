"""The blocks of `benchmarks.literal_network`, one formula after the other."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SCALES = 3
SUBSPACE = 16


def conv(inputs: int, outputs: int, side: int = 3, *, bias: bool = True) -> nn.Conv2d:
    """A convolution that keeps the resolution."""
    return nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=bias)


class GradientBlock(nn.Module):
    """RB(z) = z + conv(PReLU(conv(z)))."""

    def __init__(self, channels: int, width: int, slope: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(channels, width), slope, conv(width, channels))

    def forward(self, z: Tensor) -> Tensor:
        return z + self.body(z)


class ChannelAttention(nn.Module):
    """CA(u) = u * sigmoid(conv(ReLU(conv(mean(u)))))."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.conv_du = nn.Sequential(
            conv(n, n // 4, 1, bias=False), nn.ReLU(), conv(n // 4, n, 1, bias=False), nn.Sigmoid()
        )

    def forward(self, u: Tensor) -> Tensor:
        return u * self.conv_du(self.avg_pool(u))


class ChannelAttentionBlock(nn.Module):
    """CAB(z) = z + CA(conv(PReLU(conv(z))))."""

    def __init__(self, n: int, slope: nn.Module) -> None:
        super().__init__()
        self.CA = ChannelAttention(n)
        self.body = nn.Sequential(conv(n, n, bias=False), slope, conv(n, n, bias=False))

    def forward(self, z: Tensor) -> Tensor:
        return z + self.CA(self.body(z))


def shallow_features(channels: int, n: int, slope: nn.Module) -> nn.Sequential:
    """A convolution of the image, then a CAB."""
    return nn.Sequential(conv(channels, n, bias=False), ChannelAttentionBlock(n, slope))


class EncoderBlock(nn.Module):
    """conv, half-instance norm, LeakyReLU, conv, LeakyReLU, plus a 1x1 convolution; then fusion.

    ``fusion`` is "spatial", "addition", or None in the first stage.
    """

    def __init__(self, inputs: int, outputs: int, decoder: int, fusion: str | None) -> None:
        super().__init__()
        self.fusion = fusion
        self.identity = conv(inputs, outputs, 1)
        self.conv_1 = conv(inputs, outputs)
        self.conv_2 = conv(outputs, outputs)
        if fusion is not None:
            self.csff_enc = conv(outputs, outputs)
            self.csff_dec = conv(decoder, outputs)
        if fusion == "spatial":
            self.phi = conv(outputs, outputs)
            self.gamma = conv(outputs, outputs)
        self.norm = nn.InstanceNorm2d(outputs // 2, affine=True)

    def forward(self, z: Tensor, encoder: Tensor | None, decoder: Tensor | None) -> Tensor:
        t = self.conv_1(z)
        first, second = torch.chunk(t, 2, dim=1)
        t = torch.cat([self.norm(first), second], dim=1)
        t = F.leaky_relu(t, 0.2)
        t = F.leaky_relu(self.conv_2(t), 0.2)
        out = t + self.identity(z)
        if self.fusion is None or encoder is None or decoder is None:
            return out
        if self.fusion == "addition":
            return out + self.csff_enc(encoder) + self.csff_dec(decoder)
        h = F.leaky_relu(self.csff_enc(encoder) + self.csff_dec(decoder), 0.1)
        return out * torch.sigmoid(self.phi(h)) + self.gamma(h) + out


class Encoder(nn.Module):
    """Three scales with a strided 4x4 convolution after each, and a bottleneck."""

    def __init__(self, n: int, s: int, fusion: str | None) -> None:
        super().__init__()
        self.body = nn.ModuleList()
        for i in range(SCALES):
            block = EncoderBlock(n + i * s, n + (i + 1) * s, n + i * s, fusion)
            width = n + (i + 1) * s
            block.downsample = nn.Conv2d(width, width, 4, stride=2, padding=1, bias=False)
            self.body.append(block)
        self.body.append(EncoderBlock(n + SCALES * s, n + SCALES * s, 0, None))

    def forward(
        self, z: Tensor, encoder: list[Tensor] | None, decoder: list[Tensor] | None
    ) -> list[Tensor]:
        """The features of three scales, finest first, then the bottleneck.

        ``encoder`` is finest first and ``decoder`` coarsest first.
        """
        features = []
        for i in range(SCALES):
            if encoder is None or decoder is None:
                z = self.body[i](z, None, None)
            else:
                z = self.body[i](z, encoder[i], decoder[SCALES - 1 - i])
            features.append(z)
            z = self.body[i].downsample(z)
        return [*features, self.body[SCALES](z, None, None)]


class DecoderConvolutions(nn.Module):
    """conv, LeakyReLU, conv, LeakyReLU, plus a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.identity = conv(inputs, outputs, 1)
        self.conv_1 = conv(inputs, outputs)
        self.conv_2 = conv(outputs, outputs)

    def forward(self, z: Tensor) -> Tensor:
        t = F.leaky_relu(self.conv_1(z), 0.2)
        return F.leaky_relu(self.conv_2(t), 0.2) + self.identity(z)


class DecoderBlock(nn.Module):
    """Transposed convolution, concatenation with the skip, convolutions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
        self.conv_block = DecoderConvolutions(2 * outputs, outputs)

    def forward(self, z: Tensor, skip: Tensor) -> Tensor:
        return self.conv_block(torch.cat([self.up(z), skip], dim=1))


class Decoder(nn.Module):
    """Three steps back to full resolution."""

    def __init__(self, n: int, s: int) -> None:
        super().__init__()
        widths = [(n + i * s, n + (i - 1) * s) for i in (3, 2, 1)]
        self.body = nn.ModuleList(DecoderBlock(*pair) for pair in widths)
        self.skip_conv = nn.ModuleList(conv(*pair) for pair in widths)

    def forward(self, encoder: list[Tensor]) -> list[Tensor]:
        """The features of three scales, coarsest first."""
        features, z = [], encoder[SCALES]
        for i in range(SCALES):
            z = self.body[i](z, self.skip_conv[i](encoder[SCALES - 1 - i]))
            features.append(z)
        return features


class SupervisedAttention(nn.Module):
    """x = v + conv(f); f' = f + conv(f), weighted by sigmoid(conv(x)) for compressive sensing."""

    def __init__(self, channels: int, n: int, *, attention: bool) -> None:
        super().__init__()
        self.conv1 = conv(n, n, 1, bias=False)
        self.conv2 = conv(n, channels, 1, bias=False)
        self.conv3 = conv(channels, n, 1, bias=False) if attention else None

    def forward(self, f: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv2(f) + v
        refined = self.conv1(f)
        if self.conv3 is not None:
            refined = refined * torch.sigmoid(self.conv3(x))
        return refined + f, x


class SubspaceMerge(nn.Module):
    """x + conv([x, P b]) with P = S^T (S S^T)^{-1} S and S from a convolution of [x, b]."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.conv_block = conv(2 * n, n)
        self.subnet = conv(2 * n, SUBSPACE)

    def forward(self, x: Tensor, b: Tensor) -> Tensor:
        count, n, h, w = x.shape
        s = self.subnet(torch.cat([x, b], dim=1)).view(count, SUBSPACE, h * w)
        s = s / (1e-6 + torch.abs(s).sum(dim=2, keepdim=True))
        columns = s.permute(0, 2, 1)
        inverse = torch.inverse(torch.matmul(s, columns))
        coordinates = torch.matmul(torch.matmul(inverse, s), b.view(count, n, h * w).mT)
        projected = torch.matmul(columns, coordinates).permute(0, 2, 1).reshape(count, n, h, w)
        return x + self.conv_block(torch.cat([x, projected], dim=1))
