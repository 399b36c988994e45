"""Random changes to training photographs: per image, in batch, on the device, resampled once.

    none           the centre crop
    standard       RandomResizedCrop and horizontal flip
    report         table 5 of the report in its order: RandomResizedCrop, both flips,
                   RandomRotation(45), RandomAffine(45); its ColorJitter() changes nothing
    report_jitter  the same with ColorJitter(0.4, 0.4, 0.4, 0.1)
    trivial        standard, then TrivialAugmentWide

A policy is drawn (policies.draw), then applied (fused.apply, or exact.apply_exact for torchvision's
own operators one after another). mix blends finished batches.
"""

from dataclasses import replace

import torch
from torch import Generator, Tensor

from .fused import apply
from .mix import mix
from .policies import POLICIES, Parameters, Policy, draw, policy_named

__all__ = ["POLICIES", "Parameters", "Policy", "apply", "augment", "draw", "mix", "policy_named"]


def augment(
    images: Tensor,
    policy: Policy | str,
    size: int,
    generator: Generator,
    *,
    erase: float = 0.0,
    min_scale: float = 0.0,
    exact: bool = False,
    among: tuple[Tensor, int] | None = None,
) -> Tensor:
    """Change each image at random: (B, 3, size, size) float32 in 0..1, channels-last.

    images    : (B, 3, S, S) uint8 on the generator's device, channels-last for speed
    generator : the only source of random numbers; advanced alike with exact and without
    erase     : probability of random erasing, if above 0 in place of the policy's own
    min_scale : smallest share of the area that a crop keeps, if above 0 in place of the policy's
    exact     : torchvision's operators image by image instead of one resampling; slow
    among     : which rows (B,) of a larger batch, and of how many images, these are; they get what
                they would have got there

    Raises ValueError for an unknown policy, images of another kind, or a centre crop larger than
    the image.
    """
    if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[2] != images.shape[3]:
        raise ValueError(
            f"images are {images.dtype} {tuple(images.shape)}; allowed is uint8 (B, 3, S, S)"
        )
    if images.device.type != generator.device.type:
        raise ValueError(
            f"images are on {images.device}, the generator on {generator.device}; allowed is one"
        )
    if not 0 <= erase <= 1:
        raise ValueError(f"augment.erase is {erase}; allowed is 0 to 1")
    chosen = policy_named(policy) if isinstance(policy, str) else policy
    if erase:
        chosen = replace(chosen, erase=erase)
    if min_scale and chosen.scale is not None:
        chosen = replace(chosen, scale=(min_scale, chosen.scale[1]))
    batch = among[1] if among else images.shape[0]
    parameters = draw(chosen, batch, images.shape[-1], size, generator)
    if among:
        parameters = parameters.take(among[0])
    if exact:
        from .exact import apply_exact

        return apply_exact(images, parameters, size)
    return apply(images, parameters, size)
