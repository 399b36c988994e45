"""Kinds of values that fields may have, and the one sentence that says what is wrong with one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from reprlib import Repr
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
)

Model = TypeVar("Model", bound=BaseModel)

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1)]
Patterns = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]


def _number_or_auto(value: Any) -> Any:
    """Read a positive number, or `auto`; a union would say of a wrong value all that it is not."""
    if value == "auto":
        return value
    try:
        return _positive.validate_python(value)
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        shown = _shown.repr(value)
        said = f"{shown} is not allowed: {said[0].lower()}{said[1:]}, or auto"
        raise ValueError(said) from None


_positive: TypeAdapter[float] = TypeAdapter(Positive)
PositiveOrAuto = Annotated[float | Literal["auto"], PlainValidator(_number_or_auto)]

_shown = Repr()  # values in errors, cut where they are long
_shown.maxstring = _shown.maxother = _shown.maxlong = 80


class Data(BaseModel):
    """Frozen, and without fields that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RecipeError(ValueError):
    """A recipe or study that cannot be run, said in one sentence."""


def validated(model: type[Model], fields: Mapping[str, Any], *, where: str) -> Model:
    """Make `model` from `fields`, turning pydantic's report into one sentence."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise RecipeError(f"{where}: {_sentence(error, model)}") from None


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """Return `; did you mean …?` for the known name most like `name`, or an empty text."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""


def _sentence(error: ValidationError, model: type[BaseModel]) -> str:
    """Say the first problem, and how many more there are."""
    problems = error.errors(include_url=False, include_context=False)
    first = problems[0]
    path = [str(part) for part in first["loc"]]
    name = ".".join(path)
    if first["type"] == "extra_forbidden":
        known = _known(model, path[:-1])
        said = (
            f"{name} is not a field{nearest(path[-1], known) or '; allowed: ' + ', '.join(known)}"
        )
    elif first["type"] == "value_error":
        said = first["msg"].removeprefix("Value error, ")
        said = f"{name}: {said}" if name else said
    elif first["type"] == "missing":
        said = f"{name} is missing"
    else:
        message = first["msg"][0].lower() + first["msg"][1:]
        said = f"{name}: {_shown.repr(first['input'])} is not allowed: {message}"
    return said + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")


def _known(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        field = model.model_fields.get(part)
        annotation = field.annotation if field else None
        for inner in (annotation, *get_args(annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                model = inner
    return list(model.model_fields)
