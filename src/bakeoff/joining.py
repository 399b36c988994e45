"""Joining the processes that `torchrun` or `srun` started together, and what they do until the end.

The first of them leads: it goes on as if it were alone, and `run` calls the others. They `follow`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from bakeoff import machine, store
from bakeoff.data.dataset import Dataset, load
from bakeoff.data.photographs import DataError
from bakeoff.data.spec import DataSpec
from bakeoff.fields import RecipeError
from bakeoff.launched import place
from bakeoff.models import weights
from bakeoff.prepare import Job
from bakeoff.ranks import ALONE, ProcessLostError, Ranks
from bakeoff.run import trained
from bakeoff.settings import Settings
from bakeoff.stepping import Steps
from bakeoff.stopping import noted
from bakeoff.study import Run

Datasets = dict[tuple[int, int], Dataset]
AS_LONG_AS_IT_TAKES = timedelta(days=365)

_joined = [ALONE]


def joined() -> Ranks:
    """Return the processes that this one has joined; ALONE without."""
    return _joined[-1]


@contextmanager
def joining(strategy: str, device: str) -> Iterator[bool]:
    """Join the processes started with this one; give True to the first, which dismisses them.

    The others have followed it to the end when they are given False. Raises RecipeError where they
    cannot work together.
    """
    here = place()
    if here.size % here.local_size:
        raise RecipeError(f"{here.by}: {here.size} processes are not {here.local_size} a machine")
    if ":" in device:
        raise RecipeError(
            f"--device: {device} is one device, for {here.size} processes; allowed: auto, cpu, cuda"
        )
    where = machine.device(device)
    if where.type == "cuda":
        where = machine.device(f"cuda:{here.local_rank}")
        torch.cuda.set_device(where)
    ranks = Ranks(here.rank, here.size, "ddp" if strategy == "auto" else strategy, here)
    ranks.fabric(where, "fp32")
    ranks = replace(ranks, control=dist.new_group(backend="gloo", timeout=AS_LONG_AS_IT_TAKES))
    _joined.append(ranks)
    try:
        if not ranks.leads:
            _follow(ranks, where)
        yield ranks.leads
    except ProcessLostError:  # there is nobody left to wait for
        raise
    except BaseException:
        _dismiss(ranks)
        raise
    else:
        _dismiss(ranks)
    finally:
        _joined.pop()


def _dismiss(ranks: Ranks) -> None:
    """End the work together; the others wait for this wherever the first process was."""
    with suppress(RuntimeError):  # of processes that are gone already
        if ranks.leads:
            ranks.call()
        dist.barrier(group=ranks.control)
        dist.destroy_process_group()


def _follow(ranks: Ranks, where: torch.device) -> None:
    """Take part in every training that the leader calls for, until it calls for none."""
    data, settings, steps = DataSpec(), Settings(), Steps()
    datasets: Datasets = {}
    interrupted = False
    with noted():
        for order in ranks.orders():
            match order:
                case "open", data, settings:
                    machine.keep_memory()
                    machine.deterministic(settings.deterministic)
                    datasets.clear()
                    steps = Steps(settings.step)
                case "train", run_, identity, precision:
                    try:
                        with ranks.alike():
                            dataset = _photographs(run_, data, settings, datasets)
                            _demand_same(run_, dataset, identity)
                        what = Path(os.devnull), run_, identity, dataset, where, precision
                        for _ in trained(Job(*what, "", settings.offline, None, steps, ranks)):
                            pass
                    except ProcessLostError:
                        raise
                    except KeyboardInterrupt:
                        interrupted = True
                    except Exception:  # the leader knows, and says it
                        continue
        if interrupted:
            raise KeyboardInterrupt


def _photographs(run_: Run, data: DataSpec, settings: Settings, known: Datasets) -> Dataset:
    key = run_.row.recipe.side, run_.seeds["split"]
    if key not in known:
        known[key] = load(
            data, key[0], seed=key[1], skip_bad=settings.skip_bad, offline=settings.offline
        )
    return known[key]


def _demand_same(run_: Run, dataset: Dataset, identity: str) -> None:
    """Refuse photographs, start weights or a teacher that are not those of the leader."""
    begun = weights.digests(run_.row.recipe)
    if store.identity(run_, dataset.fingerprint, *begun) != identity:
        raise DataError(
            "the photographs, start weights or teacher here are not those of the first process"
        )
