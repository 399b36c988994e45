"""Which of a source's classes a study takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bakeoff.data.photographs import DataError, listing, nearest
from bakeoff.data.spec import DataSpec, Every


def choose(spec: DataSpec, listed: Sequence[str], order: Sequence[str] = ()) -> tuple[str, ...]:
    """Pick class names, always in the source's own order.

    `listed` is what the source says it has; `order` (by default the same) is the whole order that
    `every` counts in, which may name classes this copy of the source lacks.
    """
    order = order or listed
    if isinstance(spec.classes, Every):
        chosen = tuple(order[spec.classes.start :: spec.classes.every])
    elif isinstance(spec.classes, tuple):
        chosen = _named(spec.classes, order)
    else:
        chosen = tuple(listed)
    if len(chosen) < 2:
        raise DataError(
            f"data.classes leaves {len(chosen)} of the {len(order)} classes in {spec.source}"
            f"{f' ({listing(order)})' if order else ''}; at least two are needed"
        )
    return chosen


def _named(names: tuple[str, ...], order: Sequence[str]) -> tuple[str, ...]:
    for name, times in Counter(names).items():
        if name not in order:
            raise DataError(
                f"data.classes: {name!r} is not a class of this source"
                f"{nearest(name, order) or '; allowed: ' + listing(order, 12)}"
            )
        if times > 1:
            raise DataError(f"data.classes names {name!r} {times} times; once is allowed")
    return tuple(name for name in order if name in names)
