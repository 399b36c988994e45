"""A net in several processes: Fabric's strategies, parameters spread out and made whole again.

`fully_shard` of PyTorch, through Fabric; "PyTorch FSDP", Zhao et al., arXiv:2304.11277.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from bakeoff import machine
from bakeoff.launched import Place

Tree = TypeVar("Tree")


def fabric(where: torch.device, precision: str, place: Place, *, shards: bool) -> Fabric:
    """Return a Fabric over the processes of `place`, whose nets are spread over them or copies."""
    by_slurm = place.by == "srun"
    chosen = machine.fabric(
        where,
        precision,
        devices=place.local_size,
        num_nodes=place.size // place.local_size,
        plugins=SLURMEnvironment(auto_requeue=False) if by_slurm else TorchElasticEnvironment(),
        strategy=ModelParallelStrategy(shard, place.size, 1)
        if shards
        else DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True),
    )
    chosen.launch()
    return chosen


def shard(model: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Spread the parameters of `model` over the processes, gathered block by block when needed."""
    for block in _blocks(model):
        fully_shard(block, mesh=mesh["data_parallel"])
    fully_shard(model, mesh=mesh["data_parallel"])
    return model


def whole(tree: Tree) -> Tree:
    """Return `tree` (a tensor, or dicts and lists of them) with every tensor whole.

    All processes must call it, in the same order. What is not sharded is returned as it is.
    """
    return cast(Tree, _whole(tree))


def _whole(tree: Any) -> Any:
    if isinstance(tree, DTensor):
        return tree.full_tensor().detach()
    if isinstance(tree, dict):
        return {name: _whole(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_whole(value) for value in tree]
    return tree


def like(tensor: Any, other: Any) -> Any:
    """Return `tensor`, which is whole, spread as `other` is; as it is where `other` is not."""
    if not isinstance(other, DTensor) or not isinstance(tensor, Tensor):
        return tensor
    if tensor.shape != other.shape:
        return tensor
    there = tensor.to(other.device)
    return distribute_tensor(there, other.device_mesh, other.placements, src_data_rank=None)


def optimizer_like(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return an optimiser's state dict with its tensors spread as the parameters are."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    spread = {
        number: {name: like(value, parameters[number]) for name, value in own.items()}
        for number, own in state["state"].items()
    }
    return {**state, "state": spread}


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    """Give the links of the outermost chains in `model`: what a net repeats, and calls as one."""
    for child in model.children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            yield from (link for link in child if any(True for _ in link.parameters()))
        else:
            yield from _blocks(child)
