"""Claims as data: what someone says of a study's rows, in a form that its runs can be asked about.

A claim is a short sentence such as `custom5 beats custom1` or `vgg6 equals vgg5 within 0.01`, or a
mapping that also says what is measured. A file of them is YAML; the report's own come with the
package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bakeoff.fields import RecipeError, validated

Measure = Literal["accuracy", "loss", "gap", "seconds"]
Relation = Literal["higher", "lower", "same"]
Names = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    Field(min_length=1),
]

SENTENCE = re.compile(r"(\S+) (?:beats (\S+)|equals (\S+)(?: within ([0-9.]+))?)")
ONE_POINT = 0.01


class Claim(BaseModel):
    """One claim: `variant` is higher or lower than, or the same as, every one of `than`.

    Measures are those of the test photographs (accuracy 0..1, loss in nats), `gap` (training minus
    test accuracy) and `seconds` of training. `margin` is what `same` allows, in the measure's unit.
    A name without its table is looked for in the table of `variant` first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    says: str = ""
    variant: str
    relation: Annotated[Relation, Field(alias="is")]
    than: Names
    measure: Measure = "accuracy"
    margin: Annotated[float | None, Field(gt=0)] = None

    @model_validator(mode="before")
    @classmethod
    def _from_sentence(cls, fields: Any) -> Any:
        return _parsed(fields) if isinstance(fields, str) else fields

    @model_validator(mode="after")
    def _margin_for_same(self) -> Claim:
        if (self.relation == "same") != (self.margin is not None):
            raise ValueError("margin: goes with `is: same`, and only with it")
        return self

    @property
    def sentence(self) -> str:
        """The claim in words."""
        return (
            self.says or f"{self.variant}: {self.relation} {self.measure}, {', '.join(self.than)}"
        )


class Claims(BaseModel):
    """A file of claims."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = ""
    claims: Annotated[tuple[Claim, ...], Field(min_length=1)]


def read_claims(source: str | Path | Sequence[Any]) -> tuple[Claim, ...]:
    """Read claims from a list, a YAML file, or the name of a shipped set (`food101-20`).

    Raises RecipeError in one sentence for what is not a claim.
    """
    where, content = "claims", source
    if isinstance(source, str | Path):
        path = _find(source)
        where = path.name
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise RecipeError(
                f"{where}: this is not YAML: {' '.join(str(error).split())}"
            ) from None
    fields = content if isinstance(content, Mapping) else {"claims": content}
    read: Claims = validated(Claims, fields, where=where)
    return read.claims


def _find(source: str | Path) -> Path:
    shipped = Path(str(files("bakeoff.evidence") / f"{source}.yaml"))
    for path in (Path(source), shipped):
        if path.is_file():
            return path
    raise RecipeError(f"claims {source}: neither a file nor a shipped set of claims")


def _parsed(sentence: str) -> dict[str, Any]:
    """Turn `a beats b` and `a equals b within 0.01` into fields; one point is the usual margin."""
    found = SENTENCE.fullmatch(sentence.strip())
    if found is None:
        raise ValueError(
            f"{sentence!r} is no claim; write `a beats b`, `a equals b within 0.01`, or a mapping"
        )
    variant, beaten, equal, margin = found.groups()
    if beaten:
        return {"says": sentence, "variant": variant, "is": "higher", "than": beaten}
    allowed = ONE_POINT if margin is None else margin
    return {"says": sentence, "variant": variant, "is": "same", "than": equal, "margin": allowed}
