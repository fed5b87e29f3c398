"""Fetches the authors' weights in a step, where nobody can be asked for consent."""

from __future__ import annotations

import logging
from pathlib import Path

from dgunet.data.acquisition.fetch_plan import FetchPlan
from dgunet.data.acquisition.released_weights import released_weights
from dgunet.network import load_network
from dgunet.system import environment, files
from dgunet.system.errors import ConfigError
from dgunet.terms import check_task, check_variant
from dgunet.tracking.reports.progress import counting_bytes

_LOG = logging.getLogger(__name__)


def fetch_released_network(task: str, variant: str, ratio: int | None, out: Path) -> dict[str, str]:
    """Fetch and convert weights to ``out/network.safetensors``; return their origin and digests.

    The archive is removed afterwards, because steps that run at the same time, in other pods, may
    share no folder.

    Args:
        task: derain, deblur, denoise or cs.
        variant: DGUNet or DGUNet+.
        ratio: percent of measurements, for cs only.
        out: the folder to write.

    Raises:
        ConfigError: if ``DGUNET_ACCEPT_LICENCE`` does not accept the terms, or the authors have
            published no such network.
        DataError: if no place provides the weights.
        CheckpointError: if not exactly one file of the archive is this network.
    """
    weights = out / "network.safetensors"
    files.make_folder(out)
    with files.partial_folder(weights) as scratch, counting_bytes(f"{task} {variant}") as observe:
        released_weights(
            check_task(task),
            check_variant(variant),
            ratio,
            weights,
            scratch,
            consent=accepted_in_environment,
            observe=observe,
            note=_tell,
        )
    network, origin = load_network(weights)
    return {
        "source": origin["origin_address"],
        "source_sha256": origin["origin_archive_sha256"],
        "variant": network.config.variant,
        "checkpoint_sha256": files.sha256_file(weights),
        **origin,
    }


def accepted_in_environment(plan: FetchPlan) -> bool:
    """Return True if ``DGUNET_ACCEPT_LICENCE`` accepts the terms of ``plan``.

    Raises:
        ConfigError: if it does not, with the terms.
    """
    variable = environment.ACCEPT_LICENCE
    if variable.get() & {plan.name, "all"}:
        return True
    raise ConfigError(
        f"the licence of {plan.name} has not been accepted ({plan.title}; {plan.licence}).",
        f"If you accept it, set {variable.name}={plan.name} (or all): on a cluster under"
        " `environment` of the cluster file, on this machine before the command.",
    )


def _tell(line: str) -> None:
    """Log a line of the download, except that the archive was kept, which holds only until here."""
    if not line.startswith("kept "):
        _LOG.info("%s", line)
