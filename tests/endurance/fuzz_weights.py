"""Load damaged weights files: each loads, finite, or is refused in one sentence.

python tests/endurance/fuzz_weights.py --files 5000 [--out log.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import struct
import tempfile
import time
import warnings
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file

from bakeoff.fields import RecipeError
from bakeoff.models import weights, zoo
from bakeoff.models.parts import Net
from bakeoff.recipe import parse

EXTREMES = (0, 2**31, 2**40, 2**63 - 1)


def small_net() -> Net:
    """Return the net whose weights are damaged."""
    fields = {"model": "baseline", "size": 32, "net": {"width": 4, "padding": 1}}
    return zoo.build(parse(fields), 3)


def damaged(number: int, folder: Path, net: Net) -> Path:
    """Write file `number`, a .pth or a .safetensors; the same damage each time."""
    rng = random.Random(number)
    path = folder / ("damaged.pth" if number % 2 else "damaged.safetensors")
    (torch.save if number % 2 else save_file)(net.module.state_dict(), path)
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 2, 5))):
        at = rng.randrange(min(len(data), rng.choice((16, 600, len(data)))))
        match rng.randrange(4):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + rng.choice((1, 8, len(data)))]
            case 2:
                data[at : at + 8] = struct.pack("<Q", rng.choice(EXTREMES))
            case _:
                data[at:at] = rng.randbytes(4)
        data = data or bytearray(1)
    path.write_bytes(data)
    return path


def outcome(number: int, folder: Path, net: Net) -> str:
    """Load file `number` into `net`; return `loaded`, `refused`, or what should not be."""
    path = damaged(number, folder, small_net())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            weights.load(net, path)
    except RecipeError as error:
        return "refused" if "\n" not in str(error) else f"not one sentence: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    whole = all(bool(torch.isfinite(tensor).all()) for tensor in net.module.state_dict().values())
    return "loaded" if whole else "not finite"


def main() -> None:
    """Parse, load, count; exit with 1 when anything was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--files", type=int, default=5_000)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        net = small_net()
        counts = Counter(outcome(n, Path(folder), net) for n in range(asked.files))
    result = {
        "what": "damaged weights files, each loaded with finite values or refused in one sentence",
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python tests/endurance/fuzz_weights.py --files {asked.files}",
        "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "versions": {name: version(name) for name in ("bakeoff", "torch", "safetensors")},
        "files": asked.files,
        "counts": dict(counts),
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "seconds": round(time.monotonic() - began),
    }
    print(json.dumps(result, indent=2))
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=2) + "\n")
    raise SystemExit(bool(set(counts) - {"loaded", "refused"}))


if __name__ == "__main__":
    main()
