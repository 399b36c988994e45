"""A recipe: everything that decides one training, as frozen data, checked and compared.

Reading, merging and comparing recipes happens here, without torch. What needs the network itself
(does a freeze pattern match a parameter, do the weights fit) is checked by `models`, before the
first batch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bakeoff.fields import Data, NotNegative, Patterns, PositiveOrAuto, validated
from bakeoff.named import expanded
from bakeoff.options import Augment, Distill, NetOptions

SMALL_NETS = ("baseline", "custom")


class Recipe(Data):
    """One training, apart from its data and its seed."""

    model: Annotated[str, Field(description="baseline, custom, a torchvision or a timm name")] = (
        "resnet18"
    )
    net: NetOptions = NetOptions()
    weights: Annotated[str, Field(min_length=1, description="none, imagenet, a path")] = "none"
    freeze: Annotated[
        Patterns, Field(description="`backbone`, `first_conv`, or patterns over parameter names")
    ] = ()
    size: Annotated[int, Field(ge=16, le=1024, description="pixels a side the net sees")] = 224
    stored: Annotated[
        int | None, Field(ge=16, le=2048, description="pixels a side kept of a photograph")
    ] = None
    drop_path: Annotated[
        float | None, Field(ge=0, lt=1, description="of the deepest; unset: what the net has")
    ] = None
    head_reads: Annotated[
        Literal["last", "stages"], Field(description="the last features, or those of every stage")
    ] = "last"
    train_size: Annotated[
        int | None, Field(ge=16, le=1024, description="pixels a side while training, if fewer")
    ] = None
    grow_from: Annotated[
        int | None, Field(ge=16, le=1024, description="pixels a side in the first epoch")
    ] = None
    augment: Augment = Augment()
    distill: Distill = Distill()
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: Annotated[PositiveOrAuto, Field(description="auto: measured, see `bakeoff.rates`")] = 1e-3
    momentum: Annotated[float, Field(ge=0, lt=1, description="of sgd")] = 0.9
    weight_decay: NotNegative = 0.0
    decay_norms: Annotated[bool, Field(description="weight decay on biases and norms too")] = True
    layer_decay: Annotated[
        float, Field(gt=0, le=1, description="the rate, times this a layer below the head")
    ] = 1.0
    ema: Annotated[
        float, Field(ge=0, lt=1, description="how much of the weights' mean a step keeps")
    ] = 0.0
    head_epochs: Annotated[
        int, Field(ge=0, le=100_000, description="first on the head alone, on fixed features")
    ] = 0
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
    views: Annotated[
        Literal["one", "flip", "crops"], Field(description="over which answers are averaged")
    ] = "one"

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
                f"weights: imagenet does not exist for {self.model}; allowed: none or a path"
            )
        if self.model not in SMALL_NETS and self.net != NetOptions():
            raise ValueError(f"net: only {' and '.join(SMALL_NETS)} have options, not {self.model}")
        if self.stored is not None and self.stored < self.size:
            raise ValueError(f"stored: {self.stored} is smaller than size {self.size}")
        if self.head_epochs and (self.weights == "none" or "backbone" in self.freeze):
            raise ValueError(
                f"head_epochs: {self.head_epochs} needs start weights, and a backbone that learns "
                "afterwards; allowed here: 0"
            )
        return self

    @model_validator(mode="after")
    def _sizes_follow(self) -> Recipe:
        limit = "size", self.size
        for name in ("train_size", "grow_from"):
            if (asked := getattr(self, name)) is None:
                continue
            if asked > limit[1]:
                raise ValueError(f"{name}: {asked} is larger than {limit[0]} {limit[1]}")
            if self.augment.policy == "none":
                raise ValueError(
                    f"{name}: {asked} needs an augment.policy that crops; "
                    "allowed: standard, report, report_jitter, trivial"
                )
            limit = name, asked
        return self

    def size_at(self, epoch: int) -> int:
        """Return the pixels a side that the net is trained on in `epoch` (0 is the first).

        They grow evenly, in steps of 16, and are whole for the last quarter of the epochs.
        """
        whole = self.train_size or self.size
        if self.grow_from is None:
            return whole
        share = min(1.0, epoch / max(1.0, 0.75 * (self.epochs - 1)))
        return min(whole, 16 * round((self.grow_from + share * (whole - self.grow_from)) / 16))

    @property
    def rate(self) -> float:
        """The rate `lr`, once it is a number."""
        assert self.lr != "auto", "rates.resolved comes first"
        return self.lr

    @property
    def side(self) -> int:
        """Pixels a side that are kept of every photograph."""
        return self.stored or self.size


def parse(fields: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
    """Check nested or dotted `fields`; RecipeError names field, value and what is allowed."""
    return validated(Recipe, merged({}, expanded(fields, where)), where=where)


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


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "unset" if value in (None, "") else format(value, "g" * isinstance(value, float))


def _leaves(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
