"""docs/tutorial.md as a reader follows it: every command in its order, in one empty folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import bakeoff

TUTORIAL = Path(bakeoff.__file__).parents[2] / "docs/tutorial.md"
BLOCK = re.compile(r"^```(\w+)(?: title=\"([\w.]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPOILT = {"bakeoff check photos": 1, "bakeoff train photos": 2}
"""What commands exit with the first time, while the photographs are still spoilt."""


def steps() -> list[tuple[str, str, str]]:
    """Return (kind, file name, text): files to write, Python to run, and one for each command."""
    found = []
    for kind, title, text in BLOCK.findall(TUTORIAL.read_text(encoding="utf-8")):
        if title or kind == "python":
            found.append((kind, title, text))
        elif kind == "console":
            commands = (line[2:] for line in text.splitlines() if line.startswith("$ "))
            found += [("command", "", command) for command in commands]
    return found


def run(command: str, folder: Path, code: int) -> str:
    program, *arguments = command.split()
    there = {"bakeoff": [sys.executable, "-m", "bakeoff"], "python": [sys.executable]}
    done = subprocess.run(
        [*there.get(program, [program]), *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "96"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, f"{command}: {done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def serve(command: str, folder: Path) -> None:
    """Start the server on any free port, and stop it once it says where it is."""
    call = [sys.executable, "-m", *command.split(), "--port", "0"]
    log = folder / "serve.txt"
    with log.open("w") as file, subprocess.Popen(call, cwd=folder, stdout=file) as process:
        try:
            for _ in range(1200):
                if "http://127.0.0.1:" in log.read_text() or process.poll() is not None:
                    break
                time.sleep(0.1)
            assert process.poll() is None
            assert "http://127.0.0.1:" in log.read_text()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def test_the_tutorial_can_be_followed_to_its_end(tmp_path: Path) -> None:
    said: dict[str, str] = {}
    for kind, title, text in steps():
        if title:
            (tmp_path / title).write_text(text, encoding="utf-8")
        elif kind == "python":
            (tmp_path / "step.py").write_text(text, encoding="utf-8")
            said[text] = run("python step.py", tmp_path, 0)
        elif text.startswith("bakeoff serve"):
            serve(text, tmp_path)
        else:
            said[text] = run(text, tmp_path, 0 if text in said else SPOILT.get(text, 0))
    assert "the same picture in different classes" not in said["bakeoff check photos"], "mended"
    assert "9 runs were finished already" in said["bakeoff run dishes.yaml"]
    assert "% agreement" in said["bakeoff export runs/dishes/best --to onnx --photographs photos"]
    for name in ("report.html", "best/model.safetensors", "best/README.md", "tensorboard"):
        assert (tmp_path / "runs/dishes" / name).exists()


def test_the_way_from_photographs_to_a_server_is_whole() -> None:
    told = {text.split()[1] for kind, _, text in steps() if text.startswith("bakeoff ")}
    assert told >= {"check", "train", "run", "report", "explain", "predict", "export", "serve"}
