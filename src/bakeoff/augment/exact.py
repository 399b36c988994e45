"""The literal sequence of torchvision v2 operators, image by image: slow, for comparison.

Takes the same drawn parameters as fused.apply. Works on 8-bit pixels between the steps, as
torchvision does on uint8 tensors, and waits for the device.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from .colour import (
    BRIGHTNESS,
    CONTRAST,
    ERASE_COLOUR,
    OPERATIONS,
    SATURATION,
    solarize_threshold,
)
from .policies import Parameters


def apply_exact(
    images: Tensor, parameters: Parameters, size: int, interpolation: str = "nearest"
) -> Tensor:
    """Do what was drawn to (B, 3, S, S) uint8: (B, 3, size, size) float32 in 0..1, channels-last.

    `interpolation`, nearest or bilinear, is that of the turns; nearest is torchvision's default.
    The crop is resized bilinearly with antialiasing.
    """
    rows = [
        _one(image, _row(parameters, index), size, InterpolationMode(interpolation))
        for index, image in enumerate(images)
    ]
    return torch.stack(rows).contiguous(memory_format=torch.channels_last)


def _row(parameters: Parameters, index: int) -> Parameters:
    return Parameters(
        **{k: None if v is None else v[index].cpu() for k, v in vars(parameters).items()}
    )


def _one(image: Tensor, drawn: Parameters, size: int, mode: InterpolationMode) -> Tensor:
    """One image (3, S, S) uint8 through every step in order: (3, size, size) float32 in 0..1."""
    if drawn.box is None:
        image = F.center_crop(image, [size, size])
    else:
        box = [int(side) for side in drawn.box]
        image = F.resized_crop(image, *box, size=[size, size], antialias=True)
    if drawn.flip is not None:
        image = F.horizontal_flip(image) if drawn.flip[0] else image
        image = F.vertical_flip(image) if drawn.flip[1] else image
    if drawn.rotation is not None:
        image = F.rotate(image, float(drawn.rotation), mode, fill=[0.0])
    if drawn.affine is not None:
        image = F.affine(image, float(drawn.affine), [0, 0], 1.0, [0.0, 0.0], mode, fill=[0.0])
    if drawn.jitter is not None and drawn.order is not None:
        image = _jitter(image, drawn.jitter.tolist(), drawn.order.tolist())
    if drawn.operation is not None and drawn.strength is not None:
        image = _trivial(image, OPERATIONS[int(drawn.operation)], float(drawn.strength), mode)
    result: Tensor = F.to_dtype(image, torch.float32, scale=True)
    if drawn.hole is not None:
        top, left, height, width = (int(side) for side in drawn.hole)
        fill = torch.tensor(ERASE_COLOUR, device=image.device)[:, None, None]
        result = F.erase(result, top, left, height, width, fill)
    return result


def _jitter(image: Tensor, factors: list[float], order: list[int]) -> Tensor:
    for step in order:
        if step == BRIGHTNESS:
            image = F.adjust_brightness(image, factors[step])
        elif step == CONTRAST:
            image = F.adjust_contrast(image, factors[step])
        elif step == SATURATION:
            image = F.adjust_saturation(image, factors[step])
        else:
            image = F.adjust_hue(image, factors[step])
    return image


def _trivial(image: Tensor, name: str, strength: float, mode: InterpolationMode) -> Tensor:
    """One operation of TrivialAugmentWide at `strength` times its widest magnitude."""
    factor = 1 + 0.99 * strength
    slope, pixels = math.degrees(math.atan(0.99 * strength)), int(32 * strength)
    corner = [0.0, 0.0]
    operators: dict[str, Callable[[], Tensor]] = {
        "identity": lambda: image,
        "shear_x": lambda: F.affine(image, 0.0, [0, 0], 1.0, [slope, 0.0], mode, center=corner),
        "shear_y": lambda: F.affine(image, 0.0, [0, 0], 1.0, [0.0, slope], mode, center=corner),
        "translate_x": lambda: F.affine(image, 0.0, [pixels, 0], 1.0, [0.0, 0.0], mode),
        "translate_y": lambda: F.affine(image, 0.0, [0, pixels], 1.0, [0.0, 0.0], mode),
        "rotate": lambda: F.rotate(image, 135 * strength, mode),
        "brightness": lambda: F.adjust_brightness(image, factor),
        "color": lambda: F.adjust_saturation(image, factor),
        "contrast": lambda: F.adjust_contrast(image, factor),
        "sharpness": lambda: F.adjust_sharpness(image, factor),
        "posterize": lambda: F.posterize(image, 8 - round(6 * abs(strength))),
        "solarize": lambda: F.solarize(image, float(solarize_threshold(torch.tensor(strength)))),
        "autocontrast": lambda: F.autocontrast(image),
        "equalize": lambda: F.equalize(image),
    }
    return operators[name]()
