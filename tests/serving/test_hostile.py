"""A real server among the unkind: files asked for by name, addresses, floods, the slow."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from bakeoff.serving.limits import IDLE_SECONDS, MOST_FILE_BYTES

LIMIT = 300  # seconds: a busy machine is slow, not wrong


def raw(served: Any, head: str) -> bytes:
    """Send a request exactly as written, since clients tidy paths up; return the whole answer."""
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=LIMIT) as connection:
        connection.sendall(head.encode() + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=//etc/passwd",
        "/gradio_api/file=%2Fetc%2Fpasswd",
        "/gradio_api/file=%252Fetc%252Fpasswd",
        "/gradio_api/file=../../../../../../etc/passwd",
        "/gradio_api/file=file:///etc/passwd",
        "/gradio_api/file//etc/passwd",
        "/file=/etc/passwd",
        "/static/../../../../../../../../../etc/passwd",
        "/static/..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd",
        "/assets/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/static//etc/passwd",
        "//etc/passwd",
        "/gradio_api/custom_component/0/client/component/..%2f..%2f..%2fetc/passwd",
    ],
)
def test_no_file_of_the_host_is_read(served: Any, path: str) -> None:
    answer = raw(served, f"GET {path} HTTP/1.1")
    status = int(answer.split(b" ", 2)[1])
    assert 400 <= status < 500
    assert b"root:" not in answer
    assert b"Traceback" not in answer


def uploaded(served: Any, data: bytes, name: str = "x.png") -> str:
    answer = httpx.post(
        f"{served.url}/gradio_api/upload", files={"files": (name, data)}, timeout=LIMIT
    )
    (path,) = answer.json()
    return str(path)


def ask(served: Any, upload: dict[str, Any], session: str) -> httpx.Response:
    """Ask as the page does when a photograph is there: its first question, of two inputs."""
    body = {"data": [upload, 0.0], "fn_index": 0, "session_hash": session, "event_data": None}
    return httpx.post(f"{served.url}/gradio_api/queue/join", json=body, timeout=LIMIT)


def told(served: Any, session: str) -> str:
    """Return what the page is told, to the end."""
    address = f"{served.url}/gradio_api/queue/data?session_hash={session}"
    lines = []
    with httpx.stream("GET", address, timeout=LIMIT) as answer:
        for line in answer.iter_lines():
            lines.append(line)
            if "close_stream" in line or "process_completed" in line:
                break
    return "\n".join(lines)


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A web server that remembers who came."""
    came: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"fetched")

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", came
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_photograph_is_answered_as_the_page_asks(
    served: Any, noise: Callable[..., bytes]
) -> None:
    path = uploaded(served, noise((60, 0, 0), 3))
    assert ask(served, {"path": path, "meta": {"_type": "gradio.FileData"}}, "good").is_success
    said = told(served, "good")
    assert "bo-answer" in said
    assert "% sure" in said.replace("\\u00a0", " ")


@pytest.mark.parametrize("name", ["/etc/passwd", "../../../etc/passwd", "{here}"])
def test_the_page_opens_no_file_that_was_not_uploaded(
    served: Any, name: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    for meta in ({"_type": "gradio.FileData"}, None):
        answer = ask(served, {"path": name.format(here=secret), "meta": meta}, "bad")
        assert answer.status_code == 403
        assert answer.json() == {"error": "only files that were uploaded here can be used"}


def test_no_address_is_fetched(
    served: Any, listener: tuple[str, list[str]], noise: Callable[..., bytes]
) -> None:
    address, came = listener
    file = {"meta": {"_type": "gradio.FileData"}}
    assert ask(served, {**file, "path": f"{address}/a.png"}, "url").status_code == 403
    assert ask(served, {**file, "url": f"{address}/b.png"}, "url").status_code == 403
    path = uploaded(served, noise((60, 0, 0), 3))
    assert ask(served, {**file, "path": path, "url": f"{address}/c.png"}, "url").is_success
    told(served, "url")
    for route in ("file", "proxy"):
        asked = f"{served.url}/gradio_api/{route}={address}/d.png"
        assert httpx.get(asked, timeout=LIMIT).status_code in (403, 404)
        asked = f"{served.url}/gradio_api/{route}={quote(address, safe='')}/e.png"
        assert httpx.get(asked, timeout=LIMIT).status_code in (403, 404)
    assert came == []
    assert httpx.get(address, timeout=LIMIT).text == "fetched"  # it would have been there
    assert served.alive()


@pytest.mark.parametrize("data", [b"no image", b"", b"\x89PNG\r\n\x1a\n"])
def test_the_page_says_what_is_wrong(served: Any, data: bytes) -> None:
    path = uploaded(served, data, "a.png")
    assert ask(served, {"path": path, "meta": {"_type": "gradio.FileData"}}, "odd").is_success
    said = told(served, "odd")
    assert "This photograph cannot be read" in said
    assert "Traceback" not in said
    assert served.alive()


@pytest.mark.parametrize(
    "data", [[], [1], [{"path": 1}, 0], [None, "x"], [[], {}], ["x" * 1000, 1e999], None, {}]
)
def test_questions_that_make_no_sense(served: Any, data: Any) -> None:
    for index in (0, 1, 2, 99, -1, "x"):
        body = {"data": data, "fn_index": index, "session_hash": f"senseless-{index}"}
        answer = httpx.post(
            f"{served.url}/gradio_api/queue/join", content=json.dumps(body), timeout=LIMIT
        )
        assert "Traceback" not in answer.text
    assert served.alive()


@pytest.mark.parametrize("data", [[1, 0.0], [None, "x"], [[], {}], ["x" * 1000, 1e999]])
def test_values_the_page_would_never_send(
    served: Any, data: list[Any], noise: Callable[..., bytes]
) -> None:
    path = uploaded(served, noise((60, 0, 0), 3))
    upload = {"path": path, "meta": {"_type": "gradio.FileData"}}
    for index in range(9):
        for given in (data, [upload, *data[1:]]):
            body = {"data": given, "fn_index": index, "session_hash": f"odd-{index}"}
            answer = httpx.post(
                f"{served.url}/gradio_api/queue/join", content=json.dumps(body), timeout=LIMIT
            )
            if answer.is_success:
                assert "Traceback" not in told(served, f"odd-{index}")
    assert served.alive()


def test_uploads_have_a_size(served: Any) -> None:
    heavy = {"files": ("x.png", bytes(MOST_FILE_BYTES + 1))}
    answer = httpx.post(f"{served.url}/gradio_api/upload", files=heavy, timeout=LIMIT)
    assert answer.status_code == 413
    assert served.alive()


def test_a_thousand_tiny_requests(served: Any) -> None:
    async def flood() -> Counter[int]:
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(timeout=LIMIT, limits=limits, base_url=served.url) as client:
            kinds = (
                lambda: client.post("/api/predict", content=b"x"),
                lambda: client.get("/api/models"),
                lambda: client.post("/gradio_api/queue/join", content=b"{}"),
                lambda: client.get("/nothing"),
            )
            answers = await asyncio.gather(*(kinds[number % 4]() for number in range(1000)))
        assert not any("Traceback" in answer.text for answer in answers)
        return Counter(answer.status_code for answer in answers)

    found = asyncio.run(flood())
    assert found.total() == 1000
    assert set(found) <= {200, 400, 404, 422, 503}
    assert found[200] == 250
    assert served.alive()


def test_the_slow_hold_nobody_up_and_are_let_go(served: Any) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    started = monotonic()
    form = "Content-Type: multipart/form-data; boundary=a\r\nContent-Length: 1000\r\n\r\n--a"
    heads = ("", "GET / HT", f"POST /api/predict HTTP/1.1\r\nHost: localhost\r\n{form}")
    slow = [socket.create_connection((host, int(port)), timeout=LIMIT) for _ in range(60)]
    try:
        for number, connection in enumerate(slow):
            connection.sendall(heads[number % 3].encode())
        assert served.alive()
        answers = {connection.recv(1000).split(b"\r\n")[0] for connection in slow}
    finally:
        for connection in slow:
            connection.close()
    assert {answer.split(b" ", 1)[1][:11] for answer in answers} == {b"408 Request"}
    assert monotonic() - started >= IDLE_SECONDS
    assert served.alive()


def test_what_is_no_http(served: Any) -> None:
    for sent in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"\0" * 100_000):
        host, port = served.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=LIMIT) as connection:
            connection.sendall(sent)
            try:
                answer = connection.recv(1000)
            except ConnectionResetError:
                answer = b""
        assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 408", b"")
    assert served.alive()
