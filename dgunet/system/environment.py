"""The environment variables of dgunet: the only module that reads or changes them.

Each variable is declared once, with its meaning, default and source. `VARIABLES` lists them, and
``docs/environment.md`` is generated from that list. All other modules receive values as arguments.

The environment is read where a process or a run begins: in a command, at the start of a step or a
component, in a module that is run with ``python -m``, and in ``start_run`` for the description of
the run. Process-wide settings are read through this module where they are used: the folder of the
project, the MLflow store, the limits of archives and images, the folder of the notes on verified
stores, the time limits of MLflow's client, and the secrets that messages must not contain.

The module is long because it is the table of all variables.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")

USER, KUBEFLOW, TRAINER, CLUSTER, DVC, TORCHRUN, IMAGE = (
    "the user",
    "Kubeflow Pipelines",
    "Kubeflow Trainer",
    "the cluster file or the local runner",
    "DVC",
    "torchrun",
    "the image",
)
"""Who sets a variable."""


@dataclass(frozen=True)
class EnvironmentVariable(Generic[Value]):
    """One environment variable.

    Attributes:
        name: name of the variable.
        meaning: one sentence for the documentation.
        convert: converts the text to the value.
        default: the text to use if the variable is unset or empty.
        set_by: who sets it.
        secret: its value must not be shown; `dgunet.system.address.redact` removes it.
    """

    name: str
    meaning: str
    convert: Callable[[str], Value]
    default: str = ""
    set_by: str = USER
    secret: bool = False

    def get(self) -> Value:
        """Return the value; that of the default if the variable is unset or empty."""
        return self.convert(os.environ.get(self.name) or self.default)

    def is_set(self) -> bool:
        """Return whether the variable exists; it may be empty."""
        return self.name in os.environ

    def is_given(self) -> bool:
        """Return whether the variable exists and is not blank."""
        return bool(os.environ.get(self.name, "").strip())

    def set(self, text: str) -> None:
        """Set the variable for this process and the processes that it starts."""
        os.environ[self.name] = text

    def take(self) -> Value:
        """Return the value and remove the variable, so that no later call or child sees it."""
        value = self.get()
        os.environ.pop(self.name, None)
        return value


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _switch(text: str) -> bool:
    return text.lower() not in ("", "0", "false", "no", "off")


def _mlflow_switch(text: str) -> bool:
    return text.lower() not in ("false", "0")


def _count(otherwise: int) -> Callable[[str], int]:
    """Return a converter to a whole number, or to ``otherwise`` for any other text."""
    return lambda text: int(text) if text.isdecimal() else otherwise


HOME = EnvironmentVariable(
    "DGUNET_HOME",
    "Folder of the project. Default: the nearest folder, from the working directory upward,"
    " that contains `params.yaml`.",
    _path,
    set_by=f"{USER}; {CLUSTER}",
)
TRACKING = EnvironmentVariable(
    "DGUNET_TRACKING",
    "When a run is sent to MLflow: `now`, `later` (by `dgunet tracking sync`), `share` (with the"
    " next delivery) or `off`. Default: `share` under DVC, else `now`.",
    str,
    set_by=f"{USER}; {CLUSTER}",
)
CAMPAIGN = EnvironmentVariable(
    "DGUNET_CAMPAIGN",
    "Name shared by all runs of one reproduction, as the tag `campaign`. Default: `PROFILE-local`.",
    str,
    set_by=f"{USER}; {CLUSTER}",
)
DEBUG = EnvironmentVariable(
    "DGUNET_DEBUG", "Show the traceback of a failure, like the option `--debug`.", _switch
)
CACHE = EnvironmentVariable(
    "DGUNET_CACHE",
    "Folder of the notes on verified prepared stores and on the fastest backend and training step."
    " Default: `dgunet` in the user's cache.",
    _path,
)
USER_CACHE = EnvironmentVariable(
    "XDG_CACHE_HOME",
    "The user's cache folder; used if `DGUNET_CACHE` is unset. Default: `~/.cache`.",
    str,
)
SOURCES = EnvironmentVariable(
    "DGUNET_SOURCES",
    "File of the form of `dgunet/data/sources/sources.yaml` that adds or replaces places of"
    " datasets and weights and addresses of services, such as a mirror of your institution.",
    _path,
    set_by=f"{USER}; {CLUSTER}",
)
ACCEPT_LICENCE = EnvironmentVariable(
    "DGUNET_ACCEPT_LICENCE",
    "Names of datasets and weights whose licence you accept, separated by commas, or `all`;"
    " replaces the question of `dgunet data fetch` where there is no terminal.",
    lambda text: frozenset(name.strip() for name in text.split(",") if name.strip()),
    set_by=f"{USER}; {CLUSTER}",
)
CHECKPOINTS = EnvironmentVariable(
    "DGUNET_CHECKPOINTS",
    "Bucket for the checkpoint mirror, `s3://BUCKET/PREFIX`. Without it, checkpoints are only on"
    " the local disk.",
    str,
    set_by=f"{USER}; {CLUSTER}",
)
STORES = EnvironmentVariable(
    "DGUNET_STORES",
    "Folder for the prepared stores of pipelines, which all their steps share; the artifact of a"
    " preparation is then only a manifest. Without it, the artifact is the store.",
    _path,
    set_by=f"{USER}; {CLUSTER}",
)
GIT_COMMIT = EnvironmentVariable(
    "DGUNET_GIT_COMMIT",
    "Commit of the code, for use without a git repository. Default: the commit that git reports.",
    str,
    set_by=f"{USER}; {IMAGE}",
)
GIT_DIRTY = EnvironmentVariable(
    "DGUNET_GIT_DIRTY",
    "`true` if the code differs from `DGUNET_GIT_COMMIT`, else `false`.",
    str,
    "unknown",
    set_by=f"{USER}; {IMAGE}",
)
IMAGE_DIGEST = EnvironmentVariable(
    "DGUNET_IMAGE_DIGEST",
    "Digest of the container image that a step runs in.",
    str,
    set_by=CLUSTER,
)
WARM = EnvironmentVariable(
    "DGUNET_WARM",
    "Socket of a process that has imported the libraries, in which `dgunet` runs its command"
    " (`python -m dgunet.cli.warm_process COMMAND` sets it for COMMAND).",
    str,
    set_by="dgunet, for `make reproduce`",
)
PARENT = EnvironmentVariable(
    "DGUNET_PARENT",
    "Id of a process; the process that reads this variable ends when that one ends.",
    str,
    set_by="dgunet, for torchrun and the steps of the reduced run, which it starts",
)
MAX_ENTRIES = EnvironmentVariable(
    "DGUNET_MAX_ENTRIES", "Largest number of files and folders in an archive.", str.strip, "200000"
)
MAX_FOLDERS = EnvironmentVariable(
    "DGUNET_MAX_FOLDERS",
    "Largest number of folders in an archive, and of folders searched for a dataset.",
    str.strip,
    "10000",
)
MAX_UNPACKED_GB = EnvironmentVariable(
    "DGUNET_MAX_UNPACKED_GB",
    "Largest unpacked size of an archive, in gigabytes. If it is unset, the unpacked size is also"
    " limited to 100 times the size of the archive or 1 GB, whichever is larger.",
    str.strip,
    "200",
)
MAX_PIXELS = EnvironmentVariable(
    "DGUNET_MAX_PIXELS", "Largest number of pixels of one image.", str.strip, "178956970"
)
KFP_ENDPOINT = EnvironmentVariable(
    "KF_PIPELINES_ENDPOINT",
    "Address of the Kubeflow Pipelines API; `--host` takes precedence.",
    str,
)
KFP_UI_ENDPOINT = EnvironmentVariable(
    "KF_PIPELINES_UI_ENDPOINT",
    "Address of the Kubeflow Pipelines user interface, for links. Default: that of the API.",
    str,
)
KFP_TOKEN = EnvironmentVariable(
    "DGUNET_KFP_TOKEN", "Bearer token for the Kubeflow Pipelines API.", str, secret=True
)
KFP_COOKIE = EnvironmentVariable(
    "DGUNET_KFP_COOKIE", "Session cookie for the Kubeflow Pipelines API.", str, secret=True
)
KFP_TOKEN_PATH = EnvironmentVariable(
    "KF_PIPELINES_SA_TOKEN_PATH",
    "File with the service-account token of a pod.",
    Path,
    "/var/run/secrets/kubeflow/pipelines/token",
    set_by="Kubernetes",
)
KFP_RUN_ID = EnvironmentVariable(
    "KFP_RUN_ID",
    "Id of the pipeline run, as the tag `kfp.run_id`.",
    str,
    set_by=f"{KUBEFLOW}; {CLUSTER}",
)
KFP_POD_NAME = EnvironmentVariable(
    "KFP_POD_NAME",
    "Name of the step's pod, which owns the TrainJob that the step starts. Default: the host name.",
    str,
    set_by=KUBEFLOW,
)
TRAINER_SERVER_URL = EnvironmentVariable(
    "KUBEFLOW_TRAINER_SERVER_URL",
    "Address to which a training in a TrainJob posts its progress.",
    str,
    set_by=TRAINER,
)
TRAINER_SERVER_CA_CERT = EnvironmentVariable(
    "KUBEFLOW_TRAINER_SERVER_CA_CERT",
    "File with the certificate authority of that address.",
    str,
    set_by=TRAINER,
)
TRAINER_SERVER_TOKEN = EnvironmentVariable(
    "KUBEFLOW_TRAINER_SERVER_TOKEN",
    "File with the token for that address; read again for every post.",
    str,
    set_by=TRAINER,
)
TRAINER_STATUS_URL = EnvironmentVariable(
    "KUBEFLOW_TRAINER_STATUS_URL",
    "Name of `KUBEFLOW_TRAINER_SERVER_URL` in some versions of Trainer.",
    str,
    set_by=TRAINER,
)
TRAINER_STATUS_CA_CERT = EnvironmentVariable(
    "KUBEFLOW_TRAINER_STATUS_CA_CERT",
    "Name of `KUBEFLOW_TRAINER_SERVER_CA_CERT` in some versions of Trainer.",
    str,
    set_by=TRAINER,
)
TRAINER_STATUS_TOKEN = EnvironmentVariable(
    "KUBEFLOW_TRAINER_STATUS_TOKEN",
    "Name of `KUBEFLOW_TRAINER_SERVER_TOKEN` in some versions of Trainer.",
    str,
    set_by=TRAINER,
)
MLFLOW_TRACKING_URI = EnvironmentVariable(
    "MLFLOW_TRACKING_URI",
    "Address of the MLflow store. Default: `mlflow.db` in the project's folder.",
    str,
    set_by=f"{USER}; {CLUSTER}",
)
MLFLOW_RUN_ID = EnvironmentVariable(
    "MLFLOW_RUN_ID",
    "MLflow run that the first run of this process continues.",
    str,
    set_by=f"{USER}; {KUBEFLOW}",
)
MLFLOW_TRACKING_USERNAME = EnvironmentVariable(
    "MLFLOW_TRACKING_USERNAME", "User name for an MLflow server.", str
)
MLFLOW_TRACKING_PASSWORD = EnvironmentVariable(
    "MLFLOW_TRACKING_PASSWORD", "Password for an MLflow server.", str, secret=True
)
MLFLOW_TRACKING_TOKEN = EnvironmentVariable(
    "MLFLOW_TRACKING_TOKEN", "Bearer token for an MLflow server.", str, secret=True
)
MLFLOW_TIMEOUT = EnvironmentVariable(
    "MLFLOW_HTTP_REQUEST_TIMEOUT",
    "Seconds without a byte after which a request to MLflow fails. During a delivery the default"
    " is 10.",
    _count(120),
    "120",
)
MLFLOW_RETRIES = EnvironmentVariable(
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
    "Number of times that MLflow's client repeats a failed request.",
    _count(0),
    "0",
)
SYSTEM_METRICS = EnvironmentVariable(
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING",
    "`false` or `0` disables recording of the machine's load.",
    _mlflow_switch,
    "true",
)
SYSTEM_METRICS_INTERVAL = EnvironmentVariable(
    "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL",
    "Seconds between two samples of the machine's load.",
    str,
    "10",
)
DVC_STAGE = EnvironmentVariable(
    "DVC_STAGE", "Name of the running DVC stage, as the tag `dvc.stage`.", str, set_by=DVC
)
DVC_EXPERIMENT = EnvironmentVariable(
    "DVC_EXP_NAME", "Name of the DVC experiment, as the tag `dvc.exp_name`.", str, set_by=DVC
)
DVC_BASELINE = EnvironmentVariable(
    "DVC_EXP_BASELINE_REV",
    "Commit that a DVC experiment starts from, as the tag `dvc.exp_baseline_rev`.",
    str,
    set_by=DVC,
)
RANK = EnvironmentVariable(
    "RANK",
    "Rank of this process in a distributed training; only process 0 reports.",
    str,
    "0",
    TORCHRUN,
)
LOCAL_RANK = EnvironmentVariable(
    "LOCAL_RANK",
    "Rank of this process on its machine, and number of the GPU that it uses.",
    str,
    "0",
    TORCHRUN,
)
WORLD_SIZE = EnvironmentVariable(
    "WORLD_SIZE", "Number of processes in a distributed training.", str, "1", TORCHRUN
)
TORCHELASTIC_RUN_ID = EnvironmentVariable(
    "TORCHELASTIC_RUN_ID",
    "Set in each process of torchrun; such a process ends together with torchrun.",
    str,
    set_by=TORCHRUN,
)
TEMPORARY = EnvironmentVariable(
    "TMPDIR",
    "Folder for temporary files; a local pipeline run checks that it has enough space.",
    str,
    "/tmp",
)
REMOVED_FROM_MESSAGES = tuple(
    EnvironmentVariable(
        name, f"Secret of {owner}; dgunet only removes it from messages.", str, secret=True
    )
    for name, owner in (
        ("AWS_SECRET_ACCESS_KEY", "the S3 client"),
        ("AWS_SESSION_TOKEN", "the S3 client"),
        ("PGPASSWORD", "the PostgreSQL client"),
        ("MYSQL_PWD", "the MySQL client"),
    )
)
"""Secrets of other programs; dgunet only removes them from messages."""

VARIABLES: tuple[EnvironmentVariable[Any], ...] = (
    *(
        declared
        for declared in list(globals().values())
        if isinstance(declared, EnvironmentVariable)
    ),
    *REMOVED_FROM_MESSAGES,
)
"""Every variable that dgunet reads, in the order of this module."""


def secret_values() -> set[str]:
    """Return the non-empty values of all secret variables."""
    return {value for variable in VARIABLES if variable.secret and (value := variable.get())}


def torchrun_variables() -> dict[str, str]:
    """Return the variables that ``torchrun`` sets for this process; without it, the defaults."""
    return {variable.name: variable.get() for variable in (RANK, WORLD_SIZE, LOCAL_RANK)}


def for_child(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for another process: that of this process with ``changes``."""
    return os.environ | (changes or {})


def replace_variables(values: Mapping[str, str]) -> None:
    """Replace all variables of this process."""
    os.environ.clear()
    os.environ.update(values)


def value_in_pod(name: str) -> str:
    """Return the value of a variable named in the specification of this step's pod; "" if unset."""
    return os.environ.get(name, "")


def cache_folder() -> Path:
    """Return the folder of notes that save repeated work: ``DGUNET_CACHE`` or in the user's cache.

    Raises:
        FileNotFoundError: for a user without a home directory.
    """
    if named := CACHE.get():
        return named
    base = Path(USER_CACHE.get() or os.path.expanduser("~/.cache"))  # noqa: PTH111
    if not base.is_absolute():
        raise FileNotFoundError(f"{base} is not absolute")
    return base / "dgunet"


@contextmanager
def with_defaults(values: Mapping[str, str]) -> Iterator[frozenset[str]]:
    """Within the block, set those of ``values`` that are unset; yield their names."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield frozenset(added)
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def with_value(name: str, value: str) -> Iterator[None]:
    """Within the block, set the variable ``name`` to ``value``; restore it afterwards."""
    former = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if former is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = former


def with_item(name: str, item: str) -> AbstractContextManager[None]:
    """Within the block, append ``item`` to the comma-separated list in the variable ``name``."""
    return with_value(name, ",".join(filter(None, (os.environ.get(name), item))))


def environment_markdown() -> str:
    """Return the page ``docs/environment.md``, a table of all variables."""
    lines = [
        "# Environment variables",
        "",
        "Generated from `dgunet/system/environment.py` by",
        "`python -m dgunet.system.environment > docs/environment.md`. An empty variable counts as",
        "unset. The values of secrets are removed from every message.",
        "",
        "| Variable | Meaning | Default | Set by |",
        "| --- | --- | --- | --- |",
    ]
    for variable in VARIABLES:
        meaning = variable.meaning + (" Secret." if variable.secret else "")
        default = f"`{variable.default}`" if variable.default else ""
        lines.append(f"| `{variable.name}` | {meaning} | {default} | {variable.set_by} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(environment_markdown(), end="")
