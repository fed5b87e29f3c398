"""The kinds of places that ``sources.yaml`` names, and the addresses that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, TypeAdapter, field_validator

Service = Literal["google-drive", "hugging-face", "github-raw"]
"""Hosts whose address a kind of place implies."""

Services = Mapping[Service, str]
"""Base address of each host."""

_Hex = Annotated[str, Field(pattern="^[0-9a-f]+$")]
_Repository = Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+){1,2}$")]
_DriveId = Annotated[str, Field(pattern=r"^[\w-]{20,}$")]

_WEB = TypeAdapter(HttpUrl)


def web_address(text: str) -> str:
    """Return ``text`` if it is an http or https address, as it is written.

    Raises:
        ValueError: for anything else.
    """
    _WEB.validate_python(text)
    return text


class _Stated(BaseModel):
    """What is known of a place, whatever its kind.

    Attributes:
        name: key in ``sources.yaml``.
        stated_by: who states the place.
        agrees: further sources that state the same place.
        bytes: size of the file; None if nobody states it.
        sha256: digest of the file; "" if nobody states it. Likewise ``md5`` and ``sha1``.
        digest_by: who states the digest.
        renamed: folder of the dataset in the archive and the catalogue's name for that folder,
            where they differ.
        licence: of the archive or the repository; "" if nobody states it.
        note: what else is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    stated_by: tuple[str, ...] = Field(min_length=1)
    agrees: tuple[str, ...] = ()
    bytes: int | None = Field(default=None, gt=0)
    sha256: _Hex = Field(default="", min_length=0, max_length=64)
    md5: _Hex = Field(default="", max_length=32)
    sha1: _Hex = Field(default="", max_length=40)
    digest_by: str = ""
    renamed: tuple[str, str] | None = None
    licence: str = ""
    note: str = ""

    @field_validator("sha256", "md5", "sha1")
    @classmethod
    def _whole(cls, digest: str, info: object) -> str:
        wanted = {"sha256": 64, "md5": 32, "sha1": 40}[getattr(info, "field_name", "sha256")]
        if len(digest) != wanted:
            raise ValueError(f"it has {len(digest)} digits instead of {wanted}")
        return digest

    @property
    def digests(self) -> dict[str, str]:
        """The stated digests by the name of their algorithm, the strongest first."""
        found = {"sha256": self.sha256, "sha1": self.sha1, "md5": self.md5}
        return {name: digest for name, digest in found.items() if digest}


class GoogleDriveFile(_Stated):
    """A file that Google Drive shares with everybody."""

    kind: Literal["google-drive-file"]
    id: _DriveId

    def page(self, services: Services) -> str:
        """Return the address to open in a browser."""
        return f"{services['google-drive']}/file/d/{self.id}/view"


class GoogleDriveFolder(_Stated):
    """A folder on Google Drive; told with instructions, because it is not one file.

    Drive counts one download for each of its thousands of files, and soon refuses more.
    """

    kind: Literal["google-drive-folder"]
    id: _DriveId
    resource_key: str = ""

    def page(self, services: Services) -> str:
        """Return the address to open in a browser."""
        key = f"?resourcekey={self.resource_key}" if self.resource_key else ""
        return f"{services['google-drive']}/drive/folders/{self.id}{key}"

    @property
    def how(self) -> str:
        """What to do on the page."""
        return (
            "a folder: choose Download in the browser, unpack all the zip files that Drive sends"
            " into one folder, and count the files, because such downloads arrive incomplete"
        )


class HuggingFaceFile(_Stated):
    """A file in a repository on the Hugging Face Hub."""

    kind: Literal["hugging-face"]
    repository: _Repository
    file: str
    revision: str = "main"

    def url(self, services: Services) -> str:
        """Return the address of the file; the Hub redirects it to its delivery network."""
        return (
            f"{services['hugging-face']}/{self.repository}/resolve/{self.revision}"
            f"/{quote(self.file)}"
        )

    def page(self, services: Services) -> str:
        """Return the address to open in a browser."""
        return f"{services['hugging-face']}/{self.repository}"


class HttpFile(_Stated):
    """A file at a plain address."""

    kind: Literal["http"]
    address: str = Field(alias="url")

    _checked = field_validator("address")(web_address)

    def url(self, services: Services) -> str:
        """Return the address of the file."""
        return self.address

    def page(self, services: Services) -> str:
        """Return the address to open in a browser."""
        return self.address


class HttpFiles(_Stated):
    """Several files at plain addresses that together are one dataset."""

    kind: Literal["http-files"]
    urls: tuple[str, ...] = Field(min_length=1)

    @field_validator("urls")
    @classmethod
    def _checked(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(web_address(url) for url in urls)

    def page(self, services: Services) -> str:
        """Return the address to open in a browser."""
        return " and ".join(self.urls)


class GitFolder(BaseModel):
    """A folder of a public git repository at one commit, and where its files belong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: _Repository
    commit: str = Field(pattern="^[0-9a-f]{40}$")
    folder: str
    into: str = ""

    def url(self, services: Services, name: str) -> str:
        """Return the address of the file called ``name`` in this folder."""
        path = quote(f"{self.folder}/{name}")
        return f"{services['github-raw']}/{self.repository}/{self.commit}/{path}"


class GitTree(_Stated):
    """A dataset as single files of public git repositories; ``git_files.csv`` lists the files."""

    kind: Literal["git-tree"]
    trees: tuple[GitFolder, ...] = Field(min_length=1)

    def page(self, services: Services) -> str:
        """Return the address to open in a browser."""
        return " and ".join(
            f"https://github.com/{tree.repository}/tree/{tree.commit}/{quote(tree.folder)}"
            for tree in self.trees
        )


class Page(_Stated):
    """A page for people: it needs a login or a password, or nothing on it is one known file."""

    kind: Literal["page"]
    url: str
    how: str

    _checked = field_validator("url")(web_address)

    def page(self, services: Services) -> str:
        """Return the address to open in a browser."""
        return self.url


ByHand = GoogleDriveFolder | Page
"""Places from which nothing is downloaded automatically."""

SingleFile = GoogleDriveFile | HuggingFaceFile | HttpFile
"""Places of one archive or file."""

Place = Annotated[SingleFile | HttpFiles | GitTree | ByHand, Field(discriminator="kind")]
"""A place of any kind."""
