"""Three small data sets of the kinds people have, drawn from a folder in Food-101's layout.

Training photographs come from `meta/train.txt` alone. Those of the test are all that
`meta/test.txt` has of the same classes: a list, so that no trainer finds them in its folder.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SMALLEST, LARGEST, CLASSES = 20, 600, 20


@dataclass(frozen=True)
class Drawn:
    """A folder of class folders to train on, and the photographs to judge by, with their classes.

    counts  : class -> number of training photographs
    test    : (file, class)
    """

    folder: Path
    counts: dict[str, int]
    test: tuple[tuple[str, str], ...]


def log_spaced(smallest: int, largest: int, count: int) -> tuple[int, ...]:
    """Return `count` whole numbers from `smallest` to `largest`, each by the same factor more."""
    factor = (largest / smallest) ** (1 / (count - 1))
    return tuple(round(smallest * factor**place) for place in range(count))


# how many photographs each class trains on
SETS: dict[str, tuple[int, ...]] = {
    "few": (40,) * CLASSES,
    "five": (600,) * 5,
    "unbalanced": log_spaced(SMALLEST, LARGEST, CLASSES),
}
QUICK: dict[str, tuple[int, ...]] = {
    "few": (8,) * 3,
    "five": (24,) * 2,
    "unbalanced": log_spaced(6, 24, 3),
}
QUICK_TEST = 6  # photographs a class


def draw(
    source: Path, counts: Sequence[int], folder: Path, seed: int, test_per_class: int | None = None
) -> Drawn:
    """Link `counts` photographs of as many classes of `source` into `folder`/<class>/.

    Which classes, which has how many, and which photographs, `seed` alone decides. The test is all
    of these classes, or `test_per_class` of each.
    """
    train, test = (_listed(source, split) for split in ("train", "test"))
    if not set(test) >= set(train):
        raise SystemExit(f"{source}: meta/test.txt has not every class of meta/train.txt")
    if len(train) < len(counts):
        raise SystemExit(f"{source} has {len(train)} classes; needed are {len(counts)}")
    drawing = random.Random(seed)
    sizes = dict(zip(drawing.sample(sorted(train), len(counts)), counts, strict=True))
    for label, count in sorted(sizes.items()):
        if len(train[label]) < count:
            raise SystemExit(f"{source}: {label} has {len(train[label])} of {count} photographs")
        (folder / label).mkdir(parents=True)
        for name in drawing.sample(train[label], count):
            (folder / label / f"{name}.jpg").symlink_to(_file(source, label, name))
    judged = tuple(
        (str(_file(source, label, name)), label)
        for label in sorted(sizes)
        for name in test[label][:test_per_class]
    )
    return Drawn(folder, dict(sorted(sizes.items())), judged)


def _listed(source: Path, split: str) -> Mapping[str, list[str]]:
    """Return class -> names, sorted, as `meta/<split>.txt` lists them."""
    path = source / "meta" / f"{split}.txt"
    if not path.is_file():
        raise SystemExit(f"{source} is not in Food-101's layout: there is no meta/{split}.txt")
    found: defaultdict[str, list[str]] = defaultdict(list)
    for line in sorted(path.read_text(encoding="utf-8").split()):
        label, _, name = line.partition("/")
        found[label].append(name)
    return found


def _file(source: Path, label: str, name: str) -> Path:
    return (source / "images" / label / f"{name}.jpg").resolve()
