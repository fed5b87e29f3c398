"""Training: losses, schedules, checkpoints, and one loop for one or many processes."""

from dgunet.training.checkpoints import Checkpoints, Snapshot
from dgunet.training.curve import StepReport, TrainingResult
from dgunet.training.distributed import World, world
from dgunet.training.loop import Batches, DivergedError, train
from dgunet.training.loss import LOSSES, Loss, stage_losses
from dgunet.training.mixup import MixUp
from dgunet.training.schedule import warmup_cosine
from dgunet.training.settings import TrainingConfig
from dgunet.training.stopping import RESUME, InterruptedTrainingError
from dgunet.training.validation import Validation, ValidationPlan, ValidationReport

__all__ = [
    "LOSSES",
    "RESUME",
    "Batches",
    "Checkpoints",
    "DivergedError",
    "InterruptedTrainingError",
    "Loss",
    "MixUp",
    "Snapshot",
    "StepReport",
    "TrainingConfig",
    "TrainingResult",
    "Validation",
    "ValidationPlan",
    "ValidationReport",
    "World",
    "stage_losses",
    "train",
    "warmup_cosine",
    "world",
]
