"""A network whose stages run on another backend, and the stages as functions of tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dgunet.network.config import DGUNetConfig
from dgunet.network.dgunet import DGUNet, LastStage, Stage, StageFeatures, StageImages
from dgunet.network.layers import SCALES
from dgunet.network.operators import LinearOperator
from dgunet.network.proximal import SubspaceProjection

Run = Callable[..., Sequence[Tensor]]
"""A converted stage: a function or module with the arguments and results of `StageTensors`."""

Convert = Callable[["StageTensors"], Run]
"""A backend: converts one stage."""


class StageTensors(nn.Module):
    """A stage from a list of tensors to a list of tensors, as converters need it.

    Args:
        stage: a stage of a network; it is copied, weights included.
        config: the configuration of the network.
        operator: the known operator A, or None if it is learned.
        first: whether it is the first stage, which receives no features.
    """

    def __init__(
        self,
        stage: Stage | LastStage,
        config: DGUNetConfig,
        operator: LinearOperator | None,
        *,
        first: bool,
    ) -> None:
        super().__init__()
        self.config, self.is_first, self.is_last = config, first, isinstance(stage, LastStage)
        self.stage, self.operator = copy.deepcopy(stage), operator

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Compute one stage.

        Args:
            tensors: x_hat^{k-1} and y; for all but the first stage F^{k-1} (encoder, decoder,
                SAM); for the last stage x_hat^0.

        Returns:
            v^k and x_hat^k, and for all but the last stage F^k.
        """
        x, y, *rest = tensors
        memory = None if self.is_first else features(rest)
        if self.is_last:
            v, x_hat = self.stage(x, y, self.operator, memory, rest[-1])
            return v, x_hat
        images, made = self.stage(x, y, self.operator, memory)
        return *images, *made.encoder, *made.decoder, made.sam

    def elementary(self) -> StageTensors:
        """Solve linear systems by elementary operations from now on; few converters have others."""
        for module in self.modules():
            if isinstance(module, SubspaceProjection):
                module.unrolled = True
        return self

    def example(self, batch: int = 2, rows: int = 3, columns: int = 5) -> tuple[Tensor, ...]:
        """Return random tensors that the stage takes, of ``rows`` x ``columns`` units.

        A unit is the multiple that sides are padded to: 8 pixels, or a block.
        """
        kind = next(self.parameters())
        return tuple(
            torch.rand(batch, c, rows * n, columns * n, dtype=kind.dtype, device=kind.device)
            for c, n in self._sizes()
        )

    def _sizes(self) -> list[tuple[int, int]]:
        """Channels and side in a unit of every tensor."""
        config, unit = self.config, self.config.multiple
        image = (config.channels, unit)
        sizes = [image, image if self.operator is None else (config.measurements, 1)]
        if not self.is_first:
            levels = range(SCALES)
            sizes += [(config.width(level + 1), unit >> level) for level in levels]
            sizes += [(config.width(level), unit >> level) for level in levels]
            sizes += [(config.n_feat, unit)]
        return [*sizes, image] if self.is_last else sizes


def features(tensors: Sequence[Tensor]) -> StageFeatures:
    """Return F^k from its seven tensors: encoder, decoder, SAM."""
    return StageFeatures(
        list(tensors[:SCALES]), list(tensors[SCALES : 2 * SCALES]), tensors[2 * SCALES]
    )


class ConvertedStage(nn.Module):
    """Has the interface of `Stage` and `LastStage`, and runs a converted stage."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        operator: LinearOperator | None,
        memory: StageFeatures | None,
        *start: Tensor,
    ) -> StageImages | tuple[StageImages, StageFeatures]:
        """Compute what the stage computes, from the same arguments."""
        given = [x, y]
        if memory is not None:
            given += [*memory.encoder, *memory.decoder, memory.sam]
        v, x_hat, *made = self.run(*given, *start)
        images = StageImages(v, x_hat)
        return (images, features(made)) if made else images


class BackendNetwork(DGUNet):
    """A DGUNet whose stages run on another backend; for inference only.

    Padding, measurements and Algorithm 1 are those of `DGUNet`; a stage that runs several times is
    converted once.

    Args:
        network: the network; its weights are not changed.
        backend: name of the backend.
        convert: converts one stage.
    """

    def __init__(self, network: DGUNet, backend: str, convert: Convert) -> None:
        nn.Module.__init__(self)
        self.config, self.operator, self.backend = network.config, network.operator, backend
        self.first = self._converted(network.first, convert, first=True)  # type: ignore[assignment]
        self.middle = nn.ModuleList(self._converted(each, convert) for each in network.middle)
        self.last = self._converted(network.last, convert)  # type: ignore[assignment]
        self._eager = (network.eval(),)  # in a tuple: its parameters are not this module's
        self.eval()

    @property
    def eager(self) -> DGUNet:
        """The network that was converted."""
        return self._eager[0]

    def _converted(
        self, stage: nn.Module, convert: Convert, *, first: bool = False
    ) -> ConvertedStage:
        assert isinstance(stage, Stage | LastStage)
        with torch.no_grad():
            tensors = StageTensors(stage, self.config, self.operator, first=first)
            return ConvertedStage(convert(tensors.eval()))


def eager_network(network: Any) -> Any:
    """Return the eager network that a `BackendNetwork` was converted from; others as they are."""
    return network.eager if isinstance(network, BackendNetwork) else network
