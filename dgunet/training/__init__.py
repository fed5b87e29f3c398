"""Training of a network with given settings on a prepared dataset.

`dgunet.training.job` trains a network of the paper on a prepared store; `dgunet.training.loop` is
the optimisation loop that the job uses.
"""

from dgunet.training.batches import Batches
from dgunet.training.checkpoints import Checkpoints, Snapshot
from dgunet.training.curve import StepReport, TrainingResult
from dgunet.training.distributed import LaunchedProcess, World, joined_processes
from dgunet.training.loop import LoopReporter, train
from dgunet.training.loss import LOSSES, stage_losses
from dgunet.training.mixup import MixUp
from dgunet.training.schedule import warmup_cosine
from dgunet.training.step import DivergedError
from dgunet.training.stopping import LOST, RESUME, InterruptedTrainingError
from dgunet.training.validation import Validation, ValidationReport

__all__ = [
    "LOSSES",
    "LOST",
    "RESUME",
    "Batches",
    "Checkpoints",
    "DivergedError",
    "InterruptedTrainingError",
    "LaunchedProcess",
    "LoopReporter",
    "MixUp",
    "Snapshot",
    "StepReport",
    "TrainingResult",
    "Validation",
    "ValidationReport",
    "World",
    "joined_processes",
    "stage_losses",
    "train",
    "warmup_cosine",
]
