"""The pipeline's steps as functions: what the CLI, DVC, Kubeflow and the notebooks all call.

Each takes explicit paths, calls one room of the library, and reports to MLflow. Nothing here
computes a number.
"""

from dgunet.stages.ablate import ABLATIONS, ablate
from dgunet.stages.evaluate import evaluate
from dgunet.stages.layout import Layout
from dgunet.stages.prepare import prepare
from dgunet.stages.tables import tables
from dgunet.stages.train import train

__all__ = ["ABLATIONS", "Layout", "ablate", "evaluate", "prepare", "tables", "train"]
