"""YAML from anywhere, read within bounds: a small file must not become a large or endless value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bakeoff.fields import RecipeError

MOST_CHARACTERS = 2**20
MOST_VALUES = 100_000
LONGEST = 3_000  # characters of one value; Python refuses to print integers of 4,300 digits
DEEPEST = 40


def read_yaml(text: str, where: str) -> Any:
    """Read one YAML document of plain values; RecipeError, beginning with `where`, says why not."""
    try:
        _demand_bounds(text)
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, AttributeError) as error:
        said = " ".join(str(error).split())[:300]  # safe_load also raises what its types raise
        raise RecipeError(f"{where}: this is not YAML that can be read: {said}") from None


def read_yaml_file(path: Path) -> Any:
    """Read a YAML file as `read_yaml` does."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path.name}: this cannot be read as text: {error}") from None
    return read_yaml(text, path.name)


def _demand_bounds(text: str) -> None:
    """Count depth and values as they will be, with every alias replaced by what it stands for."""
    _demand(len(text) <= MOST_CHARACTERS, f"{len(text)} characters; allowed: {MOST_CHARACTERS}")
    sizes: dict[str, int] = {}
    inside: list[tuple[str | None, int]] = []  # anchor and size of what is open
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            inside.append((event.anchor, 1))
            _demand(len(inside) <= DEEPEST, f"nested more than {DEEPEST} deep")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = inside.pop()
            sizes |= {anchor: size} if anchor else {}
        elif isinstance(event, yaml.AliasEvent):
            _demand(event.anchor not in dict(inside), f"*{event.anchor} stands inside itself")
            size = sizes.get(str(event.anchor), 1)
        else:
            length = len(event.value) if isinstance(event, yaml.ScalarEvent) else 0
            _demand(length <= LONGEST, f"a value of {length} characters; allowed: {LONGEST}")
            size = 1
        if inside:
            inside[-1] = (inside[-1][0], inside[-1][1] + size)
        _demand(size <= MOST_VALUES, f"more than {MOST_VALUES} values")


def _demand(holds: bool, said: str) -> None:
    if not holds:
        raise ValueError(said)
