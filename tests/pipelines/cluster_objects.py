"""A stand-in for the Kubernetes API and an image registry that answers reads with given objects."""

import base64
import hashlib
import json
from urllib.parse import urlparse

from kubernetes import client
from kubernetes_standin import Handler

NAMESPACE = "team"
OWN = f"/api/v1/namespaces/{NAMESPACE}"
TRAINER = "/apis/trainer.kubeflow.org/v1alpha1"
REVIEWS = "/apis/authorization.k8s.io/v1"


class Objects:
    """The state of the server.

    Attributes:
        objects: by path; bytes are sent as they are.
        forbidden: paths that are answered with 403.
        denied: verbs and resources, such as ``get pods/log``, that a review denies; by account,
            "" for the user.
        asked: method and path of the requests, in order.
        expired: whether the user's credentials are.
        login: the only accepted value of the header Authorization for the registry; "" for any.
        logins: those that the registry was sent.
    """

    def __init__(self):
        self.reset()

    def reset(self):
        self.objects, self.forbidden, self.denied = {}, set(), {}
        self.asked, self.logins, self.login = [], [], ""
        self.expired = False

    def api(self):
        """A client of the kubernetes package for this server, as `pod_logs.connect` makes it."""
        configuration = client.Configuration(host=self.url)
        configuration.retries = False
        return client.CoreV1Api(client.ApiClient(configuration))

    def push(self, labels, *, index=False):
        """Put an image with these labels into the registry; returns its name by digest."""
        config = json.dumps({"config": {"Labels": labels}}).encode()
        manifest = {"schemaVersion": 2, "config": {"digest": self._blob("blobs", config)}}
        digest = self._blob("manifests", json.dumps(manifest).encode())
        if index:
            platforms = ({"os": "linux", "architecture": name} for name in ("arm64", "amd64"))
            digests = ("sha256:" + "a" * 64, digest)
            entries = [
                {"digest": each, "platform": platform}
                for each, platform in zip(digests, platforms, strict=True)
            ]
            digest = self._blob("manifests", json.dumps({"manifests": entries}).encode())
        return f"{urlparse(self.url).netloc}/lab/dgunet@{digest}"

    def _blob(self, kind, content):
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.objects[f"/v2/lab/dgunet/{kind}/{digest}"] = content
        return digest


class ObjectsHandler(Handler):
    """Answers with the objects of the state."""

    def do_GET(self):
        path = urlparse(self.path).path
        self.cluster.asked.append(("GET", path))
        if path.startswith("/v2/") and not self.registry_accepts():
            return None
        if self.cluster.expired and path.startswith("/api"):
            return self.refuse(401, "Unauthorized", "Unauthorized")
        if path in self.cluster.forbidden:
            what = path.rpartition("/")[2]
            message = f'{what} is forbidden: User "jane" cannot read resource "{what}"'
            return self.refuse(403, "Forbidden", message)
        if path not in self.cluster.objects:
            return self.refuse(404, "NotFound", f"{path} not found")
        found = self.cluster.objects[path]
        if not isinstance(found, bytes):
            return self.answer(found)
        self.send_response(200)
        self.send_header("Content-Length", str(len(found)))
        self.end_headers()
        return self.wfile.write(found)

    def registry_accepts(self):
        sent = self.headers.get("Authorization", "")
        self.cluster.logins.append(sent)
        if self.cluster.login in ("", sent):
            return True
        realm = f'Bearer realm="{self.cluster.url}/token",service="registry",scope="pull"'
        self.send_response(401)
        self.send_header("WWW-Authenticate", realm)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def do_POST(self):
        path = urlparse(self.path).path
        self.cluster.asked.append(("POST", path))
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if path in self.cluster.forbidden or not path.startswith(REVIEWS):
            return self.refuse(403, "Forbidden", 'localsubjectaccessreviews is forbidden: "jane"')
        spec = review["spec"]
        asked = spec["resourceAttributes"]
        resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
        denied = self.cluster.denied.get(spec.get("user", "").rpartition(":")[2], ())
        allowed = f"{asked['verb']} {resource}" not in denied
        return self.answer(review | {"status": {"allowed": allowed}}, 201)


def login(host, user="me", password="secret-word"):
    """The data of a secret with the credentials of a registry."""
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    content = json.dumps({"auths": {host: {"auth": auth}}}).encode()
    return {".dockerconfigjson": base64.b64encode(content).decode()}


def named(name, **more):
    """An object of the API with this name."""
    return {"metadata": {"name": name, "namespace": NAMESPACE}} | more


def node(name="gpu-1", *, gpus="8", taint="nvidia.com/gpu", **labels):
    """A node with GPUs, as device plugins and cloud providers mark it."""
    labels = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"} | labels
    taints = [{"key": taint, "value": "present", "effect": "NoSchedule"}]
    size = {"cpu": "96", "memory": "1056Gi", "nvidia.com/gpu": gpus}
    found = named(name, spec={"taints": taints}, status={"allocatable": size})
    return found | {"metadata": {"name": name, "labels": labels}}


def claim(storage="500Gi", mode="ReadWriteMany", phase="Bound"):
    """A volume claim."""
    spec = {"accessModes": [mode], "resources": {"requests": {"storage": storage}}}
    capacity = {"storage": storage} if phase == "Bound" else {}
    return named("dgunet-state", spec=spec, status={"phase": phase, "capacity": capacity})


def quota(used=None, **hard):
    """A quota; ``_`` in a name stands for a point."""
    hard = {name.replace("_", ".", 1): amount for name, amount in hard.items()}
    used = dict.fromkeys(hard, "0") | (used or {})
    status = {"hard": hard, "used": used}
    return {"items": [named("runs", spec={"hard": hard}, status=status)]}


def good_cluster():
    """The objects of a cluster on which a run of the documented cluster file can start."""
    resources = [{"name": "trainjobs", "namespaced": True, "kind": "TrainJob"}]
    schema = {"TrainJobSpec": {"properties": {"runtimePatches": {"type": "array"}}}}
    jobs = {"template": {"spec": {"replicatedJobs": [{"name": "node"}]}}}
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    secret = {"access-key": "c2VjcmV0LXdvcmQ=", "secret-key": "c2VjcmV0LXdvcmQ="}
    many = {"requests_nvidia.com/gpu": "64", "requests_cpu": "512", "limits_memory": "4Ti"}
    return {
        "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.1"},
        OWN: {"metadata": {"name": NAMESPACE, "labels": labels}, "status": {"phase": "Active"}},
        f"{OWN}/serviceaccounts/pipeline-runner": named("pipeline-runner"),
        f"{OWN}/secrets/s3-credentials": named("s3-credentials", type="Opaque", data=secret),
        f"{OWN}/persistentvolumeclaims/dgunet-state": claim(),
        f"{OWN}/resourcequotas": quota(**many),
        "/api/v1/nodes": {"items": [node(), {"metadata": {"name": "cpu-1"}, "spec": {}}]},
        "/api/v1/namespaces/mlflow/services/mlflow": named(
            "mlflow", spec={"clusterIP": "10.0.0.7", "ports": [{"port": 5000, "protocol": "TCP"}]}
        ),
        TRAINER: {"kind": "APIResourceList", "resources": resources},
        f"/openapi/v3{TRAINER}": {"openapi": "3.0.0", "components": {"schemas": schema}},
        f"{TRAINER}/clustertrainingruntimes/dgunet-torch": named("dgunet-torch", spec=jobs),
    }
