"""What was drawn, done to a whole batch: one resampling, then one pass of colour, then erasing.

Draws nothing, never waits for the device and has static shapes, so that it can be compiled and
captured in a CUDA graph. exact.py does the same literally, for comparison.
"""

import torch
from torch import Tensor

from . import colour, geometry
from .policies import Parameters, centre_start


def apply(images: Tensor, parameters: Parameters, size: int) -> Tensor:
    """Do what was drawn to (B, 3, S, S) uint8: (B, 3, size, size) float32 in 0..1, channels-last.

    Where the crop is enlarged, and there is no turn, within rounding of what exact.apply_exact
    gives; turns are read bilinearly and once, where torchvision's default reads each one by
    nearest neighbour.
    """
    if parameters.box is None:
        start = centre_start(images.shape[-1], size)
        middle = images[:, :, start : start + size, start : start + size]
        output = torch.empty_like(
            middle, dtype=torch.float32, memory_format=torch.channels_last
        ).copy_(middle)
        output.mul_(1 / 255)
    else:
        output = _warp(images, parameters.box, parameters, size)
    if parameters.jitter is not None and parameters.order is not None:
        output = colour.jitter(output, parameters.jitter, parameters.order)
    if parameters.operation is not None and parameters.strength is not None:
        output = colour.trivial(output, parameters.operation, parameters.strength)
    output = output.contiguous(memory_format=torch.channels_last)
    if parameters.hole is not None:
        output = colour.erase(output, parameters.hole)
    return output


def _warp(images: Tensor, box: Tensor, parameters: Parameters, size: int) -> Tensor:
    flip = parameters.flip
    if flip is None:
        flip = torch.zeros(box.shape[0], 2, dtype=torch.bool, device=box.device)
    turns = []
    if parameters.rotation is not None:
        turns.append(geometry.turn(-parameters.rotation))
    if parameters.affine is not None:
        turns.append(geometry.turn(parameters.affine))
    if parameters.operation is not None and parameters.strength is not None:
        turns.append(_trivial_turn(parameters.operation, parameters.strength, size))
    return geometry.resample(images, box, flip, turns, size)


def _trivial_turn(operation: Tensor, strength: Tensor, size: int) -> Tensor:
    """Inverse map (B, 2, 3) of TrivialAugment's geometric operation; identity for the others."""

    def share(name: str) -> Tensor:
        return strength * (operation == colour.OPERATIONS.index(name))

    slope_x, slope_y = 0.99 * share("shear_x"), 0.99 * share("shear_y")
    right, down = (32 * share("translate_x")).trunc(), (32 * share("translate_y")).trunc()
    turned = geometry.turn(-135 * share("rotate"))
    # Only one of the three differs from the identity, so their order is of no matter.
    moved = geometry.compose(geometry.shift(right, down), turned)
    return geometry.compose(moved, geometry.shear(slope_x, slope_y, size))
