"""What changes a result and is no setting: the code, the protocols, the image.

Kubeflow's cache sees the parameters of a step, not the code behind its image's name. So the
pipelines pass these as parameters, and every step refuses to run with others than it was told.
"""

from __future__ import annotations

from pathlib import Path

from dgunet.evaluation.protocols import PROTOCOLS
from dgunet.system import environment, files
from dgunet.system.errors import ConfigError
from dgunet.system.logs import log_to_stderr

SOURCES = (".py", ".json", ".csv", ".yaml", ".j2")
IMAGE = environment.IMAGE_DIGEST.name
"""The environment variable that says which image a container runs."""


def code_version() -> str:
    """A digest of the installed package's files: 16 hexadecimal digits.

    The same for a clone and an image made from it, whatever the line ends, other for every change,
    committed or not.
    """
    package = Path(__file__).parents[2]
    lines = [
        f"{files.sha256_source(path)}  {path.relative_to(package).as_posix()}\n"
        for path in sorted(package.rglob("*"))
        if path.suffix in SOURCES
    ]
    return files.sha256_bytes("".join(lines).encode())[:16]


def protocol_versions() -> str:
    """Every protocol with its version, e.g. ``gopro-rgb/1 rain-y/1``."""
    return " ".join(f"{name}/{PROTOCOLS[name].version}" for name in sorted(PROTOCOLS))


def image_digest() -> str:
    """The image that this process runs in, as the cluster was told; "" outside of one."""
    return environment.IMAGE_DIGEST.get()


def check_pins(*, code: str, image: str = "", protocols: str = "") -> None:
    """Begin a pipeline step: refuse other code, protocols or another image than the pipeline's.

    Every component calls this first, so it also shows the library's messages on standard error.
    An empty ``image`` or ``protocols`` is not checked.

    Raises:
        ConfigError: naming both sides.
    """
    log_to_stderr()
    pairs = (
        ("code_version", code, code_version()),
        ("protocols", protocols, protocol_versions()),
        ("image_digest", image, image_digest() or image),
    )
    for name, wanted, found in pairs:
        if wanted != found and (wanted or name == "code_version"):
            raise ConfigError(
                f"the pipeline was given {name} {wanted!r}, and this container has {found!r}.",
                "Build the image from the code that submits (make image), or submit from its code.",
            )
