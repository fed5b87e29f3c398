"""Where tracking keeps its things, and which MLflow store a project uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dgunet.system import environment
from dgunet.system.address import Address


def project_home(start: Path | None = None) -> Path:
    """The project's folder, absolute.

    ``DGUNET_HOME`` if set; else the nearest folder upward from ``start`` (default: the working
    directory) that holds ``params.yaml``; else ``start`` itself.
    """
    if named := environment.HOME.get():
        return named.resolve()
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "params.yaml").is_file():
            return folder
    return here


@dataclass(frozen=True)
class TrackingFolders:
    """The paths of tracking under one project folder."""

    home: Path

    @classmethod
    def at(cls, home: Path | None = None) -> TrackingFolders:
        """The folders of ``home``, or of `project_home` without one."""
        return cls(home.resolve() if home else project_home())

    @property
    def state(self) -> Path:
        """What tracking knows and is not in MLflow yet."""
        return self.home / ".dgunet"

    @property
    def journals(self) -> Path:
        """One folder for each run that MLflow has not taken completely."""
        return self.state / "journal"

    @property
    def refused(self) -> Path:
        """Journals with entries that MLflow took as wrong; kept for reading."""
        return self.state / "refused"

    @property
    def damaged(self) -> Path:
        """Journals that are not as their writers left them; kept with the reason."""
        return self.state / "damaged"

    @property
    def index(self) -> Path:
        """JSON lines: one delivered run each."""
        return self.state / "runs.jsonl"

    @property
    def delivery_lock(self) -> Path:
        """Held by the one process that delivers."""
        return self.state / "delivery.lock"

    @property
    def last_delivery(self) -> Path:
        """Its modification time says when a process last delivered."""
        return self.state / "delivered"

    @property
    def back_off(self) -> Path:
        """Says until when a server that did not answer is left alone."""
        return self.state / "away.json"

    @property
    def uri(self) -> Address:
        """The MLflow store: ``MLFLOW_TRACKING_URI``, or the project's own sqlite file."""
        named = environment.MLFLOW_TRACKING_URI.get()
        return Address(named) if named else self.own_uri

    @property
    def own_uri(self) -> Address:
        """The sqlite store in the project's folder."""
        return Address(f"sqlite:///{self.home / 'mlflow.db'}")

    @property
    def artifacts(self) -> Path:
        """Artifacts of the project's own store."""
        return self.home / "mlruns"


def sqlite_path(uri: Address) -> Path | None:
    """The database file of an ``sqlite:///`` address; None for every other store."""
    scheme, _, path = uri.reveal().partition(":///")
    if scheme.partition("+")[0] != "sqlite" or not path or path == ":memory:":
        return None
    return Path(path).absolute()
