"""`bakeoff serve` itself: what it refuses, what it warns of."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from bakeoff.cli import app
from bakeoff.fields import RecipeError
from bakeoff.serving import server
from bakeoff.serving.server import is_loopback, listening, opened


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["serve", *arguments])
    assert "Traceback" not in done.output
    return done.exit_code, " ".join(done.output.split())


def test_a_port_that_is_taken(place: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, said = run(str(place.best), "--port", str(port))
    assert code == 2
    assert f"--port: {port} of 127.0.0.1 cannot be had: address already in use" in said
    assert "choose another with --port" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere: no config.json here"),
        (["a", "b", "c"], "3 models are given; allowed: one, or two to compare"),
        (["a", "--host", "no.such.host.invalid"], "--host: no.such.host.invalid is not an address"),
        (["a", "--host", "192.0.2.1"], "cannot be had"),
    ],
)
def test_what_cannot_be_served(arguments: list[str], sentence: str) -> None:
    code, said = run(*arguments, "--port", "0")
    assert code == 2
    assert sentence in said


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bakeoff.cli.serving.find_spec", lambda _: None)
    code, said = run("a")
    assert code == 2
    assert "serve needs gradio; install it with pip install 'bakeoff[serve]'" in said


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.9.9.9", True),
        ("0.0.0.0", False), ("::", False), ("192.168.1.2", False), ("example.org", False),
    ],
)  # fmt: skip
def test_who_can_reach_a_host(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_others_are_let_in_only_with_a_warning(
    host: str, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import uvicorn

    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
    seen: list[Any] = []
    monkeypatch.setattr(server, "application", lambda *given: seen.append(given))
    said: list[str] = []
    server.serve([place.best], host, 0, "cpu", said.append, lambda *_: None)
    warned = [line for line in said if "there is no password" in line]
    assert len(warned) == (host == "0.0.0.0")
    (_, url, uploads, names) = seen[0]
    assert names == (("127.0.0.1", "localhost", "::1") if host == "127.0.0.1" else ())
    assert url.startswith(f"http://{host}:")
    assert not uploads.exists()


def test_a_free_port_is_found_and_kept() -> None:
    with listening("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(RecipeError, match="address already in use"):
            listening("127.0.0.1", port)
    listening("127.0.0.1", port).close()


def test_a_model_far_from_its_study_is_served_all_the_same(place: Any, tmp_path: Path) -> None:
    bare = shutil.copytree(place.best, tmp_path / "bare")
    said: list[str] = []
    with opened([bare, bare], "cpu", said.append, lambda *_: None) as answers:
        assert [asked.name for asked in answers.models] == ["bare", "bare (2)"]
        assert answers.neighbours == (None, None)
        upload = {"path": str(place.photographs()[0])}
        assert "cannot be reached from this model" in answers.nearest(upload)
        assert 'class="bo-answer"' in answers.answer(upload, 0.0)
    why = f"{bare}: it does not lie in the folder of its study"
    assert said == [f"no nearest training photographs: {why}"] * 2


WITHOUT_GUARD = """
import sys, warnings
from pathlib import Path
from starlette.testclient import TestClient
from bakeoff.serving.server import application, opened

best, uploads, secret = map(Path, sys.argv[1:])
with opened([best], "cpu", print, lambda *_: None) as answers:
    within = application(answers, "http://127.0.0.1:1", uploads, ()).within
    with TestClient(within) as client:
        upload = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
        body = {"data": [upload, 0.0], "fn_index": 0, "session_hash": "x"}
        assert client.post("/gradio_api/queue/join", json=body).is_success
        with client.stream("GET", "/gradio_api/queue/data?session_hash=x") as answer:
            for line in answer.iter_lines():
                if "process_completed" in line:
                    print(line)
                    break
        print(client.get(f"/gradio_api/file={secret}").status_code)
print([file.name for file in uploads.rglob("*") if file.is_file()])
"""


def test_gradio_takes_only_uploads_too(place: Any, tmp_path: Path) -> None:
    """The guard is not alone: mounted, Gradio would by itself take any file of the machine."""
    (tmp_path / "uploads").mkdir()
    (tmp_path / "secret.png").write_bytes(place.photographs()[0].read_bytes())
    given = (place.best, tmp_path / "uploads", tmp_path / "secret.png")
    call = [sys.executable, "-c", WITHOUT_GUARD, *map(str, given)]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    said, status, files = done.stdout.splitlines()
    assert '"success":false' in said
    assert "bo-answer" not in said
    assert (status, files) == ("403", "[]")


def test_the_command_is_listed() -> None:
    assert typer.main.get_command(app).get_command(None, "serve") is not None  # type: ignore[arg-type,attr-defined]
