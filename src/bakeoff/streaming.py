"""Batches in a given order: gathered where the rows lie, or read ahead where they do not fit.

What does not fit is read from the memory map by one thread, into two buffers by turns, while the
step before is under way. On CUDA the buffers are pinned and copied on a stream of their own. The
batches are the same either way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from bakeoff.inputs import Batch, Inputs

THREAD = "bakeoff-rows"
AT_ONCE = 2**22  # bytes of rows gathered by one call, where a batch has fewer


@contextmanager
def in_order(inputs: Inputs, order: Sequence[Tensor]) -> Iterator[Iterator[Batch]]:
    """Give the batches of `inputs` at each of `order`, (B,) indices, one after another.

    A batch is good until the next one is asked for. No thread is left, whatever happens inside.
    """
    if not inputs.streamed or not order:
        yield _gathered(inputs, _on_device(inputs, order))
        return
    reader = _Reader(inputs, max(map(len, order)))
    with ThreadPoolExecutor(1, THREAD) as thread:
        yield _read_ahead(thread, reader, order)


@contextmanager
def own_in_order(inputs: Inputs, order: Sequence[Tensor]) -> Iterator[Iterator[Batch]]:
    """Give what this process has of the batches at each of `order`: all of them, if it is alone."""
    if inputs.ranks.size == 1:
        with in_order(inputs, order) as stream:
            yield stream
        return
    parts = [inputs.own(indices) for indices in order]
    with in_order(inputs, [indices for _, indices in parts]) as stream:
        yield (replace(batch, among=among) for batch, (among, _) in zip(stream, parts, strict=True))


def _on_device(inputs: Inputs, order: Sequence[Tensor]) -> Sequence[Tensor]:
    """Move all indices at once to where the rows are: one by one, each would wait for the steps."""
    if not isinstance(inputs.rows, Tensor) or inputs.rows.device.type == "cpu" or not order:
        return order
    moved = torch.cat(list(order)).to(inputs.rows.device)
    return torch.split(moved, [len(each) for each in order])


def _gathered(inputs: Inputs, order: Sequence[Tensor]) -> Iterator[Batch]:
    """Yield each batch, several from one call where rows are so small that asking costs more."""
    row = math.prod(inputs.rows.shape[1:]) * inputs.dtype.itemsize
    count = max(1, AT_ONCE // max(1, row * max(map(len, order), default=1)))
    for start in range(0, len(order), count):
        some = order[start : start + count]
        sizes = [len(indices) for indices in some]
        joined = inputs.batch(torch.cat(list(some)) if count > 1 else some[0])
        for rows, labels in zip(
            torch.split(joined.rows, sizes), torch.split(joined.labels, sizes), strict=True
        ):
            yield Batch(rows, labels)


def _read_ahead(
    thread: ThreadPoolExecutor, reader: _Reader, order: Sequence[Tensor]
) -> Iterator[Batch]:
    """Yield each batch, the next one being read meanwhile."""
    ahead = thread.submit(reader.read, order[0], 0)
    for number in range(len(order)):
        batch = reader.handed_over(ahead.result(), number % 2)
        if number + 1 < len(order):
            ahead = thread.submit(reader.read, order[number + 1], (number + 1) % 2)
        yield batch


class _Reader:
    """Two buffers for rows, (most, …) each; on CUDA, what is read is sent to the device at once."""

    def __init__(self, inputs: Inputs, most: int) -> None:
        self.inputs, cuda = inputs, inputs.device.type == "cuda"
        shape = (most, *inputs.rows.shape[1:])
        self.buffers = [torch.empty(shape, dtype=inputs.dtype, pin_memory=cuda) for _ in range(2)]
        self.stream: torch.cuda.Stream | None = None
        self.sent: list[torch.cuda.Event | None] = [None, None]
        if cuda:
            self.stream = torch.cuda.Stream(inputs.device)  # type: ignore[no-untyped-call]
            self.sent = [torch.cuda.Event() for _ in range(2)]  # type: ignore[no-untyped-call]

    def read(self, indices: Tensor, place: int) -> Batch:
        """Gather the rows at `indices` into buffer `place`; called by the thread."""
        inputs, sent = self.inputs, self.sent[place]
        if sent is not None:
            sent.synchronize()  # what was in this buffer before has left it
        rows = self.buffers[place][: len(indices)]
        inputs.read(indices, rows)
        if sent is None:
            return Batch(rows.to(inputs.device), inputs.targets(indices))
        with torch.cuda.stream(self.stream):
            batch = Batch(rows.to(inputs.device, non_blocking=True), inputs.targets(indices))
            sent.record()
        return batch

    def handed_over(self, batch: Batch, place: int) -> Batch:
        """Let the step's stream wait for a batch, and keep its memory until that has used it."""
        if (sent := self.sent[place]) is not None:
            current = torch.cuda.current_stream(self.inputs.device)
            current.wait_event(sent)
            batch.rows.record_stream(current)
            batch.labels.record_stream(current)
        return batch
