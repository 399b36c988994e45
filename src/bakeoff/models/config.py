"""config.json of a model folder: what stands in it, checked before anything is built. No torch.

`architecture`, `num_classes`, `label_names` and `pretrained_cfg` are timm's words; everything that
only bakeoff needs stands under `bakeoff`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bakeoff.fields import Positive, Probability, RecipeError, validated
from bakeoff.recipe import SMALL_NETS, Recipe

MOST_BYTES = 2**24
REMOTE = ("hf-hub:", "local-dir:")

Label = Annotated[str, Field(min_length=1, max_length=500)]
Level = Annotated[float, Field(allow_inf_nan=False)]


class Facts(BaseModel):
    """What timm calls `pretrained_cfg`, as far as it decides what the net sees."""

    model_config = ConfigDict(frozen=True)

    input_size: tuple[int, int, int]
    mean: tuple[Level, Level, Level]
    std: tuple[Positive, Positive, Positive]


class Promise(BaseModel):
    """At most `error` of the answers at `threshold` or above are wrong; None: no such threshold."""

    model_config = ConfigDict(frozen=True)

    error: Annotated[float, Field(gt=0, lt=1)]
    threshold: Probability | None


class Trust(BaseModel):
    """What validation says of a net's confidence; each promise holds with that `confidence`."""

    model_config = ConfigDict(frozen=True)

    temperature: Positive
    validation_images: Annotated[int, Field(ge=1)]
    confidence: Annotated[float, Field(gt=0, lt=1)]
    promises: tuple[Promise, ...]

    def threshold(self, accept_error: float) -> float:
        """Return the least probability of an answer, so that at most `accept_error` are wrong.

        Between two promises the stricter one is taken. Raises RecipeError where validation
        supports no promise that strict.
        """
        kept = {each.error: each.threshold for each in self.promises if each.threshold is not None}
        strict = [error for error in kept if error <= accept_error]
        if not 0 < accept_error < 1 or not strict:
            least = f"{min(kept):g} or more, below 1" if kept else "none"
            raise RecipeError(
                f"accept_error: {accept_error:g} is not allowed; "
                f"{self.validation_images} validation photographs can promise: {least}"
            )
        return kept[max(strict)]


class Own(BaseModel):
    """What only bakeoff reads."""

    model_config = ConfigDict(frozen=True)

    version: str
    recipe: Recipe
    trust: Trust | None = None


class Config(BaseModel):
    """A model folder's config.json; what timm alone reads is left out."""

    model_config = ConfigDict(frozen=True)

    architecture: Label
    num_classes: int
    label_names: Annotated[tuple[Label, ...], Field(min_length=2)]
    pretrained_cfg: Facts
    bakeoff: Own

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Config:
        names, size = self.label_names, self.bakeoff.recipe.size
        if len(names) != self.num_classes:
            raise ValueError(f"num_classes: {self.num_classes} with {len(names)} label_names")
        if len(set(names)) != len(names):
            raise ValueError("label_names: a class stands there twice")
        if self.pretrained_cfg.input_size != (3, size, size):
            raise ValueError(
                f"pretrained_cfg.input_size: {list(self.pretrained_cfg.input_size)} "
                f"with recipe.size {size}"
            )
        return self

    @property
    def recipe(self) -> Recipe:
        """The recipe, with a net that can be built from nothing but its name."""
        recipe = self.bakeoff.recipe
        if recipe.model.removeprefix("timm/").startswith(REMOTE):
            recipe = recipe.model_copy(update={"model": f"timm/{self.architecture}"})
        if recipe.model.removeprefix("timm/").startswith(REMOTE):
            raise RecipeError(f"architecture: {self.architecture} is a place, not a net's name")
        return recipe.model_copy(update={"weights": "none", "drop_path": None})


def locate(place: Path) -> Path:
    """Return the model folder that `place` is or holds: a model, a run or a study folder.

    Raises RecipeError where there is none.
    """
    for folder in (place, place / "model", place / "best"):
        if (folder / "config.json").is_file():
            return folder
    raise RecipeError(
        f"{place}: no config.json here; give a model folder, a run folder or a study folder"
    )


def beginning(weights: str | Path | None, start: str | Path | None) -> dict[str, Any]:
    """Return the recipe fields of a training that begins at `weights`, or at the model of `start`.

    Without either it begins at ImageNet's. A model brings its net and what that sees along. Raises
    RecipeError where both are given, and where `start` holds no model.
    """
    if start is None:
        return {"weights": str(weights or "imagenet")}
    if weights is not None:
        raise RecipeError(f"start: {start} brings its weights, and {weights} are given as well")
    recipe = read(locate(Path(start))).recipe
    net = {"net": recipe.net.model_dump()} if recipe.model in SMALL_NETS else {}
    sees = {"size": recipe.size, "stored": recipe.stored}
    return {"model": recipe.model, **net, **sees, "weights": str(start)}


def read(folder: Path) -> Config:
    """Read and check `folder`/config.json; RecipeError says in one sentence what is wrong."""
    path = folder / "config.json"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise RecipeError(f"{path}: over {MOST_BYTES} bytes; a config.json is far smaller")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{folder}: no config.json here; give a model folder") from None
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise RecipeError(f"{path}: this is not JSON") from None
    if not isinstance(content, dict) or "bakeoff" not in content:
        raise RecipeError(f"{path}: not a model that bakeoff wrote")
    return validated(Config, content, where=str(path))
