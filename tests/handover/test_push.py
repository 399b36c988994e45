"""`bakeoff push`, against a server on this machine that speaks the Hub's endpoints."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest


class Hub(ThreadingHTTPServer):
    """Remembers what it was asked and given."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.asked: list[str] = []
        self.tokens: set[str] = set()
        self.files: dict[str, bytes] = {}
        self.large: dict[str, bytes] = {}
        self.cards: list[str] = []
        self.refuses = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answering(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_POST(self) -> None:
        self.server.asked.append(f"POST {self.path.partition('?')[0]}")
        self.server.tokens.add(str(self.headers["Authorization"]))
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.server.refuses:
            self.say({"error": "Invalid username or password."}, 401)
        elif self.path == "/api/repos/create":
            name = json.loads(body)["name"]
            self.say({"url": f"{self.server.url}/me/{name}", "id": f"me/{name}"})
        elif self.path == "/api/validate-yaml":
            self.server.cards.append(json.loads(body)["content"])
            self.say({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            self.say({"files": [self.mode(name) for name in names]})
        elif self.path.endswith("/info/lfs/objects/batch"):
            self.say({"objects": [self.place(each) for each in json.loads(body)["objects"]]})
        elif "/commit/" in self.path:
            for line in body.splitlines():
                self.take(json.loads(line))
            url = f"{self.server.url}/me/food/commit/0"
            self.say({"commitUrl": url, "commitOid": "0" * 40, "hookOutput": "", "success": True})
        else:
            self.say({"error": "unknown"}, 404)

    def do_PUT(self) -> None:
        self.server.asked.append("PUT")
        self.server.large[self.path[1:]] = self.rfile.read(int(self.headers["Content-Length"]))
        self.say({})

    def mode(self, name: str) -> dict[str, Any]:
        large = name.endswith((".safetensors", ".onnx", ".png"))
        return {"path": name, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}

    def place(self, each: dict[str, Any]) -> dict[str, Any]:
        href = f"{self.server.url}/{each['oid']}"
        return {**each, "authenticated": True, "actions": {"upload": {"href": href}}}

    def take(self, line: dict[str, Any]) -> None:
        value = line["value"]
        if line["key"] == "file":
            self.server.files[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            self.server.files[value["path"]] = self.server.large[value["oid"]]
            assert hashlib.sha256(self.server.large[value["oid"]]).hexdigest() == value["oid"]

    def say(self, content: dict[str, Any], code: int = 200) -> None:
        text = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def push(
    hub: Hub, home: Path, *arguments: str, token: str | None = "hf_secret", code: int = 0
) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1"}
    own |= {"HF_TOKEN": token} if token else {}
    done = subprocess.run(
        [sys.executable, "-m", "bakeoff", "push", *arguments],
        env={**known, **own, "COLUMNS": "200", "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_what_bakeoff_wrote_is_uploaded_and_nothing_else(hub: Hub, best: Path) -> None:
    (best / "export/golden").mkdir(parents=True)
    for name in ("export/model.onnx", "export/onnx.json", "export/golden/0.png"):
        (best / name).write_bytes(name.encode())
    for name in ("passwords.txt", ".env", "export/golden/.hidden.png"):
        (best / name).write_text("nobody's business")
    (best / "export/golden/1.png").symlink_to("/etc/hostname")
    done = push(hub, best.parent, str(best), "me/food")
    names = {
        "README.md", "config.json", "model.safetensors",
        "export/model.onnx", "export/onnx.json", "export/golden/0.png",
    }  # fmt: skip
    assert set(hub.files) == names
    assert all(hub.files[name] == (best / name).read_bytes() for name in names)
    assert hub.cards == [(best / "README.md").read_text()]
    assert hub.tokens == {"Bearer hf_secret"}
    assert "6 files" in done.stdout
    assert f"uploaded: {hub.url}/me/food" in done.stdout
    assert "hf_secret" not in done.stdout + done.stderr


def test_a_dry_run_says_it_and_asks_nobody(hub: Hub, best: Path) -> None:
    done = push(hub, best.parent, str(best), "me/food", "--dry-run", token=None)
    assert "nothing was uploaded" in done.stdout
    size = (best / "model.safetensors").stat().st_size
    assert f"{size:,}  model.safetensors" in done.stdout
    assert hub.asked == []


@pytest.mark.parametrize(
    ("name", "token", "said"),
    [
        ("food", "hf_secret", "food is no repository; write it as owner/name"),
        ("me/../food", "hf_secret", "me/../food is no repository"),
        ("me/food", None, "no token: log in"),
    ],
)
def test_what_cannot_be_uploaded_is_refused_before_anything_is_sent(
    hub: Hub, best: Path, name: str, token: str | None, said: str
) -> None:
    assert said in push(hub, best.parent, str(best), name, token=token, code=2).stderr
    assert hub.asked == []


def test_a_refusal_of_the_hub_is_one_sentence(hub: Hub, best: Path) -> None:
    hub.refuses = True
    said = push(hub, best.parent, str(best), "me/food", code=2).stderr.strip().splitlines()[-1]
    assert said.startswith("bakeoff: me/food was not uploaded: ")
    assert "401" in said
