"""What a net says of photographs while it is not learning: logits, loss and accuracy."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bakeoff import seeds, streaming
from bakeoff.inputs import Batch, Inputs

Rows = Tensor
"""Which photographs: (n,) int64 indices into the inputs."""


def predicted(
    model: nn.Module, inputs: Inputs, rows: Rows, batch: int, views: str = "one"
) -> Tensor:
    """Return the logits (n, C), float32 on the CPU, of `rows` in eval mode, in their order.

    They are the mean over the `views` of each photograph (see `models.views`).
    """
    model.eval()
    ranks, order = inputs.ranks, torch.split(rows, _at_once(inputs, batch))

    def answer(part: Batch) -> Tensor:
        if views == "one":
            logits: Tensor = model(inputs.seen(part)).float()
            return logits
        return torch.stack([model(view).float() for view in inputs.views(part, views)]).mean(0)

    with torch.no_grad(), streaming.in_order(inputs, ranks.parts(order)) as stream:
        return ranks.joined(map(answer, stream), order)


def _at_once(inputs: Inputs, batch: int) -> int:
    """Return how many rows are answered at once: two batches, which take less than a step's one.

    Pixels on a CPU by one, since blocks of other sizes than a step's are memory beside it.
    """
    beside = inputs.device.type == "cpu" and not inputs.are_features
    return min(batch if beside else 2 * batch, inputs.largest_batch)


def measured(model: nn.Module, inputs: Inputs, rows: Rows, batch: int) -> tuple[float, float]:
    """Return mean cross-entropy (nats) and accuracy (0..1) of `rows` in eval mode."""
    logits, labels = predicted(model, inputs, rows, batch), inputs.targets(rows).cpu()
    loss = nn.functional.cross_entropy(logits, labels).item()
    return loss, (logits.argmax(1) == labels).double().mean().item()


def clean_sample(split: Mapping[str, Rows], seed: int) -> Rows:
    """Choose the training photographs that are measured cleanly each epoch: as many as validation.

    A fixed random choice; measuring all of them would cost a third of the training again.
    """
    rows = split["train"]
    count = min(len(rows), len(split["validation"]))
    chosen = torch.randperm(len(rows), generator=seeds.generator("sample", seed))[:count]
    return rows[chosen.sort().values]
