"""The folders of tracking, and the MLflow store of a project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dgunet.system import environment
from dgunet.system.address import Address


def project_home(start: Path | None = None) -> Path:
    """The absolute path of the project's folder.

    It is ``DGUNET_HOME`` if set; else the nearest folder upward from ``start`` (default: the
    working directory) that contains ``params.yaml``; else ``start`` itself.
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
    """The paths of tracking below one project folder."""

    home: Path

    @classmethod
    def at(cls, home: Path | None = None) -> TrackingFolders:
        """The folders of ``home``; default: `project_home`."""
        return cls(home.resolve() if home else project_home())

    @property
    def state(self) -> Path:
        """Tracking state that is stored outside MLflow."""
        return self.home / ".dgunet"

    @property
    def journals(self) -> Path:
        """One folder for each run that is not fully delivered."""
        return self.state / "journal"

    @property
    def refused(self) -> Path:
        """Journals with entries that MLflow rejected, kept for inspection."""
        return self.state / "refused"

    @property
    def damaged(self) -> Path:
        """Damaged journals, kept with the reason."""
        return self.state / "damaged"

    @property
    def index(self) -> Path:
        """The index of delivered runs, in JSON lines."""
        return self.state / "runs.jsonl"

    @property
    def delivery_lock(self) -> Path:
        """Lock that a process holds while it delivers."""
        return self.state / "delivery.lock"

    @property
    def last_delivery(self) -> Path:
        """File whose modification time is that of the last delivery."""
        return self.state / "delivered"

    @property
    def back_off(self) -> Path:
        """Pause after a failure of the store; see `BackOff`."""
        return self.state / "away.json"

    @property
    def ui_port(self) -> Path:
        """File with the port that ``dgunet tracking ui`` used last."""
        return self.state / "ui-port"

    @property
    def uri(self) -> Address:
        """The MLflow store: ``MLFLOW_TRACKING_URI``, or the project's own SQLite file."""
        named = environment.MLFLOW_TRACKING_URI.get()
        return Address(named) if named else self.own_uri

    @property
    def own_uri(self) -> Address:
        """The SQLite store in the project's folder."""
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
