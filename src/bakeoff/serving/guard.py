"""What stands before the page and the API, and lets through only what a browser of the page asks.

Whatever else Gradio offers (proxies, recordings, components by name, its own API) is not there, and
no request names a file but one that was uploaded. Everything refused is refused in a sentence.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from bakeoff.serving.body import Body, Message, Receive, Refused
from bakeoff.serving.limits import MOST_KEPT_BYTES, MOST_QUESTION_BYTES, MOST_REQUEST_BYTES

Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

FILE = "/gradio_api/file="
READ = re.compile(
    r"/(favicon\.ico|robots\.txt|manifest\.json|config/?|theme\.css|assets/.+|static/.+|api/models)?"
    r"|/gradio_api/(info/?|theme\.css|startup-events|app_id/?|queue/data|upload_progress"
    r"|heartbeat/\w+|file=.+)"
)
FILES = ("/gradio_api/upload", "/api/predict")
QUESTIONS = ("/gradio_api/queue/join", "/gradio_api/reset", "/gradio_api/cancel")
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
        b"style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        b"font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
        b"form-action 'self'; frame-ancestors 'none'",
    ),
)
_log = logging.getLogger(__name__)


class Guard:
    """An ASGI application before another; `uploads` is the folder that holds uploaded files.

    With `names` it answers to these host names alone: no web page can then reach a server on
    loopback by a name of its own that points there.
    """

    def __init__(self, within: Application, uploads: Path, names: Collection[str] = ()) -> None:
        self.within = within
        self.uploads = uploads.resolve()
        self.names = names

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self.within(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        body = Body(receive, _most(scope["path"]))
        answer = _Answer(send, body)
        try:
            self._demand_allowed(scope)
            body.demand(_length(scope))
            if scope["path"].rstrip("/") in QUESTIONS:
                self._demand_uploaded(await body.whole())
            await self.within(scope, body.receive, answer.send)
        except Refused as refused:
            await answer.refuse(refused)
        except Exception as error:
            if body.refused is None:  # else it is only the application's surprise at a cut body
                _log.warning("%s %s: %s", scope["method"], scope["path"], type(error).__name__)
                await answer.refuse(Refused(500, "this could not be done; the server goes on"))
        if body.refused is not None:
            await answer.refuse(body.refused)

    def _demand_allowed(self, scope: Message) -> None:
        path, reads = scope["path"], scope["method"] in ("GET", "HEAD")
        if self.names and _host(scope) not in self.names:
            raise Refused(421, f"this server answers to {', '.join(self.names)} only")
        if reads and path.startswith(FILE):
            if not self._is_upload(path.removeprefix(FILE)):
                raise Refused(403, "only files that were uploaded here can be read")
        elif ".." in path or not (
            READ.fullmatch(path)
            if reads
            else scope["method"] == "POST" and path.rstrip("/") in (*FILES, *QUESTIONS)
        ):
            raise Refused(404, "there is nothing here")
        if not reads and path in FILES and _size(self.uploads) > MOST_KEPT_BYTES:
            raise Refused(503, "too many files were uploaded lately; try again in some minutes")

    def _demand_uploaded(self, body: bytes) -> None:
        """Refuse a question that names a file which was not uploaded, or an address to fetch."""
        try:
            content = json.loads(body or b"null")
        except (ValueError, RecursionError):
            raise Refused(400, "this is not JSON") from None
        waiting = [content]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                path = value.get("path")
                names = path is not None or value.get("url") is not None
                if names and not (isinstance(path, str) and self._is_upload(path)):
                    raise Refused(403, "only files that were uploaded here can be used")
                waiting += value.values()
            elif isinstance(value, list):
                waiting += value

    def _is_upload(self, name: str) -> bool:
        """Tell whether `name` is a file in the folder of uploads, wherever links lead."""
        try:
            place = Path(name)
            return place.is_absolute() and (
                place.resolve(strict=True).is_relative_to(self.uploads) and place.is_file()
            )
        except (OSError, ValueError, RuntimeError):
            return False


class _Answer:
    """What is sent: the application's answer with our headers, or a refusal in its place."""

    def __init__(self, send: Send, body: Body) -> None:
        self._send = send
        self._body = body
        self._begun = False

    async def send(self, message: Message) -> None:
        """Send on; but not what the application makes of a body that was cut."""
        if self._body.refused is not None and not self._begun:
            return
        if message["type"] == "http.response.start":
            self._begun = True
            message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
        await self._send(message)

    async def refuse(self, refused: Refused) -> None:
        """Say why there is no answer, unless one has begun."""
        if not self._begun:
            self._begun = True
            own = ((b"content-type", b"application/json"), (b"connection", b"close"))
            start = {"type": "http.response.start", "status": refused.status}
            await self._send({**start, "headers": [*own, *HEADERS]})
            content = json.dumps({"error": refused.sentence}).encode()
            await self._send({"type": "http.response.body", "body": content})


def _most(path: str) -> int:
    return MOST_REQUEST_BYTES if path.rstrip("/") in FILES else MOST_QUESTION_BYTES


def _length(scope: Message) -> int:
    said = _header(scope, b"content-length")
    return int(said) if said.isascii() and said.isdigit() else 0


def _host(scope: Message) -> str | None:
    with suppress(ValueError):
        return urlsplit(f"//{_header(scope, b'host')}").hostname
    return None


def _header(scope: Message, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _size(folder: Path) -> int:
    """Count the bytes of all files below `folder`; what vanishes meanwhile counts nothing."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            total += file.stat().st_size
    return total
