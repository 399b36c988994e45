"""`bakeoff serve`: models opened, page and API put together behind the guard, and served."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

from fastapi import FastAPI

from bakeoff.classifier import load
from bakeoff.data.photographs import DataError, Progress
from bakeoff.fields import RecipeError
from bakeoff.machine import quiet
from bakeoff.serving.answering import Answers
from bakeoff.serving.asked import Asked, name_of
from bakeoff.serving.endpoint import routes
from bakeoff.serving.guard import Guard
from bakeoff.serving.limits import MOST_CONNECTIONS, MOST_FILE_BYTES
from bakeoff.serving.neighbours import Neighbours

HERE = ("127.0.0.1", "localhost", "::1")
MOST_MODELS = 2
LAST_SECONDS = 2  # for requests under way when the server is stopped
Say = Callable[[str], None]


def listening(host: str, port: int) -> socket.socket:
    """Take `port` (0: any that is free) of `host`; RecipeError where that cannot be had."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, number)
    except OSError as error:
        raise RecipeError(f"--host: {host} is not an address of this machine ({error})") from None
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(MOST_CONNECTIONS)
    except OSError as error:
        found.close()
        why = (error.strerror or str(error)).lower()
        raise RecipeError(
            f"--port: {port} of {host} cannot be had: {why}; choose another with --port"
        ) from None
    return found


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach `host`."""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


@contextmanager
def opened(places: Sequence[Path], device: str, say: Say, progress: Progress) -> Iterator[Answers]:
    """Open one model or two, with their training photographs where these can be reached."""
    if not 1 <= len(places) <= MOST_MODELS:
        raise RecipeError(f"{len(places)} models are given; allowed: one, or two to compare")
    with ExitStack() as stack:
        models: list[Asked] = []
        known: list[Neighbours | None] = []
        for place in places:
            classifier = load(place, device=device)
            asked = Asked(classifier, _unlike(name_of(classifier.folder), models))
            stack.callback(asked.close)
            models.append(asked)
        for asked in models:
            neighbours = _near(asked, say)
            if neighbours is not None:
                stack.callback(neighbours.close)
                neighbours.fill(progress)
            known.append(neighbours)
        yield Answers(models, known)


def application(answers: Answers, url: str, uploads: Path, names: Sequence[str]) -> Guard:
    """Put page and API behind the guard; `uploads` is an empty folder of our own for files.

    With `names` only these host names are answered to.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)  # Gradio reads it when components are made
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    with quiet():
        import gradio

        from bakeoff.serving.look import THEME
        from bakeoff.serving.page import page
        from bakeoff.serving.words import style

        within = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        within.router.routes.extend(routes(answers.models))
        blocks = page(answers, url)
        # Gradio demands of a path that it was uploaded only once it has launched; mounted it never
        # does, and would copy any file of this machine to where it can be read.
        blocks.has_launched = True
        gradio.mount_gradio_app(
            within,
            blocks,
            path="",
            allowed_paths=[],
            show_error=False,
            max_file_size=MOST_FILE_BYTES,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            enable_monitoring=False,
            run_history=False,
            footer_links=[],
            theme=THEME,
            head=f"<style>{style()}</style>",  # as css= Gradio would rewrite its selectors
        )
    return Guard(within, uploads, names)


def serve(
    places: Sequence[Path], host: str, port: int, device: str, say: Say, progress: Progress
) -> None:
    """Answer on `host` and `port` until interrupted; RecipeError for what cannot be opened."""
    import uvicorn

    from bakeoff.serving.patience import Patient

    with (
        listening(host, port) as place,
        tempfile.TemporaryDirectory(prefix="bakeoff-serve-") as uploads,
        opened(places, device, say, progress) as answers,
    ):
        name = f"[{host}]" if ":" in host else host
        url = f"http://{name}:{place.getsockname()[1]}"
        local = is_loopback(host)
        if not local:
            say(f"{host} can be reached by others: whoever can, may ask; there is no password")
        names = (*dict.fromkeys((*HERE, host)),) if local else ()
        config = uvicorn.Config(
            application(answers, url, Path(uploads), names),
            http=Patient,
            ws="none",
            log_level="error",
            access_log=False,
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=LAST_SECONDS,
        )
        say(f"{url} (Ctrl-C ends it)")
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[place])
        say("stopped")


def _near(asked: Asked, say: Say) -> Neighbours | None:
    try:
        return Neighbours(asked)
    except (RecipeError, DataError) as error:
        say(f"no nearest training photographs: {error}")
        return None


def _unlike(name: str, models: Sequence[Asked]) -> str:
    """Return `name`, or another where a model has it already."""
    return f"{name} (2)" if any(each.name == name for each in models) else name
