"""Which requests reach the page: those of its own host and origin, of a bounded size."""

import ipaddress
import socket
from pathlib import Path
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from facegan.web.faces import MAX_BYTES

MAX_BODY = MAX_BYTES + 100_000  # of a request: one photograph, and what surrounds it
MAX_STORED = 20 * MAX_BYTES  # of all uploads together; more replace the oldest


class Guard:
    """ASGI middleware. A page elsewhere could otherwise start trainings in the reader's browser.

    `host` is the one that the server listens on; `files` is the folder of the uploads.
    """

    def __init__(self, app: ASGIApp, host: str, files: Path) -> None:
        self.app = app
        self.host = host
        self.files = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            reason = refusal(scope["method"], Headers(scope=scope), self.host)
            if reason is not None:
                await PlainTextResponse(reason[1], reason[0])(scope, receive, send)
                return
            if scope["path"].endswith("/upload"):
                await run_in_threadpool(remove_oldest, self.files, MAX_STORED - MAX_BODY)
        await self.app(scope, receive, send)


def refusal(method: str, headers: Headers, host: str) -> tuple[int, str] | None:
    """The HTTP status and the reason why a request is refused; None if it is not.

    DNS rebinding needs the name of another site in Host: addresses and own names are accepted.
    Programs send no Origin.
    """
    own, origin, length = headers.get("host", ""), headers.get("origin"), "content-length"
    if not is_own(own, host):
        return 421, f"{own!r} is not the name of this app: start it with host=NAME"
    if origin is not None and origin.partition("://")[2] != own:
        return 403, f"the page of {origin!r} may not use this app"
    if method == "POST" and not headers.get(length, "").isdecimal():
        return 411, "a request needs its length"
    if int(headers.get(length, "0")) > MAX_BODY:
        return 413, f"a request has {MAX_BODY:,} bytes at most"
    return None


def is_own(authority: str, host: str) -> bool:
    """Whether the value of a Host header, a name or an address with its port, is this server's."""
    try:
        name = urlsplit(f"//{authority}").hostname or ""
        if name in ("localhost", host.lower(), socket.gethostname().lower()):
            return True
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def remove_oldest(folder: Path, most: int) -> None:
    """Removes the oldest files below `folder` until all have at most `most` bytes together."""
    files = [(path.stat(), path) for path in folder.rglob("*") if path.is_file()]
    total = sum(stat.st_size for stat, _ in files)
    for stat, path in sorted(files, key=lambda file: file[0].st_mtime):
        if total <= most:
            return
        path.unlink(missing_ok=True)
        total -= stat.st_size
