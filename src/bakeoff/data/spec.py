"""The `data:` block of a study: which photographs, classes and split. No torch, no reading."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Share = Annotated[float, Field(gt=0, lt=1)]


class Every(BaseModel):
    """Every n-th class of the source's own order, beginning with number `from` (counted from 0)."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    every: Annotated[int, Field(ge=1)]
    start: Annotated[int, Field(ge=0, alias="from")] = 0


class DataSpec(BaseModel):
    """What a study says of its photographs; reading them is the work of `data.sources`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Annotated[
        str,
        Field(description="a folder, a CSV file, tars, an address, `food101` or `plates`"),
    ] = ""
    classes: Annotated[
        Literal["all"] | tuple[str, ...] | Every,
        Field(description="`all`, a list of names, or {every: 5, from: 1} over the source's order"),
    ] = "all"
    per_class: Annotated[
        int | None,
        Field(ge=1, description="at most so many a class to train, before validation is taken"),
    ] = None
    validation: Annotated[
        Share, Field(description="share of the training photographs, where none is given")
    ] = 0.2
    test: Annotated[Share, Field(description="share of all, where no test split is given")] = 0.2
    folds: Annotated[
        int | None,
        Field(ge=2, le=20, description="test is one of so many parts in turn, seed by seed"),
    ] = None
    window: Annotated[
        int | None,
        Field(
            ge=512, description="photographs are kept in shards and shown at random among so many"
        ),
    ] = None
    split_seed: Annotated[int, Field(ge=0)] = 42
    duplicates: Annotated[
        Literal["keep_together", "ignore"],
        Field(description="whether splits that are made keep copies of a photograph on one side"),
    ] = "keep_together"

    @field_validator("source", mode="before")
    @classmethod
    def _path_is_text(cls, value: object) -> object:
        return str(value) if isinstance(value, Path) else value
