"""Colour in batch, every image with its own parameters, without a host synchronisation.

`jitter` is ColorJitter on floats; `trivial` is the colour half of TrivialAugment on 8-bit levels,
almost all of it as one table look-up a channel. What each image gets is decided in policies.
"""

import torch
from torch import Tensor

# Positions of the four steps of ColorJitter in its drawn order.
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


def luma(images: Tensor) -> Tensor:
    """Grey of (B, 3, H, W) by ITU-R BT.601: (B, 1, H, W)."""
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def shift_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of (B, 3, H, W) images in 0..1 by (B,) whole turns, keeping S and V of HSV.

    The way back is max(0, min(k, 4 - k, 1)) for each channel, k = (n + 6 hue) mod 6 with n = 5, 3,
    1, so that no sector is looked up.
    """
    red, green, blue = images.unbind(1)
    value, lowest = images.amax(1), images.amin(1)
    chroma = value - lowest
    divisor = torch.where(chroma > 0, chroma, 1)
    hue = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )  # (B, H, W) in sixths of a turn
    hue = hue + 6 * turns[:, None, None]
    channels = []
    for start in (5.0, 3.0, 1.0):
        place = torch.remainder(hue + start, 6)
        channels.append(value - chroma * torch.minimum(place, 4 - place).clamp_(0, 1))
    return torch.stack(channels, dim=1)


def _blend(images: Tensor, kind: Tensor, factors: Tensor) -> Tensor:
    """One step: brightness, contrast or saturation by (B,) `kind`; any other kind does nothing.

    All three are clamp(f x + (1 - f) t) with t black, the mean grey of the image, or its grey.
    """
    picked = (kind[:, None] == torch.arange(3, device=kind.device)).float()  # (B, 3)
    factor = (picked * (factors[:, :3] - 1)).sum(1)[:, None, None, None] + 1
    grey = luma(images)
    mean = grey.mean(dim=(2, 3), keepdim=True)
    rest = 1 - factor  # (B, 1, 1, 1)
    target = grey.mul_(picked[:, SATURATION, None, None, None] * rest)
    target = target.add_(mean * picked[:, CONTRAST, None, None, None] * rest)  # (B, 1, H, W)
    return (images * factor).add_(target).clamp_(0, 1)


def jitter(images: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    """ColorJitter, every image with its own factors in its own order.

    images  : (B, 3, H, W) in 0..1
    factors : (B, 4) brightness, contrast and saturation (1 changes nothing), hue in turns (0)
    order   : (B, 4) the steps' positions, a permutation of 0..3 in each row

    The hue is the dear step. It is taken once for the whole batch: an image's steps before its
    hue go through three slots before, the others through three slots after; a free slot does
    nothing.
    """
    slot = torch.arange(4, device=order.device)
    hue_at = (order == HUE).to(torch.int64).argmax(1, keepdim=True)  # (B, 1)
    for place in range(3):
        images = _blend(images, torch.where(slot < hue_at, order, HUE)[:, place], factors)
    images = shift_hue(images, factors[:, HUE])
    for place in range(1, 4):
        images = _blend(images, torch.where(slot > hue_at, order, HUE)[:, place], factors)
    return images


# TrivialAugment's operations, numbered as torchvision's TrivialAugmentWide lists them.
OPERATIONS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
)


def _equalized(histogram: Tensor, ramp: Tensor) -> Tensor:
    """Table (B, 3, 256) that equalizes, from the histogram (B, 3, 256), by PIL's integer rule."""
    highest = torch.where(histogram > 0, ramp, -1).amax(2, keepdim=True)
    in_highest = histogram.gather(2, highest.long())
    step = (histogram.sum(2, keepdim=True) - in_highest) // 255
    below = histogram.cumsum(2) - histogram
    table = ((below + step // 2) // step.clamp(min=1)).clamp(0, 255)
    return torch.where(step > 0, table.float(), ramp)


def _stretched(histogram: Tensor, ramp: Tensor) -> Tensor:
    """Table (B, 3, 256) that stretches each channel's range to 0..255."""
    lowest = torch.where(histogram > 0, ramp, 255).amin(2, keepdim=True)
    highest = torch.where(histogram > 0, ramp, 0).amax(2, keepdim=True)
    scale = (highest - lowest) * (1 / 255)
    table = ((ramp - lowest) / torch.where(scale > 0, scale, 1)).clamp(0, 255).floor()
    return torch.where(scale > 0, table, ramp)


def solarize_threshold(strength: Tensor) -> Tensor:
    """Lowest level (B,) that solarize inverts. On a grid of halves, so that no rounding decides."""
    return (510 * (1 - strength.abs())).round() / 2


def _tables(levels: Tensor, index: Tensor, operation: Tensor, strength: Tensor) -> Tensor:
    """The table (B, 3, 256) of each image's operation; the plain ramp where it is no table."""
    ramp = torch.arange(256, device=levels.device, dtype=torch.float32)  # (256,)
    ones = torch.ones(1, 1, 1, device=levels.device, dtype=torch.int32).expand(index.shape)
    # Counted in integers: floating sums are refused under deterministic algorithms.
    histogram = torch.zeros(*index.shape[:2], 256, device=levels.device, dtype=torch.int32)
    histogram.scatter_add_(2, index, ones)  # (B, 3, 256)
    mean = luma(levels).floor_().mean(dim=(2, 3), keepdim=True)[:, 0]  # (B, 1, 1)
    factor = (1 + 0.99 * strength)[:, None, None]
    step = torch.exp2((6 * strength.abs()).round()).round()[:, None, None]  # 1 to 64 levels
    threshold = solarize_threshold(strength)[:, None, None]
    choices = {
        "brightness": (ramp * factor).clamp(0, 255).floor(),
        "contrast": (ramp * factor + (1 - factor) * mean).clamp(0, 255).floor(),
        "posterize": ramp - torch.remainder(ramp, step),
        "solarize": torch.where(ramp >= threshold, 255 - ramp, ramp),
        "autocontrast": _stretched(histogram, ramp),
        "equalize": _equalized(histogram, ramp),
    }
    table = ramp.expand(histogram.shape)
    for name, choice in choices.items():
        table = torch.where((operation == OPERATIONS.index(name))[:, None, None], choice, table)
    return table


def _factor(name: str, operation: Tensor, strength: Tensor) -> Tensor:
    """Blending factor (B, 1, 1, 1) of the named operation; 1 for images that drew another."""
    return (1 + 0.99 * strength * (operation == OPERATIONS.index(name)))[:, None, None, None]


def trivial(images: Tensor, operation: Tensor, strength: Tensor) -> Tensor:
    """The colour operations of TrivialAugmentWide (Müller & Hutter, arXiv:2103.10158).

    images    : (B, 3, H, W) in 0..1, rounded to 8-bit levels here
    operation : (B,) index into OPERATIONS; the geometric ones change nothing here
    strength  : (B,) -1..1, the signed magnitude as a share of the widest

    Returns (B, 3, H, W) of 8-bit levels in 0..1.
    """
    levels = (images * 255).round_()
    index = levels.flatten(2).long()  # (B, 3, H * W)
    table = _tables(levels, index, operation, strength)
    levels = torch.empty_like(levels).copy_(table.gather(2, index).view(levels.shape))
    levels = _sharpen(levels, _factor("sharpness", operation, strength))
    factor = _factor("color", operation, strength)
    grey = luma(levels).floor_().mul_(1 - factor)
    return levels.mul_(factor).add_(grey).clamp_(0, 255).floor_().mul_(1 / 255)


def _sharpen(levels: Tensor, factor: Tensor) -> Tensor:
    """Blend with the 3 x 3 blur of weights 1, 5 in the middle; in place, the border stays."""
    inner = levels[:, :, 1:-1, 1:-1]
    rows = (levels[:, :, :-2] + levels[:, :, 1:-1]).add_(levels[:, :, 2:])  # (B, 3, H - 2, W)
    blurred = (rows[..., :-2] + rows[..., 1:-1]).add_(rows[..., 2:])  # nine neighbours
    blurred.add_(inner, alpha=4).mul_(1 / 13).round_()
    sharp = (inner * factor).add_(blurred.mul_(1 - factor)).clamp_(0, 255).floor_()
    levels[:, :, 1:-1, 1:-1] = sharp
    return levels


# What a hole is filled with: ImageNet's mean, so that it is zero once normalised with that, as
# when torchvision's RandomErasing stands after Normalize.
ERASE_COLOUR = (0.485, 0.456, 0.406)


def erase(images: Tensor, box: Tensor) -> Tensor:
    """Fill (B, 4) top, left, height, width of each image with one colour, in place; height 0: none.

    images : (B, 3, H, W) in 0..1. Random erasing (Zhong et al., arXiv:1708.04896).
    """
    row = torch.arange(images.shape[2], device=images.device)
    column = torch.arange(images.shape[3], device=images.device)
    top, left, height, width = box.unbind(1)
    rows = (row >= top[:, None]) & (row < (top + height)[:, None])  # (B, H)
    columns = (column >= left[:, None]) & (column < (left + width)[:, None])  # (B, W)
    hole = rows[:, :, None] & columns[:, None, :]  # (B, H, W)
    for channel, level in enumerate(ERASE_COLOUR):
        images[:, channel].masked_fill_(hole, level)
    return images
