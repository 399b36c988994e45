"""What happens while a study runs: an executor yields these, a display shows them."""

from __future__ import annotations

from dataclasses import dataclass

from bakeoff.store import Record
from bakeoff.study import Run


@dataclass(frozen=True)
class Started:
    """A run begins or goes on."""

    run: Run


@dataclass(frozen=True)
class Measured:
    """A run's epoch is over."""

    run: Run
    record: Record


@dataclass(frozen=True)
class Ended:
    """A run is over: finished now, finished before (`reused`), or failed with a reason."""

    run: Run
    reused: bool = False
    error: str = ""


Event = Started | Measured | Ended
