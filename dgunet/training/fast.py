"""The decision of ``fast``: which switches of a training are on, for a device and its machine.

Switches that are written in the settings stay as they are; ``fast`` decides the others. A resumed
training keeps the switches that it began with, on any machine.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch

from dgunet.config import RuntimeSettings, TrainingSettings
from dgunet.network import DGUNetConfig
from dgunet.network.devices import pick_device
from dgunet.network.probe import Tell
from dgunet.training.step_probe import PLAIN, fastest_step

logger = logging.getLogger(__name__)

__all__ = ["PLAIN", "decide", "gpu_switches"]

COMPILING, NATIVE_BFLOAT16 = (7, 0), (8, 0)
"""Compute capabilities of a GPU from which ``torch.compile`` can be used, and from which bfloat16
is computed by the GPU instead of being emulated."""


def gpu_switches(capability: tuple[int, int]) -> frozenset[str]:
    """Return the switches that make a step faster on a GPU of this compute capability."""
    return (
        frozenset({"channels_last", "fused_adam"})
        | (frozenset({"compile"}) if capability >= COMPILING else frozenset())
        | (frozenset({"bfloat16"}) if capability >= NATIVE_BFLOAT16 else frozenset())
    )


def decide(
    settings: TrainingSettings,
    runtime: RuntimeSettings,
    config: DGUNetConfig,
    kept: Mapping[str, str] | None = None,
    tell: Tell = logger.info,
) -> tuple[TrainingSettings, str]:
    """Return the settings with ``fast`` decided, and the reason.

    On a GPU all switches that it has are on. On a CPU a probe chooses among those of equal results,
    ``channels_last`` and ``fused_adam``; bfloat16 changes results and compiling takes minutes. With
    portable kernels the step is plain, because the probe's choice depends on the machine and
    channels-last changes the last bits.

    Args:
        settings: a training, with ``fast``.
        runtime: device, kernels and threads.
        config: the network.
        kept: the identity of the checkpoint to resume from.
        tell: called with lines about the probe.
    """
    if kept is not None:
        on = [name for name in settings.left_to_fast if kept.get(f"train.{name}") == "True"]
        return settings.decided(on), "as in the checkpoint"
    if pick_device(runtime.device) == "cuda":
        return settings.decided(gpu_switches(torch.cuda.get_device_capability())), "on this GPU"
    if runtime.kernels == "portable":
        return settings.decided(()), "portable kernels keep the step as it is written"
    if settings.compile:
        return settings.decided(()), "a compiled step is not probed, compiling takes minutes"
    chosen = fastest_step(settings, runtime, config, tell)
    return settings.decided(chosen), "by a probe of this machine"
