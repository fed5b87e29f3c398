"""Logs of the nodes, copied line by line into the log of the waiting step."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from dgunet.kubeflow.trainer.job_state import rank

Lines = Callable[[str, str | None], Iterator[tuple[str, str]]]
"""Yields time and text of each line of a pod's log, from a given time to the end of the pod."""

logger = logging.getLogger(__name__)


class PodLogs:
    """Follows the log of every started pod, each in its own thread.

    A broken connection is reopened and continues after the last printed line.

    Args:
        lines: see ``Lines``.
        since: earlier lines are skipped; for an adopted job, the earlier step has printed them.
        retry: seconds before a broken connection is reopened.
    """

    def __init__(self, lines: Lines, since: str | None = None, retry: float = 5) -> None:
        self._lines, self._since, self._retry = lines, since, retry
        self._threads: dict[str, threading.Thread] = {}
        self._ended: set[str] = set()
        self._closing, self._stop = threading.Event(), threading.Event()

    def follow(self, pods: list[dict[str, Any]]) -> None:
        """Start following new pods that run or have ended; record which pods have ended."""
        for pod in pods:
            name = pod["metadata"]["name"]
            phase = (pod.get("status") or {}).get("phase")
            if phase in ("Succeeded", "Failed") or pod.get("gone"):
                self._ended.add(name)
            elif phase != "Running":
                continue
            if name not in self._threads and not pod.get("gone"):
                thread = threading.Thread(
                    target=self._copy, args=(name, f"[node {rank(pod)}] "), daemon=True
                )
                self._threads[name] = thread
                thread.start()

    def finish(self, seconds: float = 10) -> None:
        """Wait at most ``seconds`` for lines that are already written; then stop."""
        self._closing.set()
        end = time.monotonic() + seconds
        for name, thread in self._threads.items():
            if name in self._ended:
                thread.join(max(0.0, end - time.monotonic()))
        self._stop.set()

    def _copy(self, pod: str, prefix: str) -> None:
        last = self._since
        while not self._stop.is_set():
            closing = self._closing.is_set()
            try:
                for when, line in self._lines(pod, last):
                    if self._stop.is_set():
                        return
                    # sinceTime has whole seconds, so the last lines are sent again.
                    if last is None or when > last:
                        logger.info("%s%s", prefix, line)
                        last = when
            except (ApiException, HTTPError, OSError):
                pass  # logs are optional; the state of the job decides
            if closing or pod in self._ended:
                return
            self._closing.wait(self._retry)
