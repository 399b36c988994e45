"""The machine a run happens on: device, precision, allocator, and what is said of it afterwards."""

from __future__ import annotations

import ctypes
import logging
import math
import os
import platform
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from bakeoff.fields import RecipeError

PACKAGES = ("bakeoff", "torch", "torchvision", "timm", "lightning-fabric", "numpy", "pillow")
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_memory() -> None:
    """Stop glibc from giving memory back between steps, which CPU training pays for dearly.

    Without effect elsewhere than on Linux with glibc. To be called before the first large tensor.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(M_MMAP_MAX, 0)
            libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def trim_memory() -> None:
    """Give back what is free now, between two parts of the work that need blocks of other sizes.

    Where `keep_memory` was called, nothing else does. Without effect elsewhere than on glibc.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def deterministic(wanted: bool) -> None:
    """Let torch use only operations that give the same bits each time; the others raise.

    On a CPU they all do, as long as the number of threads is the same. Where it is not wanted,
    cuDNN tries its algorithms and takes the fastest. To be called before the first operation on a
    GPU.
    """
    torch.backends.cudnn.benchmark = not wanted
    if not wanted:
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)


def device(wanted: str = "auto") -> torch.device:
    """Return the device to train on; RecipeError when the wanted one is not there."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if not torch.cuda.is_available():
        # else every step of an optimiser loads the driver anew to count devices: 0.1 ms
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    try:
        chosen = torch.device(wanted)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError):
        there = "cpu, cuda" if torch.cuda.is_available() else "cpu"
        raise RecipeError(f"--device: {wanted} is not on this machine; there is: {there}") from None
    return chosen


def precision(wanted: str, where: torch.device) -> str:
    """Turn `auto` into `bf16` where the hardware computes in it, else into `fp32`."""
    if wanted != "auto":
        return wanted
    if where.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if where.type == "cpu":
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return "bf16" if fast else "fp32"
    return "fp32"


def fabric(where: torch.device, chosen_precision: str, **shared: Any) -> Fabric:
    """Return a Fabric for one device in `fp32` or `bf16` (automatic mixed precision).

    `shared` says how several processes work together instead, in Fabric's own words.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    devices = [where.index or 0] if where.type == "cuda" else 1
    alone = {"devices": devices, "plugins": LightningEnvironment()}
    name: Literal["bf16-mixed", "32-true"] = (
        "bf16-mixed" if chosen_precision == "bf16" else "32-true"
    )
    with quiet():
        return Fabric(accelerator=where.type, precision=name, **(shared or alone))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep libraries' warnings that no user can act upon away from the output."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def environment(where: torch.device, used_precision: str, **more: str | int) -> dict[str, Any]:
    """Describe hardware and versions, and whatever `more` there is, for run.json."""
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else _processor()
    return {
        "device": where.type,
        "hardware": name,
        "cores": os.cpu_count(),
        "precision": used_precision,
        **more,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {package: version(package) for package in PACKAGES},
    }


def free_bytes(where: torch.device) -> float:
    """Return the memory that can still be taken: of the device on CUDA, else of the system.

    Infinity where the system does not say.
    """
    if where.type == "cuda":
        kept = torch.cuda.memory_reserved(where) - torch.cuda.memory_allocated(where)
        return float(torch.cuda.mem_get_info(where)[0] + kept)
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024.0 * int(next(x for x in lines if x.startswith("MemAvailable")).split()[1])
    return math.inf


def reset_peak(where: torch.device) -> None:
    """Begin a new measurement of peak memory."""
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_megabytes(where: torch.device) -> float:
    """Return the peak since `reset_peak`: of the device on CUDA, else of the whole process."""
    if where.type == "cuda":
        return torch.cuda.max_memory_allocated(where) / 2**20
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def _processor() -> str:
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith("model name")).split(":")[1].strip()
    return platform.processor() or platform.machine()
