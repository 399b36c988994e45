"""The page's data for its scripts: curves, confusion and mistakes, once and small.

Photographs are named once; a variant's mistakes point to them by number. Everything else that the
scripts need (matrices' margins, per-class scores) they work out from these.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

import numpy as np

from bakeoff.colours import Look
from bakeoff.confusion import Mistake, mistakes, pooled, predictions
from bakeoff.curves import Curve, curves
from bakeoff.evaluate import Integers
from bakeoff.page.words import in_words, name
from bakeoff.store import Predictions
from bakeoff.tables import TableRow

Thumbnails = Callable[[str], bytes | None]
MOST_CELLS = 12_000
MOST_MISTAKES = 15_000
MOST_IMAGES = 20_000
THUMBNAIL_BYTES = 4_000_000
_KINDS = {b"\x89PNG": "png", b"RIFF": "webp", b"GIF8": "gif"}


class Images:
    """Photographs by number; each gets one when it is first named."""

    def __init__(self) -> None:
        """Begin with none."""
        self.numbers: dict[str, int] = {}
        self.labels: list[int] = []

    def number(self, image: str, label: int) -> int:
        """Return the number of `image`, giving it the next one when it is new."""
        if image not in self.numbers:
            self.numbers[image] = len(self.labels)
            self.labels.append(label)
        return self.numbers[image]


def blob(
    rows: Sequence[TableRow],
    look: Mapping[tuple[str, str], Look],
    classes: Sequence[str],
    thumbnails: Thumbnails | None = None,
) -> dict[str, Any]:
    """Return what the scripts read; see `page/js` for the other side of each name."""
    images, variants, surest = Images(), [], []
    for row in rows:
        read = predictions(row)
        fits = all(one.logits.shape[1] == len(classes) for one in read)
        found = mistakes(read) if fits else []
        surest.append([images.number(one.image, one.label) for one in found[:MOST_MISTAKES]])
        _name_all(images, read)
        tested = _confusion(row, read, found, images) if read and fits else None
        variants.append({**_variant(row, rows, look[row.table, row.variant]), "tested": tested})
    return {
        "variants": variants,
        "classes": list(classes),
        "images": list(images.numbers),
        "labels": images.labels,
        "thumbnails": _thumbnails(list(images.numbers), surest, thumbnails) if thumbnails else {},
    }


def script_text(content: Mapping[str, Any]) -> str:
    """Return JSON that may stand inside a script element, whatever the names in it hold."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def address(picture: bytes) -> str:
    """Return the data address of a JPEG, PNG, WebP or GIF."""
    kind = _KINDS.get(picture[:4], "jpeg")
    return f"data:image/{kind};base64,{b64encode(picture).decode()}"


def _variant(row: TableRow, rows: Sequence[TableRow], look: Look) -> dict[str, Any]:
    runs = [score.run for score in row.scores]
    return {
        "table": row.table,
        "variant": row.variant,
        "name": name(row, rows),
        "base": row.is_base,
        "changes": row.changes,
        "words": in_words(row),
        "colour": look.colour,
        "marker": look.marker,
        "n": row.n,
        "test": _short(row.test_accuracy),
        "spread": _short(row.test_accuracy_spread),
        "validation": _short(row.validation_accuracy),
        "seconds": _short(row.seconds) if row.n else None,
        "chosen": [run.run["best_epoch"] for run in runs if run.run.get("best_epoch") is not None],
        "curves": {series: _curve(found) for series, found in curves(runs).items()},
    }


def _curve(found: Curve) -> list[list[float | None]]:
    """Epochs, means, spreads and numbers of runs."""
    return [
        list(found.epochs),
        [_short(mean) for mean in found.means],
        [_short(spread) for spread in found.spreads],
        list(found.runs),
    ]


def _confusion(
    row: TableRow, read: list[Predictions], found: list[Mistake], images: Images
) -> dict[str, Any]:
    """Cells as [true, predicted, count …] and mistakes as [image, predicted, runs, % …], flat."""
    counts = _counts(row, read)
    places = np.argwhere(counts)
    order = np.argsort(-counts[tuple(places.T)], kind="stable")[:MOST_CELLS]
    cells = [int(n) for i, j in places[order] for n in (i, j, counts[i, j])]
    kept = found[:MOST_MISTAKES]
    flat = [
        number
        for one in kept
        for number in (
            *(images.number(one.image, one.label), one.predicted, one.runs),
            round(100 * one.confidence),
        )
    ]
    same = all(np.array_equal(one.ids, read[0].ids) for one in read)
    return {
        "runs": len(read),
        "cells": cells,
        "support": counts.sum(axis=1).tolist(),
        "said": counts.sum(axis=0).tolist(),
        "mistakes": flat,
        "whole": same and len(kept) == len(found) and len(read[0].ids) <= MOST_IMAGES,
    }


def _counts(row: TableRow, read: list[Predictions]) -> Integers:
    found = pooled(row, read)
    assert found is not None
    return found.counts


def _name_all(images: Images, read: list[Predictions]) -> None:
    """Give every photograph of a test of usual size its number, right ones included."""
    if read and len(read[0].ids) <= MOST_IMAGES:
        for image, label in zip(read[0].ids.tolist(), read[0].labels.tolist(), strict=True):
            images.number(image, label)


def _thumbnails(
    names: Sequence[str], surest: Sequence[Sequence[int]], get: Thumbnails
) -> dict[int, str]:
    """Return data addresses for the surest mistakes of every variant in turn, within the budget."""
    found: dict[int, str] = {}
    room = THUMBNAIL_BYTES
    turns = chain.from_iterable(zip_longest(*surest))
    for number in dict.fromkeys(number for number in turns if number is not None):
        content = get(names[number])
        if content is None:
            continue
        found[number] = address(content)
        room -= len(found[number])
        if room < 0:
            break
    return found


def _short(value: float | None) -> float | None:
    """Round to five digits; null for what JSON cannot hold."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")
