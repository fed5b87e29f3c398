"""Typed settings from ``params.yaml``, validated before anything runs."""

from dgunet.config.params import (
    EvaluationSettings,
    Params,
    ProfileSettings,
    check_params,
    load_params,
    parse_params,
)
from dgunet.config.training import RuntimeSettings, TrainingSettings, ValidationSettings

__all__ = [
    "EvaluationSettings",
    "Params",
    "ProfileSettings",
    "RuntimeSettings",
    "TrainingSettings",
    "ValidationSettings",
    "check_params",
    "load_params",
    "parse_params",
]
