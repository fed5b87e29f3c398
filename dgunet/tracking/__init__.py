"""Record runs in a local journal, and send them to MLflow when it is available.

>>> from dgunet.tracking import start_run
>>> with start_run("dgunet/table-1-deraining", "evaluate Rain100H", tags={"stage": "evaluate",
...                "profile": "sample"}, params={}) as run:              # doctest: +SKIP
...     run.log_metrics({"psnr": 31.4})
"""

from dgunet.tracking.delivery.replay import Delivery, deliver, follow
from dgunet.tracking.home import TrackingFolders, project_home
from dgunet.tracking.index import RunInfo, delivered, lookup, pending
from dgunet.tracking.run import Run
from dgunet.tracking.run_start import start_run
from dgunet.tracking.server.mlflow_store import TrackingError, ensure_store

__all__ = [
    "Delivery",
    "Run",
    "RunInfo",
    "TrackingError",
    "TrackingFolders",
    "deliver",
    "delivered",
    "ensure_store",
    "follow",
    "lookup",
    "pending",
    "project_home",
    "start_run",
]
