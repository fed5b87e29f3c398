"""Access to the package ``pipelines`` of a clone, which is not part of the installed package."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dgunet.system.errors import ConfigError

if TYPE_CHECKING:
    from dgunet.kubeflow.pipeline.compiling import PipelineBuilder


def pipelines_of_clone(home: Path) -> Mapping[str, PipelineBuilder]:
    """The pipelines by name, from the package ``pipelines`` of the clone ``home``.

    Raises:
        ConfigError: if ``home`` is not a clone of the project.
    """
    if not all((home / name / "__init__.py").is_file() for name in ("pipelines", "components")):
        raise ConfigError(
            f"no pipelines/ and components/ in {home}.",
            "They are part of the repository, not of the installed package: run in a clone.",
        )
    if str(home) not in sys.path:
        sys.path.insert(0, str(home))
    import pipelines

    if Path(pipelines.__file__ or "").parent.resolve() != (home / "pipelines").resolve():
        raise ConfigError(
            f"the imported package pipelines is {pipelines.__file__}, not that of {home}.",
            "Run in a clone.",
        )
    found: Mapping[str, PipelineBuilder] = pipelines.PIPELINES
    return found
