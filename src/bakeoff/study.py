"""A study: one question, its photographs, and tables of variants, read from YAML and fully checked.

From it come rows (a named recipe) and runs (a row with one seed). No torch, and no photographs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import chain, count, islice
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bakeoff.data.spec import DataSpec
from bakeoff.documents import read_yaml, read_yaml_file
from bakeoff.fields import RecipeError, nearest, validated
from bakeoff.named import expanded
from bakeoff.recipe import Recipe, difference, merged, parse

Purpose = Literal["split", "init", "order", "augmentation"]
MOST_SEEDS = 10_000
OWN_NAMES = ("best", "report", "report.html", "study.yaml", "decisions.json", "check.json",
             "tensorboard", "mlflow", "wandb")  # fmt: skip
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


def _each_once(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) != len(seeds):
        raise ValueError("a seed stands there twice")
    return seeds


class Table(BaseModel):
    """A base recipe (the fields in which it departs from the defaults) and its named variants."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: Annotated[Name, Field(description="the name of the base's own row")] = "base"
    recipe: dict[str, Any] = {}
    variants: dict[Name, dict[str, Any]] = {}


class Study(BaseModel):
    """What a study file says; `rows` and `runs` say what it means.

    >>> rates = {"variants": {"slower": {"lr": 1e-5}}}
    >>> [run.name for run in runs(Study(name="mine", tables={"rates": rates}))]
    ['rates/base/seed-0', 'rates/slower/seed-0']
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    question: str = ""
    data: DataSpec = DataSpec()
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0, lt=2**32)], ...],
        Field(min_length=1),
        AfterValidator(_each_once),
    ] = (0,)
    vary: Annotated[tuple[Purpose, ...], Field(description="what another seed draws anew")] = (
        "init",
        "order",
        "augmentation",
    )
    recipe: dict[str, Any] = {}
    tables: Annotated[dict[Name, Table], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_are_folders(self) -> Study:
        rows_ = [(table.base, *table.variants) for table in self.tables.values()]
        for names, own in ((self.tables, OWN_NAMES), *((names, ()) for names in rows_)):
            seen = {name: f"the report's {name}" for name in own}
            for name in names:
                if (other := seen.setdefault(name.casefold(), name)) != name:
                    raise ValueError(f"tables: {name} would share its folder with {other}")
        return self

    @model_validator(mode="after")
    def _folds_are_splits(self) -> Study:
        if self.data.folds and "split" not in self.vary:
            raise ValueError(f"vary: must hold split, since data.folds is {self.data.folds}")
        return self


@dataclass(frozen=True)
class Row:
    """One line of a table: a variant, or the base itself (then `change` is empty)."""

    table: str
    variant: str
    recipe: Recipe
    change: dict[str, tuple[Any, Any]] = field(compare=False)
    is_base: bool


@dataclass(frozen=True)
class Run:
    """One row with one seed: what fills one run folder."""

    row: Row
    seed: int
    seeds: dict[str, int]

    @property
    def name(self) -> str:
        """The run's place in its study folder, e.g. `resnet18/stock/seed-0`."""
        return f"{self.row.table}/{self.row.variant}/seed-{self.seed}"


def shipped() -> dict[str, Path]:
    """Return the studies that come with the package: name -> file."""
    folder = Path(str(files("bakeoff") / "studies"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read(study: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Read a study file or a shipped study by name, lay `field=value` overrides over it, check it.

    An override names a recipe field (`lr=0.001`, for the bases of all tables), one table's
    (`resnet18/lr=0.001`), or a `data.` field. Raises RecipeError in one sentence.
    """
    path = _find(study)
    content = read_yaml_file(path)
    if not isinstance(content, dict):
        raise RecipeError(f"{path.name}: a study is a mapping with name, data and tables")
    study_ = validated(Study, {**content, **_seeds(content)}, where=path.name)
    return overridden(study_, overrides)


def overridden(study: Study, overrides: Sequence[str]) -> Study:
    """Lay `field=value` texts over the bases of `study`."""
    content = study.model_dump(by_alias=True)
    for text in overrides:
        target, equals, value = text.partition("=")
        if not equals or not target:
            raise RecipeError(f"--set {text}: write it as field=value")
        table, slash, field = target.rpartition("/")
        change = {field: read_yaml(value, f"--set {target}")}
        if slash and table not in content["tables"]:
            raise RecipeError(f"--set {text}: {_unknown('table', table, list(content['tables']))}")
        if slash:
            content["tables"][table]["recipe"] = merged(content["tables"][table]["recipe"], change)
        elif field.startswith("data."):
            content = merged(content, change)
        else:
            for inner in content["tables"].values():
                inner["recipe"] = merged(inner["recipe"], change)
    return validated(Study, content, where="--set")


def rows(study: Study, only: Sequence[str] = ()) -> tuple[Row, ...]:
    """Return the rows in order, each table's base first; `only` keeps tables, variants or both.

    Raises RecipeError for a change that changes nothing and for two variants that are the same.
    """
    for name in only:
        _must_exist(study, name)
    every = (_table_rows(study, name, table) for name, table in study.tables.items())
    return tuple(row for row in chain(*every) if _chosen(only, row.table, row.variant))


def runs(
    study: Study, only: Sequence[str] = (), seeds: int | Sequence[int] | None = None
) -> tuple[Run, ...]:
    """Return the runs, seed by seed, so that a half-finished study already compares its variants.

    `seeds` is how many to have (see `numbers`), or which; by default the study's own.
    """
    found, chosen = rows(study, only), study.seeds if seeds is None else seeds
    chosen = list(islice(numbers(study), _few(chosen))) if isinstance(chosen, int) else chosen
    return tuple(Run(row, seed, _purposes(study, seed)) for seed in chosen for row in found)


def numbers(study: Study) -> Iterator[int]:
    """Yield seeds without end: the study's own first, then the lowest that are free."""
    yield from study.seeds
    yield from (seed for seed in count() if seed not in study.seeds)


def _purposes(study: Study, seed: int) -> dict[str, int]:
    """Return the seed of every purpose: another one where the study varies it, else a fixed one."""
    first = {"split": study.data.split_seed, "init": 0, "order": 0, "augmentation": 0}
    return {name: start + seed * (name in study.vary) for name, start in first.items()}


def _table_rows(study: Study, name: str, table: Table) -> Iterator[Row]:
    if table.base in table.variants:
        raise RecipeError(f"tables.{name}: {table.base} names both the base and a variant")
    here = f"tables.{name}.recipe"
    fields = merged(expanded(study.recipe, "recipe"), expanded(table.recipe, here))
    base = parse(fields, where=here)
    yield Row(name, table.base, base, {}, is_base=True)
    seen = {base: table.base}
    for variant in table.variants:
        where = f"tables.{name}.variants.{variant}"
        recipe = parse(merged(fields, expanded(table.variants[variant], where)), where=where)
        if recipe in seen:
            twin = seen[recipe]
            said = "changes nothing" if recipe == base else f"is the same recipe as {twin}"
            raise RecipeError(f"{where}: {_fields(table.variants[variant])} {said}")
        seen[recipe] = variant
        yield Row(name, variant, recipe, difference(base, recipe), is_base=False)


def _fields(change: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in change.items()) or "an empty change"


def _chosen(only: Sequence[str], table: str, variant: str) -> bool:
    return not only or bool({table, variant, f"{table}/{variant}"} & set(only))


def _must_exist(study: Study, name: str) -> None:
    known: list[str] = []
    for table_name, table in study.tables.items():
        variants = (table.base, *table.variants)
        known += [table_name, *variants, *(f"{table_name}/{variant}" for variant in variants)]
    if name not in known:
        raise RecipeError(f"--only {name}: {_unknown('table or variant', name, known)}")


def _unknown(what: str, name: str, known: list[str]) -> str:
    return f"there is no such {what}{nearest(name, known) or '; there are: ' + ', '.join(known)}"


def _find(study: str | Path) -> Path:
    if os.path.isfile(study):  # noqa: PTH113 (says no to a name that is too long, is_file raises)
        return Path(study)
    known = shipped()
    if str(study) in known:
        return known[str(study)]
    said = nearest(str(study), list(known)) or f"; shipped: {', '.join(known)}"
    raise RecipeError(f"study {study}: neither a file nor a shipped study{said}")


def _seeds(content: Mapping[str, Any]) -> dict[str, Any]:
    """`seeds: 3` means the seeds 0, 1 and 2."""
    seeds = content.get("seeds")
    return {"seeds": tuple(range(_few(seeds)))} if isinstance(seeds, int) and seeds > 0 else {}


def _few(seeds: int) -> int:
    if seeds > MOST_SEEDS:
        raise RecipeError(f"seeds: {seeds} are too many; allowed: {MOST_SEEDS}")
    return seeds
