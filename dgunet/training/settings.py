"""What decides a training run beside its data and its network."""

from __future__ import annotations

from dataclasses import dataclass

from dgunet.training.loss import Loss


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides the weights, beside the data and the network.

    How many processes share the work is not among it: the batch of a step is the configuration's,
    and each process takes its share.
    """

    iterations: int
    learning_rate: float
    warmup: int
    """Linear warm-up, counted as the schedule counts; see ``rate_every``."""
    learning_rate_min: float = 1e-6
    rate_every: int = 1
    """Steps between two moves of the schedule: 1, or the steps of an epoch."""
    rate_period: int = 0
    """Moves from the cosine's start to its minimum; 0: it ends with the run."""
    halve_at: tuple[int, ...] = ()
    """Moves at which the rate is halved, instead of the cosine; the warm-up must be 0."""
    loss: Loss = "l2"
    weight_decay: float = 0.0
    """Adam's own, added to the gradient."""
    micro_batch: int = 0
    """Samples that pass through the network at once in each process; 0: all of its share."""
    clip: float = 0.0
    """Largest norm of the gradient; 0: as it is."""
    average: float = 0.0
    """Decay of an exponential moving average of the weights, which is then the result; 0: none."""
    bfloat16: bool = False
    """Run the network under bfloat16 autocast; weights, losses and optimiser stay float32."""
    skip_budget: int = 0
    """Steps with a loss or gradient that is not finite that may be left out; one more stops."""
    compile: bool = False
    """Run the network through ``torch.compile``."""
    channels_last: bool = False
    """Keep images and weights with the channels innermost."""
    recompute: bool = False
    """Keep no activations within a stage; see `dgunet.training.speed.recomputing`."""
    fused_adam: bool = False
    """Adam's step as one kernel."""
    seed: int = 1234
    device: str = "cpu"
    threads: int = 0
