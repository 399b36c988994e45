"""The processes that train one net together: what each has of a batch, what they agree upon.

One of them, the leader, carries the study out as if it were alone, and calls the others only for
the training itself (`run.trained`). All of them draw the same random order and go the same steps;
whatever one of them meets alone, all must hear of, or they would wait for each other for ever. So
there are two groups: gradients go through the device's own, agreement through a second one on the
CPU, which waits as long as it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor

from bakeoff import machine, sharded
from bakeoff.launched import Place
from bakeoff.stopping import asked

T = TypeVar("T")
Loss = Callable[[Tensor, Tensor], Tensor]

WELL, STOPPED, FAILED = range(3)
AGREED = "bakeoff_agreed"
NOWHERE = Place()


class ElsewhereError(RuntimeError):
    """What went wrong in another process, in its words."""


class ProcessLostError(KeyboardInterrupt):
    """Something befell one process alone, so that none can go on; an interruption to all."""


@dataclass(frozen=True)
class Ranks:
    """This process is number `rank` of `size`; without others there is nothing to agree upon."""

    rank: int = 0
    size: int = 1
    strategy: str = ""
    place: Place = NOWHERE
    control: Any = None

    @property
    def leads(self) -> bool:
        """Whether this is the process that decides, writes and speaks."""
        return self.rank == 0

    @property
    def shards(self) -> bool:
        """Whether no process holds a whole net."""
        return self.strategy == "fsdp"

    def described(self) -> dict[str, str | int]:
        """Say what belongs into run.json; nothing without others."""
        return {"processes": self.size, "strategy": self.strategy} if self.size > 1 else {}

    def fabric(self, where: torch.device, precision: str) -> Fabric:
        """Return a Fabric over all processes, for one device each."""
        if self.size == 1:
            return machine.fabric(where, precision)
        return sharded.fabric(where, precision, self.place, shards=self.shards)

    def own(self, count: int) -> slice:
        """Return which of `count` rows are this process's: each row is exactly one's."""
        each, more = divmod(count, self.size)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))

    def summed(self, tensor: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.size > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def totals(
        self, loss: Tensor | float, right: Tensor | int
    ) -> tuple[Tensor | float, Tensor | int]:
        """Return the whole batch's loss and number right, of a loss made by `over_all`."""
        if self.size == 1:
            return loss, right
        own = torch.as_tensor(loss / self.size), torch.as_tensor(right)
        both = self.summed(torch.stack(own))
        return both[0], both[1]

    def over_all(self, loss: Loss, weight: Callable[[Tensor], Tensor]) -> Loss:
        """Turn a mean over this process's rows into what makes gradients those of the whole batch.

        `weight` gives what the mean divides by. Gradients are averaged over the processes, so a
        process counts by its weight's share of all, times their number.
        """
        if self.size == 1:
            return loss

        def shared(logits: Tensor, targets: Tensor) -> Tensor:
            own = weight(targets)
            return loss(logits, targets) * (own / self.summed(own) * self.size)

        return shared

    def parts(self, order: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return what this process evaluates of each batch of indices: its own.

        Where it has none it is the first, for nothing, so that all call a net equally often.
        """
        if self.size == 1:
            return order
        owned = [(indices, self.own(len(indices))) for indices in order]
        return [each[own] if own.stop > own.start else each[:1] for each, own in owned]

    def joined(self, outputs: Iterator[Tensor], order: Sequence[Tensor]) -> Tensor:
        """Put what all processes made of their `parts` together: (N, …) on the CPU, as in `order`.

        Each row is the work of one process, and nothing else is added to it.
        """
        if self.size == 1:
            return torch.cat(list(outputs)).cpu()
        batches = []
        for indices, rows in zip(order, outputs, strict=True):
            self.agreed()
            own = self.own(len(indices))
            batch = torch.zeros(len(indices), *rows.shape[1:])
            batch[own] = rows[: own.stop - own.start].cpu()
            batches.append(batch)
        total = torch.cat(batches)
        dist.all_reduce(total, group=self.control)
        return total

    def agreed(self, wish: bool = False) -> bool:
        """Return the leader's wish; KeyboardInterrupt for all where any was told to stop."""
        if self.size == 1:
            return wish
        said = torch.tensor([wish and self.leads, asked()], dtype=torch.int64)
        dist.all_reduce(said, dist.ReduceOp.MAX, group=self.control)
        if said[1]:
            raise _known_to_all(KeyboardInterrupt())
        return bool(said[0])

    @contextmanager
    def alike(self) -> Iterator[None]:
        """Let what befalls one process in the block befall all; it may not wait for the others."""
        failure = None
        try:
            yield
        except BaseException as error:
            if self.size == 1:
                raise
            failure = error
        if self.size > 1:
            self._confess(failure)

    def _confess(self, failure: BaseException | None) -> None:
        stopped = isinstance(failure, KeyboardInterrupt | GeneratorExit)
        code = WELL if failure is None else STOPPED if stopped else FAILED
        worst = torch.tensor([code])
        dist.all_reduce(worst, dist.ReduceOp.MAX, group=self.control)
        said: list[str] = [""] * self.size
        if worst == FAILED:
            own = self._said(failure) if failure is not None and code == FAILED else ""
            dist.all_gather_object(said, own, group=self.control)
        if failure is not None:
            raise _known_to_all(failure)
        if worst == FAILED:
            raise _known_to_all(ElsewhereError(next(filter(None, said))))
        if worst == STOPPED:
            raise _known_to_all(KeyboardInterrupt())

    def first(self, work: Callable[..., T], *arguments: Any) -> T | None:
        """Let the leader alone do `work`; its failure is everyone's."""
        done: list[T] = []
        with self.alike():
            if self.leads:
                done.append(work(*arguments))
        return done[0] if done else None

    def first_here(self, work: Callable[[], T]) -> T:
        """Let one process of each machine do `work` before the others of that machine do it too."""
        done: list[T] = []
        for turn in (True, False):
            with self.alike():
                if (self.place.local_rank == 0) == turn:
                    done.append(work())
        return done[0]

    @contextmanager
    def guarded(self, *known: type[BaseException]) -> Iterator[None]:
        """Turn what befell this process alone into ProcessLostError.

        Known to all is what passed through `alike` or `agreed`, and the `known` kinds, which
        follow from numbers that all processes have.
        """
        try:
            yield
        except BaseException as error:
            if self.size == 1 or isinstance(error, known) or AGREED in vars(error):
                raise
            lost = isinstance(error, dist.DistError) or "closed by peer" in str(error)
            here = f"process {self.rank} of {self.size}"
            said = f"{here} has lost another one" if lost else self._said(error)
            raise ProcessLostError(said) from error

    def call(self, *order: object) -> None:
        """Tell the other processes what is done next, which they get from `orders`."""
        if self.size > 1:
            dist.broadcast_object_list([order], src=0, group=self.control)

    def orders(self) -> Iterator[tuple[Any, ...]]:
        """Give what the leader calls for, until it calls for nothing."""
        nothing: tuple[Any, ...] = ()
        while order := self.told(nothing):
            yield order

    def told(self, content: T) -> T:
        """Return what the leader has as `content`."""
        if self.size == 1:
            return content
        box = [content if self.leads else None]
        dist.broadcast_object_list(box, src=0, group=self.control)
        return cast(T, box[0])

    def everyone_s(self, tensor: Tensor) -> Tensor:
        """Return this tensor of every process, (size, …), on the CPU."""
        if self.size == 1:
            return tensor[None]
        rows = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(rows, tensor, group=self.control)
        return torch.stack(rows)

    def _said(self, error: BaseException) -> str:
        first = str(error).strip().split("\n", maxsplit=1)[0]
        return f"process {self.rank} of {self.size}: {type(error).__name__}: {first}"


def _known_to_all(error: BaseException) -> BaseException:
    vars(error)[AGREED] = True
    return error


ALONE = Ranks()
