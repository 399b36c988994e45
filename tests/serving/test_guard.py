"""What is let through to page and API, how the rest is refused; on an application that echoes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from bakeoff.serving import body as bodies
from bakeoff.serving import guard as guards
from bakeoff.serving.guard import Guard

JOIN, UPLOAD = "/gradio_api/queue/join", "/gradio_api/upload"


class DisconnectedError(Exception):
    """What frameworks raise when a body ends too early."""


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the number of bytes that came."""
    if scope["path"] == "/config":
        raise RuntimeError("a secret in a trace")
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            await send({"type": "http.response.start", "status": 500, "headers": []})
            raise DisconnectedError
        length, more = length + len(message["body"]), message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(length).encode()})


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    folder = tmp_path / "uploads"
    (folder / "abc").mkdir(parents=True)
    (folder / "abc/mine.png").write_bytes(b"mine")
    (folder / "abc/link.png").symlink_to("/etc/passwd")
    (folder / "folder-link").symlink_to("/etc")
    return folder


@pytest.fixture
def ask(uploads: Path) -> Callable[..., httpx.Response]:
    def ask(
        method: str, path: str, host: str = "localhost:1", names: Any = (), **more: Any
    ) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(Guard(echo, uploads, names))
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
                return await client.request(method, path, **more)

        return asyncio.run(asked())

    return ask


Ask = Callable[..., httpx.Response]


@pytest.mark.parametrize(
    "path", ["/", "/theme.css?v=1", "/assets/a.js", "/static/js/a.js", "/gradio_api/queue/data?x=1"]
)
def test_what_the_page_needs_is_let_through(ask: Ask, path: str) -> None:
    answer = ask("GET", path)
    assert answer.status_code == 200
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/proxy=http://example.org/"),
        ("GET", "/monitoring"),
        ("GET", "/gradio_api/deep_link"),
        ("GET", "/gradio_api/custom_component/1/server/component/style.css"),
        ("POST", "/gradio_api/call/answer"),
        ("POST", "/gradio_api/run/answer"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/vibe-code"),
        ("POST", "/login"),
        ("GET", "/assets/../../etc/passwd"),
        ("GET", "/static/%2e%2e/%2e%2e/etc/passwd"),
        ("DELETE", "/"),
        ("PUT", UPLOAD),
        ("GET", JOIN),
    ],
)
def test_what_else_gradio_offers_is_not_there(ask: Ask, method: str, path: str) -> None:
    answer = ask(method, path)
    assert (answer.status_code, answer.json()) == (404, {"error": "there is nothing here"})


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "//etc/passwd", "etc/passwd", "{uploads}/../../../../../../etc/passwd",
        "{uploads}/abc/link.png", "{uploads}/folder-link/passwd", "{uploads}/abc", "{uploads}/none",
        "%2fetc%2fpasswd", "{uploads}/%2e%2e/secret", "http://127.0.0.1:9/x", "file:///etc/passwd",
        "{uploads}/abc/mine.png%00", "~/.ssh/id_rsa", "",
    ],
)  # fmt: skip
def test_no_file_but_uploads_is_read_or_used(ask: Ask, uploads: Path, name: str) -> None:
    (uploads.parent / "secret").write_text("secret")
    named = name.format(uploads=uploads)
    read = ask("GET", f"/gradio_api/file={named}")
    assert read.status_code in (403, 404)
    assert set(read.json()) == {"error"}
    for value in ({"path": named}, [{"a": [{"path": named, "meta": 1}]}], {"path": [named]}):
        used = ask("POST", JOIN, json={"data": [value]})
        assert used.status_code == 403
        assert used.json() == {"error": "only files that were uploaded here can be used"}


def test_uploads_are_read_and_used(ask: Ask, uploads: Path) -> None:
    assert ask("GET", f"/gradio_api/file={uploads}/abc/mine.png").status_code == 200
    body = {"data": [{"path": f"{uploads}/abc/mine.png", "url": "http://127.0.0.1/x"}, 0.1]}
    answer = ask("POST", JOIN, json=body)
    assert answer.status_code == 200
    assert int(answer.text) == len(json.dumps(body, separators=(",", ":")))


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000])
def test_questions_that_are_no_json(ask: Ask, body: bytes) -> None:
    assert ask("POST", JOIN, content=body).json() == {"error": "this is not JSON"}


async def _in_parts(count: int, seconds: float = 0) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(1000)
        await asyncio.sleep(seconds)


@pytest.mark.parametrize("path", ["/api/predict", JOIN, UPLOAD])
def test_bodies_have_a_size(ask: Ask, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "MOST_REQUEST_BYTES", 2**20)
    monkeypatch.setattr(guards, "MOST_QUESTION_BYTES", 2**20)
    for content in (bytes(2**20 + 1), _in_parts(1050)):  # said beforehand, and found out
        answer = ask("POST", path, content=content)
        assert answer.status_code == 413
        assert answer.json() == {"error": "a request may have 1 MB here"}


def test_slow_bodies_are_given_up(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    late = {"error": "the request took too long to arrive"}
    monkeypatch.setattr(bodies, "IDLE_SECONDS", 0.05)
    answer = ask("POST", "/api/predict", content=_in_parts(2, 5))
    assert (answer.status_code, answer.json()) == (408, late)
    monkeypatch.setattr(bodies, "IDLE_SECONDS", 60)
    monkeypatch.setattr(bodies, "REQUEST_SECONDS", 0.3)
    answer = ask("POST", "/api/predict", content=_in_parts(10_000, 0.02))
    assert (answer.status_code, answer.json()) == (408, late)


def test_a_full_store_of_uploads_takes_no_more(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "MOST_KEPT_BYTES", 3)
    assert ask("POST", UPLOAD, content=b"x").status_code == 503
    assert ask("GET", "/").status_code == 200


def test_a_failure_inside_shows_no_trace(ask: Ask) -> None:
    answer = ask("GET", "/config")
    assert answer.status_code == 500
    assert answer.json() == {"error": "this could not be done; the server goes on"}


@pytest.mark.parametrize("host", ["evil.example:7860", "localhost.evil.example", "[", "0.0.0.0:1"])
def test_a_server_on_loopback_has_no_other_name(ask: Ask, host: str) -> None:
    names = ("127.0.0.1", "localhost", "::1")
    for good in ("localhost:7860", "127.0.0.1", "[::1]:80"):
        assert ask("GET", "/", names=names, headers={"host": good}).status_code == 200
    answer = ask("GET", "/", names=names, headers={"host": host})
    assert answer.status_code == 421
    assert answer.json() == {"error": "this server answers to 127.0.0.1, localhost, ::1 only"}
    assert ask("GET", "/", headers={"host": host}).status_code == 200


def test_web_sockets_are_closed(uploads: Path) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    asyncio.run(Guard(echo, uploads)({"type": "websocket"}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
