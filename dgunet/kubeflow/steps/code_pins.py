"""Pins of a pipeline run, which affect results but are not settings: code, protocols, image.

Kubeflow's cache compares the parameters of a step, not the code in its image. Therefore the
pins are parameters, and every step refuses to run with other code, protocols or another image.
"""

from __future__ import annotations

from dgunet.evaluation.protocols import PROTOCOLS
from dgunet.system import environment
from dgunet.system.errors import ConfigError
from dgunet.system.logs import log_to_stderr
from dgunet.system.package_digest import code_version


def protocol_versions() -> str:
    """All protocols with their versions, e.g. ``gopro-rgb/1 rain-y/1``."""
    return " ".join(f"{name}/{PROTOCOLS[name].version}" for name in sorted(PROTOCOLS))


def image_digest() -> str:
    """The image digest of this process's container, set by the cluster; "" outside a container."""
    return environment.IMAGE_DIGEST.get()


def check_pins(*, code: str, image: str = "", protocols: str = "") -> None:
    """Refuse to run with code, protocols or an image that differ from the pipeline's.

    Every component calls this first, so it also shows the library's messages on standard error.
    An empty ``image`` or ``protocols`` is not checked.

    Raises:
        ConfigError: naming both values.
    """
    log_to_stderr()
    pairs = (
        ("code_version", code, code_version()),
        ("protocols", protocols, protocol_versions()),
        ("image_digest", image, image_digest() or image),
    )
    for name, pinned, found in pairs:
        if pinned != found and (pinned or name == "code_version"):
            raise ConfigError(
                f"the pipeline was given {name} {pinned!r}, but this container has {found!r}.",
                "Build the image from the submitted code (make image), or submit the image's code.",
            )
