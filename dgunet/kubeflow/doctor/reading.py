"""Reads objects of a cluster in the spelling of the Kubernetes API; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from dgunet.kubeflow.cluster.api_errors import one_line, refusal_message
from dgunet.system.errors import DgunetError

TIMEOUT = (3, 10)
"""Seconds to connect, and to wait for the next part of a response."""

REVIEWS = "/apis/authorization.k8s.io/v1"


class NotReadError(DgunetError):
    """An object could not be read."""


class CredentialsError(NotReadError):
    """The API server does not accept the user's credentials."""


class NotAllowedError(NotReadError):
    """The user has no permission to read an object."""


class MissingError(NotReadError):
    """The cluster has no such object."""


class ClusterReader:
    """Reads through the API server.

    Args:
        api: an ``ApiClient`` of the package kubernetes.
        namespace: of the runs.
    """

    def __init__(self, api: Any, namespace: str) -> None:
        self._api, self.namespace = api, namespace

    @property
    def address(self) -> str:
        """Address of the API server."""
        return str(self._api.configuration.host)

    def get(self, path: str) -> dict[str, Any]:
        """The object or list at ``path``.

        Raises:
            NotAllowedError: if the user may not read it.
            MissingError: if there is none.
            CredentialsError: if the credentials are not accepted.
            NotReadError: if the server does not respond, or not with an object.
        """
        return self._call(path, "GET")

    def own(self, path: str) -> dict[str, Any]:
        """The core object at ``path`` of the namespace, e.g. ``secrets/s3-credentials``."""
        return self.get(f"/api/v1/namespaces/{self.namespace}/{path}")

    def allowed(self, verb: str, resource: str, account: str = "") -> bool:
        """Whether the user, or a service account, may do this in the namespace.

        The question is a review, which the server answers and does not keep.

        Args:
            resource: with its API group and subresource, e.g. ``trainjobs.trainer.kubeflow.org``
                or ``pods/log``.
            account: a service account of the namespace; "" for the user.

        Raises:
            NotReadError: as `get`.
        """
        name, _, group = resource.partition(".")
        name, _, subresource = name.partition("/")
        attributes = {"namespace": self.namespace, "verb": verb, "group": group, "resource": name}
        if subresource:
            attributes["subresource"] = subresource
        kind, path = "SelfSubjectAccessReview", f"{REVIEWS}/selfsubjectaccessreviews"
        spec: dict[str, Any] = {"resourceAttributes": attributes}
        metadata = {}
        if account:
            kind = "LocalSubjectAccessReview"
            path = f"{REVIEWS}/namespaces/{self.namespace}/localsubjectaccessreviews"
            spec["user"] = f"system:serviceaccount:{self.namespace}:{account}"
            accounts = "system:serviceaccounts"
            spec["groups"] = [accounts, f"{accounts}:{self.namespace}", "system:authenticated"]
            metadata = {"namespace": self.namespace}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "metadata": metadata}
        answer = self._call(path, "POST", body | {"spec": spec})
        return bool(answer.get("status", {}).get("allowed"))

    def _call(self, path: str, verb: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            found = self._api.call_api(
                path,
                verb,
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
                response_type="object",
                _return_http_data_only=True,
                _request_timeout=TIMEOUT,
            )
        except ApiException as error:
            kinds = {403: NotAllowedError, 404: MissingError}
            message = refusal_message(error)
            if error.status == 401:
                message = f"the credentials are not accepted (401: {message})"
                raise CredentialsError(message) from error
            raise kinds.get(error.status, NotReadError)(message) from error
        except (HTTPError, OSError, ValueError) as error:
            raise NotReadError(f"no valid response ({one_line(error)[:200]})") from error
        if not isinstance(found, dict):
            raise NotReadError(f"{path} is not an object of the Kubernetes API")
        return found
