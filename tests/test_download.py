"""Downloads from a server on this machine, through the real requests and gdown."""

import hashlib
import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from facegan.core.errors import FaceganError
from facegan.data import download
from facegan.data.download import CELEBA_FILES, RemoteFile, fetch, md5_of

MIB = 1 << 20
CONTENT = bytes(range(256)) * (3 * MIB // 256)  # several chunks
MD5 = hashlib.md5(CONTENT).hexdigest()
NAME = "photos.zip"
PART = f"{NAME}.part12345678.part"  # of gdown, whose eight characters are random
PAGE = b"<html>Quota exceeded"

Reply = Callable[["Handler"], None]


class Server(ThreadingHTTPServer):
    """Replies by path; each request uses up one of a list of replies, except the last."""

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
        """Called before the bytes are sent, since the client may finish before this thread."""
        self.server.seen.append((self.path, self.headers["Range"], size))

    def log_message(self, *_: object) -> None:
        pass


def serve(
    content: bytes = CONTENT,
    ranges: bool = True,
    drop_after: int | None = None,
    kind: str = "application/zip",
) -> Reply:
    """A reply with this content; the connection breaks after `drop_after` bytes of its body."""

    def reply(handler: Handler) -> None:
        requested = re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"] or "")
        start = int(requested[1]) if requested and ranges else 0
        body = content[start:][:drop_after]
        handler.note(len(body))
        if start >= len(content):
            handler.send_response(416)
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            end = len(content) - 1
            handler.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
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
    monkeypatch.setattr(download, "PAUSE", 0.0)
    with Server() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def photos(*sources: str, name: str = NAME, md5: str = MD5) -> RemoteFile:
    return RemoteFile(name, md5, sources)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def check(folder: Path) -> None:
    """The file is complete, and no other file is left."""
    assert left(folder) == [NAME]
    assert (folder / NAME).read_bytes() == CONTENT


def test_celeba_files_are_a_part_of_torchvisions() -> None:
    from torchvision.datasets import CelebA

    ours = {(file.sources[0].split("/")[-2], file.md5) for file in CELEBA_FILES}
    theirs = {(drive_id, md5): name for drive_id, md5, name in CelebA.file_list}
    assert [theirs.pop(key) for key in ours]
    assert set(theirs.values()) == {"list_bbox_celeba.txt", "list_landmarks_align_celeba.txt"}


def test_the_terms_are_shown_once(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "celeba"
    url = server.url("/a", serve())
    fetch([photos(url), photos(url, name="other.zip")], folder)
    assert left(folder) == ["other.zip", NAME]
    assert server.seen == [("/a", None, len(CONTENT))] * 2
    assert capsys.readouterr().out.count("non-commercial research only") == 1


def test_a_part_is_resumed(server: Server, tmp_path: Path) -> None:
    (tmp_path / PART).write_bytes(CONTENT[: 2 * MIB])
    fetch([photos(server.url("/a", serve()))], tmp_path)
    check(tmp_path)
    assert server.seen[-1] == ("/a", "bytes=2097152-", len(CONTENT) - 2 * MIB)


def test_a_wrong_part_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"x" * 1000)
    url = server.url("/a", serve())
    fetch([photos(url, url)], tmp_path)
    check(tmp_path)


def test_a_connection_that_keeps_breaking_is_resumed(server: Server, tmp_path: Path) -> None:
    half = MIB // 2
    fetch([photos(server.url("/a", serve(drop_after=half)))], tmp_path)
    check(tmp_path)
    ranges = [range for _, range, _ in server.seen if range]
    assert ranges == [f"bytes={half * times}-" for times in range(1, 6)]


def test_the_next_source_continues_the_part(server: Server, tmp_path: Path) -> None:
    broken = server.url("/a", serve(drop_after=MIB), hang_up)
    fetch([photos(broken, server.url("/b", serve()))], tmp_path)
    check(tmp_path)
    assert server.seen[-1] == ("/b", "bytes=1048576-", len(CONTENT) - MIB)


def test_a_wrong_md5_leads_to_the_next_source(server: Server, tmp_path: Path) -> None:
    wrong = server.url("/wrong", serve(CONTENT[::-1]))
    fetch([photos(wrong, server.url("/right", serve()))], tmp_path)
    check(tmp_path)
    assert server.seen[-1] == ("/right", None, len(CONTENT))


def test_a_web_page_is_refused_and_the_part_kept(server: Server, tmp_path: Path) -> None:
    (tmp_path / PART).write_bytes(CONTENT[:MIB])
    quota = server.url("/page", serve(PAGE, ranges=False, kind="text/html; charset=utf-8"))
    fetch([photos(quota, server.url("/a", serve()))], tmp_path)
    check(tmp_path)
    assert server.seen[-1] == ("/a", "bytes=1048576-", len(CONTENT) - MIB)


def test_one_message_lists_every_source_and_the_remedies(server: Server, tmp_path: Path) -> None:
    with Server() as closed:
        dead = closed.url("/dead")
    urls = {
        dead: "ConnectionError",
        server.url("/wrong", serve(b"other")): "the file has another md5",
        server.url("/gone", not_found): "HTTPError 404 Client Error: Not Found",
        server.url("/cut", serve(drop_after=MIB), hang_up): "ConnectionError",
    }
    good = photos(server.url("/good", serve()), name="good.zip")
    bad = [photos(*urls), photos(server.url("/gone", not_found), name="b.txt", md5="0" * 32)]
    with pytest.raises(FaceganError) as error:
        fetch([bad[0], good, bad[1]], tmp_path)
    message = str(error.value)
    parts = [f"{url}: {why}" for url, why in urls.items()]
    parts += [f"{tmp_path / file.name} (md5 {file.md5})" for file in bad]
    parts += ["in a browser", "data=generated", "data=folder data.root=PATH"]
    assert message.startswith("2 of 3 files could not be downloaded")
    assert [part for part in parts if part not in message] == []
    assert "good.zip" not in message
    good_file, part = sorted(tmp_path.iterdir())
    assert good_file.name == "good.zip"
    assert part.read_bytes() == CONTENT[:MIB]


def test_a_verified_file_is_not_downloaded(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / NAME).write_bytes(CONTENT)
    fetch([photos(server.url("/a", serve()))], tmp_path)
    assert not server.seen
    assert capsys.readouterr().out == ""


def test_a_file_with_another_md5_is_neither_replaced_nor_removed(
    server: Server, tmp_path: Path
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
