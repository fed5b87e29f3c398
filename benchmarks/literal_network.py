"""The released network, computed one formula after the other: the partner of every timed pair.

Nothing is shared, fused, reordered or padded: each convolution is one call, inputs are joined by
concatenation, the 16 x 16 matrix is inverted, and compressive sensing forms ``Phi^T Phi`` in every
pass, as in the authors' code. Attributes have the names of the authors' checkpoints, so that
``dgunet.network.official.official_state`` gives the weights of one of our networks. This file and
`benchmarks.literal_blocks` need torch alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.literal_blocks import (
    Decoder,
    Encoder,
    GradientBlock,
    SubspaceMerge,
    SupervisedAttention,
    conv,
    shallow_features,
)

BLOCK = 32
"""Side of a sampled block in pixels."""

Memory = tuple[list[Tensor], list[Tensor], Tensor]
"""Encoder features, decoder features and f' of the previous stage."""


def add_restoration_stage(
    holder: nn.Module, k: int, config: Any, slopes: tuple[nn.Module, nn.Module]
) -> None:
    """Add the parts of stage ``k`` < 7 to ``holder``; ``slopes`` of gradient and attention."""
    n, s, c = config.n_feat, config.scale, config.channels
    holder.register_parameter(f"r{k - 1}", nn.Parameter(torch.full((1,), 0.5)))
    for name in ("phi", "phit"):
        holder.add_module(f"{name}_{k - 1}", GradientBlock(c, config.gradient_width, slopes[0]))
    holder.add_module(f"shallow_feat{k}", shallow_features(c, n, slopes[1]))
    if k > 1:
        holder.add_module(f"merge{k - 1}{k}", SubspaceMerge(n))
    holder.add_module(f"stage{k}_encoder", Encoder(n, s, None if k == 1 else "spatial"))
    holder.add_module(f"stage{k}_decoder", Decoder(n, s))
    holder.add_module(f"sam{k}{k + 1}", SupervisedAttention(c, n, attention=False))


def gradient_step(holder: nn.Module, k: int, x: Tensor, y: Tensor) -> Tensor:
    """v = x - r Phit(Phi(x) - y)."""
    phi, phit = getattr(holder, f"phi_{k - 1}"), getattr(holder, f"phit_{k - 1}")
    return x - getattr(holder, f"r{k - 1}") * phit(phi(x) - y)


def restoration_stage(
    holder: nn.Module, k: int, x: Tensor, y: Tensor, memory: Memory | None
) -> tuple[Tensor, Memory]:
    """The image of stage ``k`` < 7 and what it passes on."""
    v = gradient_step(holder, k, x, y)
    z = getattr(holder, f"shallow_feat{k}")(v)
    encoder: list[Tensor] | None = None
    decoder: list[Tensor] | None = None
    if memory is not None:
        encoder, decoder, f = memory
        z = getattr(holder, f"merge{k - 1}{k}")(z, f)
    encoder = getattr(holder, f"stage{k}_encoder")(z, encoder, decoder)
    decoder = getattr(holder, f"stage{k}_decoder")(encoder)
    f, x = getattr(holder, f"sam{k}{k + 1}")(decoder[-1], v)
    return x, (encoder, decoder, f)


class SharedRestoration(nn.Module):
    """DGUNet for deraining, deblurring and denoising: stages 2 to 6 are ``basic``, run five times.

    ``basic.concat12`` is in the authors' checkpoints and is never used.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        n, c = config.n_feat, config.channels
        gradient, outer = nn.PReLU(), nn.PReLU()
        self.basic = nn.Module()
        add_restoration_stage(self.basic, 2, config, (gradient, nn.PReLU()))
        self.basic.concat12 = conv(2 * n, n, bias=False)
        add_restoration_stage(self, 1, config, (gradient, outer))
        self.r6 = nn.Parameter(torch.full((1,), 0.5))
        self.phi_6 = GradientBlock(c, config.gradient_width, gradient)
        self.phit_6 = GradientBlock(c, config.gradient_width, gradient)
        self.shallow_feat7 = shallow_features(c, n, outer)
        self.concat67 = conv(2 * n, n + config.last_width, bias=False)
        self.tail = conv(n + config.last_width, c, bias=False)

    def forward(self, y: Tensor) -> list[Tensor]:
        x, memory = restoration_stage(self, 1, y, y, None)
        images = [x]
        for _ in range(5):
            x, memory = restoration_stage(self.basic, 2, x, y, memory)
            images.append(x)
        z = self.shallow_feat7(gradient_step(self, 7, x, y))
        z = self.concat67(torch.cat([z, memory[2]], dim=1))
        return [*images, self.tail(z) + y]


class PlusRestoration(nn.Module):
    """DGUNet+ for deraining, deblurring and denoising: every stage has its own parts."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        n, c = config.n_feat, config.channels
        slopes = (nn.PReLU(), nn.PReLU())
        for k in range(1, 7):
            add_restoration_stage(self, k, config, slopes)
        self.r6 = nn.Parameter(torch.full((1,), 0.5))
        self.phi_6 = GradientBlock(c, config.gradient_width, slopes[0])
        self.phit_6 = GradientBlock(c, config.gradient_width, slopes[0])
        self.shallow_feat7 = shallow_features(c, n, slopes[1])
        self.merge67 = SubspaceMerge(n)
        self.tail = conv(n, c, bias=False)

    def forward(self, y: Tensor) -> list[Tensor]:
        x, memory, images = y, None, []
        for k in range(1, 7):
            x, memory = restoration_stage(self, k, x, y, memory)
            images.append(x)
        assert memory is not None
        z = self.merge67(self.shallow_feat7(gradient_step(self, 7, x, y)), memory[2])
        return [*images, self.tail(z) + y]


def to_blocks(x: Tensor) -> Tensor:
    """Cut images (B, 1, H, W) into rows of pixels of 32 x 32 blocks, (B * blocks, 1024)."""
    return F.unfold(x, BLOCK, stride=BLOCK).permute(0, 2, 1).reshape(-1, BLOCK * BLOCK)


def from_blocks(rows: Tensor, like: Tensor) -> Tensor:
    """Join the rows of `to_blocks` into images of the shape of ``like``."""
    columns = rows.reshape(like.shape[0], -1, BLOCK * BLOCK).permute(0, 2, 1)
    return F.fold(columns, like.shape[2:], BLOCK, stride=BLOCK)


def sampling_step(x: Tensor, r: Tensor, gram: Tensor, start: Tensor) -> Tensor:
    """v = x - r Phi^T Phi x + r Phi^T y for each block; ``start`` are the rows Phi^T y."""
    rows = to_blocks(x)
    return from_blocks(rows - r * torch.mm(rows, gram) + r * start, x)


class SensingStage(nn.Module):
    """A middle stage of compressive sensing; ``phi`` and ``phit`` are never used."""

    def __init__(self, config: Any, dead: nn.Module) -> None:
        super().__init__()
        n, s = config.n_feat, config.scale
        self.r = nn.Parameter(torch.full((1,), 0.5))
        self.phi = GradientBlock(3, config.gradient_width, dead)
        self.phit = GradientBlock(3, config.gradient_width, dead)
        self.shallow_feat = shallow_features(1, n, nn.PReLU())
        self.concat = conv(2 * n, n, bias=False)
        self.stage_encoder = Encoder(n, s, "addition")
        self.stage_decoder = Decoder(n, s)
        self.sam = SupervisedAttention(1, n, attention=True)

    def forward(
        self, x: Tensor, gram: Tensor, start: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        v = sampling_step(x, self.r, gram, start)
        z = self.concat(torch.cat([self.shallow_feat(v), memory[2]], dim=1))
        encoder = self.stage_encoder(z, memory[0], memory[1])
        decoder = self.stage_decoder(encoder)
        f, x = self.sam(decoder[-1], v)
        return x, (encoder, decoder, f)


class Sensing(nn.Module):
    """DGUNet and DGUNet+ for compressive sensing of images whose sides are multiples of 32."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        n, s, width = config.n_feat, config.scale, config.n_feat + config.last_width
        outer, dead = nn.PReLU(), nn.PReLU()
        self.Phi = nn.Parameter(nn.init.xavier_normal_(torch.empty(config.measurements, BLOCK**2)))
        self.r0, self.r_final = (nn.Parameter(torch.full((1,), 0.5)) for _ in range(2))
        self.shallow_feat1 = shallow_features(1, n, outer)
        if config.shared:
            self.stage_model = SensingStage(config, dead)
        else:
            self.body = nn.ModuleList(SensingStage(config, dead) for _ in range(5))
        self.shallow_feat_final = shallow_features(1, n, outer)
        self.stage1_encoder = Encoder(n, s, "addition")
        self.stage1_decoder = Decoder(n, s)
        self.sam12 = SupervisedAttention(1, n, attention=True)
        self.concat_final = conv(2 * n, width, bias=False)
        self.tail = conv(width, 1, bias=False)
        self.shared = config.shared

    def forward(self, x: Tensor) -> list[Tensor]:
        start = torch.mm(torch.mm(to_blocks(x), self.Phi.t()), self.Phi)
        gram = torch.mm(self.Phi.t(), self.Phi)
        v = sampling_step(from_blocks(start, x), self.r0, gram, start)
        # The fusion of this encoder is in the checkpoints and has nothing to fuse.
        encoder = self.stage1_encoder(self.shallow_feat1(v), None, None)
        decoder = self.stage1_decoder(encoder)
        f, x = self.sam12(decoder[-1], v)
        memory, images = (encoder, decoder, f), [x]
        for i in range(5):
            stage = self.stage_model if self.shared else self.body[i]
            x, memory = stage(x, gram, start, memory)
            images.append(x)
        v = sampling_step(x, self.r_final, gram, start)
        z = self.concat_final(torch.cat([self.shallow_feat_final(v), memory[2]], dim=1))
        return [*images, self.tail(z) + v]


def literal_network(config: Any, weights: Mapping[str, Tensor]) -> nn.Module:
    """Build the network of ``preset(task, variant)`` with the weights of an `official_state`.

    Widths may differ from the released ones. The result maps images (B, C, H, W), whose sides are
    multiples of 8 (of 32 for compressive sensing), to the images of all stages, the first stage
    first.
    """
    if config.task == "cs":
        network: nn.Module = Sensing(config)
    else:
        network = (SharedRestoration if config.shared else PlusRestoration)(config)
    dtype = next(iter(weights.values())).dtype
    network.to(dtype).load_state_dict(weights)
    return network.eval()
