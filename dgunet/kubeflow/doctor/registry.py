"""Reads an image's manifest and labels from its registry (OCI distribution API); pulls no layer."""

from __future__ import annotations

import base64
import http.client
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from dgunet.system.errors import DgunetError
from dgunet.system.files import sha256_bytes

SECONDS = 15
LARGEST = 4 << 20
"""Bytes of a manifest or a configuration that are read at most."""

HUB, HUB_HOST = "docker.io", "registry-1.docker.io"
KINDS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


class RegistryError(DgunetError):
    """A registry does not give an image.

    Attributes:
        certain: whether nodes get the same answer; not without a response, and not without a login,
            as nodes may have one of their own.
    """

    def __init__(self, message: str, *, certain: bool = True) -> None:
        super().__init__(message)
        self.certain = certain


@dataclass(frozen=True)
class ImageName:
    """An image by digest, split into the parts that the registry's API needs."""

    host: str
    repository: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> ImageName:
        """Split ``HOST/REPOSITORY[:TAG]@sha256:...``; without a host it is Docker's registry."""
        name, _, digest = text.partition("@")
        host, slash, rest = name.partition("/")
        if not slash or not ("." in host or ":" in host or host == "localhost"):
            host, rest = HUB, name if slash else f"library/{name}"
        return cls(host, re.sub(r":[^/:]+$", "", rest), digest)

    @property
    def base(self) -> str:
        """Address of the registry's API for this repository."""
        host = HUB_HOST if self.host == HUB else self.host
        near = urlsplit(f"//{host}").hostname in ("localhost", "127.0.0.1", "::1")
        return f"{'http' if near else 'https'}://{host}/v2/{self.repository}"


def image_labels(image: str, logins: Sequence[Mapping[str, Any]] = ()) -> dict[str, str]:
    """The labels of an image, for ``linux/amd64`` if it has several platforms.

    Args:
        image: by digest.
        logins: data of Kubernetes secrets with registry credentials.

    Raises:
        RegistryError: if the registry does not respond, refuses, or does not have the image.
    """
    name = ImageName.parse(image)
    registry = _Registry(name, _credentials(name.host, logins))
    manifest = registry.verified("manifests", name.digest)
    if "manifests" in manifest:
        manifest = registry.verified("manifests", _platform(manifest["manifests"])["digest"])
    content = registry.verified("blobs", manifest["config"]["digest"])
    return dict(content.get("config", {}).get("Labels") or {})


def _platform(entries: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    wanted = {"os": "linux", "architecture": "amd64"}
    for entry in entries:
        platform = entry.get("platform", {})
        if all(platform.get(key) == value for key, value in wanted.items()):
            return entry
    raise RegistryError("the image has no variant for linux/amd64.")


def _credentials(host: str, logins: Sequence[Mapping[str, Any]]) -> str:
    """``user:password`` in base64 for ``host``; "" if no login has one."""
    for login in logins:
        try:
            content = json.loads(base64.b64decode(login.get(".dockerconfigjson", "")))
            for address, entry in content["auths"].items():
                known = urlsplit(address if "//" in address else f"//{address}").netloc
                if host == known or (host == HUB and known.endswith(HUB)):
                    return str(entry["auth"])
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return ""


class _Registry:
    """One repository; requests a token where the registry asks for one."""

    def __init__(self, name: ImageName, credentials: str) -> None:
        self._name, self._credentials = name, credentials
        self._header = f"Basic {credentials}" if credentials else ""

    def verified(self, kind: str, digest: str) -> dict[str, Any]:
        """The JSON object of this digest, compared with it."""
        body = self._read(f"{self._name.base}/{kind}/{digest}")
        if f"sha256:{sha256_bytes(body)}" != digest:
            raise RegistryError(f"{self._name.host} sent other content than {digest}.")
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise RegistryError(f"{digest} on {self._name.host} is not an image.")
        return found

    def _read(self, address: str, *, again: bool = True) -> bytes:
        try:
            return _body(address, self._header)
        except HTTPError as error:
            challenge = error.headers.get("WWW-Authenticate", "")
            if error.code == 401 and again and challenge.lower().startswith("bearer "):
                self._header = f"Bearer {self._token(challenge)}"
                return self._read(address, again=False)
            raise self._refused(error.code) from error

    def _token(self, challenge: str) -> str:
        values = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        query = {key: values[key] for key in ("service", "scope") if key in values}
        address = f"{values.get('realm', '')}?{urlencode(query)}"
        encrypted = urlsplit(address).scheme == urlsplit(self._name.base).scheme
        login = f"Basic {self._credentials}" if self._credentials and encrypted else ""
        try:
            found = json.loads(_body(address, login))
            return str(found.get("token") or found["access_token"])
        except HTTPError as error:
            raise self._refused(error.code) from error
        except (ValueError, KeyError, AttributeError) as error:
            raise RegistryError(f"{self._name.host} gives no token.") from error

    def _refused(self, status: int) -> RegistryError:
        host, repository = self._name.host, self._name.repository
        if status in (401, 403):
            used = "with the pull secret" if self._credentials else "without a login"
            message = f"{host} refuses to give {repository} {used} ({status})."
            return RegistryError(message, certain=bool(self._credentials))
        if status == 404:
            return RegistryError(f"{host} has no {repository}@{self._name.digest}.")
        return RegistryError(f"{host} returned {status} for {repository}.")


def _body(address: str, authorization: str) -> bytes:
    """The body of a response; a server that the registry redirects to gets no credentials.

    Raises:
        HTTPError: for a refusal.
        RegistryError: if there is no response.
    """
    try:
        request = Request(address, headers={"Accept": KINDS})
        if authorization:
            request.add_unredirected_header("Authorization", authorization)
        with urlopen(request, timeout=SECONDS) as answer:
            return bytes(answer.read(LARGEST))
    except HTTPError:
        raise
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        host = urlsplit(address).netloc
        raise RegistryError(f"no response from {host} ({reason}).", certain=False) from error
