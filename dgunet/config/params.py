"""Typed objects for ``params.yaml``: every setting, its range, and errors that name the key.

The file contains three profiles, and ``profile`` selects the active one: ``sample`` is small enough
for a laptop; ``reduced`` trains small networks on the original data; ``paper`` has the settings
printed in Section 4.1 of the paper.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from dgunet.config.cross_checks import check_overrides, check_together
from dgunet.config.ranges import (
    StrictModel,
    explain,
    field_names,
    joined_faults,
    setting_error,
    whole,
)
from dgunet.config.training import (
    Device,
    Kernels,
    RuntimeSettings,
    Threads,
    TrainingSettings,
    ValidationSettings,
)
from dgunet.system.errors import ConfigError
from dgunet.system.reading import parse_json, parse_yaml, read_text
from dgunet.terms import Architecture, Profile, Task, Variant, WeightsOrigin, check_task

TEXT_BYTES = 256 << 10
"""Largest size of a parameter file."""


Form = TypeVar("Form", bound=BaseModel)


class EvaluationSettings(StrictModel):
    """Settings of an evaluation."""

    keep_images: Annotated[int, whole(0, 1_000_000)] = Field(
        description="number of restored images kept from the start of each test set, as PNG;"
        " with one or more also the best, the median and the worst by PSNR; 0 keeps none"
    )


class ProfileSettings(StrictModel):
    """All settings of one profile."""

    runtime: RuntimeSettings
    network: dict[str, Any] = Field(
        description="fields that replace those of the architecture's preset"
    )
    train: dict[Task, TrainingSettings]
    ablate: TrainingSettings
    evaluate: EvaluationSettings

    @field_validator("network")
    @classmethod
    def _network_fields(cls, network: dict[str, Any]) -> dict[str, Any]:
        check_overrides(network)
        return network


class EvaluationParams(StrictModel):
    """All that an evaluation reads of ``params.yaml``, of the active profile."""

    profile: Profile
    evaluate: EvaluationSettings
    device: Device
    threads: Threads
    kernels: Kernels


class Params(StrictModel):
    """The content of ``params.yaml``."""

    profile: Profile
    weights: WeightsOrigin = "trained"
    variants: tuple[Variant, ...] = Field(min_length=1, max_length=2)
    architecture: Architecture
    seed: Annotated[int, whole(0, 2**32 - 1)]
    sample: ProfileSettings
    reduced: ProfileSettings
    paper: ProfileSettings

    @model_validator(mode="after")
    def _networks_fit(self) -> Params:
        """Refuse fields of ``network`` that are valid individually but not in combination."""
        if len(set(self.variants)) < len(self.variants):
            raise setting_error(f"variants is {list(self.variants)}, allowed: each variant once")
        for name in get_args(Profile):
            network = self._settings(name).network
            check_together(f"{name}.network", network, self.variants, self.architecture)
        return self

    @property
    def active(self) -> ProfileSettings:
        """Settings of the profile that ``profile`` selects."""
        return self._settings(self.profile)

    def _settings(self, profile: Profile) -> ProfileSettings:
        return {"sample": self.sample, "reduced": self.reduced, "paper": self.paper}[profile]

    @property
    def evaluation(self) -> EvaluationParams:
        """What an evaluation reads."""
        runtime = self.active.runtime
        return EvaluationParams(
            profile=self.profile,
            evaluate=self.active.evaluate,
            device=runtime.device,
            threads=runtime.threads,
            kernels=runtime.kernels,
        )

    def training(self, task: str) -> TrainingSettings:
        """Return the active profile's training settings for ``task``.

        Raises:
            ConfigError: for an unknown task; the message lists the known ones.
        """
        return self.active.train[check_task(task)]


def load_params(path: Path) -> Params:
    """Read and validate ``params.yaml``.

    Raises:
        ConfigError: if the file is missing, is not YAML, or contains a key or value that is not
            allowed; the message names the key, the value and what is allowed.
    """
    try:
        text = read_text(path, limit=TEXT_BYTES, kind=ConfigError)
    except FileNotFoundError as error:
        raise ConfigError(
            f"no parameter file {path}.", "Run in the project's folder, or set --params."
        ) from error
    return parse_params(text, str(path))


def parse_params(text: str, origin: str = "params") -> Params:
    """Validate the text of a parameter file; errors name ``origin``.

    Raises:
        ConfigError: as `load_params`.
    """
    content = parse_yaml(text, origin, kind=ConfigError)
    if not isinstance(content, dict):
        raise ConfigError(
            f"{origin} contains {type(content).__name__}, not a mapping of parameters."
        )
    return check_params(content, origin)


def parse_evaluation(text: str) -> EvaluationParams:
    """Read the JSON text of `EvaluationParams`, as ``model_dump_json`` writes it.

    Raises:
        ConfigError: naming the key, the value and what is allowed.
    """
    content = parse_json(text, "evaluation", kind=ConfigError)
    hint = "`dgunet pipeline submit` makes it from `params.yaml`."
    return _checked(EvaluationParams, content, "evaluation", _EVALUATION_NAMES, hint)


def check_params(content: dict[str, Any], origin: str) -> Params:
    """Validate a parameter mapping; errors name ``origin``.

    Raises:
        ConfigError: as `load_params`.
    """
    hint = "The comments in `params.yaml` explain each key."
    return _checked(Params, content, origin, _NAMES, hint)


def _checked(
    form: type[Form], content: dict[str, Any], origin: str, names: list[str], hint: str
) -> Form:
    """Validate ``content``; the error names ``origin`` and suggests one of ``names`` for a typo."""
    try:
        return form.model_validate(content)
    except ValidationError as error:
        faults = joined_faults(error, lambda entry: explain(entry, names))
        raise ConfigError(f"{origin}: {faults}.", hint) from error


_NAMES = field_names(
    *(Params, ProfileSettings, TrainingSettings, ValidationSettings),
    *(EvaluationSettings, RuntimeSettings),
)
_EVALUATION_NAMES = field_names(EvaluationParams, EvaluationSettings)
