"""A head that reads every stage of a net, not its last features alone.

What a net learnt for other photographs is not all in its last stage: Evci et al., "Head2Toe:
Utilizing Intermediate Representations for Better Transfer Learning" (2022). A stage is what a net
does at one resolution; its last maps are averaged over their pixels. So that no stage drowns the
others, the signed root is taken (Perronnin et al., "Improving the Fisher Kernel for Large-Scale
Image Classification", 2010) and each stage put to mean 0 and variance 1 over its channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from bakeoff.fields import RecipeError
from bakeoff.models.parts import DROPOUT, Net, Part

TINY = torch.finfo(torch.float32).tiny  # where a map is 0 its root has a gradient, 0, with it
BETWEEN = (nn.AdaptiveAvgPool2d, nn.Flatten, *DROPOUT)  # what may stand before the head


def reading(net: Net, size: int, num_classes: int) -> Net:
    """Return `net`, which sees `size` pixels a side, with a fresh head that reads all its stages.

    Its tensors keep their names. Raises RecipeError where the head reads something else than the
    mean of the last maps, and where the net is one piece to us.
    """
    *before, head = net.parts
    shapes = _shapes(before, size)
    body = [link for link, shape in zip(before, shapes, strict=True) if len(shape) == 4]
    body = [link for link in body if not isinstance(link.module, nn.AdaptiveAvgPool2d)]
    after = [link for link in before if link not in body]
    if not (
        body
        and isinstance(head.module, nn.Linear)
        and any(isinstance(link.module, nn.AdaptiveAvgPool2d) for link in after)
        and all(isinstance(link.module, BETWEEN) for link in after)
    ):
        raise RecipeError(
            f"head_reads: stages needs a net whose head reads the mean of its last maps, such as "
            f"torchvision's ResNets and EfficientNets, which {net.name} is not; allowed: last"
        )
    ends = _ends(body, dict(zip((link.name for link in before), shapes, strict=True)))
    drops = [link for link in after if isinstance(link.module, DROPOUT)]
    linear = nn.Linear(sum(ends.values()), num_classes)
    net.module.set_submodule(net.head, linear)
    module = Stages(
        net.module, [link.name for link in body], ends, [*(drop.name for drop in drops), net.head]
    )
    tensors = frozenset().union(*(link.tensors for link in body))
    stages = Part("stages", Means(module), tensors)
    links = (*body, *drops, Part(net.head, linear, head.tensors))
    return replace(net, module=module, parts=(stages, *links[len(body) :]), links=links)


class Stages(nn.Module):
    """A net whose head reads all its stages: (N, 3, H, W) -> (N, classes)."""

    def __init__(
        self,
        module: nn.Module,
        body: Sequence[str],
        ends: Mapping[str, int],
        head: Sequence[str],
    ) -> None:
        """Take over the modules of `module`; `ends` has the channels of the last of each stage."""
        super().__init__()
        for name, child in module.named_children():
            self.add_module(name, child)
        self.body, self.ends, self.head = tuple(body), tuple(ends), tuple(head)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        outputs = self.means(images)
        for name in self.head:
            outputs = self.get_submodule(name)(outputs)
        return outputs

    def means(self, images: Tensor) -> Tensor:
        """Return what the head reads, (N, F) float32."""
        found = []
        for name in self.body:
            images = self.get_submodule(name)(images)
            if name in self.ends:
                mean = images.float().mean((2, 3))
                root = mean.sign() * (mean.abs() + TINY).sqrt()
                found.append(F.layer_norm(root, root.shape[1:]))
        return torch.cat(found, 1)


class Means(nn.Module):
    """Everything of such a net before its head."""

    def __init__(self, module: Stages) -> None:
        """Keep `module`, whose own tensors stay where they are."""
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> Tensor:
        """Return what the head reads, (N, F)."""
        return self.module.means(images)


def _shapes(links: Sequence[Part], size: int) -> list[torch.Size]:
    """Return the shape that each link gives of one image, without computing anything."""
    outputs, found = torch.zeros(1, 3, size, size, device="meta"), []
    for link in links:
        tensors = {
            name: tensor.detach().to("meta") for name, tensor in link.module.state_dict().items()
        }
        training = link.module.training
        outputs = functional_call(link.module.eval(), tensors, outputs)
        link.module.train(training)
        found.append(outputs.shape)
    return found


def _ends(body: Sequence[Part], shapes: Mapping[str, torch.Size]) -> dict[str, int]:
    """Return the name of the last link at each resolution, with how many channels it gives."""
    last = {shapes[link.name][2:]: link.name for link in body}
    return {name: shapes[name][1] for name in last.values()}
