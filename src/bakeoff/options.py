"""The nested parts of a recipe: options of the small nets, augmentation, a teacher. No torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bakeoff.fields import Data, NotNegative, Positive, Probability


class NetOptions(Data):
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
    residual: Annotated[
        bool, Field(description="an identity link around every convolution that keeps the shape")
    ] = False
    attention: Annotated[
        Literal["none", "se", "eca"], Field(description="channel gates after the wide convolutions")
    ] = "none"
    blur_pool: Annotated[bool, Field(description="blur before every step wider than 1")] = False

    @model_validator(mode="after")
    def _links_need_equal_shapes(self) -> NetOptions:
        if self.residual and not self.padding:
            raise ValueError("residual needs padding 1, so that maps keep their shape, not 0")
        return self


class Augment(Data):
    """Random changes to the training photographs; policies are explained in `bakeoff.augment`."""

    policy: Literal["none", "standard", "report", "report_jitter", "trivial"] = "none"
    exact: Annotated[bool, Field(description="torchvision's own sequence, slower")] = False
    min_scale: Annotated[
        float,
        Field(
            gt=0, le=1, description="of a policy that crops: the smallest share of the area kept"
        ),
    ] = 0.08
    erase: Probability = 0.0
    mixup: NotNegative = 0.0
    cutmix: NotNegative = 0.0


class Distill(Data):
    """An earlier model that answers the same photographs; explained in `bakeoff.distill`."""

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
