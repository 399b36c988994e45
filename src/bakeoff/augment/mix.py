"""MixUp and CutMix of a finished batch, every pair with its own share, from a given generator.

torchvision's MixUp and CutMix draw one share for a whole batch from the global random numbers;
these draw one for each image from the generator they are handed. As there, an image is mixed with
the one before it, so batches must be shuffled.

MixUp is Zhang et al., arXiv:1710.09412; CutMix is Yun et al., arXiv:1905.04899.
"""

import torch
from torch import Generator, Tensor


def _beta(alpha: float, batch: int, generator: Generator) -> Tensor:
    """Draws (B,) from Beta(alpha, alpha)."""
    # torch.distributions takes no generator; this is the sampler below it.
    alphas = torch.full((2, batch), alpha, dtype=torch.float64, device=generator.device)
    gammas = torch._standard_gamma(alphas, generator=generator)
    total = gammas.sum(0)
    # For an alpha below 0.01 both can underflow; nearly all of the distribution is at 0 and 1.
    lost = total < 1e-300
    return torch.where(lost, 1, gammas[0] / total.clamp(min=1e-300)).float()


def draw_shares(
    mixup: float, cutmix: float, batch: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Share (B,) that each image keeps and whether (B,) bool it is cut rather than blended.

    `mixup` and `cutmix` are the alphas of their Beta distributions, 0 for off. With both on, each
    image gets either with probability one half.
    """
    if mixup <= 0 and cutmix <= 0:
        raise ValueError(f"mixup is {mixup} and cutmix is {cutmix}; one must be above 0")
    device = generator.device
    if mixup > 0 and cutmix > 0:
        cut = torch.rand(batch, generator=generator, device=device) < 0.5
        blended, kept = _beta(mixup, batch, generator), _beta(cutmix, batch, generator)
        return torch.where(cut, kept, blended), cut
    share = _beta(max(mixup, cutmix), batch, generator)
    return share, torch.full((batch,), cutmix > 0, device=device)


def hole_mask(share: Tensor, middle: Tensor, size: int) -> Tensor:
    """Mask (B, size, size) of a square of area 1 - share, cut off at the image's edge.

    `middle` is (B, 2), row and column as shares of the side.
    """
    half = (0.5 * (1 - share).clamp(min=0).sqrt() * size).floor()[:, None]  # (B, 1)
    centre = (middle * size).floor()  # (B, 2)
    pixel = torch.arange(size, device=share.device)
    rows, columns = (
        (pixel >= centre[:, axis, None] - half) & (pixel < centre[:, axis, None] + half)
        for axis in (0, 1)
    )  # (B, size) each
    return rows[:, :, None] & columns[:, None, :]


def mix(
    images: Tensor,
    labels: Tensor,
    num_classes: int,
    generator: Generator,
    *,
    mixup: float = 0.0,
    cutmix: float = 0.0,
    among: tuple[Tensor, int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Mix each image with the one before it: images and soft labels (B, num_classes) float32.

    images : (B, 3, S, S) float, any memory format, which the result keeps
    labels : (B,) int64
    among  : which rows (B,) of a larger batch, and of how many images, these are; the first is
             there for the second's sake, and left out of the result

    The label's share is that of the pixels really kept.
    """
    batch, size = images.shape[0], images.shape[-1]
    drawn = among[1] if among else batch
    share, cut = draw_shares(mixup, cutmix, drawn, generator)
    middle = torch.rand(drawn, 2, generator=generator, device=generator.device)
    if among:
        rows = among[0].to(share.device)
        share, cut, middle = share[rows], cut[rows], middle[rows]
    hole = hole_mask(share, middle, size)
    keep_cut = 1 - hole.float()  # (B, S, S)
    keep = torch.where(cut[:, None, None], keep_cut, share[:, None, None])[:, None]
    weight = keep.mean(dim=(1, 2, 3))[:, None]  # (B, 1)
    mixed = torch.lerp(images.roll(1, 0), images, keep)
    one_hot = torch.zeros(batch, num_classes, device=labels.device)
    one_hot.scatter_(1, labels[:, None], 1.0)
    soft = torch.lerp(one_hot.roll(1, 0), one_hot, weight)
    return (mixed[1:], soft[1:]) if among else (mixed, soft)
