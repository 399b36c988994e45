"""A recipe: everything that decides one training, as frozen data, checked and compared.

Reading, merging and comparing recipes happens here, without torch. What needs the network itself
(does a freeze pattern match a parameter, do the weights fit) is checked by `models`, before the
first batch.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from reprlib import Repr
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

Model = TypeVar("Model", bound=BaseModel)

SMALL_NETS = ("baseline", "custom")

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1)]
Patterns = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]


_shown = Repr()  # values in errors, cut where they are long
_shown.maxstring = _shown.maxother = _shown.maxlong = 80


class RecipeError(ValueError):
    """A recipe or study that cannot be run, said in one sentence."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetOptions(_Data):
    """What can be varied in the report's two small nets (`baseline`, `custom`)."""

    extra_convs: Annotated[
        Literal["none", "around_pool", "before_pool"],
        Field(
            description="two more convolutions: as the report's table 2, or as its text, has them"
        ),
    ] = "none"
    early_pool: Annotated[bool, Field(description="a max-pool after conv2")] = False
    activation: Literal["relu", "silu", "gelu"] = "relu"
    pool_stride: Annotated[int, Field(ge=1, le=3)] = 3
    padding: Annotated[int, Field(ge=0, le=1, description="of every convolution")] = 0
    relu_logits: bool = False
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    width: Annotated[
        int, Field(ge=4, le=512, description="channels of conv1; later ones double")
    ] = 64


class Augment(_Data):
    """Random changes to the training photographs; policies are explained in `bakeoff.augment`."""

    policy: Literal["none", "standard", "report", "report_jitter", "trivial"] = "none"
    exact: Annotated[bool, Field(description="torchvision's own sequence, slower")] = False
    erase: Probability = 0.0
    mixup: NotNegative = 0.0
    cutmix: NotNegative = 0.0


class Recipe(_Data):
    """One training, apart from its data and its seed."""

    model: Annotated[str, Field(description="baseline, custom, a torchvision or a timm name")] = (
        "resnet18"
    )
    net: NetOptions = NetOptions()
    weights: Annotated[str, Field(min_length=1, description="none, imagenet or a file")] = "none"
    freeze: Annotated[
        Patterns,
        Field(description="`backbone`, `first_conv`, or patterns over parameter names"),
    ] = ()
    size: Annotated[int, Field(ge=16, le=1024, description="pixels a side the net sees")] = 224
    stored: Annotated[
        int | None, Field(ge=16, le=2048, description="pixels a side kept of a photograph")
    ] = None
    augment: Augment = Augment()
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: Positive = 1e-3
    momentum: Annotated[float, Field(ge=0, lt=1, description="of sgd")] = 0.9
    weight_decay: NotNegative = 0.0
    schedule: Literal["constant", "step", "cosine"] = "constant"
    warmup_epochs: NotNegative = 0.0
    step_epochs: Annotated[int, Field(ge=1, le=100_000)] = 7
    step_gamma: Annotated[float, Field(gt=0, lt=1)] = 0.1
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 25
    batch: Annotated[int, Field(ge=2, le=8192)] = 32
    train_share: Annotated[
        float, Field(gt=0, le=1, description="of the training photographs, class by class")
    ] = 1.0
    patience: Annotated[
        int | None, Field(ge=1, description="epochs without a better one before stopping")
    ] = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    @model_validator(mode="before")
    @classmethod
    def _custom_is_baseline_with_both(cls, fields: Any) -> Any:
        if isinstance(fields, Mapping) and fields.get("model") == "custom":
            both = {"extra_convs": "around_pool", "early_pool": True}
            net = fields.get("net", {})
            return {**fields, "net": {**both, **net} if isinstance(net, Mapping) else net}
        return fields

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        if self.model in SMALL_NETS and self.weights == "imagenet":
            raise ValueError(
                f"weights: imagenet does not exist for {self.model}; allowed: none or a file"
            )
        if self.model not in SMALL_NETS and self.net != NetOptions():
            raise ValueError(f"net: only {' and '.join(SMALL_NETS)} have options, not {self.model}")
        if self.stored is not None and self.stored < self.size:
            raise ValueError(f"stored: {self.stored} is smaller than size {self.size}")
        return self

    @property
    def side(self) -> int:
        """Pixels a side that are kept of every photograph."""
        return self.stored or self.size


def parse(fields: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
    """Check nested or dotted `fields`; RecipeError names field, value and what is allowed."""
    return validated(Recipe, merged({}, fields), where=where)


def validated(model: type[Model], fields: Mapping[str, Any], *, where: str) -> Model:
    """Make `model` from `fields`, turning pydantic's report into one sentence."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise RecipeError(f"{where}: {_sentence(error, model)}") from None


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes` (nested or dotted) laid over it; neither is altered."""
    result = dict(base)
    for name, value in changes.items():
        first, _, rest = str(name).partition(".")
        inner = result.get(first)
        if rest:
            result[first] = merged(inner if isinstance(inner, Mapping) else {}, {rest: value})
        elif isinstance(value, Mapping):
            result[first] = merged(inner if isinstance(inner, Mapping) else {}, value)
        else:
            result[first] = value
    return result


def flat(recipe: Recipe) -> dict[str, Any]:
    """Return every field of `recipe` under its dotted name, in the order of their definition."""
    return dict(_leaves(recipe.model_dump(mode="json")))


def difference(base: Recipe, variant: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which `variant` differs: name -> (base value, variant value)."""
    before, after = flat(base), flat(variant)
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def in_words(change: Mapping[str, tuple[Any, Any]]) -> str:
    """Say a difference as `lr 0.001 → 0.0005, freeze none → backbone`; `none` for no difference."""
    said = (f"{name} {_value(old)} → {_value(new)}" for name, (old, new) in change.items())
    return ", ".join(said) or "none"


def digest(*parts: object) -> str:
    """Return 16 hexadecimal digits that name `parts` (anything JSON can hold)."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """Return `; did you mean …?` for the known name most like `name`, or an empty text."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "unset" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _leaves(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


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
