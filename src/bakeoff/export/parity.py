"""Does the exported net say what the net says? Compared photograph by photograph, and timed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np

from bakeoff.classifier import Classifier
from bakeoff.data.decode import DecodeError
from bakeoff.data.opened import Photograph, rgb, stream
from bakeoff.data.photographs import DataError, Progress
from bakeoff.data.squares import square
from bakeoff.evidence.calibration import probabilities
from bakeoff.evidence.paired import Floats
from bakeoff.export.runtimes import Array, Ask
from bakeoff.inputs import seen

MOST_DIFFERENCE = 1e-3
BATCHES = (1, 32)
LEAST_REPEATS, MOST_REPEATS, SECONDS = 3, 10, 2.0  # to time one batch


class DriftError(ValueError):
    """The exported net does not say what the net says; the message is one sentence."""


@dataclass(frozen=True)
class Parity:
    """Over `images`: share with the same likeliest class, and the largest difference anywhere."""

    images: int
    agreement: float
    largest_difference: float


def batch_of(classifier: Classifier, photograph: Photograph, *, whole: bool) -> Array:
    """Return what the exported net takes: (1, 3, size, size) float32, or `whole` (1, H, W, 3)."""
    image = rgb(photograph)
    if whole:
        return np.asarray(image)[None]
    pixels = square(image, classifier.recipe.side)[None]
    return np.ascontiguousarray(seen(pixels, classifier.net, classifier.recipe.size).numpy())


def answer(classifier: Classifier, ask: Ask, batch: Array, *, whole: bool) -> Floats:
    """Return the probabilities (N, C) that the exported net gives."""
    output = ask(batch)
    if whole:
        return output.astype(np.float64)
    return probabilities(output, classifier.trust.temperature if classifier.trust else 1.0)


def compare(
    classifier: Classifier,
    ask: Ask,
    photographs: Iterable[Photograph],
    total: int,
    progress: Progress,
    *,
    whole: bool,
) -> Parity:
    """Compare on `photographs`, leaving out what cannot be read; DataError where none can be."""
    same, differences = 0, []

    def read(photograph: Photograph) -> tuple[Array, Array]:
        stored = square(rgb(photograph), classifier.recipe.side)[None]
        return batch_of(classifier, photograph, whole=whole), stored

    for number, made in enumerate(stream(photographs, read), 1):
        progress("comparing", number, total)
        if isinstance(made, DecodeError):
            continue
        own = classifier.probabilities(made[1])[0]
        theirs = answer(classifier, ask, made[0], whole=whole)[0]
        same += int(own.argmax() == theirs.argmax())
        differences.append(float(np.abs(own - theirs).max()))
    if not differences:
        raise DataError(f"--photographs: none of {total} photographs can be read")
    return Parity(len(differences), same / len(differences), max(differences))


def demand(parity: Parity) -> None:
    """Refuse an export that drifts."""
    if parity.agreement < 1 or not parity.largest_difference <= MOST_DIFFERENCE:
        raise DriftError(
            f"the exported net drifts: {100 * parity.agreement:.2f} % agreement on "
            f"{parity.images} photographs (100 % is demanded), largest difference of a probability "
            f"{parity.largest_difference:.1e} (allowed: {MOST_DIFFERENCE:.0e}); nothing was kept"
        )


def latency(own: Ask, theirs: Ask, example: Array) -> list[dict[str, float]]:
    """Time PyTorch's net and the exported one on batches of copies of `example` (1, …)."""
    times = []
    for size in BATCHES:
        batch = np.repeat(example, size, axis=0)
        mine, other = _milliseconds(own, batch), _milliseconds(theirs, batch)
        times.append({"batch": size, "torch_milliseconds": mine, "export_milliseconds": other})
    return times


def _milliseconds(ask: Ask, batch: Array) -> float:
    """Return the median over a few repetitions, after one that does not count."""
    ask(batch)
    times: list[float] = []
    while len(times) < LEAST_REPEATS or (len(times) < MOST_REPEATS and sum(times) < SECONDS):
        began = perf_counter()
        ask(batch)
        times.append(perf_counter() - began)
    return 1000 * median(times)
