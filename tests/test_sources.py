"""Downloads against a server on this machine, through the real requests and gdown."""

import errno
import hashlib
import io
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import gdown
import pytest
import requests

from facegan.data import download
from facegan.data.download import md5_of
from facegan.data.sources import CELEBA_FILES, RemoteFile, fetch, verify_file
from facegan.errors import FaceganError


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


MIB = 1 << 20
CONTENT = bytes(range(256)) * (3 * MIB // 256)  # several chunks
MD5 = md5(CONTENT)
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
    monkeypatch.setattr(download, "PAUSES", (0.0, 0.0))
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


def test_celeba_files_are_those_of_torchvision() -> None:
    from torchvision.datasets import CelebA

    ours = [(file.google_drive_id, file.md5, file.name) for file in CELEBA_FILES]
    assert ours == CelebA.file_list


def test_celeba_mirrors() -> None:
    zip_file, *annotations = CELEBA_FILES
    assert len({file.name for file in CELEBA_FILES}) == 6
    assert all(re.fullmatch("[0-9a-f]{32}", file.md5) for file in CELEBA_FILES)
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


def test_md5_of(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    assert md5_of(tmp_path / "a") == MD5


def test_fresh_download_after_drive_refused(
    server: Server, tmp_path: Path, drive: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "celeba"
    fetch([photos(server.url("/a", serve()))], folder)
    assert (folder / NAME).read_bytes() == CONTENT
    assert left(folder) == [NAME]
    assert drive == ["drive-id"]
    assert server.seen == [("/a", None, len(CONTENT))]
    assert capsys.readouterr().out.count("non-commercial research only") == 1


def test_terms_are_shown_once_for_several_files(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = server.url("/a", serve())
    fetch([photos(url), photos(url, name="other.zip")], tmp_path)
    assert left(tmp_path) == ["other.zip", NAME]
    assert capsys.readouterr().out.count("non-commercial research only") == 1


def test_a_part_is_resumed(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[: 2 * MIB])
    fetch([photos(server.url("/a", serve()))], tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert server.seen == [("/a", "bytes=2097152-", len(CONTENT) - 2 * MIB)]
    assert left(tmp_path) == [NAME]


def test_a_server_that_ignores_range_starts_the_file_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[: 2 * MIB])
    fetch([photos(server.url("/a", serve(ranges=False)))], tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert server.seen == [("/a", "bytes=2097152-", len(CONTENT))]


def test_a_whole_part_needs_no_download(server: Server, tmp_path: Path, drive: list[str]) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
    fetch([photos(server.url("/a", serve()))], tmp_path)
    assert left(tmp_path) == [NAME]
    assert not server.seen
    assert not drive


@pytest.mark.parametrize("size", [1000, len(CONTENT), len(CONTENT) + 1])
def test_a_wrong_part_is_dropped(server: Server, tmp_path: Path, size: int) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"x" * size)  # a whole one is answered with 416
    fetch([photos(server.url("/a", serve()))], tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    first, second = server.seen
    assert first[:2] == ("/a", f"bytes={size}-")
    assert second == ("/a", None, len(CONTENT))


def test_a_connection_that_keeps_dropping_is_taken_up_while_bytes_come(
    server: Server, tmp_path: Path
) -> None:
    half = MIB // 2
    fetch([photos(server.url("/a", serve(drop_after=half)))], tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    ranges = [range for _, range, _ in server.seen]
    assert ranges == [None, *(f"bytes={half * times}-" for times in range(1, 6))]


def test_a_server_that_has_answered_may_be_away_for_a_moment(
    server: Server, tmp_path: Path
) -> None:
    fetch([photos(server.url("/a", serve(drop_after=MIB), hang_up, serve()))], tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert [range for _, range, _ in server.seen] == [None, *["bytes=1048576-"] * 2]


def test_what_one_mirror_left_serves_the_next(server: Server, tmp_path: Path) -> None:
    broken = server.url("/a", serve(drop_after=MIB), serve(drop_after=0))
    fetch([photos(broken, server.url("/b", serve()))], tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert server.seen[-1] == ("/b", "bytes=1048576-", len(CONTENT) - MIB)


def test_a_wrong_md5_leads_to_the_next_mirror(server: Server, tmp_path: Path) -> None:
    wrong = server.url("/wrong", serve(CONTENT[::-1]))
    fetch([photos(wrong, server.url("/right", serve()))], tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
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
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert server.seen[-1] == ("/a", "bytes=1048576-", len(CONTENT) - MIB)


def test_one_message_says_all_when_every_source_fails(server: Server, tmp_path: Path) -> None:
    urls = {
        server.url("/wrong", serve(b"other")): f"what came has md5 {md5(b'other')}",
        server.url("/page", serve(b"<html>", kind="text/html")): "a web page came",
        server.url("/gone", not_found): "HTTP 404 Not Found",
        server.url(
            "/cut", serve(drop_after=MIB), serve(drop_after=0)
        ): "the connection broke 3 times",
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
    # nothing half-written, and what came before the connection broke is kept
    assert left(tmp_path) == ["good.zip", f"{NAME}.part"]
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:MIB]


def test_an_unreachable_host_is_asked_once(server: Server, tmp_path: Path) -> None:
    with Server() as closed:
        dead = closed.url("/a")
    files = [photos(dead, server.url(f"/{name}", serve()), name=name) for name in "ab"]
    fetch(files, tmp_path)
    assert left(tmp_path) == ["a", "b"]
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
    for part in (str(tmp_path / NAME), MD5, md5_of(tmp_path / NAME), "data.verify=false", "remove"):
        assert part in str(error.value)
    assert left(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == b"mine"
    assert not server.seen
    assert not drive


def test_verify_file_knows_a_web_page_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "page.zip").write_bytes(b"<!doctype html>Quota exceeded")
    with pytest.raises(FaceganError, match="is a web page"):
        verify_file(tmp_path / "page.zip", MD5)
    with pytest.raises(FaceganError, match="is not there"):
        verify_file(tmp_path / "no.zip", MD5)


def test_too_little_room_is_said_before_anything_is_written(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(free=MIB))
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:1000])
    with pytest.raises(FaceganError, match=r"3,144,728 bytes are needed there and 1,048,576") as e:
        fetch([photos(server.url("/a", serve()))], tmp_path)
    assert str(tmp_path / f"{NAME}.part") in str(e.value)
    assert (tmp_path / f"{NAME}.part").stat().st_size == 1000


class FullDisk(io.BytesIO):
    def write(self, _: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_fills_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "open", lambda *_: FullDisk())
    with pytest.raises(FaceganError, match=r"No space left on device; 3,145,728 bytes are needed"):
        fetch([photos(server.url("/a", serve()))], tmp_path)
    assert left(tmp_path) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FaceganError, match="cannot be made"):
        fetch([photos()], tmp_path / "file" / "celeba")


def test_drive_comes_first(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive_at(server.url("/drive", serve()), monkeypatch)
    fetch([photos(server.url("/a", serve()))], tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert left(tmp_path) == [NAME]
    assert {path for path, *_ in server.seen} == {"/drive"}


def test_drive_goes_on_from_our_part(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[: 2 * MIB])
    drive_at(server.url("/drive", serve()), monkeypatch)
    fetch([photos()], tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert left(tmp_path) == [NAME]
    assert server.seen[-1] == ("/drive", "bytes=2097152-", len(CONTENT) - 2 * MIB)


def test_drive_is_asked_again_after_a_stall(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stalls(output: str, **_: Any) -> None:
        Path(f"{output}abcdefgh.part").write_bytes(CONTENT[:MIB])
        drive_at(server.url("/drive", serve()), monkeypatch)
        raise requests.ReadTimeout("60 seconds")

    monkeypatch.setattr(gdown, "download", stalls)
    fetch([photos()], tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert server.seen[-1] == ("/drive", "bytes=1048576-", len(CONTENT) - MIB)


def test_a_file_that_drive_lacks_says_nothing_of_the_others(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive_at(server.url("/drive", not_found, serve()), monkeypatch)
    mirror = server.url("/a", serve())
    fetch([photos(mirror), photos(mirror, name="other.zip")], tmp_path)
    assert [path for path, *_ in server.seen] == ["/drive", "/a", "/drive"]


def test_a_mirror_goes_on_from_what_drive_left(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive_at(server.url("/drive", serve(drop_after=MIB), not_found), monkeypatch)
    fetch([photos(server.url("/a", serve()))], tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert left(tmp_path) == [NAME]
    assert server.seen[-1] == ("/a", "bytes=1048576-", len(CONTENT) - MIB)


def test_drive_starts_again_when_a_part_cannot_be_resumed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"x" * len(CONTENT))
    drive_at(server.url("/drive", serve()), monkeypatch)
    fetch([photos()], tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert left(tmp_path) == [NAME]


def test_what_a_killed_run_left_with_gdown_is_used(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{NAME}.gdown").mkdir()
    (tmp_path / f"{NAME}.gdown" / f"{NAME}abcdefgh.part").write_bytes(CONTENT[: 2 * MIB])
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:1000])
    fetch([photos(server.url("/a", serve()))], tmp_path)
    assert left(tmp_path) == [NAME]
    assert server.seen == [("/a", "bytes=2097152-", len(CONTENT) - 2 * MIB)]


def test_the_disk_is_checked_for_drive_too(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(free=1000))
    drive_at(server.url("/drive", serve()), monkeypatch)
    with pytest.raises(FaceganError, match="the disk is too full"):
        fetch([photos(server.url("/a", serve()))], tmp_path)
    assert {path for path, *_ in server.seen} == {"/drive"}


def test_anything_that_breaks_in_gdown_leads_to_the_mirrors(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers: dict[str, str] = {}
    monkeypatch.setattr(gdown, "download", lambda **_: headers["Content-Type"])
    fetch([photos(server.url("/a", serve()))], tmp_path)
    assert left(tmp_path) == [NAME]


def test_the_module_is_cheap_to_import() -> None:
    heavy = {"torch", "torchvision", "pytorch_lightning", "hydra", "gdown", "requests", "tqdm"}
    code = "import sys, facegan.data.sources; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "facegan.data.sources" in loaded.stdout.split()
    assert heavy.isdisjoint(loaded.stdout.split())
