"""A step bound to the places of its tensors: compiled, recorded and replayed, moved into.

The batches of an epoch have two sizes at most, and each gets a recording, which is exact where
padding would enter batch norm. The next run of the same kind moves in: its tensors are copied to
those places, and from then on lie there. Which step is made, and for whom, is for `stepping`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bakeoff import step
from bakeoff.inputs import Batch, Inputs
from bakeoff.models.parts import train_mode
from bakeoff.step import Step, Work

WARM_STEPS = 3

Outputs = tuple[Tensor | float, Tensor | int]
Replay = Callable[[], Outputs]
Record = Callable[[Replay, torch.Generator], Replay]
"""Turns a step on fixed tensors, and what it draws from, into what repeats it."""


def again(one: Replay, _drawing: torch.Generator) -> Replay:
    """Record nothing: to repeat a step is to call it. On any device it shows the rest right."""
    return one


def _on_cuda(one: Replay, drawing: torch.Generator, *, pool: Any) -> Replay:
    """Record `one` as a CUDA graph; what it returns is overwritten by the next replay."""
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(drawing)
    with torch.cuda.graph(graph, pool=pool):
        outputs = one()

    def replay() -> Outputs:
        graph.replay()
        return outputs

    return replay


def compiled(work: Work, _record: Record | None = None) -> Step:
    """Return the compiled step, tried out."""
    one, drawing = step.compiled(work), torch.Generator(work.inputs.device)
    _settle(work)
    with _put_back(work):
        for size in work.sizes:
            one(place(work.inputs, size), drawing)
    return one


def captured(work: Work, record: Record | None = None) -> Step:
    """Return the compiled step, recorded; by default as a CUDA graph."""
    return _recorded(step.compiled(work), work, record)


def captured_eager(work: Work, record: Record | None = None) -> Step:
    """Return the plain step, recorded; by default as a CUDA graph."""
    return _recorded(step.eager(work), work, record)


def _recorded(one: Step, work: Work, record: Record | None) -> Step:
    where = work.inputs.device
    _settle(work)
    drawing = torch.Generator(where)
    places = {size: place(work.inputs, size) for size in work.sizes}
    calls = {size: partial(one, batch, drawing) for size, batch in places.items()}
    with _put_back(work):
        for call in calls.values():
            _warm_up(call, where)
        keep = record or partial(_on_cuda, pool=torch.cuda.graph_pool_handle())
        replays = {}
        for size, call in calls.items():
            work.optimizer.zero_grad(set_to_none=True)
            replays[size] = keep(call, drawing)

    def replayed(batch: Batch, given: torch.Generator) -> Outputs:
        own = places[len(batch.labels)]
        own.rows.copy_(batch.rows)
        own.labels.copy_(batch.labels)
        drawing.set_state(given.get_state())  # numbers on the host: nothing waits
        outputs = replays[len(batch.labels)]()
        given.set_state(drawing.get_state())
        return outputs

    return replayed


def _warm_up(one: Replay, where: torch.device) -> None:
    """Call `one` a few times; on CUDA on another stream, as a recording demands."""
    if where.type != "cuda":
        one()
        return
    side = torch.cuda.Stream(where)  # type: ignore[no-untyped-call]
    current = torch.cuda.current_stream(where)
    side.wait_stream(current)
    with torch.cuda.stream(side):
        for _ in range(WARM_STEPS):
            one()
    current.wait_stream(side)


def _settle(work: Work) -> None:
    """Make the net train, at rates that are tensors: a fused kernel on CUDA reads a float32."""
    train_mode(work.model)
    where = work.inputs.device
    kind = torch.float32 if where.type == "cuda" else torch.float64
    for group in work.optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), dtype=kind, device=where)
        if "capturable" in group:
            group["capturable"] = where.type == "cuda"


def place(inputs: Inputs, size: int) -> Batch:
    """Return a batch of zeros, into which others are copied."""
    shape, where = (size, *inputs.rows.shape[1:]), inputs.device
    rows = torch.zeros(shape, dtype=inputs.dtype, device=where)
    return Batch(rows, torch.zeros(size, dtype=torch.int64, device=where))


def tensors(model: nn.Module) -> Iterator[Tensor]:
    """Yield parameters and buffers."""
    return chain(model.parameters(), model.buffers())


def _states(optimizer: Optimizer) -> Iterator[tuple[nn.Parameter, dict[str, Any]]]:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            yield parameter, optimizer.state[parameter]


@contextmanager
def _put_back(work: Work) -> Iterator[None]:
    """Put tensors, optimiser and generators back in place to what they were before the block.

    A state that the optimiser did not have becomes zero, which is where it begins.
    """
    copies = [(tensor, tensor.detach().clone()) for tensor in tensors(work.model)]
    before = {
        parameter: {k: v.clone() for k, v in state.items() if isinstance(v, Tensor)}
        for parameter, state in _states(work.optimizer)
    }
    where = work.inputs.device
    devices = [where.index or 0] if where.type == "cuda" else []
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, kept in copies:
                    tensor.copy_(kept)
            for parameter, state in _states(work.optimizer):
                _fill(state, before[parameter])


def move_in(work: Work, kept: Work) -> None:
    """Copy the tensors of `work` to the places of those of `kept`, and let them lie there."""
    train_mode(kept.model)
    for place, tensor in zip(tensors(kept.model), tensors(work.model), strict=True):
        place.data.copy_(tensor.data)
        tensor.data = place.data
    for group, own in zip(kept.optimizer.param_groups, work.optimizer.param_groups, strict=True):
        own.update({name: value for name, value in group.items() if name != "params"})
    states = zip(_states(kept.optimizer), _states(work.optimizer), strict=True)
    for (_, places), (parameter, state) in states:
        _fill(places, state)
        work.optimizer.state[parameter] = places


def _fill(state: dict[str, Any], given: dict[str, Any]) -> None:
    """Copy `given` into an optimiser's state; zero what it does not have."""
    for name, value in state.items():
        if isinstance(value, Tensor):
            value.copy_(given[name]) if name in given else value.zero_()
