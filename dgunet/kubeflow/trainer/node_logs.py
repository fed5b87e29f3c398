"""The logs of the nodes, line by line, in the log of the step that waits for them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from dgunet.kubeflow.trainer.job_state import rank

Lines = Callable[[str, str | None], Iterator[tuple[str, str]]]
"""Time and line of a pod's log from a time on, until the pod ends."""


class PodLogs:
    """Follows the log of every pod that has started, each in a thread of its own.

    A connection that breaks is made again, and goes on after the last line that was told.

    Args:
        lines: see ``Lines``.
        since: lines from before are left out; of an adopted job the former step told them.
        retry: seconds before a broken connection is made again.
    """

    def __init__(self, lines: Lines, since: str | None = None, retry: float = 5) -> None:
        self._lines, self._since, self._retry = lines, since, retry
        self._threads: dict[str, threading.Thread] = {}
        self._ended: set[str] = set()
        self._closing, self._stop = threading.Event(), threading.Event()

    def follow(self, pods: list[dict[str, Any]]) -> None:
        """Begin with pods that are new and run or ran; note which have ended."""
        for pod in pods:
            name = pod["metadata"]["name"]
            phase = (pod.get("status") or {}).get("phase")
            if phase in ("Succeeded", "Failed") or pod.get("gone"):
                self._ended.add(name)
            elif phase != "Running":
                continue
            if name not in self._threads and not pod.get("gone"):
                thread = threading.Thread(
                    target=self._tell, args=(name, f"[node {rank(pod)}] "), daemon=True
                )
                self._threads[name] = thread
                thread.start()

    def finish(self, seconds: float = 10) -> None:
        """Let what has been written arrive, for at most ``seconds``; then stop."""
        self._closing.set()
        end = time.monotonic() + seconds
        for name, thread in self._threads.items():
            if name in self._ended:
                thread.join(max(0.0, end - time.monotonic()))
        self._stop.set()

    def _tell(self, pod: str, prefix: str) -> None:
        last = self._since
        while not self._stop.is_set():
            closing = self._closing.is_set()
            try:
                for when, line in self._lines(pod, last):
                    if self._stop.is_set():
                        return
                    # sinceTime knows whole seconds, so the last lines come once more.
                    if last is None or when > last:
                        print(prefix + line, file=sys.stderr, flush=True)
                        last = when
            except (ApiException, HTTPError, OSError):
                pass  # the log is a comfort; the state decides
            if closing or pod in self._ended:
                return
            self._closing.wait(self._retry)
