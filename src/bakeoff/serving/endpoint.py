"""The HTTP API: photographs in by POST, the rows of `bakeoff predict --json` out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from anyio import to_thread
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bakeoff import predict
from bakeoff.data.decode import DecodeError
from bakeoff.data.squares import threads
from bakeoff.evidence.paired import Floats
from bakeoff.fields import RecipeError, validated
from bakeoff.serving.asked import Asked, BusyError
from bakeoff.serving.limits import (
    ANSWER_SECONDS,
    MOST_FILE_BYTES,
    MOST_FILES,
    megabytes,
)

ABSENT = "send photographs as files of a form: curl -F photographs=@photograph.jpg"
TOO_LARGE = f"larger than {megabytes(MOST_FILE_BYTES)}"


class Wish(BaseModel):
    """What the address of a request may say after the question mark."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[int, Field(ge=1, description="1 or 2, as given to `bakeoff serve`")] = 1
    top: Annotated[int, Field(ge=1, description="how many classes to name")] = 5
    accept_error: Annotated[
        float | None, Field(description="hold answers back, so that at most this share is wrong")
    ] = None


def routes(models: Sequence[Asked]) -> list[Route]:
    """Return `POST /api/predict` and `GET /api/models` for `models`."""
    room = asyncio.Semaphore(threads())  # for photographs being decoded

    async def answer(request: Request) -> JSONResponse:
        try:
            asked, wish = _wished(request, models)
            threshold = asked.threshold(wish.accept_error)
            async with request.form(max_files=MOST_FILES, max_fields=MOST_FILES) as form:
                files = _files(form)
                found = await asyncio.gather(*(_shares(asked, each, room) for each in files))
                names = [each.filename or "" for each in files]
        except RecipeError as error:
            return _refusal(400, str(error))
        except HTTPException as error:
            return _refusal(error.status_code, f"{error.detail}; {ABSENT}")
        except BusyError as error:
            return _refusal(503, str(error))
        except TimeoutError:
            return _refusal(503, "the net did not answer in time; try again in a few seconds")
        top = min(wish.top, len(asked.classifier.classes))
        rows = [
            predict.plain(predict.row(name, shares, asked.classifier.classes, top, threshold))
            for name, shares in zip(names, found, strict=True)
        ]
        return JSONResponse(rows, 422 if all(row["error"] for row in rows) else 200)

    async def describe(_request: Request) -> JSONResponse:
        return JSONResponse([asked.facts() for asked in models])

    return [
        Route("/api/predict", answer, methods=["POST"]),
        Route("/api/models", describe, methods=["GET"]),
    ]


def _wished(request: Request, models: Sequence[Asked]) -> tuple[Asked, Wish]:
    wish = validated(Wish, dict(request.query_params), where="the address")
    if wish.model > len(models):
        raise RecipeError(f"model: {wish.model} is not allowed; there are {len(models)}")
    return models[wish.model - 1], wish


def _files(form: FormData) -> list[UploadFile]:
    found = [each for _, each in form.multi_items() if isinstance(each, UploadFile)]
    if not found:
        raise RecipeError(ABSENT)
    return found


async def _shares(asked: Asked, file: UploadFile, room: asyncio.Semaphore) -> Floats | DecodeError:
    if (file.size or 0) > MOST_FILE_BYTES:
        return DecodeError(TOO_LARGE)
    try:
        async with room:
            data, suffix = await file.read(), Path(file.filename or "").suffix
            pixels = await to_thread.run_sync(asked.look, data, suffix)
    except DecodeError as error:
        return error
    return await asyncio.wait_for(asyncio.wrap_future(asked.ask(pixels)), ANSWER_SECONDS)


def _refusal(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status)
