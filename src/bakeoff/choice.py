"""What `bakeoff train` does with so many photographs in so many minutes, and why. No torch.

Numbers in, fields of a recipe out. What they are made from is counted and measured in `chosen`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FEW = 50  # photographs of a class to train; with fewer, nothing but a head is trained
UNEVEN = 3  # times as many photographs in the largest class as in the smallest: worth a word
FOLDS, MOST_IN_FOLDS = 5, 5_000
SHARES = (1.0, 6 / 7, 5 / 7, 4 / 7)  # of the size, while training; answers are given at the whole
ENOUGH, LEAST = 6, 3  # epochs: worth a smaller size, worth a training of the whole net
SHOWN = 40_000  # showings of photographs after which more epochs pay little
MOST_EPOCHS, MOST_FROM_SCRATCH, HEAD_EPOCHS = 40, 200, 40
SPENT_BEFORE = 25.0  # seconds: start, checks and the report with its maps
DECODED = 500.0  # photographs a second
RESERVE = 0.15  # of the time, for what was foreseen wrongly
SMALL: Mapping[str, Any] = {
    "model": "custom", "net.padding": 1, "net.residual": True, "net.activation": "silu",
    "net.pool_stride": 2, "net.dropout": 0.0, "size": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Folder:
    """How many photographs there are in each split, and to train in the smallest and largest class.

    `given` says whether the folder itself has a test split.
    """

    train: int
    validation: int
    test: int
    smallest: int
    largest: int = 0
    given: bool = False

    @property
    def total(self) -> int:
        """How many there are."""
        return self.train + self.validation + self.test


@dataclass(frozen=True)
class Speed:
    """Photographs a second at the recipe's size: `learning` (all of a step), and only `seeing`."""

    learning: float
    seeing: float


@dataclass(frozen=True)
class Start:
    """From what the training starts: a net at `size` pixels a side.

    `pretrained`: it has weights. `frozen`: its body is to stay as it is. `named`: it was asked for
    by name. `taught`: it has a teacher, who needs the whole net. `resizable`: it takes other sizes.
    """

    size: int = 224
    pretrained: bool = True
    frozen: bool = False
    named: bool = False
    taught: bool = False
    resizable: bool = True


@dataclass(frozen=True)
class Choice:
    """Fields of the recipe, how many folds (0: none), and the reasons, one sentence each."""

    fields: dict[str, Any]
    folds: int = 0
    because: tuple[str, ...] = ()


def choose(folder: Folder, speed: Speed, seconds: float, start: Start) -> Choice:
    """Choose how to spend `seconds` on `folder`, from `start` at `speed`."""
    if not start.pretrained:
        return _from_scratch(folder, speed, seconds, start)
    head = "only a head is trained, on the pretrained features"
    if start.frozen:
        return _features(folder, f"freeze holds backbone: {head}")
    if folder.smallest < FEW and not start.taught:
        said = f"the smallest class has {folder.smallest} photographs to train, under {FEW}"
        return _features(folder, f"{said}: {head}")
    shares = SHARES if start.resizable else SHARES[:1]
    sizes = [16 * round(share * start.size / 16) for share in shares]
    for size in sizes:
        epochs = _epochs(folder, speed, seconds, size / start.size)
        if epochs >= (ENOUGH if size != sizes[-1] else LEAST):
            return _finetuned(folder, speed, seconds, start.size, size)
    if start.taught:
        return _finetuned(folder, speed, seconds, start.size, sizes[-1])
    said = f"{_said(seconds)} are too few for the whole net on {folder.train} photographs"
    return _features(folder, f"{said}: {head}")


def uneven(folder: Folder) -> tuple[str, ...]:
    """Return what can be done for small classes, as a sentence, where they are much smaller."""
    if folder.largest < UNEVEN * folder.smallest:
        return ()
    return (
        f"the largest class has {folder.largest} photographs to train, the smallest "
        f"{folder.smallest}: class_weights=balanced would make every class count alike",
    )


def _finetuned(folder: Folder, speed: Speed, seconds: float, whole: int, size: int) -> Choice:
    fit = max(1, min(_epochs(folder, speed, seconds, size / whole), MOST_EPOCHS))
    pay = max(ENOUGH, SHOWN // folder.train)
    because = [
        f"the smallest class has {folder.smallest} photographs to train: the whole net learns",
        f"{speed.learning:.0f} photographs a second at {whole} px: {fit} epochs at {size} px fit "
        f"into {_said(seconds)}",
    ]
    if pay < fit:
        because.append(f"{pay} epochs are enough for {folder.train} photographs")
    if size < whole:
        because.append(f"fewer than {ENOUGH} fit at {whole} px, at which answers are given")
    fields: dict[str, Any] = {"like": "best/finetuned", "epochs": min(fit, pay)}
    return Choice(fields | ({"train_size": size} if size < whole else {}), 0, tuple(because))


def _features(folder: Folder, reason: str) -> Choice:
    folds = FOLDS if not folder.given and folder.total <= MOST_IN_FOLDS else 0
    said = f"{folder.test} test photographs say little: {folds} folds, so that each is tested once"
    because = (reason, said) if folds else (reason,)
    return Choice({"like": "best/features", "epochs": HEAD_EPOCHS}, folds, because)


def _from_scratch(folder: Folder, speed: Speed, seconds: float, start: Start) -> Choice:
    after = (folder.train + 2 * (folder.validation + folder.test)) / speed.seeing
    each = folder.train / speed.learning + 2 * folder.validation / speed.seeing
    fit = max(LEAST, min(int((_spare(folder, seconds) - after) / each), MOST_FROM_SCRATCH))
    what = "the net learns from nothing" if start.named else "a small net of our own"
    because = f"no start weights: {what}, {fit} epochs fit into {_said(seconds)}"
    small = {} if start.named else SMALL
    return Choice({"like": "best/scratch", **small, "epochs": fit}, 0, (because,))


def _epochs(folder: Folder, speed: Speed, seconds: float, share: float) -> int:
    """Return how many epochs fit at a `share` of the side, with what comes before and after."""
    once = folder.total / speed.seeing  # features for the head that is trained first
    after = (folder.train + 2 * (folder.validation + folder.test)) / speed.seeing
    learning = folder.train / speed.learning * share**2
    between = 2 * folder.validation / speed.seeing
    return int(max(0.0, _spare(folder, seconds) - once - after) / (learning + between))


def _spare(folder: Folder, seconds: float) -> float:
    return (1 - RESERVE) * seconds - SPENT_BEFORE - folder.total / DECODED


def _said(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
