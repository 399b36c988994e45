"""What shows maps needs no torch: the report is made on machines that never train."""

from __future__ import annotations

import subprocess
import sys

TORCH_FREE = ("filters", "gabor", "v1", "chosen", "stored", "tiles", "words", "draw", "section")


def test_what_only_shows_does_not_import_torch() -> None:
    names = ", ".join(f"bakeoff.explain.{name}" for name in TORCH_FREE)
    code = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
