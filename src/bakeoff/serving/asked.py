"""A classifier that many ask at once: what waits goes through the net together, up to 32.

While one batch is in the net the next one gathers, so that nobody waits for company. Whatever else
looks into the net (maps, features) holds `alone` meanwhile, since hooks hear everybody's images.
"""

from __future__ import annotations

from concurrent.futures import Future, InvalidStateError
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Lock, Thread
from typing import Any

import numpy as np

from bakeoff.classifier import BATCH, Classifier
from bakeoff.data.decode import decode
from bakeoff.data.squares import Pixels, square
from bakeoff.evidence.paired import Floats
from bakeoff.fields import RecipeError
from bakeoff.serving.limits import MOST_PIXELS, MOST_WAITING

Waiting = tuple[Pixels, "Future[Floats]"]


class BusyError(RuntimeError):
    """More photographs wait than may; the message is a sentence for who sent the next one."""


class Asked:
    """A classifier and the thread that asks it; `close` ends the thread.

    `answered` counts photographs, `passes` the batches they went through the net in.
    """

    def __init__(self, classifier: Classifier, name: str) -> None:
        self.classifier = classifier
        self.name = name
        self.alone = Lock()
        self.answered = self.passes = 0
        self._waiting: Queue[Waiting | None] = Queue(MOST_WAITING)
        self._thread = Thread(target=self._run, name=f"asking {name}", daemon=True)
        self._thread.start()

    def look(self, data: bytes, suffix: str = "") -> Pixels:
        """Decode a photograph's bytes to what the net is shown (S, S, 3); or DecodeError."""
        image = decode(data, suffix=suffix, max_pixels=MOST_PIXELS).image
        return square(image, self.classifier.recipe.side)

    def ask(self, pixels: Pixels) -> Future[Floats]:
        """Promise the calibrated probabilities (C,) of pixels (S, S, 3); BusyError where too many
        wait.
        """
        answer: Future[Floats] = Future()
        try:
            self._waiting.put_nowait((pixels, answer))
        except Full:
            raise BusyError(
                "too many photographs are waiting; try again in a few seconds"
            ) from None
        return answer

    def threshold(self, accept_error: float | None) -> float:
        """Return the least probability of an answer; RecipeError, without a path of ours."""
        if accept_error is not None and self.classifier.trust is None:
            raise RecipeError(
                f"accept_error: {self.name} promises nothing; only a study's best is calibrated"
            )
        return self.classifier.threshold(accept_error)

    def facts(self) -> dict[str, Any]:
        """Say what the model is and promises, and how much it was asked."""
        classifier = self.classifier
        return {
            "name": self.name,
            "net": classifier.recipe.model,
            "size": classifier.recipe.size,
            "classes": classifier.classes,
            "trust": classifier.trust and classifier.trust.model_dump(mode="json"),
            "photographs": self.answered,
            "passes": self.passes,
        }

    def close(self) -> None:
        """Answer what waits, then stop."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while batch := self._gathered():
            try:
                with self.alone:
                    shares = self.classifier.probabilities(np.stack([each for each, _ in batch]))
                self.answered, self.passes = self.answered + len(batch), self.passes + 1
                for row, (_, answer) in zip(shares, batch, strict=True):
                    _fulfil(answer, row)
            except Exception as error:  # the thread must outlive what one batch did to it
                for _, answer in batch:
                    _fulfil(answer, error)

    def _gathered(self) -> list[Waiting]:
        """Wait for a photograph, and take with it all that wait behind it; empty at the end."""
        batch: list[Waiting] = []
        each = self._waiting.get()
        while each is not None:
            batch.append(each)
            if len(batch) == BATCH:
                break
            try:
                each = self._waiting.get_nowait()
            except Empty:
                break
        if each is None and batch:
            self._waiting.put(None)  # again, when these are answered
        return batch


def promises(asked: Asked) -> list[float]:
    """List the shares of wrong answers that the model can promise not to exceed."""
    trust = asked.classifier.trust
    return [each.error for each in trust.promises if each.threshold is not None] if trust else []


def name_of(folder: Path) -> str:
    """Name a model folder for a reader: by its study, by its run, or by itself."""
    place = folder.resolve()
    if place.name == "best" and (place.parent / "study.yaml").is_file():
        return place.parent.name
    if place.name == "model" and (place.parent / "run.json").is_file():
        return "/".join(place.parts[-4:-1])
    return place.name


def _fulfil(answer: Future[Floats], given: Floats | Exception) -> None:
    """Give the answer to who still waits for it."""
    try:
        if isinstance(given, Exception):
            answer.set_exception(given)
        else:
            answer.set_result(given)
    except InvalidStateError:  # who asked has gone
        pass
