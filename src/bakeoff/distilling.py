"""What a recipe says of a teacher. No torch: `distill` reads it, and asks it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bakeoff.fields import Positive, Probability


class Distill(BaseModel):
    """An earlier model that answers the same photographs; explained in `bakeoff.distill`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    teacher: Annotated[str, Field(description="a model, run or study folder")] = ""
    share: Annotated[Probability, Field(description="of the loss: how much the teacher counts")] = (
        0.5
    )
    temperature: Annotated[
        Positive, Field(description="by which both nets' logits are divided")
    ] = 2.0

    @model_validator(mode="after")
    def _has_a_teacher(self) -> Distill:
        if not self.teacher and self != Distill.model_construct():
            raise ValueError("teacher is missing; without one, share and temperature do nothing")
        return self
