"""DGUNet: proximal gradient descent unfolded into a trainable network (Section 3, Algorithm 1).

One stage k is a gradient step (Eq. 6 or 7) followed by a proximal mapping (Eq. 9):

    v^k              = x_hat^{k-1} - rho^k A^T (A x_hat^{k-1} - y)
    x_hat^k, F^k     = prox(v^k, F^{k-1})

Algorithm 1 is printed with its two cases exchanged: it sends an unknown A to Eq. (6) and a known
one to Eq. (7). Eq. (6) needs A and Eq. (7) learns it, as Section 3.2 says, and so does this module.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dgunet.network.config import DGUNetConfig
from dgunet.network.fusion import AdditiveFusion, fusions
from dgunet.network.gradient import FlexibleGradientDescent, GradientBlock
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
from dgunet.network.size import SCALES
from dgunet.system.errors import ConfigError


class StageFeatures(NamedTuple):
    """F^k of Eq. (9), handed from stage to stage: three scales, finest first, and SAM's f'."""

    encoder: list[Tensor]
    decoder: list[Tensor]
    sam: Tensor


class StageImages(NamedTuple):
    """The two images of one stage: v^k after the gradient step, x_hat^k after the mapping."""

    v: Tensor
    x: Tensor


class Activations:
    """Hands out the PReLUs of a network under construction, shared as the config says.

    The released code shares one slope between all gradient blocks, and one between the channel
    attention blocks of the first and last stages or of all stages. Here they are shared within
    one network, never between two.
    """

    def __init__(self, config: DGUNetConfig) -> None:
        self.config = config
        self._gradient = nn.PReLU()
        self._attention = nn.PReLU()

    def gradient(self) -> nn.Module:
        """The activation of a gradient block."""
        if self.config.gradient_activation == "relu":
            return nn.ReLU()
        return nn.PReLU() if self.config.prelu_sharing == "none" else self._gradient

    def attention(self, *, outer: bool) -> nn.Module:
        """The activation of a channel attention block of an outer or a middle stage."""
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
    """Stage k < K: gradient step, then the proximal mapping of Eq. (9).

    The first stage has nothing before it: it neither injects nor fuses.
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
        """(v^k, x_hat^k) and F^k from x_hat^{k-1}, y and F^{k-1}."""
        v = x if self.gradient is None else self.gradient(x, y, operator)
        z = self.shallow(v)
        if self.inject is not None and memory is not None:
            z = self.inject(z, memory.sam)
        encoder, bottleneck = self.encoder(z, memory and (memory.encoder, memory.decoder))
        decoder = self.decoder(bottleneck, encoder)
        x, sam = self.sam(decoder[0], v)
        return StageImages(v, x), StageFeatures(encoder, decoder, sam)


class LastStage(nn.Module):
    """Stage K: no features are handed on, and the output image has a skip of its own.

    "reduced" (code): gradient step, shallow features, injection and one convolution to the image.
    "full" (text): encoder and decoder as in every other stage, then a convolution to the image.
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
        """(v^K, x_hat^K) from x_hat^{K-1}, y, F^{K-1} and the initial estimate x_hat^0."""
        v = x if self.gradient is None else self.gradient(x, y, operator)
        z = self.inject(self.shallow(v), memory.sam)
        if self.encoder is not None and self.decoder is not None:
            encoder, bottleneck = self.encoder(z, (memory.encoder, memory.decoder))
            z = self.decoder(bottleneck, encoder)[0]
        return StageImages(v, self.tail(z) + (start if self.skip_from_start else v))


class DGUNet(nn.Module):
    """The network of Fig. 2: DGUNet with shared middle stages, DGUNet+ with independent ones.

    Any image size is taken: the image is padded inside and the outputs are cropped. Learned
    operator: to multiples of 8, at the right and the bottom, by reflection (repeating the end of
    the mirror image where it is too short), and to 8 x 16 at least where the encoder normalises.
    Block sampling: to multiples of the block, with zeros, as the published evaluation does but
    without its extra block. An image that fits already is not padded.

    Raises:
        ConfigError: for float16 input or autocast, which the subspace projection and the
            instance statistics leave range and precision of; use bfloat16.
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
        """[x_hat^1, ..., x_hat^K], the order of Algorithm 1; the last is the result, unclamped.

        Args:
            y: the degraded image (B, C, H, W), values in [0, 1]; for compressive sensing the
                clean grey image (B, 1, H, W), which is sampled here.
        """
        return [images.x for images in self.unfold(y)]

    def measure(self, x: Tensor) -> Tensor:
        """Measurements of images: (B, 1, H, W) -> (B, M, rows of blocks, columns of blocks).

        The sides are filled up with zeros to whole blocks, as :meth:`forward` does.

        Raises:
            ConfigError: if the network has no known operator.
        """
        if self.operator is None:
            raise ConfigError(
                "This network has a learned operator.", "Only compressive sensing measures."
            )
        measured: Tensor = self.operator(self._pad(x))
        return measured

    def from_measurements(self, y: Tensor, size: tuple[int, int] | None = None) -> list[Tensor]:
        """[x_hat^1, ..., x_hat^K] from compressive measurements instead of the image.

        Args:
            y: measurements (B, M, H/block, W/block) as :meth:`measure` gives them.
            size: height and width to crop to; by default all that was measured.

        Raises:
            ConfigError: if the network has no known operator, or ``y`` does not fit it.
        """
        return [images.x for images in self.unfold_measurements(y, size)]

    def unfold(self, y: Tensor) -> list[StageImages]:
        """As ``forward``, with v^k beside x_hat^k for every stage."""
        if y.ndim != 4 or y.shape[1] != self.config.channels:
            raise ConfigError(
                f"input of shape {tuple(y.shape)}.",
                f"Give images as (batch, {self.config.channels}, height, width).",
            )
        size = (y.shape[2], y.shape[3])
        if self.operator is not None:
            return self.unfold_measurements(self.measure(y), size)
        padded = self._pad(y)
        return _crop(self._stages(padded, padded), size)

    def unfold_measurements(
        self, y: Tensor, size: tuple[int, int] | None = None
    ) -> list[StageImages]:
        """As ``from_measurements``, with v^k beside x_hat^k for every stage."""
        if self.operator is None or y.ndim != 4 or y.shape[1] != self.config.measurements:
            raise ConfigError(
                f"measurements of shape {tuple(y.shape)}.",
                f"A network with block sampling takes (batch, {self.config.measurements}, rows of"
                " blocks, columns of blocks)."
                if self.operator is not None
                else "This network has a learned operator and takes images only.",
            )
        b, m, rows, columns = y.shape
        alone = self.config.proximal_domain == "block"
        if alone:
            y = y.permute(0, 2, 3, 1).reshape(b * rows * columns, m, 1, 1)
        images = self._stages(y, self.operator.adjoint(y))
        if alone:
            images = [StageImages(*(_tile(i, b, rows, columns) for i in pair)) for pair in images]
        return _crop(images, size) if size is not None else images

    def _stages(self, y: Tensor, start: Tensor) -> list[StageImages]:
        """Algorithm 1 from x_hat^0 = ``start``; sizes must fit already."""
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
        # Written as blocks * m - size, so that torch.export sees multiples of m.
        down, right = (h + m - 1) // m * m - h, (w + m - 1) // m * m - w
        if self.operator is not None:
            return F.pad(y, (0, right, 0, down))
        if self.config.encoder_norm == "half-instance" and h <= m and w <= m:
            right += m
        return _extend(_extend(y, 2, down), 3, right)


def _extend(y: Tensor, dim: int, amount: int) -> Tensor:
    """``y`` with ``amount`` more rows or columns at the end, mirrored.

    Where the mirror image ends before the padding does, its end is repeated. By index instead of
    ``F.pad``, whose reflection cannot be exported for sizes left open.
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
            "float16 is not supported: the Gram matrix of the subspace projection falls below its"
            " range (entries near 1 / (H W)).",
            "Use bfloat16 autocast or float32.",
        )


def _crop(images: list[StageImages], size: tuple[int, int]) -> list[StageImages]:
    """The upper left ``size`` of every image."""
    h, w = size
    if not torch.compiler.is_exporting():
        return [StageImages(v[..., :h, :w], x[..., :h, :w]) for v, x in images]
    # Slices of sizes left open cannot be exported, index lists can.
    rows, columns = (torch.arange(side, device=images[0].x.device) for side in size)
    cropped = ((i.index_select(2, rows).index_select(3, columns) for i in pair) for pair in images)
    return [StageImages(*pair) for pair in cropped]


def _tile(blocks: Tensor, b: int, rows: int, columns: int) -> Tensor:
    """Blocks (b * rows * columns, C, s, s), row by row -> images (b, C, rows * s, columns * s)."""
    c, s = blocks.shape[1], blocks.shape[2]
    grid = blocks.view(b, rows, columns, c, s, s).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(b, c, rows * s, columns * s)


def _dormant(config: DGUNetConfig, activations: Activations, middle: int) -> nn.ModuleDict:
    """The parameters that the released code registers and never uses.

    They are kept, frozen, so that parameter counts and checkpoint keys agree with the released
    ones: a concatenation beside the shared middle stage's projection; for compressive sensing,
    the additive fusion of the first stage and a three-channel pair of gradient blocks in every
    middle stage.
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
