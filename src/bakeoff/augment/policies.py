"""Policies by name, and every random number of the augmentation.

`draw` decides what each image of a batch gets; it reads no pixel, has static shapes and never
waits for the device. Doing it is left to fused.apply and exact.apply_exact, which draw nothing.

RandomResizedCrop is Szegedy et al., arXiv:1409.4842; TrivialAugment is Müller & Hutter,
arXiv:2103.10158; random erasing is Zhong et al., arXiv:1708.04896.
"""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Generator, Tensor

from .colour import OPERATIONS

_NUM_TRIES = 10  # torchvision gives up on a crop or a hole after as many
_NUM_BINS = 31  # magnitudes of TrivialAugment
_ERASE_SCALE, _ERASE_RATIO = (0.02, 0.33), (1 / 3.3, 1 / 0.3)  # width : height


@dataclass(frozen=True)
class Policy:
    """What may happen to an image, in this order: crop, flips, turns, colour, erasing.

    scale, ratio : share of the source's area and width : height of the random crop; scale None is
                   the centre crop, which resizes nothing
    horizontal, vertical, erase : probabilities
    rotation, affine : half-widths in degrees of two turns, one after the other; 0 leaves it out
    jitter : half-widths of brightness, contrast, saturation and hue (turns); all 0 leaves it out
    """

    scale: tuple[float, float] | None = None
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    horizontal: float = 0.0
    vertical: float = 0.0
    rotation: float = 0.0
    affine: float = 0.0
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    trivial: bool = False
    erase: float = 0.0


_standard = Policy(scale=(0.08, 1.0), horizontal=0.5)
# RandomResizedCrop, HorizontalFlip, VerticalFlip, RandomRotation(45), RandomAffine(45) and
# ColorJitter() without arguments, which changes nothing.
_report = replace(_standard, vertical=0.5, rotation=45.0, affine=45.0)

POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        "none": Policy(),
        "standard": _standard,
        "report": _report,
        "report_jitter": replace(_report, jitter=(0.4, 0.4, 0.4, 0.1)),
        "trivial": replace(_standard, trivial=True),
    }
)


@dataclass(frozen=True)
class Parameters:
    """What each of B images gets. None: the policy leaves that step out for every image.

    box       : (B, 4) int64 top, left, height, width of the crop in source pixels; None is the
                centre crop of pixels as they are
    flip      : (B, 2) bool, horizontal and vertical
    rotation  : (B,) degrees anticlockwise, as RandomRotation counts
    affine    : (B,) degrees clockwise, as RandomAffine counts
    jitter    : (B, 4) factors of brightness, contrast, saturation; hue in turns
    order     : (B, 4) int64, the jitter's steps in order
    operation : (B,) int64 index into colour.OPERATIONS
    strength  : (B,) -1..1, its signed magnitude as a share of the widest
    hole      : (B, 4) int64 top, left, height, width in output pixels; height 0 for none
    """

    box: Tensor | None = None
    flip: Tensor | None = None
    rotation: Tensor | None = None
    affine: Tensor | None = None
    jitter: Tensor | None = None
    order: Tensor | None = None
    operation: Tensor | None = None
    strength: Tensor | None = None
    hole: Tensor | None = None

    def take(self, rows: Tensor) -> "Parameters":
        """Those of the images `rows` (n,) of the batch."""
        kept = {name: of for name, of in vars(self).items() if of is not None}
        return Parameters(**{name: of[rows.to(of.device)] for name, of in kept.items()})


def policy_named(name: str) -> Policy:
    """The policy of that name; ValueError that offers the nearest name."""
    if name in POLICIES:
        return POLICIES[name]
    near = difflib.get_close_matches(name, POLICIES, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"augment.policy is {name!r}; allowed are {', '.join(POLICIES)}{hint}")


def _uniform(generator: Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _between(uniform: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * uniform


def _place(uniform: Tensor, room: Tensor) -> Tensor:
    """Integers 0..room, equally likely, from uniform numbers of the same shape."""
    return torch.minimum((uniform * (room + 1)).floor(), room.to(uniform.dtype))


def _fitting_box(
    generator: Generator,
    batch: int,
    side: int,
    *,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    largest: int,
    fallback: int,
) -> Tensor:
    """Boxes (B, 4) top, left, height, width in a square of `side`, anywhere in it.

    Area uniform, width : height log-uniform; of ten tries the first whose sides are 1..largest, a
    square of `fallback` if none is.
    """
    first, second = _uniform(generator, 2, batch, _NUM_TRIES).unbind(0)
    area = side * side * _between(first, *scale)
    shape = torch.exp(_between(second, math.log(ratio[0]), math.log(ratio[1])))
    width, height = (area * shape).sqrt().round(), (area / shape).sqrt().round()  # (B, tries)
    fits = (width > 0) & (width <= largest) & (height > 0) & (height <= largest)
    chosen = fits.to(torch.int64).argmax(1, keepdim=True)  # the first of equals
    width = torch.where(fits.any(1), width.gather(1, chosen)[:, 0], fallback)
    height = torch.where(fits.any(1), height.gather(1, chosen)[:, 0], fallback)
    down, along = _uniform(generator, 2, batch).unbind(0)
    top, left = _place(down, side - height), _place(along, side - width)
    return torch.stack([top, left, height, width], dim=1).long()


def draw_crop(policy: Policy, batch: int, source: int, size: int, generator: Generator) -> Tensor:
    """Boxes (B, 4) as RandomResizedCrop draws them from a square source, in whole pixels."""
    if policy.scale is None:
        box = torch.full((batch, 4), size, device=generator.device)
        box[:, :2] = centre_start(source, size)
        return box
    if not policy.ratio[0] <= 1 <= policy.ratio[1]:
        raise ValueError(f"ratio is {policy.ratio}; allowed are bounds around 1")
    return _fitting_box(
        generator,
        batch,
        source,
        scale=policy.scale,
        ratio=policy.ratio,
        largest=source,
        fallback=source,
    )


def centre_start(source: int, size: int) -> int:
    """First pixel of the centre crop, rounded as torchvision's CenterCrop rounds."""
    return round((source - size) / 2)


def draw_hole(probability: float, batch: int, size: int, generator: Generator) -> Tensor:
    """Boxes (B, 4) as RandomErasing draws them; height and width 0 where nothing is erased."""
    box = _fitting_box(
        generator,
        batch,
        size,
        scale=_ERASE_SCALE,
        ratio=_ERASE_RATIO,
        largest=size - 1,
        fallback=0,
    )
    return box * (_uniform(generator, batch, 1) < probability)


def draw_jitter(
    widths: tuple[float, float, float, float], batch: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Factors and order, (B, 4) each, as ColorJitter draws them; every image has its own."""
    uniform = _uniform(generator, 4, batch)
    factors = [
        _between(column, max(0.0, 1 - width), 1 + width)
        for column, width in zip(uniform[:3], widths[:3], strict=True)
    ]
    hue = _between(uniform[3], -widths[3], widths[3])
    order = _uniform(generator, batch, 4).argsort(dim=1)
    return torch.stack([*factors, hue], dim=1), order


def draw_trivial(batch: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Operation and signed strength, (B,) each, as TrivialAugmentWide draws them."""
    which, size, side = _uniform(generator, 3, batch).unbind(0)
    num = len(OPERATIONS)
    operation = (which * num).long().clamp(max=num - 1)
    step = (size * _NUM_BINS).floor().clamp(max=_NUM_BINS - 1)
    return operation, step / (_NUM_BINS - 1) * torch.where(side <= 0.5, -1, 1)


def draw(policy: Policy, batch: int, source: int, size: int, generator: Generator) -> Parameters:
    """Decide what happens to `batch` images of `source` pixels a side, on the generator's device.

    Every random number comes from `generator`, in a number and order that only the policy, the
    batch and the sizes decide. Nothing waits for the device.
    """
    if policy.scale is None and size > source:
        raise ValueError(f"size is {size}; a centre crop of the stored {source} allows up to that")
    drawn: dict[str, Tensor] = {}
    chances = (policy.horizontal, policy.vertical)
    if policy.scale is not None or any(chances) or policy.rotation or policy.affine:
        drawn["box"] = draw_crop(policy, batch, source, size, generator)
    if any(chances):
        uniform = _uniform(generator, 2, batch)
        drawn["flip"] = torch.stack([u < p for u, p in zip(uniform, chances, strict=True)], dim=1)
    if policy.rotation:
        drawn["rotation"] = _between(_uniform(generator, batch), -policy.rotation, policy.rotation)
    if policy.affine:
        drawn["affine"] = _between(_uniform(generator, batch), -policy.affine, policy.affine)
    if any(policy.jitter):
        drawn["jitter"], drawn["order"] = draw_jitter(policy.jitter, batch, generator)
    if policy.trivial:
        drawn["operation"], drawn["strength"] = draw_trivial(batch, generator)
    if policy.erase:
        drawn["hole"] = draw_hole(policy.erase, batch, size, generator)
    return Parameters(**drawn)
