"""Crop, flips and turns as one map from output pixel to source pixel, resampled once.

Drawn parameters become one inverse affine matrix an image; the source is read once, bilinearly,
however many turns the policy has. What the literal sequence would have cut off at the edge of an
intermediate canvas is cut off here too, by a mask. Owns no random numbers (see policies) and no
colour (see colour).

Matrices are (B, 2, 3) and map output to input, in pixels from the middle of the canvas. They are
composed by elementwise products: bmm would lose up to a pixel under TF32 or bf16 autocast.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

# The largest stored : trained side at which one bilinear read stands in for torchvision's
# antialiased resize; above it, the read is averaged over several taps. Root mean square distance
# to the antialiased crop, in levels of 255 over crops of two photographs at 224 pixels: 0.3 stored
# at 256 and 0.7 at 280 with one read; at 512, 3.3 with one and 0.9 with four.
MAX_PLAIN_RATIO = 1.25


def matrix_of(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    """Stack two rows of three (B,) tensors into matrices (B, 2, 3)."""
    return torch.stack([torch.stack(list(row), dim=1) for row in rows], dim=1)


def turn(degrees: Tensor) -> Tensor:
    """Inverse map (B, 2, 3) of a clockwise turn about the middle, as RandomAffine counts angles.

    RandomRotation counts anticlockwise: negate.
    """
    angle = degrees.float() * (math.pi / 180)
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    return matrix_of([[cos, sin, zero], [-sin, cos, zero]])


def shear(horizontal: Tensor, vertical: Tensor, size: int) -> Tensor:
    """Inverse map (B, 2, 3) of shears that leave the top and the left edge where they are.

    Slopes without unit. At most one of the two is other than zero: that is what TrivialAugment
    draws, and for two together the order would matter.
    """
    one, half = torch.ones_like(horizontal), size / 2
    return matrix_of(
        [[one, horizontal, horizontal * half], [vertical, one, vertical * half]],
    )


def shift(right: Tensor, down: Tensor) -> Tensor:
    """Inverse map (B, 2, 3) of a translation in output pixels."""
    one, zero = torch.ones_like(right), torch.zeros_like(right)
    return matrix_of([[one, zero, -right], [zero, one, -down]])


def compose(first: Tensor, then: Tensor) -> Tensor:
    """Matrix (B, 2, 3) of `first` followed by `then`, both (B, 2, 3)."""
    product = (then[:, :, :2, None] * first[:, None]).sum(2)  # (B, 2, 3)
    return torch.cat([product[:, :, :2], product[:, :, 2:] + then[:, :, 2:]], dim=2)


def planes(matrix: Tensor, size: int) -> Tensor:
    """Where each pixel of a size x size canvas comes from: (B, 2, size, size), x before y."""
    pixel = torch.arange(size, device=matrix.device, dtype=torch.float32) - (size - 1) / 2
    across = matrix[:, :, 0, None, None] * pixel  # (B, 2, 1, size)
    down = matrix[:, :, 1, None, None] * pixel[:, None] + matrix[:, :, 2, None, None]
    return across + down  # (B, 2, size, size)


def inside(canvases: Sequence[Tensor], size: int) -> Tensor:
    """How much of each output pixel every canvas on its way had to give: (B, 1, size, size), 0..1.

    `canvases` are the maps from the output to each intermediate canvas. The edge falls from one to
    zero over one pixel, as it does when a bilinear read meets zeros; a nearest read has a hard
    edge at the middle of that pixel.
    """
    farthest = torch.stack([planes(m, size).abs_().amax(1, keepdim=True) for m in canvases])
    return farthest.amax(0).neg_().add_(size / 2 + 0.5).clamp_(0, 1)


def crop_matrix(box: Tensor, flip: Tensor, size: int) -> Tensor:
    """Map (B, 2, 3) from the middle of the canvas to source pixels, the first pixel's middle at 0.

    `box` is (B, 4) top, left, height, width in source pixels; `flip` (B, 2) bool, horizontal then
    vertical. The flip stands after the crop and turns the canvas over as a whole.
    """
    corner, side = box[:, :2].flip(1).float(), box[:, 2:].flip(1).float()  # x before y
    step = side / size
    sign = 1 - 2 * flip.float()
    zero = torch.zeros_like(step[:, 0])
    start = corner + (side - 1) / 2
    return matrix_of(
        [
            [sign[:, 0] * step[:, 0], zero, start[:, 0]],
            [zero, sign[:, 1] * step[:, 1], start[:, 1]],
        ]
    )


def taps(box: Tensor, size: int, source: int) -> list[Tensor]:
    """Offsets (B, 2, 1, 1) in source pixels, x before y, over which a read is averaged.

    A single zero while the crop can shrink by MAX_PLAIN_RATIO at most. Beyond that, a square of
    taps spread so that its second moment is that of torchvision's antialiasing triangle of
    half-width r = crop : output, r^2 / 6. Where a crop is enlarged (r <= 1) all taps coincide and
    the read is plain bilinear, as torchvision's is.
    """
    if source <= MAX_PLAIN_RATIO * size:
        return [torch.zeros(1, 2, 1, 1, device=box.device)]
    num = max(2, round(source / size))
    ratio = (box[:, 2:].flip(1).float() / size).clamp(min=1)  # (B, 2)
    gap = (2 * (ratio.square() - 1) / (num * num - 1)).sqrt()
    places = [step - (num - 1) / 2 for step in range(num)]
    return [
        torch.stack([gap[:, 0] * x, gap[:, 1] * y], dim=1)[:, :, None, None]
        for y in places
        for x in places
    ]


def resample(
    images: Tensor, box: Tensor, flip: Tensor, turns: Sequence[Tensor], size: int
) -> Tensor:
    """Crop, flip, then each of `turns` in order: (B, 3, size, size) float32 in 0..1, channels-last.

    images : (B, 3, S, S) uint8
    turns  : inverse maps (B, 2, 3); each one cuts at the edge of the size x size canvas
    """
    batch, channels, source = images.shape[0], images.shape[1], images.shape[3]
    canvases: list[Tensor] = []  # from the output to the canvas before each turn
    for matrix in reversed(turns):
        canvases.append(compose(canvases[-1], matrix) if canvases else matrix)
    crop = crop_matrix(box, flip, size)
    whole = compose(canvases[-1], crop) if canvases else crop
    places = planes(whole, size)  # (B, 2, size, size), source pixels

    corner, side = box[:, :2].flip(1).float(), box[:, 2:].flip(1).float()
    first, last = corner[:, :, None, None], (corner + side - 1)[:, :, None, None]
    pixels = images.float()  # 0..255
    offsets = taps(box, size, source)
    total: Tensor | None = None
    for offset in offsets:
        # The crop's edge pixels are repeated outwards, as a resize does.
        grid = torch.clamp(places + offset, first, last).add_(0.5).mul_(2 / source).sub_(1)
        read = F.grid_sample(
            pixels, grid.permute(0, 2, 3, 1), padding_mode="border", align_corners=False
        )
        total = read if total is None else total.add_(read)
    assert total is not None
    scale = 1 / (255 * len(offsets))
    output = torch.empty(
        (batch, channels, size, size),
        dtype=torch.float32,
        device=images.device,
        memory_format=torch.channels_last,
    )
    weight = inside(canvases, size).mul_(scale) if canvases else scale
    return torch.mul(total, weight, out=output)
