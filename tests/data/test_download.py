from __future__ import annotations

import dataclasses
import gzip
import hashlib
import http.server
import os
import threading
import time

import pytest

from lthsweep.data import cache
from lthsweep.data.datasets import DATASETS
from lthsweep.data.download import download
from lthsweep.data.entry import PublishedFile
from lthsweep.errors import DataError, MissingDataError

CONTENT = bytes(range(256)) * 4000


class Host(http.server.BaseHTTPRequestHandler):
    """A host that serves `server.content`, with ranges, and can be set to misbehave."""

    def do_GET(self):
        served = self.server
        served.requests.append((self.path, self.headers.get("Range")))
        content = served.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = 0
        asked = self.headers.get("Range")
        if asked and served.ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
        else:
            self.send_response(200)
        if served.declare:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: served.cut])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def host(monkeypatch):
    """A web server on this machine, on a free port."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host)
    server.requests, server.files = [], {"/file.bin": CONTENT}
    server.ranges, server.declare, server.cut = True, True, None
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def source_at(host, *paths: str, content: bytes = CONTENT) -> PublishedFile:
    urls = tuple(host.address + path for path in paths or ("/file.bin",))
    return PublishedFile("file.bin", urls, hashlib.md5(content).hexdigest(), len(content), "file")


def test_file_arrives_whole_and_alone(host, tmp_path):
    """Nothing but the checked file is left in the folder."""
    seen = []

    path = download(source_at(host), tmp_path / "new", progress=lambda *told: seen.append(told))

    assert path.read_bytes() == CONTENT
    assert [child.name for child in (tmp_path / "new").iterdir()] == ["file.bin"]
    assert seen[-1] == ("file.bin", len(CONTENT), len(CONTENT))


def test_file_that_is_there_is_not_fetched_again(host, tmp_path):
    """The user's own copy is used as it is."""
    (tmp_path / "file.bin").write_bytes(b"mine")

    assert download(source_at(host), tmp_path).read_bytes() == b"mine"
    assert host.requests == []


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_resumes(host, tmp_path, ranges):
    """From the last chunk if the host can send a range, else from the first byte; the file is correct either way."""
    host.cut = 300_000
    with pytest.raises(MissingDataError, match=r"file\.bin"):
        download(source_at(host), tmp_path)
    (part,) = tmp_path.glob("*.part")
    size = part.stat().st_size
    assert 200_000 < size <= 300_000  # the last chunk can be lost
    os.utime(part, (time.time() - 1000,) * 2)
    host.cut, host.ranges = None, ranges

    assert download(source_at(host), tmp_path).read_bytes() == CONTENT

    assert host.requests[-1] == ("/file.bin", f"bytes={size}-")
    assert [child.name for child in tmp_path.iterdir()] == ["file.bin"]


def test_partial_files_of_other_processes_are_kept(host, tmp_path):
    """Two commands at once each fetch their own; the second rename replaces equal bytes."""
    other = tmp_path / "file.bin.12345678.part"
    other.write_bytes(b"half")

    assert download(source_at(host), tmp_path).read_bytes() == CONTENT
    assert other.read_bytes() == b"half"


def test_next_address_is_tried(host, tmp_path):
    """A mirror that is gone or serves something else does not end the matter."""
    host.files["/bad.bin"] = b"x" * len(CONTENT)

    path = download(source_at(host, "/gone.bin", "/bad.bin", "/file.bin"), tmp_path)

    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("declare", [True, False])
@pytest.mark.parametrize(
    ("served", "message"),
    [(b"y" * len(CONTENT), "md5"), (CONTENT + b"!", "sends more than"), (CONTENT[:-1], "ended after")],
)
def test_other_content_never_gets_the_name(host, tmp_path, served, message, declare):
    """Wrong, too long or too short, with or without a declared length: the final name stays free."""
    host.files["/file.bin"], host.declare = served, declare

    with pytest.raises(DataError, match=message):
        download(source_at(host), tmp_path)
    assert not (tmp_path / "file.bin").exists()


def test_no_network_is_missing_data_with_the_remedy(tmp_path):
    """Port 9 of this machine stands for a host that cannot be reached."""
    source = PublishedFile("file.bin", ("http://127.0.0.1:9/file.bin",), "0" * 32, 10, "file")

    with pytest.raises(MissingDataError, match="by hand") as caught:
        download(source, tmp_path)
    assert "127.0.0.1:9" in str(caught.value)


def test_only_the_web_is_fetched(tmp_path):
    """A file: address would read this machine."""
    (tmp_path / "secret").write_bytes(b"1")
    source = PublishedFile("file.bin", (f"file://{tmp_path}/secret",), "0" * 32, 10, "file")

    with pytest.raises(MissingDataError, match="only http"):
        download(source, tmp_path)


def test_folder_that_cannot_be_written_is_said(host, tmp_path):
    """A plain file in the place of the folder stands for any reason."""
    (tmp_path / "taken").write_bytes(b"")

    with pytest.raises(DataError, match="LTHSWEEP_DATA"):
        download(source_at(host), tmp_path / "taken")


def test_prepare_downloads_unavailable_reason_only(host, tmp_path, write_mnist, monkeypatch):
    """Three of the files are here; the fourth is fetched, checked and packed."""
    write_mnist(tmp_path / "mnist")
    lost = tmp_path / "mnist/t10k-labels-idx1-ubyte.gz"
    host.files["/" + lost.name] = lost.read_bytes()
    content = lost.read_bytes()
    lost.unlink()
    entry = DATASETS["mnist"]
    sources = tuple(
        dataclasses.replace(
            source,
            urls=(f"{host.address}/{source.file}",),
            md5=hashlib.md5(content).hexdigest(),
            size=len(content),
        )
        for source in entry.files
    )
    local = dataclasses.replace(entry, files=sources)
    monkeypatch.setattr(cache, "dataset", lambda name: local)

    with pytest.raises(MissingDataError):
        cache.prepare({"name": "mnist"}, root=tmp_path, cache=tmp_path / "cache")
    packed = cache.prepare({"name": "mnist"}, root=tmp_path, cache=tmp_path / "cache", download=True)

    assert len(packed.test_labels) == 20
    assert [path for path, _ in host.requests] == ["/t10k-labels-idx1-ubyte.gz"]
    assert gzip.decompress(lost.read_bytes())[:4] == b"\0\0\x08\x01"
