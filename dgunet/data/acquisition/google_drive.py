"""Requests of files on Google Drive, which asks for a confirmation before it sends a large one.

Drive answers the address of a large file with a page, whose form leads to the file; the form has a
new identifier each time, and Drive may set a cookie that it wants back. Reading that page is
gdown's part. gdown's own download is not used, because across two runs it appends to a file without
knowing whether that has changed, and because the host is fixed in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from urllib.parse import urljoin

from dgunet.data.acquisition.remotes import RemoteError, RemoteResponse, request
from dgunet.data.acquisition.web_pages import HEAD, page_reason

_DOCS = "https://docs.google.com/"
"""Host that gdown adds to the relative address in an old form of the page."""


class DriveFile:
    """A file that Google Drive shares with everybody.

    Args:
        identifier: id of the file.
        base: address of Google Drive, or of a server that stands in for it.
    """

    def __init__(self, identifier: str, base: str) -> None:
        self.url = f"{base}/uc?id={identifier}&export=download"
        self._cookies = CookieJar()

    @contextmanager
    def open(self, start: int, tag: str) -> Iterator[RemoteResponse]:
        """Request the file from byte ``start`` on; confirm the download if Drive asks for it.

        Raises:
            RemoteError: if Drive does not send the file; quota and login pages are explained.
        """
        with request(self.url, start, tag, self._cookies) as response:
            if not response.declared_page:
                yield response
                return
            page, address = _text(response), response.address
        with request(self._confirmed(page, address), start, tag, self._cookies) as response:
            if response.declared_page:
                raise RemoteError(page_reason(_text(response), response.address))
            yield response

    def _confirmed(self, page: bytes, address: str) -> str:
        """Address of the file according to the confirmation page.

        Raises:
            RemoteError: for any other page.
        """
        # here, because gdown imports slow modules and only Google Drive needs it
        from gdown.download import get_url_from_gdrive_confirmation
        from gdown.exceptions import FileURLRetrievalError

        try:
            target = get_url_from_gdrive_confirmation(page.decode(errors="replace"))
        except FileURLRetrievalError as error:
            raise RemoteError(page_reason(page, address)) from error
        if target.startswith(_DOCS):
            target = "/" + target.removeprefix(_DOCS)
        return urljoin(address, target)


def _text(response: RemoteResponse) -> bytes:
    content = b""
    for chunk in response.chunks:
        content += chunk
        if len(content) > HEAD * 16:
            break
    return content
