"""What the page answers to a photograph that was uploaded, as HTML. No Gradio.

An upload is what Gradio tells of it: `path`, a file that the guard has let through, and
`orig_name`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from bakeoff import predict
from bakeoff.data.decode import DecodeError, contents
from bakeoff.data.opened import stream
from bakeoff.data.squares import Pixels
from bakeoff.evidence.paired import Floats
from bakeoff.fields import RecipeError
from bakeoff.serving import pictures, words
from bakeoff.serving.asked import Asked, BusyError
from bakeoff.serving.limits import ANSWER_SECONDS, MOST_FILE_BYTES, MOST_FILES, megabytes
from bakeoff.serving.neighbours import Neighbours

TOP = 5
NEVER = 2.0  # a probability that no answer has
KEPT = 64  # decoded photographs; each is looked at several times
UNREACHABLE = (
    "The training photographs cannot be reached from this model: it has to lie in the folder of "
    "its study, and they where they were."
)
LATE = "The net did not answer in time; try again in a few seconds."
Upload = dict[str, Any]
Made = TypeVar("Made")


class Answers:
    """The models that answer, and beside each its training photographs where they are reached."""

    def __init__(self, models: Sequence[Asked], neighbours: Sequence[Neighbours | None]) -> None:
        self.models = tuple(models)
        self.neighbours = tuple(neighbours)
        self.several = len(self.models) > 1
        self._pixels = lru_cache(KEPT)(self._decoded)

    def answer(self, upload: Upload | None, promise: float) -> str:
        """Say the likeliest classes, or that the photograph cannot be read.

        `promise` is the share of answers that may be wrong; 0 to answer always.
        """
        if upload is None:
            return words.html("empty")
        return self._told("answers", lambda number: self._answer(number, upload, promise))

    def looked(self, upload: Upload | None, label: str) -> str:
        """Show where each net looked for a class; for its likeliest where none is named."""
        if upload is None:
            return ""
        return self._pictured(
            "looked", lambda asked, pixels: pictures.looked(asked, pixels, label or None), upload
        )

    def activations(self, upload: Upload | None, *layers: str | None) -> str:
        """Show what a layer of each net answers."""
        if upload is None:
            return ""
        chosen = dict(zip(self.models, layers, strict=True))

        def drawn(asked: Asked, pixels: Pixels) -> pictures.Answered:
            layer = chosen[asked]
            if layer is None:
                raise RecipeError(f"{asked.name} has no layer with maps")
            return pictures.answered(asked, pixels, layer)

        return self._pictured("activations", drawn, upload)

    def nearest(self, upload: Upload | None) -> str:
        """Show the training photographs nearest to it."""
        if upload is None:
            return ""
        return self._told("nearest", lambda number: self._nearest(number, upload))

    def many(self, uploads: Sequence[Upload] | None, promise: float) -> str:
        """Show the answers to many photographs, with a CSV file."""
        if not uploads:
            return words.html("trouble", sentence="Choose photographs first.")
        if len(uploads) > MOST_FILES:
            return words.html(
                "trouble", sentence=f"{len(uploads)} photographs; allowed are {MOST_FILES} at once."
            )
        return self._told("many", lambda number: self._many(number, uploads, promise))

    def _answer(self, number: int, upload: Upload, promise: float) -> dict[str, Any]:
        asked = self.models[number]
        classifier = asked.classifier
        try:
            shares = asked.ask(self._pixels(number, upload["path"])).result(ANSWER_SECONDS)
        except DecodeError as error:
            return {"name": asked.name, "error": str(error)}
        threshold, why_not = _threshold(asked, promise)
        row = predict.row("", shares, classifier.classes, TOP, threshold)
        sentence = why_not or words.of_answer(row, promise, threshold, classifier.trust)
        return {**vars(row), "name": asked.name, "sentence": sentence}

    def _nearest(self, number: int, upload: Upload) -> tuple[str, Any, str]:
        asked, known = self.models[number], self.neighbours[number]
        if known is None:
            return asked.name, [], UNREACHABLE
        try:
            found = known.nearest(self._pixels(number, upload["path"]))
        except DecodeError:
            return asked.name, [], ""
        return asked.name, found, words.of_nearest(known.done, len(known), len(found))

    def _many(self, number: int, uploads: Sequence[Upload], promise: float) -> dict[str, Any]:
        asked = self.models[number]
        classes = asked.classifier.classes
        names = [str(upload.get("orig_name") or Path(upload["path"]).name) for upload in uploads]
        threshold, why_not = _threshold(asked, promise)
        top = min(TOP, len(classes))
        rows = [
            predict.row(name, shares, classes, top, threshold)
            for name, shares in zip(names, _all(asked, uploads), strict=True)
        ]
        text = "".join(predict.as_csv(rows, top)).encode("utf-8", errors="backslashreplace")
        return {
            "name": asked.name,
            "sentence": f"{words.of_many(rows)} {why_not}",
            "file": f"answers-{number + 1}.csv" if self.several else "answers.csv",
            "csv": base64.b64encode(text).decode("ascii"),
            "rows": rows,
        }

    def _pictured(self, name: str, draw: Callable[[Asked, Pixels], Made], upload: Upload) -> str:
        """Draw for each model; what it cannot becomes a sentence, what cannot be read nothing."""

        def made(number: int) -> tuple[str, Made | None, str]:
            asked = self.models[number]
            try:
                return asked.name, draw(asked, self._pixels(number, upload["path"])), ""
            except RecipeError as error:
                return asked.name, None, f"{error}."

        try:
            return self._told(name, made)
        except DecodeError:
            return ""

    def _told(self, name: str, tell: Callable[[int], Any]) -> str:
        try:
            told = [tell(number) for number in range(len(self.models))]
        except BusyError as error:
            return words.html("trouble", sentence=f"{error}.".capitalize())
        except TimeoutError:
            return words.html("trouble", sentence=LATE)
        return words.html(name, told=told, several=self.several)

    def _decoded(self, number: int, path: str) -> Pixels:
        return _look(self.models[number], path)


def _threshold(asked: Asked, promise: float) -> tuple[float, str]:
    """Return the least probability of an answer, and why there can be none where that is so."""
    trust = asked.classifier.trust
    if trust is None or not promise:
        return 0.0, ""
    try:
        return trust.threshold(float(promise)), ""
    except RecipeError:
        return NEVER, f"{asked.name} cannot promise that at most {100 * promise:g} % are wrong."


def _all(asked: Asked, uploads: Sequence[Upload]) -> Iterator[Floats | DecodeError]:
    """Yield the probabilities of each photograph, or why it cannot be read, in order."""

    def read(file: Any) -> Future[Floats]:
        return asked.ask(_look(asked, file))

    for each in list(stream([upload["path"] for upload in uploads], read)):
        yield each if isinstance(each, DecodeError) else each.result(ANSWER_SECONDS)


def _look(asked: Asked, path: str) -> Pixels:
    file = Path(path)
    data = contents(file)
    if len(data) > MOST_FILE_BYTES:
        raise DecodeError(f"larger than {megabytes(MOST_FILE_BYTES)}")
    return asked.look(data, file.suffix)
