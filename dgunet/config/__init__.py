"""Typed settings from ``params.yaml``, validated before anything runs."""

from dgunet.config.params import (
    EvaluationParams,
    EvaluationSettings,
    Params,
    ProfileSettings,
    check_params,
    load_params,
    parse_evaluation,
    parse_params,
)
from dgunet.config.training import RuntimeSettings, TrainingSettings, ValidationSettings

__all__ = [
    "EvaluationParams",
    "EvaluationSettings",
    "Params",
    "ProfileSettings",
    "RuntimeSettings",
    "TrainingSettings",
    "ValidationSettings",
    "check_params",
    "load_params",
    "parse_evaluation",
    "parse_params",
]
