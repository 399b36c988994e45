"""Train, validation and test: what the source gives is kept, what it does not give is made.

Photographs are put in order by a hash of seed and path, not by a random generator: a photograph
keeps its side when other classes, or photographs of other classes, come or go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.photographs import SPLITS, DataError, Photographs
from bakeoff.data.spec import DataSpec

COPIES = "copies of "
"""Begins the name of a group that was found by `duplicates`, not given by the source."""


def split(
    photographs: Photographs,
    spec: DataSpec,
    seed: int,
    *,
    among: NDArray[np.bool_] | None = None,
) -> NDArray[np.str_]:
    """Say the split of each photograph: (N,) of `train`, `validation`, `test`, or "" for unused.

    Given splits stay. A missing test split is `spec.test` of all, a missing validation split
    `spec.validation` of what is left to train, both stratified by class (at least one photograph
    a class) and never dividing a group. Between the two steps `per_class` cuts what is left to
    train; the unused rest gets "". Test photographs are never cut. With `folds`, seeds from
    `split_seed` on take the folds of one partition in turn as test, then those of the next.
    What is not `among` (N,) to train stays unused. Raises DataError where a class is too small or
    its groups are too few.
    """
    result = settled(photographs)
    result[result == ""] = "train"
    if among is not None:
        result[~among & (result == "train")] = ""
    missing = [name for name in ("test", "validation") if not (result == name).any()]
    every = np.bincount(photographs.labels, minlength=len(photographs.classes))
    if "test" in missing and spec.folds:
        _fold(photographs, result, spec, seed)
    elif "test" in missing:
        _set_aside(
            photographs, result, "test", wanted=spec.test * every, others=len(missing), seed=seed
        )
    if spec.per_class is not None:
        _cut(photographs, result, spec.per_class, seed)
    if "validation" in missing:
        left = _counts(photographs, result, "train")
        _set_aside(
            photographs, result, "validation", wanted=spec.validation * left, others=1, seed=seed
        )
    demand_every_class(photographs, result)
    return result


def describe(photographs: Photographs, spec: DataSpec, seed: int) -> str:
    """Say in one sentence where each split comes from."""
    given = set(photographs.splits.tolist())
    found = [group.startswith(COPIES) for group in photographs.groups if group]
    kept = (["groups"] if not all(found) else []) + (["copies"] if any(found) else [])
    grouped = f", {' and '.join(kept)} kept together" if kept else ""
    how = f"stratified by class{grouped}, seed {seed}"
    parts = []
    if "test" in given:
        parts.append("test as the source gives it")
    elif spec.folds:
        turn, place = divmod(seed - spec.split_seed, spec.folds)
        parts.append(f"test is fold {place + 1} of {spec.folds}, partition {turn + 1}, {how}")
    else:
        parts.append(f"the source gives no test split: {spec.test:.0%} of all set aside, {how}")
    if spec.per_class is not None:
        parts.append(f"then at most {spec.per_class} photographs a class to train, seed {seed}")
    if "validation" in given:
        parts.append("validation as the source gives it")
    else:
        parts.append(f"validation is {spec.validation:.0%} of what is left to train, {how}")
    return "; ".join(parts)


def demand_every_class(photographs: Photographs, result: NDArray[np.str_]) -> None:
    """Refuse a class that has no photograph in one of the three splits."""
    for name in SPLITS:
        counts = _counts(photographs, result, name)
        if not counts.all():
            label = photographs.classes[int(counts.argmin())]
            raise DataError(
                f"data: the class {label!r} has no photograph left in the {name} split; "
                "every class must be in every split"
            )


@dataclass
class _Unit:
    """What moves together: a group, or one photograph without a group."""

    rows: list[int]
    labels: Counter[int]


def settled(photographs: Photographs) -> NDArray[np.str_]:
    """Return the given splits, "" for none: a photograph without one follows its group.

    Raises DataError where a group is given to two splits.
    """
    result = photographs.splits.copy()
    home: dict[str, str] = {}
    for group, given in zip(photographs.groups, photographs.splits.tolist(), strict=True):
        if group and given and home.setdefault(group, given) != given:
            raise DataError(
                f"data.source: the group {group!r} lies in both {home[group]} and {given}; "
                "a group must lie in one split"
            )
    for row, group in enumerate(photographs.groups):
        if group in home:
            result[row] = home[group]
    return result


def _set_aside(
    photographs: Photographs,
    result: NDArray[np.str_],
    name: str,
    *,
    wanted: NDArray[np.floating[Any]],
    others: int,
    seed: int,
) -> None:
    """Move whole units from train to `name`, leaving `others` photographs a class or more."""
    pool = _counts(photographs, result, "train")
    for label, count in zip(photographs.classes, pool, strict=True):
        if count <= others:
            raise DataError(
                f"data: the class {label!r} has too few photographs ({count}) to make train and "
                f"{name} from; {others + 1} or more are needed: add some, leave the class out of "
                "data.classes, or raise data.per_class"
            )
    target = np.clip(np.floor(wanted + 0.5).astype(np.int64), 1, pool - others)
    units = _units(photographs, result, f"{name}/{seed}")
    taken = _fill(units, target.tolist(), (pool - others).tolist())
    for unit in taken:
        result[unit.rows] = name
    if not _counts(photographs, result, name).all():
        label = photographs.classes[int(_counts(photographs, result, name).argmin())]
        raise DataError(
            f"data: the photographs of class {label!r} lie in too few groups to put a whole group "
            f"into {name}; give them more groups, or a split{_or_ignore(photographs)}"
        )


def _fold(photographs: Photographs, result: NDArray[np.str_], spec: DataSpec, seed: int) -> None:
    """Move one fold of equal parts, stratified by class, from train to test."""
    assert spec.folds
    turn, place = divmod(seed - spec.split_seed, spec.folds)
    parts = result.astype("<U16")
    wanted = _counts(photographs, result, "train") / spec.folds
    for number in range(spec.folds - 1):
        _set_aside(
            photographs,
            parts,
            f"fold {number}",
            wanted=wanted,
            others=spec.folds - 1 - number,
            seed=spec.split_seed + turn,
        )
    chosen = "train" if place == spec.folds - 1 else f"fold {place}"
    result[parts == chosen] = "test"


def _or_ignore(photographs: Photographs) -> str:
    if any(group.startswith(COPIES) for group in photographs.groups):
        return ", or let copies lie anywhere with data.duplicates=ignore"
    return ""


def _fill(units: list[_Unit], target: list[int], room: list[int]) -> list[_Unit]:
    """Choose units so that the classes come near their targets; scikit-learn's stratified group
    splitter knows only shares of 1/k.

    First what fits without going over, then what brings the counts nearer although it goes over,
    then, smallest first, what a class needs to be there at all. Never more than `room` a class.
    """
    held = [0] * len(target)

    def fits(unit: _Unit) -> bool:
        return all(held[c] + n <= target[c] for c, n in unit.labels.items())

    def nearer(unit: _Unit) -> bool:
        gain = sum(n * (2 * (target[c] - held[c]) - n) for c, n in unit.labels.items())
        return gain > 0

    def needed(unit: _Unit) -> bool:
        return any(held[c] == 0 for c in unit.labels)

    taken: list[_Unit] = []
    left = units
    steps: list[Callable[[_Unit], bool]] = [fits, nearer, needed]
    for wanted in steps:
        rest: list[_Unit] = []
        for unit in sorted(left, key=lambda u: len(u.rows)) if wanted is needed else left:
            if wanted(unit) and all(held[c] + n <= room[c] for c, n in unit.labels.items()):
                taken.append(unit)
                for c, n in unit.labels.items():
                    held[c] += n
            else:
                rest.append(unit)
        left = rest
    return taken


def _units(photographs: Photographs, result: NDArray[np.str_], salt: str) -> list[_Unit]:
    units: dict[str, _Unit] = {}
    for row in np.flatnonzero(result == "train").tolist():
        group = photographs.groups[row]
        key = f"group {group}" if group else f"path {photographs.paths[row]}"
        unit = units.setdefault(key, _Unit([], Counter()))
        unit.rows.append(row)
        unit.labels[int(photographs.labels[row])] += 1
    return [units[key] for key in sorted(units, key=lambda key: _shuffled(salt, key))]


def _cut(photographs: Photographs, result: NDArray[np.str_], limit: int, seed: int) -> None:
    """Leave at most `limit` to train a class; a smaller limit keeps part of a larger one's."""
    for label in range(len(photographs.classes)):
        rows = np.flatnonzero((result == "train") & (photographs.labels == label)).tolist()
        rows.sort(key=lambda row: _shuffled(f"per_class/{seed}", photographs.paths[row]))
        result[rows[limit:]] = ""


def _counts(photographs: Photographs, result: NDArray[np.str_], name: str) -> NDArray[np.int64]:
    return np.bincount(
        photographs.labels[result == name], minlength=len(photographs.classes)
    ).astype(np.int64)


def _shuffled(salt: str, text: str) -> bytes:
    return blake2b(f"{salt}/{text}".encode(errors="surrogateescape"), digest_size=8).digest()
