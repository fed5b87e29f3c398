"""``params.yaml`` as typed objects, checked before anything runs."""

from dgunet.config.params import (
    EvaluateParams,
    Params,
    ProfileParams,
    RuntimeParams,
    TrainParams,
    ValidationParams,
    check_params,
    load_params,
    parse_params,
)

__all__ = [
    "EvaluateParams",
    "Params",
    "ProfileParams",
    "RuntimeParams",
    "TrainParams",
    "ValidationParams",
    "check_params",
    "load_params",
    "parse_params",
]
