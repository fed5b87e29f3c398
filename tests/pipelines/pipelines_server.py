"""A stand-in for the server of Kubeflow Pipelines with its v2beta1 API, in memory.

Bodies are built with the models of kfp-server-api, and uploads are parsed with Kubeflow's schema.
It runs no pipelines.
"""

import json
import re
import threading
import time
from datetime import UTC, datetime
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import kfp_server_api as api
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

PREFIX = "/apis/v2beta1"


class Refused(Exception):
    """An error response."""

    def __init__(self, status, message):
        self.status, self.message = status, message


class StandIn(ThreadingHTTPServer):
    """The server; tests read its lists and set its faults."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.pipelines, self.versions, self.experiments, self.runs = [], [], [], []
        self.asked = []
        self.token = self.cookie = None
        self.multi_user = False
        self.slow = {}  # path -> seconds
        self.broken = {}  # (method, path) -> (status, message)
        self.hidden = set()  # pipelines that exist and are not listed

    @property
    def host(self):
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Answer(BaseHTTPRequestHandler):
    """Handler of one request."""

    def do_GET(self):
        self.respond()

    def do_POST(self):
        self.respond()

    def log_message(self, *_):
        pass

    def respond(self):
        parts = urlsplit(self.path)
        path, query = parts.path.removeprefix(PREFIX), parse_qs(parts.query)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, path))
        try:
            time.sleep(self.server.slow.get(path, 0))
            if fault := self.server.broken.get((self.command, path)):
                raise Refused(*fault)
            self.check_login()
            if not parts.path.startswith(PREFIX):
                self.send(200, "<!doctype html><title>Sign in</title>", "text/html")
                return
            self.send(200, self.answer(path, query, body))
        except Refused as error:
            self.send(error.status, {"code": 0, "message": error.message})
        except BrokenPipeError:
            pass

    def check_login(self):
        server = self.server
        if server.token and self.headers.get("Authorization") != f"Bearer {server.token}":
            raise Refused(401, "Request header error: the token is expired")
        if server.cookie and self.headers.get("Cookie") != server.cookie:
            raise Refused(401, "no session")

    def send(self, status, content, kind="application/json"):
        if kind == "application/json":
            content = json.dumps(api.ApiClient().sanitize_for_serialization(content))
        data = content.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def answer(self, path, query, body):
        for method, pattern, call in ROUTES:
            if method == self.command and (found := re.fullmatch(pattern, path)):
                return call(self.server, *found.groups(), query=query, body=body)
        raise Refused(404, "Not Found")


def named(entries, query):
    """Return the entries that match the filter."""
    predicates = json.loads(query["filter"][0])["predicates"] if "filter" in query else []
    for predicate in predicates:
        assert (predicate["operation"], predicate["key"]) == (1, "display_name")
        entries = [e for e in entries if e.display_name == predicate["stringValue"]]
    return entries


def read(body, kind):
    """Parse the body of a request as a model of the API, with the reader of the client."""

    class Raw:
        data = body.decode()

    return api.ApiClient().deserialize(Raw, kind)


def add(entries, entry, field, start):
    setattr(entry, field, f"{start}-{len(entries)}")
    entries.append(entry)
    return entry


def health(server, query, body):
    return api.V2beta1GetHealthzResponse(multi_user=server.multi_user)


def list_pipelines(server, query, body):
    shown = [p for p in named(server.pipelines, query) if p.display_name not in server.hidden]
    return api.V2beta1ListPipelinesResponse(pipelines=shown or None)


def create_pipeline(server, query, body):
    entry = read(body, "V2beta1Pipeline")
    if any(p.display_name == entry.display_name for p in server.pipelines):
        raise Refused(409, f"The name {entry.display_name} already exist")
    return add(server.pipelines, entry, "pipeline_id", "pipeline")


def list_versions(server, pipeline, query, body):
    found = [v for v in named(server.versions, query) if v.pipeline_id == pipeline]
    return api.V2beta1ListPipelineVersionsResponse(pipeline_versions=found or None)


def upload_version(server, query, body):
    content = yaml.safe_load_all(parts_of(body))
    spec = next(content)
    json_format.ParseDict(spec, PipelineSpec())
    name, pipeline = query["name"][0], query["pipelineid"][0]
    if any((v.display_name, v.pipeline_id) == (name, pipeline) for v in server.versions):
        raise Refused(409, f"The name {name} already exist")
    entry = api.V2beta1PipelineVersion(pipeline_id=pipeline, display_name=name, pipeline_spec=spec)
    return add(server.versions, entry, "pipeline_version_id", "version")


def parts_of(body):
    """Return the uploaded file in a multipart body."""
    border = body.partition(b"\r\n")[0].decode()[2:]
    head = f"Content-Type: multipart/form-data; boundary={border}\r\n\r\n".encode()
    (part,) = message_from_bytes(head + body).get_payload()
    assert part.get_param("name", header="content-disposition") == "uploadfile"
    return part.get_payload(decode=True)


def list_experiments(server, query, body):
    return api.V2beta1ListExperimentsResponse(experiments=named(server.experiments, query) or None)


def create_experiment(server, query, body):
    return add(server.experiments, read(body, "V2beta1Experiment"), "experiment_id", "experiment")


def create_run(server, query, body):
    run = read(body, "V2beta1Run")
    reference = run.pipeline_version_reference
    assert any(v.pipeline_version_id == reference.pipeline_version_id for v in server.versions)
    run.state, run.created_at = "RUNNING", datetime.now(UTC)
    return add(server.runs, run, "run_id", "run")


def one(server, run_id):
    for run in server.runs:
        if run.run_id == run_id:
            return run
    raise Refused(404, f"run {run_id} not found")


def get_run(server, run_id, query, body):
    return one(server, run_id)


def terminate_run(server, run_id, query, body):
    one(server, run_id).state = "CANCELING"
    return {}


ROUTES = (
    ("GET", "/healthz", health),
    ("GET", "/pipelines", list_pipelines),
    ("POST", "/pipelines", create_pipeline),
    ("GET", "/pipelines/([^/]+)/versions", list_versions),
    ("POST", "/pipelines/upload_version", upload_version),
    ("GET", "/experiments", list_experiments),
    ("POST", "/experiments", create_experiment),
    ("POST", "/runs", create_run),
    ("GET", "/runs/([^/:]+)", get_run),
    ("POST", "/runs/([^/:]+):terminate", terminate_run),
)
