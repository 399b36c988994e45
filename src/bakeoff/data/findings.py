"""What a check of photographs can find: its words, its weight and the shape of its result."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from bakeoff.data.decode import RULES

Weight = Literal["harm", "care", "note"]
TINY = 64  # pixels of the shorter side
EXTREME = 3.0  # longer side over shorter side
UNEVEN = 3.0  # largest class over smallest class


@dataclass(frozen=True)
class Kind:
    """One thing that can be found: what it is called, how much it weighs, what to do about it."""

    weight: Weight
    title: str
    advice: str


KINDS = {
    "unreadable": Kind(
        "harm",
        "cannot be opened",
        "Mend the link or the permission, or take the photograph off the list.",
    ),
    "truncated": Kind(
        "harm",
        "cut short",
        "Fetch the file again: a download or a copy was broken off.",
    ),
    "corrupt": Kind(
        "harm",
        "cannot be decoded",
        "Repair or remove the file, or leave it out with --skip-bad.",
    ),
    "unsplittable": Kind(
        "harm",
        "cannot be split",
        "Follow the sentence below: no training can begin before.",
    ),
    "conflict": Kind(
        "harm",
        "the same picture in different classes",
        "Decide which class is right and remove the others: the net is told both.",
    ),
    "leak": Kind(
        "harm",
        "test photographs with a copy in train or validation",
        "Read test accuracy without them, or remove them: they test memory, not skill.",
    ),
    "validation_leak": Kind(
        "harm",
        "validation photographs with a copy in train",
        "Remove them or let bakeoff make the split: they choose epochs by memory.",
    ),
    "exact": Kind(
        "care",
        "the same file more than once",
        "Keep one of each: the others weigh a photograph double and add nothing.",
    ),
    "near": Kind(
        "care",
        "the same picture saved differently",
        "Keep the best of each; splits that bakeoff makes keep them on one side.",
    ),
    "tiny": Kind(
        "care",
        f"shorter side under {TINY} pixels",
        "Find larger ones: enlarged this much they show the net mostly blur.",
    ),
    "blank": Kind(
        "care",
        "nearly one flat colour",
        "Look at them and remove those that show nothing.",
    ),
    "extreme": Kind(
        "care",
        f"{EXTREME:g} times as long as wide, or longer",
        "Crop them to what matters: the net sees only the square in the middle.",
    ),
    "suffix": Kind(
        "care",
        "named as another format than they are",
        "Rename them: bakeoff reads them, other programs may not.",
    ),
    "uneven": Kind(
        "care",
        f"classes with less than 1/{UNEVEN:g} of the largest class's photographs",
        "Collect more of these, and judge by the accuracy of each class.",
    ),
}
CONVERTED = {
    rule: Kind("note", said, "Nothing to do: bakeoff does this whenever it reads them.")
    for rule, said in RULES.items()
    if rule not in KINDS
}


@dataclass(frozen=True)
class Example:
    """A photograph that was found, or several that belong together, and what is special in it."""

    paths: tuple[str, ...]
    detail: str = ""
    beside: tuple[str, ...] = ()  # not counted: what a leaked photograph is a copy of


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found, with the first examples."""

    kind: str
    weight: Weight
    title: str
    count: int
    unit: Literal["photographs", "classes"]
    share: float  # of all photographs (of leaks: of the split's) or classes, 0..1
    examples: tuple[Example, ...]
    advice: str


@dataclass(frozen=True)
class Audit:
    """What a check found; plain values that JSON can hold."""

    name: str
    source: str
    photographs: int
    good: int
    megabytes: float
    classes: dict[str, int]  # good photographs of each
    splits: dict[str, int]  # good photographs of each, as a training would have them
    smallest_class: dict[str, int]  # good photographs of the smallest class, by split
    split: str  # how it was made, in a sentence
    largest_over_smallest: float | None  # class; None where a class has no good photograph
    findings: tuple[Finding, ...]  # heaviest first

    @property
    def harmful(self) -> tuple[Finding, ...]:
        """The findings that make results wrong or a training fail."""
        return tuple(finding for finding in self.findings if finding.weight == "harm")

    @property
    def exit_code(self) -> int:
        """0 where nothing harms, else 1."""
        return 1 if self.harmful else 0

    def as_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return {**asdict(self), "harmful": len(self.harmful), "exit_code": self.exit_code}


def read(content: dict[str, Any]) -> Audit:
    """Return the check that `Audit.as_json` was written from; ValueError where it is none."""
    return TypeAdapter(Audit).validate_python(content)
