"""Whether a map explains anything: deletion against random order, and randomised weights.

Deletion: Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box
Models" (2018). Randomised weights: Adebayo et al., "Sanity Checks for Saliency Maps" (2018).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor
from torch.nn import functional as F

from bakeoff.explain.activations import convolutions, layers
from bakeoff.explain.cam import grad_cam
from bakeoff.explain.hooks import as_found
from bakeoff.models.parts import Net

STEPS = 8
MOVES = 19
DRAWS = 5
BATCH = 16
ELSEWHERE, MOST_DRAWS = 0.25, 50
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Deletion:
    """Area under the class's probability while pixels are removed; smaller is better.

    `random` are the areas when the same map is laid elsewhere, `MOVES` times at random.
    """

    area: float
    random: tuple[float, ...]

    @property
    def beaten(self) -> int:
        """How many of the other places the map does better than."""
        return sum(self.area < other for other in self.random)


def deletion(
    net: Net,
    image: Tensor,
    map_: Tensor,
    target: int,
    *,
    steps: int = STEPS,
    moves: int = MOVES,
    seed: int = 0,
) -> Deletion:
    """Remove pixels of `image` (1, 3, S, S) in the order of `map_` (h, w), the highest first.

    They go in blocks as large as one pixel of the map, and are set to the data's mean colour (0
    after normalisation). For the random orders the same map is turned, mirrored and shifted around
    the edges: blocks taken singly would riddle the photograph, which destroys it sooner than any
    region does, so that no honest map could win.
    """
    values = map_.double().numpy().ravel()
    rng = np.random.default_rng(seed)
    elsewhere = [moved(map_.double().numpy(), rng).ravel() for _ in range(moves)]
    orders = [np.argsort(-each, kind="stable") for each in (values, *elsewhere)]
    counts = np.unique(np.linspace(0, values.size, steps + 1).round().astype(int))
    kept = np.ones((len(orders), len(counts) - 2, values.size), dtype=np.float32)
    for row, order in enumerate(orders):
        for place, count in enumerate(counts[1:-1]):
            kept[row, place, order[:count]] = 0
    ends = np.repeat((1, 0), values.size).reshape(2, -1)  # all of it, and nothing: alike for all
    masks = torch.from_numpy(np.concatenate((ends, kept.reshape(-1, values.size)))).float()
    found = _probabilities(net, image, masks.reshape(-1, 1, *map_.shape), target)
    whole, nothing = np.repeat(found[:2, None], len(orders), axis=1)[..., None]
    found = np.concatenate((whole, found[2:].reshape(len(orders), -1), nothing), axis=1)
    areas = [float(np.trapezoid(row, counts / values.size)) for row in found]
    return Deletion(areas[0], tuple(areas[1:]))


def randomised(
    net: Net, images: Tensor, targets: Tensor, maps: Tensor, layer: str, *, seed: int = 0
) -> dict[str, Floats]:
    """Return how alike `maps` (N, h, w) are to those of nets whose learned weights are destroyed.

    Two controls, of DRAWS nets each: `head`, and `last`: from the last convolution on. Each
    tensor's values are shuffled among themselves, which keeps their scale. Alike is the mean rank
    correlation (Spearman), (N,), NaN for a map without contrast. Near 1, what was learned there
    has no part in the map.
    """
    generator = torch.Generator().manual_seed(seed)
    wanted = {"head": _in_head(net), "last": _from_last_convolution(net, images[:1])}
    found: dict[str, Floats] = {}
    for control, names in wanted.items():
        rows = []
        for broken in _broken(net, names, generator):
            others = grad_cam(broken, images, targets, layer)
            pairs = zip(maps.numpy(), others.numpy(), strict=True)
            rows.append([rank_correlation(mine, other) for mine, other in pairs])
        found[control] = np.mean(rows, axis=0)
    return found


def moved(map_: Floats, rng: np.random.Generator) -> Floats:
    """Turn, mirror and shift a square map (h, h) at random, around its edges.

    A place much like its own (rank correlation above ELSEWHERE) is drawn again, up to MOST_DRAWS
    times.
    """
    for _ in range(MOST_DRAWS):
        turned = np.rot90(map_, int(rng.integers(4)))
        turned = turned.T if rng.integers(2) else turned
        down, right = rng.integers(len(map_), size=2).tolist()
        laid = np.roll(turned, (down, right), axis=(0, 1))
        if not rank_correlation(map_, laid) > ELSEWHERE:
            break
    return laid


def rank_correlation(mine: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Return Spearman's correlation of two maps; NaN where one has no contrast."""
    ranks = [rankdata(values.ravel()) for values in (mine, other)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def _probabilities(net: Net, image: Tensor, masks: Tensor, target: int) -> NDArray[np.float32]:
    found = []
    with as_found(net.module), torch.no_grad():
        for batch in torch.split(masks, BATCH):
            mask = F.interpolate(batch.to(image.device), image.shape[-2:], mode="nearest")
            found.append(net.module(image * mask).float().softmax(dim=1)[:, target].cpu())
    return torch.cat(found).numpy()


def _broken(net: Net, names: set[str], generator: torch.Generator) -> Iterator[Net]:
    """Give DRAWS copies of `net` with the values of parameters `names` shuffled."""
    changed = replace(net, module=copy.deepcopy(net.module))
    whole = dict(net.module.named_parameters())
    for _ in range(DRAWS):
        with torch.no_grad():
            for name, parameter in changed.module.named_parameters():
                if name in names:
                    order = torch.randperm(parameter.numel(), generator=generator)
                    values = whole[name].detach().flatten()[order.to(parameter.device)]
                    parameter.copy_(values.view_as(parameter))
        yield changed


def _in_head(net: Net) -> set[str]:
    names = (name for name, _ in net.module.named_parameters())
    return {name for name in names if name.startswith(f"{net.head}.")}


def _from_last_convolution(net: Net, image: Tensor) -> set[str]:
    order = [layer.name for layer in layers(net, image)]
    start = order.index(convolutions(net, image)[-1].name)
    found = _in_head(net)
    for name in order[start:]:
        own = net.module.get_submodule(name).named_parameters(recurse=False)
        found |= {f"{name}.{parameter}" for parameter, _ in own}
    return found
