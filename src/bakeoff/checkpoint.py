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

from bakeoff import files, loop
from bakeoff.store import Record

DIGEST_BYTES = 32
NAME = "resume.pt"

_log = logging.getLogger(__name__)


def save(folder: Path, training: loop.Training, seconds: float, **key: str) -> None:
    """Write `training` into `folder`; `key` says of which run it is, `seconds` what it took so far.

    Raises NotFiniteError instead of keeping a net that is lost already.
    """
    loop.demand_finite(training)
    content = {
        "key": key,
        "seconds": seconds,
        "model": {name: t.detach() for name, t in loop.changing(training.model).items()},
        "optimizer": training.optimizer.state_dict(),
        "records": [asdict(record) for record in training.records],
        "best": training.best,
        "best_epoch": training.best_epoch,
        "under_way": _described(training.under_way),
    }
    with files.aside(folder / NAME) as temporary, temporary.open("wb") as file:
        writer = _Hashing(file)
        torch.save(content, cast(IO[bytes], writer))
        file.write(writer.digest.digest())


def restore(folder: Path, training: loop.Training, where: torch.device, **key: str) -> float:
    """Put a checkpoint of this very run back into `training`; return the seconds already spent.

    One that is damaged or of another run is named in the log and not used: the run begins anew.
    """
    path = folder / NAME
    if not path.is_file():
        return 0.0
    try:
        content = _read(path, key)
    except _UnusableError as reason:
        _log.warning("%s %s; the run begins anew", path, reason)
        return 0.0
    training.model.load_state_dict(content["model"], strict=False)
    training.optimizer.load_state_dict(content["optimizer"])
    training.records = [Record(**record) for record in content["records"]]
    training.best, training.best_epoch = content["best"], content["best_epoch"]
    training.under_way = _restored(content["under_way"], where)
    return float(content["seconds"])


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


def _described(now: loop.UnderWay | None) -> dict[str, Any] | None:
    """Turn an epoch under way into tensors and numbers, with the states of both generators."""
    if now is None:
        return None
    device = now.losses.device
    drawing = now.drawing.get_state()
    dropout = torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
    return {**vars(now), "drawing": drawing, "dropout": dropout}


def _restored(kept: dict[str, Any] | None, where: torch.device) -> loop.UnderWay | None:
    if kept is None:
        return None
    dropout = kept.pop("dropout")
    if where.type == "cuda":
        torch.cuda.set_rng_state(dropout, where)
    else:
        torch.set_rng_state(dropout)
    drawing = torch.Generator(where)
    drawing.set_state(kept["drawing"])
    moved = {name: kept[name].to(where) for name in ("losses", "right")}
    return loop.UnderWay(**{**kept, **moved, "drawing": drawing})
