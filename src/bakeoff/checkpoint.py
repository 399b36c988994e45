"""resume.pt: all that is needed to go on with the very next step, and the proof that it is whole.

What `torch.save` wrote, followed by the 32 bytes of its sha256. It is read with `weights_only`,
so nothing in it can be executed.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from bakeoff import files, loop
from bakeoff.models.parts import changing
from bakeoff.ranks import ALONE, Ranks
from bakeoff.sharded import like, optimizer_like, whole
from bakeoff.store import Record

DIGEST_BYTES = 32
NAME = "resume.pt"

_log = logging.getLogger(__name__)


def save(
    folder: Path, training: loop.Training, seconds: float, ranks: Ranks = ALONE, **key: str
) -> None:
    """Write `training` into `folder`; `key` says of which run it is, `seconds` what it took so far.

    Every process gives what only it has, one writes. Raises NotFiniteError instead of keeping a net
    that is lost already.
    """
    loop.demand_finite(training)
    content = {
        "key": key,
        "seconds": seconds,
        "model": whole({name: t.detach() for name, t in changing(training.model).items()}),
        "optimizer": whole(training.optimizer.state_dict()),
        "records": [asdict(record) for record in training.records],
        "best": whole(training.best),
        "best_epoch": training.best_epoch,
        "average": whole(training.average),
        "under_way": _described(training.under_way, ranks),
    }
    ranks.first(_write, folder / NAME, content)


def _write(path: Path, content: dict[str, Any]) -> None:
    with files.aside(path) as temporary, temporary.open("wb") as file:
        writer = _Hashing(file)
        torch.save(content, cast(IO[bytes], writer))
        file.write(writer.digest.digest())


def restore(
    folder: Path, training: loop.Training, where: torch.device, ranks: Ranks = ALONE, **key: str
) -> float:
    """Put a checkpoint of this very run back into `training`; return the seconds already spent.

    One process reads it for all; however many wrote it, any number can go on with it. One that is
    damaged or of another run is named in the log and not used: the run begins anew.
    """
    content = ranks.told(ranks.first(_usable, folder / NAME, key))
    if content is None:
        return 0.0
    state = training.model.state_dict()
    content.setdefault("average", {})  # which earlier versions did not keep
    for name in ("model", "best", "average"):
        content[name] = {own: like(tensor, state.get(own)) for own, tensor in content[name].items()}
    training.model.load_state_dict(content["model"], strict=False)
    training.optimizer.load_state_dict(optimizer_like(content["optimizer"], training.optimizer))
    training.records = [Record(**record) for record in content["records"]]
    training.best, training.best_epoch = content["best"], content["best_epoch"]
    training.average = content["average"]
    training.under_way = _restored(content["under_way"], where, ranks)
    return float(content["seconds"])


def _usable(path: Path, key: dict[str, str]) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        return _read(path, key)
    except _UnusableError as reason:
        _log.warning("%s %s; the run begins anew", path, reason)
        return None


class _UnusableError(Exception):
    """Why a checkpoint is not used."""


class _Hashing:
    """A file for `torch.save` to write to, which hashes what passes."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write and hash."""
        self.digest.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        """Flush the file."""
        self.file.flush()


def _read(path: Path, key: dict[str, str]) -> dict[str, Any]:
    with path.open("rb") as file:
        digest, left = hashlib.sha256(), path.stat().st_size - DIGEST_BYTES
        while left > 0 and (data := file.read(min(left, 2**20))):
            digest.update(data)
            left -= len(data)
        if file.read() != digest.digest():
            raise _UnusableError("is damaged, or was not written by this version")
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if content["key"] != key:
        raise _UnusableError("is of another run")
    return content


def _described(now: loop.UnderWay | None, ranks: Ranks) -> dict[str, Any] | None:
    """Turn an epoch under way into tensors and numbers, with the states of its generators.

    All processes have drawn the same augmentation; each has its own dropout.
    """
    if now is None:
        return None
    device = now.losses.device
    drawing = now.drawing.get_state()
    dropout = torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
    return {**vars(now), "drawing": drawing, "dropout": ranks.everyone_s(dropout)}


def _restored(
    kept: dict[str, Any] | None, where: torch.device, ranks: Ranks
) -> loop.UnderWay | None:
    if kept is None:
        return None
    _draw_on(kept.pop("dropout"), where, ranks.rank)
    drawing = torch.Generator(where)
    drawing.set_state(kept["drawing"])
    if kept["right"].dim() == 0:  # earlier versions kept the sum
        kept["right"] = F.pad(kept["right"][None], (0, len(kept["losses"]) - 1))
    moved = {name: kept[name].to(where) for name in ("losses", "right")}
    return loop.UnderWay(**{**kept, **moved, "drawing": drawing})


def _draw_on(states: Tensor, where: torch.device, rank: int) -> None:
    """Go on with this process's dropout; one that was not there before begins a stream of its own.

    `states` (processes, bytes) are those of torch's generator; earlier versions kept one (bytes,).
    """
    states = states.view(-1, states.shape[-1])
    state = states[min(rank, len(states) - 1)].clone()  # torch crashes where it is given a view
    if where.type == "cuda":
        torch.cuda.set_rng_state(state, where)
    else:
        torch.set_rng_state(state)
    if rank >= len(states):
        torch.manual_seed(int(torch.randint(2**62, ())) + rank)
