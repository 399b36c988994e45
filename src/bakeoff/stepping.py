"""The ways of stepping and the choice among them; a step is made once for each kind of run.

    eager           operation after operation; the only way that pays on a CPU
    compiled        the net through Inductor
    captured        the compiled step, from augmentation to metrics, recorded as a CUDA graph
    captured_eager  the plain step recorded: the kernels of `eager`, and its numbers

`auto` is eager on a CPU. On CUDA it records, and compiles too where a run is so long that it pays.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from types import TracebackType
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from bakeoff import capture, step
from bakeoff.fields import RecipeError, nearest
from bakeoff.inputs import Inputs
from bakeoff.machine import quiet
from bakeoff.models.parts import train_mode
from bakeoff.recipe import Recipe
from bakeoff.settings import STEPS
from bakeoff.step import Step, Work

WAYS: Mapping[str, Callable[[Work, capture.Record | None], Step]] = {
    "compiled": capture.compiled,
    "captured": capture.captured,
    "captured_eager": capture.captured_eager,
}
"""All but `eager`, which binds nothing."""
ON_CUDA = ("captured", "captured_eager", "eager")  # what `auto` tries, in this order
WORTH_COMPILING = 4e16  # operations of a run: a fifth of their time, saved, is 30 s of compiling
FREE = (
    "lr", "schedule", "warmup_epochs", "step_epochs", "step_gamma",
    "epochs", "batch", "train_share", "patience", "stored",
    "ema", "head_epochs", "train_size", "grow_from", "views",
)  # fmt: skip
"""What may differ between runs that share a step."""

_log = logging.getLogger(__name__)


def check(way: str, where: torch.device, processes: int = 1) -> None:
    """Refuse a way of stepping that does not exist, or not on this device or for `processes`."""
    if way not in STEPS:
        raise RecipeError(
            f"--step: {way} is no way of stepping{nearest(way, STEPS)}; allowed: {', '.join(STEPS)}"
        )
    if way not in ("auto", "eager") and processes > 1:
        raise RecipeError(
            f"--step: {way} is for one process, and these are {processes}; allowed: auto, eager"
        )
    if way.startswith("captured") and where.type != "cuda":
        raise RecipeError(
            f"--step: {way} needs a CUDA device, and this is {where.type}; "
            "allowed: auto, eager, compiled"
        )


@dataclass(frozen=True)
class _Kept:
    """A step, the kind of runs it is for, and all that it works on."""

    kind: tuple[Any, ...]
    work: Work
    step: Step


class Steps:
    """Makes the steps of a process's runs, and keeps the last one for the runs that can share it.

    `record` turns a step on fixed tensors into what repeats it; `used` is the way last taken.
    """

    def __init__(self, way: str = "auto", record: capture.Record | None = None) -> None:
        self.way, self.record, self.used = way, record, "eager"
        self._kept: _Kept | None = None
        self._unfit: set[tuple[Any, ...]] = set()

    def __enter__(self) -> Steps:
        """Open: nothing is kept yet."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        """Let go of what is kept."""
        self.forget()

    def forget(self) -> None:
        """Free the step that is kept, its memory and what was compiled for it."""
        if self._kept is not None and "torch._dynamo" in sys.modules:
            torch._dynamo.reset()
        self._kept = None

    def make(self, work: Work) -> Step:
        """Return a step for `work`: the kept one if it fits, else one made in the best way.

        Raises RecipeError where a way that was asked for by name cannot be had.
        """
        for name in self._ways(work):
            self.used = name
            if name == "eager":
                return step.eager(work)
            kind = name, *_kind(work)
            if kind in self._unfit:
                continue
            try:
                return self._shared(kind, name, work)
            except Exception as failure:
                self._unfit.add(kind)
                reason = str(failure).strip().split("\n", maxsplit=1)[0]
                said = f"--step: {name} cannot be had for {work.recipe.model} ({reason})"
                if self.way != "auto":
                    raise RecipeError(f"{said}; allowed: auto, which then takes another") from None
                _log.warning("%s; another way is taken", said)
        raise RecipeError(f"--step: {self.way} cannot be had for {work.recipe.model}")

    def _ways(self, work: Work) -> tuple[str, ...]:
        """Return what to try, the best first."""
        if self.way != "auto":
            return (self.way,)
        waits = work.inputs.augment.exact or work.fabric.world_size > 1
        if work.inputs.device.type != "cuda" or waits:
            return ("eager",)
        return ON_CUDA if operations(work) >= WORTH_COMPILING else ON_CUDA[1:]

    def _shared(self, kind: tuple[Any, ...], name: str, work: Work) -> Step:
        if self._kept is not None and self._kept.kind == kind:
            capture.move_in(work, self._kept.work)
            return self._kept.step
        self.forget()
        own = replace(work, inputs=_without_rows(work.inputs))
        with quiet():
            made = WAYS[name](own, self.record)
        self._kept = _Kept(kind, own, made)
        return made


@torch.no_grad()
def operations(work: Work) -> int:
    """Return the multiplications and additions of a whole run; backward is twice forward."""
    size = work.sizes[-1]
    work.model.eval()
    with FlopCounterMode(display=False) as counter:
        work.model(work.inputs.seen(capture.place(work.inputs, size)))
    train_mode(work.model)
    return 3 * int(counter.get_total_flops()) * work.images // size


def _without_rows(inputs: Inputs) -> Inputs:
    """Return `inputs` with no rows, so that a kept step does not keep them."""
    none = torch.empty((0, *inputs.rows.shape[1:]), dtype=inputs.dtype, device=inputs.device)
    return replace(inputs, rows=none, labels=inputs.labels.new_empty(0))


def _kind(work: Work) -> tuple[Any, ...]:
    """Return all that a step is bound to, apart from the values of its tensors."""
    inputs, recipe = work.inputs, work.recipe
    plain = {name: getattr(Recipe(), name) for name in FREE}
    imagenet = recipe.weights == "imagenet"  # some nets differ with it
    nobody = recipe.distill.model_copy(update={"teacher": ""})  # its content counts, not its place
    places = {"weights": "imagenet" if imagenet else "none", "distill": nobody}
    return (
        recipe.model_copy(update={**plain, **places}),
        work.teacher.digest if work.teacher else None,
        work.fabric.strategy.precision.precision,
        None if work.weight is None else tuple(work.weight.tolist()),
        work.sizes,
        (inputs.device, inputs.dtype, inputs.rows.shape[1:], inputs.num_classes),
        (inputs.drawn_size, inputs.num_views),
        tuple(chain(inputs.mean.flatten().tolist(), inputs.std.flatten().tolist())),
        tuple((t.shape, t.dtype, t.requires_grad) for t in capture.tensors(work.model)),
    )
