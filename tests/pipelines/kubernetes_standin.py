"""A stand-in for the Kubernetes API, as far as TrainJobs need it.

It has no admission and no controllers. What happens to a job is a list of ``moments``, one for each
time that the job is read.
"""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

from kubernetes import client

JOBS = re.compile(r"/apis/trainer\.kubeflow\.org/v1alpha1/namespaces/(\w+)/trainjobs(?:/([-\w]+))?")
RUNTIMES = re.compile(
    r"/apis/trainer\.kubeflow\.org/v1alpha1/clustertrainingruntimes(?:/([-\w]+))?"
)
LOG = re.compile(r"/api/v1/namespaces/\w+/pods/([-\w]+)/log")
POD = re.compile(r"/api/v1/namespaces/\w+/pods/([-\w]+)")


class Cluster:
    """The state of the server, which tests set and read.

    Attributes:
        jobs: TrainJobs by name.
        pods, events, behind: listed resources; ``behind`` are the jobs of kind Job.
        moments: functions of the job, one of which is called each time the job is read.
        refusals: responses (status, reason, message) to the next creations.
        forget: a function that changes a job before it is stored, as an older server does.
        created, deleted: jobs and names of jobs, in order.
        asked: paths of the GET requests, in order.
        runtimes: names of the runtimes, or "forbidden".
        logs: lines by pod, each with its time.
        busy: number of requests that are answered with 503 first.
        lingers: number of reads for which a deleted job still exists.
    """

    def __init__(self):
        self.jobs, self.pods, self.events, self.behind = {}, [], [], []
        self.moments, self.refusals, self.logs = [], [], {}
        self.created, self.deleted, self.asked = [], [], []
        self.runtimes = ["dgunet-torch"]
        self.forget = lambda job: None
        self.busy = 0
        self.lingers = 0

    def api(self):
        """Return a client of the kubernetes package for this server."""
        configuration = client.Configuration(host=self.url)
        configuration.retries = False
        return client.ApiClient(configuration)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    @property
    def cluster(self):
        return self.server.cluster

    def answer(self, content, status=200):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, reason, message):
        self.answer(
            {"kind": "Status", "code": status, "reason": reason, "message": message}, status
        )

    def do_GET(self):
        url = urlparse(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.cluster.asked.append(url.path)
        if self.cluster.busy:
            self.cluster.busy -= 1
            return self.refuse(503, "ServiceUnavailable", "the server is starting")
        if found := RUNTIMES.fullmatch(url.path):
            return self.runtime(found[1])
        if found := JOBS.fullmatch(url.path):
            return self.job(found[2])
        if found := LOG.fullmatch(url.path):
            return self.log(found[1], query)
        if found := POD.fullmatch(url.path):
            owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "run-1"}
            owner |= {"uid": "u-1", "controller": True, "blockOwnerDeletion": True}
            meta = {"name": found[1], "uid": "p", "ownerReferences": [owner]}
            return self.answer({"metadata": meta, "spec": {"containers": []}})
        kind = url.path.rpartition("/")[2]
        lists = {"pods": "pods", "events": "events", "jobs": "behind"}
        return self.answer({"items": getattr(self.cluster, lists[kind]), "metadata": {}})

    def runtime(self, name):
        there = self.cluster.runtimes
        if name is None:
            return self.answer({"items": [{"metadata": {"name": each}} for each in there]})
        if there == "forbidden":
            return self.refuse(403, "Forbidden", "cannot get resource clustertrainingruntimes")
        if name not in there:
            return self.refuse(404, "NotFound", f'clustertrainingruntimes "{name}" not found')
        return self.answer({"metadata": {"name": name}})

    def job(self, name):
        job = self.cluster.jobs.get(name)
        if job is None:
            return self.refuse(404, "NotFound", f'trainjobs "{name}" not found')
        if job["metadata"].get("deletionTimestamp"):
            self.cluster.lingers -= 1
            if self.cluster.lingers < 0:
                del self.cluster.jobs[name]
        elif self.cluster.moments:
            self.cluster.moments.pop(0)(job)
        return self.answer(job)

    def log(self, pod, query):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for when, line in self.cluster.logs.get(pod, []):
            if when[:19] >= query.get("sinceTime", "")[:19]:
                data = f"{when} {line}\n".encode()
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def do_POST(self):
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.cluster.refusals:
            return self.refuse(*self.cluster.refusals.pop(0))
        name = job["metadata"]["name"]
        if name in self.cluster.jobs:
            return self.refuse(409, "AlreadyExists", f'trainjobs "{name}" already exists')
        self.cluster.created.append(json.loads(json.dumps(job)))
        self.cluster.forget(job)
        job["metadata"] |= {"uid": f"uid-{len(self.cluster.created)}", "namespace": "runs"}
        job["spec"].setdefault("suspend", False)
        self.cluster.jobs[name] = job
        return self.answer(job, 201)

    def do_DELETE(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = JOBS.fullmatch(urlparse(self.path).path)[2]
        if name not in self.cluster.jobs:
            return self.refuse(404, "NotFound", f'trainjobs "{name}" not found')
        self.cluster.deleted.append(name)
        if self.cluster.lingers:
            self.cluster.jobs[name]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        else:
            del self.cluster.jobs[name]
        return self.answer({"kind": "Status", "status": "Success"})


@contextmanager
def standin(handler=Handler, state=Cluster):
    """Start the server on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.cluster = state()
    server.cluster.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    try:
        yield server.cluster
    finally:
        server.shutdown()
        server.server_close()


def pod(index, phase="Running", *, name=None, **status):
    """Return a pod of a node."""
    label = {"batch.kubernetes.io/job-completion-index": str(index)}
    meta = {"name": name or f"job-node-0-{index}-abcde", "uid": f"uid-{name or index}"}
    return {"metadata": meta | {"labels": label}, "status": {"phase": phase} | status}


def ended(index, code, reason="Error", *, at="2026-01-01T00:00:00Z", message="", **status):
    """Return a pod whose container has ended."""
    state = {"exitCode": code, "reason": reason, "finishedAt": at, "message": message}
    container = {"name": "node", "ready": False, "restartCount": 0, "imageID": "", "image": "i"}
    containers = [container | {"state": {"terminated": state}}]
    phase = "Failed" if code else "Succeeded"
    return pod(index, phase, containerStatuses=containers, **status)


def condition(kind, message="", reason="Because"):
    """Return a condition that holds."""
    when = "2026-01-01T00:00:00Z"
    details = {"reason": reason, "message": message, "lastTransitionTime": when}
    return {"type": kind, "status": "True"} | details


def becomes(kind, message="", reason="Because"):
    """Return a moment in which the job ends."""

    def moment(job):
        job["status"] = {"conditions": [condition(kind, message, reason)]}

    return moment
