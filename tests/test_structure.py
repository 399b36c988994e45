"""The house: which way imports go, what stays free of torch, and how large a room may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import bakeoff

SOURCE = Path(bakeoff.__file__).parent
TORCH_FREE = (
    "cli", "fields", "options", "named", "choice", "recipe", "study", "store", "integrity", "files",
    "stopping", "settings", "display", "launched", "report", "tables", "judged", "render", "growth",
    "terminal", "figures", "evaluate", "handover", "page", "evidence", "data", "paper",
    "replication", "predict", "api", "elsewhere", "mirror",
)  # fmt: skip
ORDER = (
    {"fields"},
    {"named", "choice", "options"},
    {"recipe", "settings", "evaluate", "files", "stopping", "colours"},
    {"data", "seeds", "augment", "machine", "integrity", "documents", "launched"},
    {"study", "sharded"},
    {"store", "ranks"},
    {"models", "evidence", "curves", "events", "paper"},
    {"inputs", "distill"},
    {"step", "streaming"},
    {"measuring", "averaging", "optimizers"},
    {"features", "loop", "capture", "classifier", "predict", "speed", "blocks"},
    {"stepping"},
    {"checkpoint", "heads", "prepare"},
    {"head_first"},
    {"rates"},
    {"run"},
    {"together", "joining"},
    {"explain"},
    {"plan"},
    {"execute", "scores", "mirror"},
    {"cluster"},
    {"tables"},
    {"confusion"},
    {"render", "judged"},
    {"growth"},
    {"terminal", "figures", "display", "handover", "replication", "decide"},
    {"page", "export", "elsewhere"},
    {"serving"},
    {"report"},
    {"conduct", "chosen"},
    {"api"},
    {"cli"},
)


def modules() -> list[Path]:
    return [path for path in sorted(SOURCE.rglob("*.py")) if path.name != "__main__.py"]


def room(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            parts = node.module.split(".")
            if parts == ["bakeoff"]:
                found |= {alias.name for alias in node.names}
            elif parts[0] == "bakeoff":
                found.add(parts[1])
    return found - {"__version__"}


def test_every_import_goes_down_the_order() -> None:
    level = {name: number for number, names in enumerate(ORDER) for name in names}
    for path in modules():
        here = room(path)
        if here in ("__init__", "studies"):
            continue
        for other in imports(path) - {here}:
            assert level[other] < level[here], f"{path.name} ({here}) must not import {other}"


def test_what_needs_no_torch_does_not_import_it() -> None:
    wanted = [
        ".".join(("bakeoff", *path.relative_to(SOURCE).with_suffix("").parts))
        for path in modules()
        if room(path) in TORCH_FREE and path.name != "__init__.py"
    ]
    code = f"import sys, {', '.join(wanted)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_training_leaves_what_draws_maps_for_later() -> None:
    code = "import sys, bakeoff.conduct, bakeoff.execute; sys.exit('captum' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_module_exceeds_250_lines_and_no_function_50() -> None:
    for path in modules():
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 250, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno is not None
                assert node.end_lineno - node.lineno < 50, f"{path.name}: {node.name}"


def test_help_and_dry_run_answer_without_torch() -> None:
    for arguments in (["--help"], ["run", "food101-20", "--dry-run"], ["studies"]):
        call = [sys.executable, "-X", "importtime", "-m", "bakeoff", *arguments]
        done = subprocess.run(call, capture_output=True, text=True, check=True)
        assert "| torch\n" not in done.stderr
