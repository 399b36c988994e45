"""The body of a request as it comes in: no longer and no slower than allowed, else refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from bakeoff.serving.limits import IDLE_SECONDS, REQUEST_SECONDS, megabytes

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


@dataclass(frozen=True)
class Refused(Exception):  # noqa: N818 (named for what happens)
    """Why a request gets no answer: an HTTP status and a sentence."""

    status: int
    sentence: str


class Body:
    """A request's body, no longer and no slower than allowed; `refused` is why it was cut."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._most = most
        self._seen = 0
        self._end = monotonic() + REQUEST_SECONDS
        self._done = False
        self._again: list[Message] = []
        self.refused: Refused | None = None

    def demand(self, length: int) -> None:
        """Refuse a body that says beforehand that it is too long."""
        if length > self._most:
            raise self._too_long()

    async def receive(self) -> Message:
        """Give the next part; to the application a body that is cut looks like a client gone."""
        if self._again:
            return self._again.pop()
        if self._done:
            return await self._receive()
        if self.refused is None:
            try:
                return await self._part()
            except Refused as refused:
                self.refused = refused
        return {"type": "http.disconnect"}

    async def whole(self) -> bytes:
        """Read all of it, and keep it for the application."""
        parts = []
        while not self._done:
            message = await self._part()
            if message["type"] == "http.disconnect":
                raise Refused(400, "the request was broken off")
            parts.append(message.get("body", b""))
        body = b"".join(parts)
        self._again = [{"type": "http.request", "body": body, "more_body": False}]
        return body

    async def _part(self) -> Message:
        patience = min(IDLE_SECONDS, self._end - monotonic())
        try:
            message = await asyncio.wait_for(self._receive(), max(patience, 0))
        except TimeoutError:
            raise Refused(408, "the request took too long to arrive") from None
        self._seen += len(message.get("body", b""))
        self.demand(self._seen)
        self._done = not message.get("more_body", False)
        return message

    def _too_long(self) -> Refused:
        return Refused(413, f"a request may have {megabytes(self._most)} here")
