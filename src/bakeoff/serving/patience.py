"""The HTTP connection of a client that is slow, or never says what it wants.

Uvicorn waits for a request's head as long as it takes; here a client has `IDLE_SECONDS` for it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from bakeoff.serving.limits import IDLE_SECONDS

LATE = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Patient(H11Protocol):
    """Uvicorn's connection, closed when a request's head is not there in time."""

    seconds = IDLE_SECONDS
    _end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Go on waiting, but no longer than before."""
        super().data_received(data)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        super().connection_lost(exc)
        self._forget()

    def _await_head(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget()
        elif self._end is None and not self.transport.is_closing():
            self._end = self.loop.call_later(self.seconds, self._too_late)

    def _forget(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None

    def _too_late(self) -> None:
        self._end = None
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self.transport.write(LATE)
            self.transport.close()
