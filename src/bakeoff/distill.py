"""A teacher: an earlier model whose answers a net learns beside the labels.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015). As Beyer et al.,
"Knowledge distillation: A good teacher is patient and consistent" (2022), found best, it sees each
photograph exactly as the student does: the same crop, colours and mixture. It never learns itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from bakeoff.fields import RecipeError
from bakeoff.machine import quiet
from bakeoff.models import folder as model_folder
from bakeoff.models import weights
from bakeoff.models.parts import Net
from bakeoff.options import Distill
from bakeoff.ranks import ALONE, Ranks
from bakeoff.recipe import Recipe


@dataclass(frozen=True)
class Teacher:
    """A net in eval mode without gradients, and what its answers count.

    `rescaled` is the factor and the summand, (3, 1, 1), that turn what the student sees into what
    it is by the teacher's own mean and standard deviation; None where they are alike. `size` is
    what the teacher learned on, pixels a side, and `digest` names all that decides its answers.
    """

    module: nn.Module
    digest: str
    size: int
    rescaled: tuple[Tensor, Tensor] | None
    asked: Distill
    fabric: Fabric
    ranks: Ranks = ALONE

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Return its logits (B, C), float32, for images (B, 3, S, S) as the student sees them."""
        if self.rescaled is not None:
            images = images * self.rescaled[0] + self.rescaled[1]
        if images.shape[-1] != self.size:
            side = (self.size, self.size)
            images = F.interpolate(images, side, mode="bilinear", antialias=True)
        with self.fabric.autocast():
            answered: Tensor = self.module(images)
        return answered.float()

    def joined(self, loss: Tensor, logits: Tensor, images: Tensor) -> Tensor:
        """Return the student's `loss` and its distance from the teacher, each by its share.

        `logits` (B, C) are the student's for `images`. Of several processes both are made by
        `Ranks.over_all`, each mean dividing by its own.
        """
        apart = self.ranks.over_all(self._apart, _rows)(logits, self.logits(images))
        return (1 - self.asked.share) * loss + self.asked.share * apart

    def _apart(self, logits: Tensor, taught: Tensor) -> Tensor:
        """Return T^2 KL(teacher || student), both softened by T: mean over (B, C) logits."""
        soft = self.asked.temperature
        student, teacher = ((each / soft).log_softmax(1) for each in (logits, taught))
        return soft**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def _rows(taught: Tensor) -> Tensor:
    return torch.tensor(float(len(taught)), device=taught.device)


def teacher(
    recipe: Recipe,
    classes: Sequence[str],
    student: Net,
    fabric: Fabric,
    where: torch.device,
    ranks: Ranks = ALONE,
) -> Teacher | None:
    """Read the recipe's teacher for `student`; None where it has none. Raises as `check`."""
    found = check(recipe, classes)
    if found is None:
        return None
    net, own = found
    net.module.to(where).to(memory_format=torch.channels_last).requires_grad_(requires_grad=False)
    rescaled = None
    if (net.mean, net.std) != (tuple(student.mean), tuple(student.std)):
        mean, std, from_mean, from_std = (
            torch.tensor(each, device=where)[:, None, None]
            for each in (net.mean, net.std, student.mean, student.std)
        )
        rescaled = from_std / std, (from_mean - mean) / std
    what = net.module, weights.digest(recipe.distill.teacher), own.size, rescaled
    return Teacher(*what, recipe.distill, fabric, ranks)


def check(recipe: Recipe, classes: Sequence[str]) -> tuple[Net, Recipe] | None:
    """Return the recipe's teacher and its own recipe; None where there is none.

    Raises RecipeError where its folder holds no model, and where it does not know exactly
    `classes`, in their order.
    """
    if not (place := recipe.distill.teacher):
        return None
    folder = weights.located(place, "distill.teacher")
    with torch.random.fork_rng(devices=[]), quiet():
        net, own, known = model_folder.read(folder)
    for number, (there, here) in enumerate(zip_longest(known, classes, fillvalue="missing"), 1):
        if there != here:
            raise RecipeError(
                f"distill.teacher: class {number} of {place} is {there}, and here it is {here}; "
                "a teacher has exactly the classes of the run"
            )
    return net, own
