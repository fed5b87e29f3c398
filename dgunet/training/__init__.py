"""Training: the loss of Eq. (10), the schedule of Section 4.1, and one loop."""

from dgunet.training.loop import StepReport, TrainingConfig, TrainingResult, train
from dgunet.training.loss import stage_losses
from dgunet.training.schedule import warmup_cosine

__all__ = [
    "StepReport",
    "TrainingConfig",
    "TrainingResult",
    "stage_losses",
    "train",
    "warmup_cosine",
]
