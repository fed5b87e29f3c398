"""Invalid addresses, redirects and notes, and when a download may be removed."""

import io
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from data_hostile import pack, png
from data_web import Site, serve

from dgunet.data.acquisition.downloading import Download, downloaded_digest
from dgunet.data.acquisition.fetching import fetch_dataset
from dgunet.data.acquisition.loose_files import fetch_files
from dgunet.data.acquisition.remotes import RemoteError, _http_request, _SafeRedirects, request
from dgunet.system import files
from dgunet.system.errors import DataError
from dgunet.system.leftovers import leftovers_below


@pytest.fixture
def archive(tmp_path):
    return pack(
        tmp_path / "a.zip", {f"DIV2K_train_HR/{n}.png": png(colour=(n, 0, 0)) for n in range(3)}
    )


@pytest.fixture
def fetch(tmp_path):
    def run(*urls, name="DIV2K", **options):
        return fetch_dataset(name, urls, tmp_path / "root", tmp_path / "downloads", **options)

    return run


def digest(path):
    return files.sha256_file(path)


# Addresses.


@pytest.mark.parametrize(
    "address",
    [
        "http://[x",
        "http://host:port/a.zip",
        "http://me:secret@host:999999/a.zip",
        "https:///a.zip",
        "s3:///a.zip",
        "ftp://host/a.zip",
        "gopher://host/a.zip",
    ],
)
def test_an_invalid_address_gives_a_one_line_error(address, dgunet, tmp_path):
    for more in ([], ["--files"]):
        folders = ["--root", tmp_path / "root", "--downloads", tmp_path / "downloads"]
        done = dgunet("data", "fetch", "Rain100H", address, *more, *folders)
        assert done.returncode == 1
        assert re.fullmatch(r"dgunet: error: [^\n]*\n", done.stderr), done.stderr
        assert "secret" not in done.stderr
    assert not (tmp_path / "root").exists()


def test_a_path_of_an_unknown_user_gives_a_one_line_error(dgunet):
    done = dgunet("data", "fetch", "Rain100H", "~nobody-of-this-name/a.zip")
    assert done.returncode == 1
    assert re.fullmatch(r"dgunet: error: [^\n]*\n", done.stderr), done.stderr


def test_a_pipe_is_refused_without_waiting(fetch, tmp_path):
    os.mkfifo(tmp_path / "a.zip")
    with pytest.raises(DataError, match="it is not a regular file"):
        fetch(str(tmp_path / "a.zip"))


@pytest.mark.parametrize(
    "name",
    ["..", "%2e%2e", "a%2f..", ".hidden.mat", "a%5c..%5cb.mat", "a%00.mat", "x.sh", "a.mat.json"],
)
def test_an_unsafe_file_name_in_an_address_is_refused(name, tmp_path):
    folders = (tmp_path / "root", tmp_path / "downloads")
    with pytest.raises(DataError, match=r"names|does not have the suffix of a dataset"):
        fetch_files("SIDD", [f"http://127.0.0.1:9/{name}"], *folders)
    assert not list(tmp_path.iterdir())


def test_a_list_inside_a_fetched_archive_writes_nothing_outside(fetch, tmp_path):
    up = "../../../../x/y"
    evil = pack(
        tmp_path / "evil.zip",
        {
            "a/b/c/RealBlur/RealBlur_J_test_list.txt": f"{up}/gt.png {up}/blur.png\n".encode(),
            "x/y/gt.png": png(),
            "x/y/blur.png": png(),
        },
    )
    with (
        serve(Site(evil.read_bytes())) as site,
        pytest.raises(DataError, match=r"RealBlur_J_test_list\.txt, line 1 names"),
    ):
        fetch(site.url, name="RealBlur-J")
    kept_here = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert kept_here == {"evil.zip", ".RealBlur-J.lock"}


# Redirects and credentials.


@contextmanager
def server(answer):
    """Run a server whose handler is ``answer``; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self)

        def log_message(self, *arguments):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_port}"
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def sends_on(target):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@pytest.mark.parametrize(
    "target", ["ftp://127.0.0.1:9/a.zip", "file:///etc/hostname", "data:,x", "http://[x"]
)
def test_a_redirect_to_another_scheme_is_refused_and_reported(target, fetch):
    with server(sends_on(target)) as address, pytest.raises(DataError, match="could not be fetch"):
        fetch(f"{address}/a.zip?token=secret")
    with server(sends_on(target)) as address, pytest.raises(RemoteError) as caught:
        request(address).__enter__()
    if target.startswith("ftp"):
        assert "redirects http to ftp (ftp://127.0.0.1:9/a.zip), which is not" in str(caught.value)


def test_a_redirect_to_http_is_followed_except_from_https(fetch, archive):
    with serve(Site(archive.read_bytes())) as site, server(sends_on(site.url)) as address:
        assert fetch(f"{address}/a.zip").imported.pairs == 3
    original = _http_request("https://host/a.zip", {})
    with pytest.raises(RemoteError, match=r"redirects https to http \(http://other/b\.zip\)"):
        _SafeRedirects().redirect_request(original, io.BytesIO(), 302, "", {}, "http://other/b.zip")


def test_credentials_are_sent_only_to_their_server_and_never_shown(fetch, archive):
    seen = []

    def remember(handler):
        seen.append(handler.headers["Authorization"])
        sends_on(site.url)(handler)

    with serve(Site(archive.read_bytes())) as site, server(remember) as address:
        fetched = fetch(address.replace("//", "//me:secr%40et@") + "/a.zip")
    assert seen == ["Basic bWU6c2VjckBldA=="]
    assert not any("secr" in line for line in fetched.lines())
    with pytest.raises(DataError) as caught:
        fetch("http://me:secret@127.0.0.1:9/a.zip", name="Set11")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("length", ["²", "9" * 5000, "-3", "x"])
def test_an_invalid_content_length_is_ignored_or_refused(length, tmp_path):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", length)
        handler.end_headers()
        handler.wfile.write(b"abc")

    with server(answer) as address:
        try:
            Download(address, tmp_path / "a", "", lambda here, total: None).run()
        except RemoteError as error:
            assert "\n" not in str(error)


def test_an_invalid_s3_endpoint_is_refused(fetch, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://[x")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with pytest.raises(DataError, match="could not be fetched"):
        fetch("s3://bucket/a.zip")


# Notes of killed downloads.

NOTES = [
    b"",
    b"{",
    b"[]",
    b"3",
    b"\xff",
    b'{"length": "x"}',
    b'{"source": 1, "tag": 2, "length": 3}',
]
NOTES += [b'{"source": "a", "tag": "b", "length": -5}', b'{"length": 3}', b"[" * 100_000]


@pytest.mark.parametrize("note", NOTES, ids=range(len(NOTES)))
def test_a_damaged_note_restarts_the_download(note, archive, fetch, tmp_path):
    (tmp_path / "downloads").mkdir()
    for name in ("DIV2K.archive.partial.json", "DIV2K.archive.json"):
        (tmp_path / "downloads" / name).write_bytes(note)
    for name in ("DIV2K.archive.partial", "DIV2K.archive"):
        (tmp_path / "downloads" / name).write_bytes(b"something")
    assert downloaded_digest("http://127.0.0.1/a", tmp_path / "downloads/DIV2K.archive", "") == ""
    with serve(Site(archive.read_bytes())) as site:
        assert fetch(site.url).imported.pairs == 3
    assert [p.name for p in (tmp_path / "downloads").iterdir()] == [".DIV2K.lock"]


# Order of flushing and removal.


def test_the_archive_is_removed_only_after_the_dataset_is_flushed(
    archive, fetch, tmp_path, monkeypatch
):
    """Files are flushed, renamed and the new names flushed before the archive is removed."""
    reported = []
    sync, unlink, rename = files.sync, type(tmp_path).unlink, type(tmp_path).rename

    def note(kind, call):
        def noted(path, *arguments, **options):
            reported.append((kind, path))
            return call(path, *arguments, **options)

        return noted

    monkeypatch.setattr(files, "sync", note("sync", sync))
    monkeypatch.setattr(type(tmp_path), "unlink", note("unlink", unlink))
    monkeypatch.setattr(type(tmp_path), "rename", note("rename", rename))
    with serve(Site(archive.read_bytes())) as site:
        fetch(site.url)
    gone = reported.index(("unlink", tmp_path / "downloads/DIV2K.archive"))
    before = reported[:gone]
    last = max(at for at, (kind, _) in enumerate(before) if kind == "rename")
    assert ("sync", tmp_path / "root/train") in before[last:]
    flushed = {path.name for kind, path in before[:last] if kind == "sync"}
    assert {"0.png", "1.png", "2.png"} <= flushed


KILLED = """
import os, signal, sys
from pathlib import Path
from dgunet.data.acquisition import fetching

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

fetching.{hook} = kill
fetching.fetch_dataset("DIV2K", [sys.argv[1]], Path(sys.argv[2]), Path(sys.argv[3]))
"""


@pytest.mark.parametrize("hook", ["import_dataset", "_verified", "discard_download"])
def test_a_killed_fetch_loses_nothing_and_the_next_cleans_up(hook, archive, tmp_path):
    root, downloads = tmp_path / "root", tmp_path / "downloads"
    with serve(Site(archive.read_bytes())) as site:
        command = [sys.executable, "-c", KILLED.format(hook=hook), site.url]
        done = subprocess.run([*command, str(root), str(downloads)], check=False)
        assert done.returncode == -signal.SIGKILL
        assert digest(downloads / "DIV2K.archive") == digest(archive), "the archive is kept"
        if hook == "discard_download":
            assert len(list((root / "train/DIV2K_train_HR").iterdir())) == 3
        else:
            assert not (root / "train/DIV2K_train_HR").exists()
            assert list(leftovers_below(root))
            fetch_dataset("DIV2K", [site.url], root, downloads)
            assert len(site.requests) == 1, "the archive is not downloaded again"
    assert list(leftovers_below(root)) == []
    assert [path.name for path in root.iterdir()] == ["train"]
