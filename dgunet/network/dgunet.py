"""DGUNet: proximal gradient descent unfolded into a trainable network (Section 3, Algorithm 1).

One stage k is a gradient step (Eq. 6 or 7) followed by a proximal mapping (Eq. 9):

    v^k              = x_hat^{k-1} - rho^k A^T (A x_hat^{k-1} - y)
    x_hat^k, F^k     = prox(v^k, F^{k-1})

Algorithm 1 is printed with its two cases exchanged: it uses Eq. (6) for an unknown A and Eq. (7)
for a known one. Eq. (6) needs A and Eq. (7) learns it; this module follows Section 3.2.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dgunet.network.config import DGUNetConfig
from dgunet.network.fusion import AdditiveFusion, fusions
from dgunet.network.gradient import FlexibleGradientDescent, GradientBlock
from dgunet.network.layers import SCALES
from dgunet.network.operators import BlockSampling, LinearOperator
from dgunet.network.proximal import (
    Concatenation,
    Decoder,
    Encoder,
    ShallowFeatures,
    SubspaceProjection,
    SupervisedAttention,
    conv3x3,
)
from dgunet.system.errors import ConfigError


class StageFeatures(NamedTuple):
    """F^k of Eq. (9), the features that stage k passes to stage k+1.

    Attributes:
        encoder: encoder features at full, 1/2 and 1/4 resolution, (B, n_feat + (i + 1) * scale,
            H / 2^i, W / 2^i) at scale i.
        decoder: decoder features at the same resolutions, (B, n_feat + i * scale, ...).
        sam: f' of the supervised attention module, (B, n_feat, H, W).
    """

    encoder: list[Tensor]
    decoder: list[Tensor]
    sam: Tensor


class StageImages(NamedTuple):
    """The images of one stage: v^k after the gradient step, x_hat^k after the mapping."""

    v: Tensor
    x: Tensor


class Activations:
    """The activations of a network under construction, shared as its configuration specifies.

    The released code shares one PReLU slope between all gradient blocks, and one between the
    channel attention blocks of the first and last stages or of all stages. Here, slopes are shared
    within one network, never between networks.
    """

    def __init__(self, config: DGUNetConfig) -> None:
        self.config = config
        self._gradient = nn.PReLU()
        self._attention = nn.PReLU()

    def gradient(self) -> nn.Module:
        """Return the activation of a gradient block."""
        if self.config.gradient_activation == "relu":
            return nn.ReLU()
        return nn.PReLU() if self.config.prelu_sharing == "none" else self._gradient

    def attention(self, *, outer: bool) -> nn.Module:
        """Return the activation of a channel attention block.

        Args:
            outer: whether the block belongs to the first or the last stage.
        """
        shared = self.config.prelu_sharing == "all" or (
            outer and self.config.prelu_sharing == "outer"
        )
        return self._attention if shared else nn.PReLU()


def _gradient_step(
    config: DGUNetConfig, activations: Activations
) -> FlexibleGradientDescent | None:
    if not config.gradient:
        return None
    learned = config.operator == "learned"
    return FlexibleGradientDescent(_gradient_blocks(config, activations) if learned else None)


def _gradient_blocks(
    config: DGUNetConfig, activations: Activations, channels: int | None = None
) -> tuple[GradientBlock, GradientBlock]:
    channels = channels or config.channels
    f_a, f_at = (
        GradientBlock(channels, config.gradient_width, activations.gradient()) for _ in range(2)
    )
    return f_a, f_at


def _injection(config: DGUNetConfig) -> nn.Module:
    if config.injection == "projection":
        return SubspaceProjection(config.n_feat)
    return Concatenation(config.n_feat, config.n_feat)


class Stage(nn.Module):
    """Stage k < K: a gradient step, then the proximal mapping of Eq. (9).

    The first stage receives no features, so it has neither injection nor fusion.
    """

    def __init__(self, config: DGUNetConfig, activations: Activations, *, first: bool) -> None:
        super().__init__()
        self.gradient = _gradient_step(config, activations)
        self.shallow = ShallowFeatures(
            config.channels, config.n_feat, activations.attention(outer=first)
        )
        self.inject = None if first else _injection(config)
        self.encoder = Encoder(config, nn.ModuleList() if first else fusions(config))
        self.decoder = Decoder(config)
        self.sam = SupervisedAttention(config)

    def forward(
        self, x: Tensor, y: Tensor, operator: LinearOperator | None, memory: StageFeatures | None
    ) -> tuple[StageImages, StageFeatures]:
        """Compute (v^k, x_hat^k) and F^k.

        Args:
            x: x_hat^{k-1}, (B, C, H, W) with H and W multiples of 8.
            y: the observation, of the shape of ``x``; measurements where the operator is known.
            operator: the known operator A, or None if it is learned.
            memory: F^{k-1}; None for the first stage.
        """
        v = x if self.gradient is None else self.gradient(x, y, operator)
        z = self.shallow(v)
        if self.inject is not None and memory is not None:
            z = self.inject(z, memory.sam)
        encoder, bottleneck = self.encoder(z, memory and (memory.encoder, memory.decoder))
        decoder = self.decoder(bottleneck, encoder)
        x, sam = self.sam(decoder[0], v)
        return StageImages(v, x), StageFeatures(encoder, decoder, sam)


class LastStage(nn.Module):
    """Stage K, which passes no features on and adds a skip connection to its output.

    "reduced" (code): gradient step, shallow features, injection and one convolution to the image.
    "full" (text): encoder and decoder as in the other stages, then a convolution to the image.
    """

    def __init__(self, config: DGUNetConfig, activations: Activations) -> None:
        super().__init__()
        n, c, full = config.n_feat, config.channels, config.last_stage == "full"
        self.skip_from_start = config.last_skip == "initial-estimate"
        self.gradient = _gradient_step(config, activations)
        self.shallow = ShallowFeatures(c, n, activations.attention(outer=True))
        projected = config.last_injection == "projection"
        width = n if projected or full else n + config.last_width
        self.inject = SubspaceProjection(n) if projected else Concatenation(n, width)
        self.encoder = Encoder(config, fusions(config)) if full else None
        self.decoder = Decoder(config) if full else None
        self.tail = nn.Conv2d(n, c, 1, bias=False) if full else conv3x3(width, c, bias=False)

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        operator: LinearOperator | None,
        memory: StageFeatures,
        start: Tensor,
    ) -> StageImages:
        """Compute (v^K, x_hat^K).

        Args:
            x: x_hat^{K-1}, (B, C, H, W) with H and W multiples of 8.
            y: the observation, of the shape of ``x``; measurements where the operator is known.
            operator: the known operator A, or None if it is learned.
            memory: F^{K-1}.
            start: the initial estimate x_hat^0, (B, C, H, W).
        """
        v = x if self.gradient is None else self.gradient(x, y, operator)
        z = self.inject(self.shallow(v), memory.sam)
        if self.encoder is not None and self.decoder is not None:
            encoder, bottleneck = self.encoder(z, (memory.encoder, memory.decoder))
            z = self.decoder(bottleneck, encoder)[0]
        return StageImages(v, self.tail(z) + (start if self.skip_from_start else v))


class DGUNet(nn.Module):
    """The network of Fig. 2: DGUNet with shared middle stages, DGUNet+ with independent ones.

    Images may have any size: they are padded at the right and the bottom, and the outputs are
    cropped. With a learned operator, sides are padded to multiples of 8 by reflection (repeating
    the last mirrored row or column where the image is too small), and to at least 8 x 16 if the
    encoder normalises. With block sampling, sides are padded with zeros to multiples of the block
    size, as in the published evaluation but without its additional block. Sides that are already
    multiples are not padded.

    Args:
        config: the structure of the network.

    Raises:
        ConfigError: from the forward pass, for float16 input or autocast. The subspace projection
            and the instance statistics exceed the range and precision of float16; use bfloat16.
    """

    def __init__(self, config: DGUNetConfig) -> None:
        super().__init__()
        self.config = config
        activations = Activations(config)
        self.operator: LinearOperator | None = (
            BlockSampling(config.measurements, config.block)
            if config.operator == "block-sampling"
            else None
        )
        self.first = Stage(config, activations, first=True)
        middle = min(1, config.stages - 2) if config.shared else config.stages - 2
        self.middle = nn.ModuleList(Stage(config, activations, first=False) for _ in range(middle))
        self.last = LastStage(config, activations)
        if config.dormant:
            self.dormant = _dormant(config, activations, middle)

    def forward(self, y: Tensor) -> list[Tensor]:
        """Restore images.

        Args:
            y: degraded images (B, C, H, W) with values in [0, 1]; for compressive sensing the
                clean grey images (B, 1, H, W), which are measured first.

        Returns:
            [x_hat^1, ..., x_hat^K], each (B, C, H, W), in the order of Algorithm 1. The last is
            the result; values are not clamped to [0, 1].

        Raises:
            ConfigError: if the shape does not fit the network, or the data type is float16.
        """
        return [images.x for images in self.unfold(y)]

    def measure(self, x: Tensor) -> Tensor:
        """Measure images with the known operator: y = A x.

        Args:
            x: images (B, 1, H, W) with values in [0, 1]; sides are padded with zeros to multiples
                of the block size, as in :meth:`forward`.

        Returns:
            Measurements (B, M, H / block, W / block), where H and W are the padded sides.

        Raises:
            ConfigError: if the network has no known operator.
        """
        if self.operator is None:
            raise ConfigError(
                "this network has a learned operator and takes no measurements.",
                "Use a network for compressive sensing.",
            )
        measured: Tensor = self.operator(self._pad(x))
        return measured

    def from_measurements(self, y: Tensor, size: tuple[int, int] | None = None) -> list[Tensor]:
        """Reconstruct images from compressive measurements.

        Args:
            y: measurements (B, M, H / block, W / block) as :meth:`measure` returns them.
            size: height and width to crop to; by default nothing is cropped.

        Returns:
            [x_hat^1, ..., x_hat^K], as for :meth:`forward`.

        Raises:
            ConfigError: if the network has no known operator, or ``y`` does not fit it.
        """
        return [images.x for images in self.unfold_measurements(y, size)]

    def unfold(self, y: Tensor) -> list[StageImages]:
        """Restore as in :meth:`forward`; return v^k and x_hat^k of every stage."""
        if y.ndim != 4 or y.shape[1] != self.config.channels:
            raise ConfigError(
                f"the input has shape {tuple(y.shape)}.",
                f"Pass images of shape (batch, {self.config.channels}, height, width).",
            )
        size = (y.shape[2], y.shape[3])
        if self.operator is not None:
            return self.unfold_measurements(self.measure(y), size)
        padded = self._pad(y)
        return _crop(self._stages(padded, padded), size)

    def unfold_measurements(
        self, y: Tensor, size: tuple[int, int] | None = None
    ) -> list[StageImages]:
        """Reconstruct as in :meth:`from_measurements`; return v^k and x_hat^k of every stage."""
        if self.operator is None or y.ndim != 4 or y.shape[1] != self.config.measurements:
            raise ConfigError(
                f"the measurements have shape {tuple(y.shape)}.",
                f"Pass measurements of shape (batch, {self.config.measurements}, rows of blocks,"
                " columns of blocks)."
                if self.operator is not None
                else "This network has a learned operator and takes images only.",
            )
        b, m, rows, columns = y.shape
        by_block = self.config.proximal_domain == "block"
        if by_block:
            y = y.permute(0, 2, 3, 1).reshape(b * rows * columns, m, 1, 1)
        images = self._stages(y, self.operator.adjoint(y))
        if by_block:
            images = [StageImages(*(_tile(i, b, rows, columns) for i in pair)) for pair in images]
        return _crop(images, size) if size is not None else images

    def _stages(self, y: Tensor, start: Tensor) -> list[StageImages]:
        """Run Algorithm 1 from x_hat^0 = ``start``, whose sides are already padded."""
        _refuse_float16(start)
        images, memory = self.first(start, y, self.operator, None)
        outputs = [images]
        for k in range(self.config.stages - 2):
            stage = self.middle[0 if self.config.shared else k]
            images, memory = stage(images.x, y, self.operator, memory)
            outputs.append(images)
        outputs.append(self.last(images.x, y, self.operator, memory, start))
        return outputs

    def _pad(self, y: Tensor) -> Tensor:
        h, w = y.shape[2], y.shape[3]
        m = self.config.multiple
        # In this form torch.export infers that the padded sides are multiples of m.
        down, right = (h + m - 1) // m * m - h, (w + m - 1) // m * m - w
        if self.operator is not None:
            return F.pad(y, (0, right, 0, down))
        if self.config.encoder_norm == "half-instance" and h <= m and w <= m:
            right += m
        return _extend(_extend(y, 2, down), 3, right)


def _extend(y: Tensor, dim: int, amount: int) -> Tensor:
    """Pad ``y`` by ``amount`` at the end of dimension ``dim`` by reflection.

    Where the image is shorter than the padding, the last mirrored row or column is repeated. The
    reflection of ``F.pad`` cannot be exported with dynamic sizes, so indices are used instead.
    """
    if not torch.compiler.is_exporting() and amount == 0:
        return y
    size = y.shape[dim]
    index = torch.arange(size + amount, device=y.device)
    mirrored = (2 * (size - 1) - index).clamp(min=0)
    return y.index_select(dim, torch.where(index < size, index, mirrored))


def _refuse_float16(x: Tensor) -> None:
    autocast = torch.is_autocast_enabled(x.device.type)
    dtype = torch.get_autocast_dtype(x.device.type) if autocast else x.dtype
    if torch.float16 in (dtype, x.dtype):
        raise ConfigError(
            "float16 is not supported: the Gram matrix of the subspace projection has entries near"
            " 1 / (H W), below the range of float16.",
            "Use bfloat16 autocast or float32.",
        )


def _crop(images: list[StageImages], size: tuple[int, int]) -> list[StageImages]:
    """Crop every image to its upper left ``size`` (height, width)."""
    h, w = size
    if not torch.compiler.is_exporting():
        return [StageImages(v[..., :h, :w], x[..., :h, :w]) for v, x in images]
    # With dynamic sizes, index lists can be exported and slices cannot.
    rows, columns = (torch.arange(side, device=images[0].x.device) for side in size)
    cropped = ((i.index_select(2, rows).index_select(3, columns) for i in pair) for pair in images)
    return [StageImages(*pair) for pair in cropped]


def _tile(blocks: Tensor, b: int, rows: int, columns: int) -> Tensor:
    """Join blocks (b * rows * columns, C, s, s), row by row, into images (b, C, rows * s, ...)."""
    c, s = blocks.shape[1], blocks.shape[2]
    grid = blocks.view(b, rows, columns, c, s, s).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(b, c, rows * s, columns * s)


def _dormant(config: DGUNetConfig, activations: Activations, middle: int) -> nn.ModuleDict:
    """Create the parameters that the released code registers and never uses.

    They are frozen and only make parameter counts and checkpoint keys equal to the released ones:
    a concatenation in the shared middle stage, in addition to its projection; for compressive
    sensing, the additive fusion of the first stage and a pair of three-channel gradient blocks in
    every middle stage.
    """
    modules: dict[str, nn.Module] = {}
    if config.operator == "learned":
        modules["concatenation"] = Concatenation(config.n_feat, config.n_feat)
    else:
        modules["fusions"] = nn.ModuleList(AdditiveFusion(config, i) for i in range(SCALES))
        modules["gradients"] = nn.ModuleList(
            nn.ModuleList(_gradient_blocks(config, activations, channels=3)) for _ in range(middle)
        )
    return nn.ModuleDict(modules).requires_grad_(False)
