"""bakeoff as the other benchmarks call it: a study of few words, carried out, and its records."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from bakeoff.settings import Settings
from bakeoff.study import Run, Study, runs

if TYPE_CHECKING:
    from bakeoff.store import Record

DRAWN_TEST = 50  # test photographs a class in `plates`


@dataclass(frozen=True)
class Outcome:
    """What carrying out some runs took, in wall seconds, and what their epochs measured."""

    seconds: float
    records: tuple[Record, ...]


def study(
    recipe: Mapping[str, Any],
    data: Mapping[str, Any],
    variants: Mapping[str, Mapping[str, Any]] | None = None,
) -> Study:
    """Return a study of one table: `recipe`, and `variants` of it."""
    table = {"base": "base", "recipe": dict(recipe), "variants": dict(variants or {})}
    return Study(name="measured", data=dict(data), tables={"table": table})


def carried_out(
    asked: Study, chosen: Sequence[Run] | None = None, device: str = "auto", step: str = "auto"
) -> Outcome:
    """Carry out `chosen` runs (all by default) in a fresh folder; SystemExit where one fails."""
    from bakeoff.execute import Ended, Measured, execute

    records: list[Record] = []
    with tempfile.TemporaryDirectory() as folder:
        began = perf_counter()
        settings = Settings(device=device, offline=True, step=step)
        for event in execute(asked, chosen or runs(asked), Path(folder), settings):
            match event:
                case Measured(record=record):
                    records.append(record)
                case Ended(error=error) if error:
                    raise SystemExit(error)
        return Outcome(perf_counter() - began, tuple(records))


def without_maps(asked: Study, num_seeds: int = 1) -> tuple[Run, ...]:
    """Return the study's runs with other seeds than its first, whose runs alone keep maps."""
    first = asked.seeds[0] + 1
    return runs(asked, seeds=range(first, first + num_seeds))


@contextmanager
def fresh_cache() -> Iterator[Path]:
    """Give bakeoff an empty cache inside, so that what is kept from earlier runs helps nobody."""
    before = os.environ.get("BAKEOFF_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BAKEOFF_CACHE"] = folder
        try:
            yield Path(folder)
        finally:
            if before is None:
                del os.environ["BAKEOFF_CACHE"]
            else:
                os.environ["BAKEOFF_CACHE"] = before


def drawn(num_images: int) -> dict[str, Any]:
    """Return the `data:` block of `plates` with about `num_images`, the test ones among them."""
    from bakeoff.data.drawing.dishes import KINDS

    return {"source": "plates", "per_class": max(2, num_images // len(KINDS) - DRAWN_TEST)}
