"""Downloads from a server on this machine, through the real requests and gdown."""

import errno
import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import gdown
import pytest

from facegan.core.errors import FaceganError
from facegan.data import download
from facegan.data.download import CELEBA_FILES, RemoteFile, fetch, md5_of

MIB = 1 << 20
CONTENT = bytes(range(256)) * (3 * MIB // 256)  # several chunks
MD5 = hashlib.md5(CONTENT).hexdigest()
NAME = "photos.zip"
QUOTA = "Too many users have viewed or downloaded this file recently."

GDOWN_DOWNLOAD = gdown.download  # before the fixture below replaces it

Reply = Callable[["Handler"], None]


class Server(ThreadingHTTPServer):
    """Replies by path; a list of replies is used up one request after another."""

    def __init__(self) -> None:
        self.replies: dict[str, list[Reply]] = {}
        self.seen: list[tuple[str, str | None, int]] = []  # path, Range, bytes sent
        super().__init__(("127.0.0.1", 0), Handler)

    def url(self, path: str, *replies: Reply) -> str:
        self.replies[path] = list(replies)
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # the client may hang up


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        replies = self.server.replies[self.path]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        reply(self)

    def note(self, size: int) -> None:
        """Before the bytes are sent: the client may be through before this thread goes on."""
        self.server.seen.append((self.path, self.headers["Range"], size))

    def log_message(self, *_: object) -> None:
        pass


def serve(
    content: bytes = CONTENT,
    ranges: bool = True,
    drop_after: int | None = None,
    kind: str = "application/zip",
) -> Reply:
    """A reply with this content, cut off after so many bytes of its body."""

    def reply(handler: Handler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"] or "")
        start = int(asked[1]) if asked and ranges else 0
        body = content[start:][:drop_after]
        handler.note(len(body))
        if start >= len(content):
            handler.send_response(416)
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            last = len(content) - 1
            handler.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def not_found(handler: Handler) -> None:
    handler.note(0)
    handler.send_error(404)


def hang_up(handler: Handler) -> None:
    handler.note(0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def drive(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Google Drive is over its quota; the list holds the ids that were asked for."""
    asked = []

    def over_quota(id: str, **_: Any) -> None:
        asked.append(id)
        try:
            raise gdown.FileURLRetrievalError(QUOTA)
        except gdown.FileURLRetrievalError:  # as gdown does it
            raise gdown.FileURLRetrievalError("a paragraph\n\nabout the browser")  # noqa: B904

    monkeypatch.setattr(gdown, "download", over_quota)
    monkeypatch.setattr(download, "PAUSE", 0.0)
    return asked


def drive_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real gdown, but for the address."""

    def elsewhere(id: str, **arguments: Any) -> object:
        return GDOWN_DOWNLOAD(url=url, use_cookies=False, **arguments)

    monkeypatch.setattr(gdown, "download", elsewhere)


def photos(*mirrors: str, name: str = NAME, md5: str = MD5) -> RemoteFile:
    return RemoteFile(name, md5, google_drive_id="drive-id", mirrors=mirrors)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def check(folder: Path) -> None:
    """The file is complete, and nothing else is left."""
    assert left(folder) == [NAME]
    assert (folder / NAME).read_bytes() == CONTENT


def test_celeba_files_are_a_part_of_torchvisions() -> None:
    from torchvision.datasets import CelebA

    ours = [(file.google_drive_id, file.md5, file.name) for file in CELEBA_FILES]
    assert set(ours) < set(CelebA.file_list)
    unused = {"list_bbox_celeba.txt", "list_landmarks_align_celeba.txt"}
    assert {name for *_, name in CelebA.file_list} - {name for *_, name in ours} == unused


def test_celeba_mirrors() -> None:
    zip_file, *annotations = CELEBA_FILES
    assert zip_file.mirrors == (
        "https://archive.org/download/celeba/Img/img_align_celeba.zip",
        "https://graal.ift.ulaval.ca/public/celeba/img_align_celeba.zip",
        "https://s3-us-west-1.amazonaws.com/udacity-dlnfd/datasets/celeba.zip",
    )
    for file in annotations:
        folder = "Eval" if file.name == "list_eval_partition.txt" else "Anno"
        assert file.mirrors == (
            f"https://archive.org/download/celeba/{folder}/{file.name}",
            f"https://graal.ift.ulaval.ca/public/celeba/{file.name}",
        )


def test_drive_is_asked_first_and_the_terms_are_shown_once(
    server: Server, tmp_path: Path, drive: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "celeba"
    url = server.url("/a", serve())
    fetch([photos(url), photos(url, name="other.zip")], folder)
    assert left(folder) == ["other.zip", NAME]
    assert drive == ["drive-id", "drive-id"]
    assert server.seen == [("/a", None, len(CONTENT))] * 2
    assert capsys.readouterr().out.count("non-commercial research only") == 1


def test_a_part_is_resumed(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[: 2 * MIB])
    fetch([photos(server.url("/a", serve()))], tmp_path)
    check(tmp_path)
    assert server.seen == [("/a", "bytes=2097152-", len(CONTENT) - 2 * MIB)]


def test_a_server_that_ignores_range_sends_the_whole_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[: 2 * MIB])
    fetch([photos(server.url("/a", serve(ranges=False)))], tmp_path)
    check(tmp_path)
    assert server.seen == [("/a", "bytes=2097152-", len(CONTENT))]


def test_a_complete_part_needs_no_download(
    server: Server, tmp_path: Path, drive: list[str]
) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
    fetch([photos(server.url("/a", serve()))], tmp_path)
    check(tmp_path)
    assert not server.seen
    assert not drive


@pytest.mark.parametrize("size", [1000, len(CONTENT), len(CONTENT) + 1])
def test_a_wrong_part_is_replaced(server: Server, tmp_path: Path, size: int) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"x" * size)  # a complete one is answered with 416
    fetch([photos(server.url("/a", serve()))], tmp_path)
    check(tmp_path)
    first, second = server.seen
    assert first[:2] == ("/a", f"bytes={size}-")
    assert second == ("/a", None, len(CONTENT))


def test_a_connection_that_keeps_breaking_is_resumed(server: Server, tmp_path: Path) -> None:
    half = MIB // 2
    fetch([photos(server.url("/a", serve(drop_after=half)))], tmp_path)
    check(tmp_path)
    ranges = [range for _, range, _ in server.seen]
    assert ranges == [None, *(f"bytes={half * times}-" for times in range(1, 6))]


def test_the_next_mirror_continues_the_part(server: Server, tmp_path: Path) -> None:
    broken = server.url("/a", serve(drop_after=MIB), hang_up)
    fetch([photos(broken, server.url("/b", serve()))], tmp_path)
    check(tmp_path)
    assert len(server.seen) == 1 + download.ATTEMPTS + 1
    assert server.seen[-1] == ("/b", "bytes=1048576-", len(CONTENT) - MIB)


def test_a_wrong_md5_leads_to_the_next_mirror(server: Server, tmp_path: Path) -> None:
    wrong = server.url("/wrong", serve(CONTENT[::-1]))
    fetch([photos(wrong, server.url("/right", serve()))], tmp_path)
    check(tmp_path)
    assert server.seen[-1] == ("/right", None, len(CONTENT))


@pytest.mark.parametrize(
    ("kind", "page"),
    [
        ("text/html; charset=utf-8", b"Quota exceeded"),
        ("application/zip", b"\n<!DOCTYPE html><html>Quota exceeded</html>"),
    ],
)
def test_a_web_page_is_refused_and_the_part_kept(
    server: Server, tmp_path: Path, kind: str, page: bytes
) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:MIB])
    quota = server.url("/page", serve(page, ranges=False, kind=kind))
    fetch([photos(quota, server.url("/a", serve()))], tmp_path)
    check(tmp_path)
    assert server.seen[-1] == ("/a", "bytes=1048576-", len(CONTENT) - MIB)


def test_one_message_lists_every_source_and_what_works_without(
    server: Server, tmp_path: Path
) -> None:
    urls = {
        server.url("/wrong", serve(b"other")): "what came has another md5",
        server.url("/page", serve(b"<html>", kind="text/html")): "a web page came",
        server.url("/gone", not_found): "HTTP 404 Not Found",
        server.url("/cut", serve(drop_after=MIB), hang_up): "the connection broke 5 times",
    }
    good = photos(server.url("/good", serve()), name="good.zip")
    bad = [photos(*urls), photos(server.url("/gone", not_found), name="b.txt", md5="0" * 32)]
    with pytest.raises(FaceganError) as error:
        fetch([bad[0], good, bad[1]], tmp_path)
    message = str(error.value)
    assert message.startswith("2 of 3 files could not be downloaded")
    assert f"Google Drive: {QUOTA}" in message
    for url, why in urls.items():
        assert f"{url}: {why}" in message
    for file in bad:
        assert str(tmp_path / file.name) in message
        assert file.md5 in message
    assert "https://drive.google.com/file/d/drive-id/view" in message
    assert "good.zip" not in message
    assert "data=generated" in message
    assert "data=folder data.root=PATH" in message
    # what came before the connection broke is kept
    assert left(tmp_path) == ["good.zip", f"{NAME}.part"]
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:MIB]


def test_an_unreachable_host_is_asked_once(tmp_path: Path) -> None:
    with Server() as closed:
        dead = closed.url("/a")
    (tmp_path / "c.part").write_bytes(b"from an earlier run")
    with pytest.raises(FaceganError) as error:
        fetch([photos(dead, name="c"), photos(dead, name="d")], tmp_path)
    first, second = (line for line in str(error.value).splitlines() if dead in line)
    assert "refused" in first
    assert "not asked again" in second


def test_a_verified_file_is_left_alone(
    server: Server, tmp_path: Path, drive: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / NAME).write_bytes(CONTENT)
    fetch([photos(server.url("/a", serve()))], tmp_path)
    assert not server.seen
    assert not drive
    assert capsys.readouterr().out == ""


def test_a_file_with_another_md5_is_neither_replaced_nor_removed(
    server: Server, tmp_path: Path, drive: list[str]
) -> None:
    (tmp_path / NAME).write_bytes(b"mine")
    with pytest.raises(FaceganError) as error:
        fetch([photos(server.url("/a", serve()), name="b"), photos()], tmp_path)
    message = str(error.value)
    for part in (str(tmp_path / NAME), MD5, md5_of(tmp_path / NAME)):
        assert part in message
    assert message.index("data.verify=false") < message.index("remove")
    assert (tmp_path / NAME).read_bytes() == b"mine"
    assert not server.seen
    assert not drive


def test_a_full_disk_is_no_fault_of_the_source(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="No space left"):
        fetch([photos(server.url("/a", serve()))], tmp_path)


def test_a_download_from_drive(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive_at(server.url("/drive", serve()), monkeypatch)
    fetch([photos(server.url("/a", serve()))], tmp_path)
    check(tmp_path)
    assert {path for path, *_ in server.seen} == {"/drive"}


def test_the_next_run_resumes_from_drive(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive_at(server.url("/drive", serve(drop_after=MIB)), monkeypatch)
    with pytest.raises(FaceganError, match="Google Drive: "):
        fetch([photos()], tmp_path)
    drive_at(server.url("/drive", serve()), monkeypatch)
    fetch([photos()], tmp_path)
    check(tmp_path)
    assert server.seen[-1] == ("/drive", "bytes=1048576-", len(CONTENT) - MIB)


def test_another_file_from_drive_leads_to_the_mirrors(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive_at(server.url("/drive", serve(b"<html>Quota exceeded", kind="text/plain")), monkeypatch)
    fetch([photos(server.url("/a", serve()))], tmp_path)
    check(tmp_path)


def test_a_file_that_is_gone_from_drive_does_not_exclude_the_others(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive_at(server.url("/drive", not_found, serve()), monkeypatch)
    mirror = server.url("/a", serve())
    fetch([photos(mirror), photos(mirror, name="other.zip")], tmp_path)
    assert [path for path, *_ in server.seen] == ["/drive", "/a", "/drive"]


def test_what_drive_left_is_removed_when_a_mirror_had_the_file(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive_at(server.url("/drive", serve(drop_after=MIB)), monkeypatch)
    fetch([photos(server.url("/a", serve()))], tmp_path)
    check(tmp_path)


def test_anything_that_breaks_in_gdown_leads_to_the_mirrors(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers: dict[str, str] = {}
    monkeypatch.setattr(gdown, "download", lambda **_: headers["Content-Type"])
    fetch([photos(server.url("/a", serve()))], tmp_path)
    check(tmp_path)


def test_the_module_is_cheap_to_import() -> None:
    heavy = {"torch", "torchvision", "pytorch_lightning", "hydra", "gdown", "requests", "tqdm"}
    code = "import sys, facegan.data.download; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "facegan.data.download" in loaded.stdout.split()
    assert heavy.isdisjoint(loaded.stdout.split())
