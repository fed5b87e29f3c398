"""The port on which ``dgunet tracking ui`` serves a project's store."""

from __future__ import annotations

from contextlib import suppress

from dgunet.system import files
from dgunet.system.errors import DgunetError
from dgunet.tracking.home import TrackingFolders

DEFAULT_PORT = 5000
"""MLflow's own default."""


def ui_port(folders: TrackingFolders) -> int:
    """The port that was used last; `DEFAULT_PORT` at first, or if the note is unreadable."""
    with suppress(OSError, ValueError):
        port = int(folders.ui_port.read_text(encoding="ascii"))
        if 1 <= port <= 65_535:
            return port
    return DEFAULT_PORT


def remember_ui_port(folders: TrackingFolders, port: int) -> None:
    """Note the port for later links; a read-only folder is no error."""
    with suppress(OSError, DgunetError):
        files.make_folder(folders.state)
        files.write_text(folders.ui_port, str(port))
