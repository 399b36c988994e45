"""Being asked to stop: by Ctrl-C, by SIGTERM, or by SLURM before it takes the machine away.

All three arrive as KeyboardInterrupt, and never in the middle of a step: what changes several
things that belong together stands in `undivided`. No torch.
"""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Timer
from types import FrameType

LONGEST_WAIT = 2.0  # seconds a block may keep an interruption waiting


@dataclass
class _Asked:
    """What signals have said; one for the process, as signals are."""

    inside: bool = False
    waiting: bool = False
    requeue: bool = False
    noting: bool = False


_asked = _Asked()


def listen() -> None:
    """Let Ctrl-C and SIGTERM interrupt; under SLURM also SIGUSR1, after which the job is requeued.

    SLURM sends it with `#SBATCH --signal=SIGUSR1@90`, as Lightning documents it.
    """
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    if "SLURM_JOB_ID" in os.environ and hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, _interrupt)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let an interruption wait for `undivided` in here, as `listen` does for a whole process."""
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def undivided() -> Iterator[None]:
    """Hold an interruption back until the block is done, two seconds at most.

    A second signal gets through at once: whoever keeps what the block changes must be able to tell
    that it was not finished. Without `listen` or `interruptible` it does nothing.
    """
    if _asked.noting:
        yield
        return
    _asked.inside = True
    try:
        yield
    finally:
        waiting, _asked.inside, _asked.waiting = _asked.waiting, False, False
    if waiting:
        raise KeyboardInterrupt


@contextmanager
def noted(wanted: bool = True) -> Iterator[None]:
    """Only note signals in the block: processes that work together must leave it together.

    Once one has interrupted them (see `asked`), any more are of no interest.
    """
    _asked.noting = wanted
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException:
        _asked.noting = False
        raise
    _asked.noting = False
    if wanted and asked():
        raise KeyboardInterrupt


def asked() -> bool:
    """Return whether a signal was noted, and forget it."""
    waiting, _asked.waiting = _asked.waiting, False
    return waiting


def requeued() -> bool:
    """Put this SLURM job back into its queue, if SLURM said that its time is over.

    Returns whether that was asked for and done; `scontrol` says the reason where it was not.
    """
    if not _asked.requeue or os.environ.get("SLURM_PROCID", "0") != "0":
        return False
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]
    try:
        return subprocess.run(["scontrol", "requeue", job], check=False).returncode == 0
    except OSError:
        return False


def _interrupt(number: int, _frame: FrameType | None) -> None:
    if hasattr(signal, "SIGUSR1") and number == signal.SIGUSR1:
        _asked.requeue = True
    if _asked.noting:
        _asked.waiting = True
        return
    if not _asked.inside or _asked.waiting:
        raise KeyboardInterrupt
    _asked.waiting = True
    last = Timer(LONGEST_WAIT, _overdue)
    last.daemon = True
    last.start()


def _overdue() -> None:
    if _asked.waiting:
        _thread.interrupt_main()
