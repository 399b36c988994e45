"""One net asked by many: batches, limits, and a thread that outlives what it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from bakeoff.classifier import load
from bakeoff.data.decode import DecodeError
from bakeoff.serving import asked as asking
from bakeoff.serving.asked import Asked, BusyError, name_of


@pytest.fixture
def asked(place: Any) -> Iterator[Asked]:
    found = Asked(load(place.best, device="cpu"), "best")
    yield found
    found.close()


def test_what_waits_goes_through_the_net_together(asked: Asked, place: Any) -> None:
    files = place.photographs()[:70]
    pixels = [asked.look(file.read_bytes(), file.suffix) for file in files]
    with asked.alone:
        answers = [asked.ask(each) for each in pixels]
    shares = np.stack([answer.result(60) for answer in answers])
    assert shares == pytest.approx(asked.classifier.predict_proba(files), abs=1e-6)
    # at most one was taken before the others came; 69 are batches of 32, 32 and 5
    assert asked.answered == 70
    assert asked.passes in (3, 4)


def test_too_many_are_refused_in_a_sentence(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, place: Any
) -> None:
    monkeypatch.setattr(asking, "MOST_WAITING", 3)
    small = Asked(asked.classifier, "small")
    pixels = small.look(place.photographs()[0].read_bytes())
    answers = []

    def ask_many() -> None:
        for _ in range(3 + 32 + 1):  # the thread holds a batch at most
            answers.append(small.ask(pixels))

    with small.alone, pytest.raises(BusyError, match="too many photographs are waiting"):
        ask_many()
    assert all(len(answer.result(60)) == 2 for answer in answers)
    small.close()


def test_a_batch_that_fails_ends_nothing_else(asked: Asked, place: Any) -> None:
    pixels = asked.look(place.photographs()[0].read_bytes())
    with asked.alone:
        answers = [asked.ask(pixels), asked.ask(pixels[:9]), asked.ask(pixels)]
    assert any(answer.exception(60) is not None for answer in answers)
    assert asked.ask(pixels).result(60).sum() == pytest.approx(1)


def test_what_waits_is_answered_before_the_end(place: Any) -> None:
    asked = Asked(load(place.best, device="cpu"), "best")
    pixels = asked.look(place.photographs()[0].read_bytes())
    answers = [asked.ask(pixels) for _ in range(50)]
    asked.close()
    assert all(answer.done() for answer in answers)


def test_no_more_pixels_than_allowed(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, noise: Callable[..., bytes]
) -> None:
    monkeypatch.setattr(asking, "MOST_PIXELS", 40 * 44 - 1)
    with pytest.raises(DecodeError, match="44 x 40 pixels, over 1759 in all"):
        asked.look(noise((0, 0, 0), 0))


def test_models_are_named_by_what_they_are(place: Any) -> None:
    assert name_of(place.best) == "noise"
    assert name_of(place.other / "model") == "nets/silu/seed-0"
    assert name_of(place.folder / "mine") == "mine"
