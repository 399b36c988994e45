"""Batch norm over the batch of all processes, so that each sees the statistics of the whole batch.

On CUDA PyTorch's own SyncBatchNorm, in timm's version that knows timm's layers; it exists for no
CPU, where `_OverAll` takes its place: the same mean and variance, gathered in one exchange.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from timm.layers.norm_act import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn

KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, BatchNormAct2d)


def over_all(model: nn.Module, where: torch.device) -> nn.Module:
    """Return `model` with batch norms that reckon over all processes; names and tensors stay."""
    if where.type == "cuda":
        converted: nn.Module = convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return converted
    for module in model.modules():
        if type(module) in KINDS:
            act = isinstance(module, BatchNormAct2d)
            module.__class__ = _ActOverAll if act else _OverAll
    return model


class _Total(torch.autograd.Function):
    """The sum of a tensor over all processes; so is its gradient."""

    @staticmethod
    def forward(_: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


class _OverAll(nn.modules.batchnorm._BatchNorm):
    """Batch norm of (B, C, …), of which the other processes have rows too."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalise, in training by the mean and variance over all processes."""
        if not self.training:
            return super().forward(inputs)
        return _normalised(self, inputs)

    def _check_input_dim(self, inputs: Tensor) -> None:
        """Take any number of dimensions: which ones are allowed was checked for one process."""


class _ActOverAll(_OverAll):
    """The same for timm's batch norm with an activation."""

    drop: nn.Module
    act: nn.Module

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalise and activate."""
        outputs: Tensor = self.act(self.drop(super().forward(inputs)))
        return outputs


def _normalised(norm: _OverAll, inputs: Tensor) -> Tensor:
    others = [axis for axis in range(inputs.dim()) if axis != 1]
    values = inputs.float()
    variance, mean = torch.var_mean(values, others, correction=0)  # (C,) each
    count = values.new_tensor([values.numel() / values.shape[1]])
    table = values.new_zeros(dist.get_world_size(), 2 * len(mean) + 1)
    own = torch.zeros_like(table)
    own[dist.get_rank()] = 1
    table = _Total.apply(own * torch.cat([mean, variance, count]))
    means, variances, counts = table.split([len(mean), len(mean), 1], dim=1)
    total = counts.detach().sum()
    share = counts.detach() / total  # (processes, 1)
    mean = (share * means).sum(0)
    variance = (share * (variances + (means - mean) ** 2)).sum(0)
    _remember(norm, mean.detach(), variance.detach(), total)
    scale = torch.rsqrt(variance + norm.eps)
    scale = scale if norm.weight is None else scale * norm.weight
    shift = -mean * scale if norm.bias is None else norm.bias - mean * scale
    shape = [1, -1, *[1] * (inputs.dim() - 2)]
    outputs: Tensor = values * scale.view(shape) + shift.view(shape)
    return outputs.to(inputs.dtype)


@torch.no_grad()
def _remember(norm: _OverAll, mean: Tensor, variance: Tensor, total: Tensor) -> None:
    """Bring the running statistics up to date, as PyTorch's own batch norm does."""
    if norm.running_mean is None or norm.running_var is None:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    rate = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean, rate)
    norm.running_var.lerp_(variance * total / (total - 1), rate)
