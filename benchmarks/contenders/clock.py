"""Where the time of one training goes."""

from __future__ import annotations

import time


class Clock:
    """Seconds by phase; one phase ends where the next begins, the first is `import`."""

    def __init__(self, started: float) -> None:
        """Begin at `started`, in seconds since the epoch: when the process was asked for."""
        self.seconds = {"import": 0.0}
        self._phase, self._since = "import", started

    def begins(self, phase: str) -> None:
        """End the phase under way and begin another."""
        now = time.time()
        self.seconds[self._phase] += now - self._since
        self.seconds.setdefault(phase, 0.0)
        self._phase, self._since = phase, now

    def stop(self) -> dict[str, float]:
        """End the last phase; return the seconds of each."""
        self.begins(self._phase)
        return self.seconds
