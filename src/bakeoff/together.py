"""Runs that only train a head, on the same features: prepared, trained and finished together.

Each fills its own folder, as `bakeoff.run` would. They take so little time together that no
checkpoint is kept; interrupted or killed, they begin anew, and in the same company: how many heads
one product has decides the last bits of each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, nn

from bakeoff import heads, integrity, loop, machine, seeds, store
from bakeoff.blocks import Head
from bakeoff.data.dataset import Dataset
from bakeoff.inputs import NO_AUGMENT
from bakeoff.models import zoo
from bakeoff.models.parts import Net, changing, frozen_prefix
from bakeoff.prepare import Job, Prepared, prepare, proof, split_of
from bakeoff.recipe import Recipe
from bakeoff.run import finish
from bakeoff.study import Run

OWN = (
    "lr",
    "optimizer",
    "momentum",
    "weight_decay",
    "decay_norms",
    "schedule",
    "warmup_epochs",
    "step_epochs",
    "step_gamma",
    "label_smoothing",
    "class_weights",
)
"""What may differ between runs that are trained together, besides seeds."""

PLAIN = {name: getattr(Recipe(), name) for name in OWN}

MOST_WORK = 3e13  # multiplications and additions trained at once: minutes on two cores


def head_size(recipe: Recipe, net: Net, frozen: frozenset[str]) -> int | None:
    """Return how many features enter the head, if a linear head on fixed features is all to train.

    None for every other run, which has to be trained by itself.
    """
    last = net.parts[-1].module
    fixed = recipe.weights != "none" and recipe.augment == NO_AUGMENT and recipe.views == "one"
    whole = recipe.patience is None and recipe.train_share == 1 and not recipe.ema
    known = recipe.lr != "auto" and not recipe.distill.teacher
    alone = frozen_prefix(net, frozen) == len(net.parts) - 1
    if (
        fixed
        and whole
        and known
        and alone
        and isinstance(last, nn.Linear)
        and last.bias is not None
    ):
        return last.in_features
    return None


def groups(
    runs: Sequence[Run],
    sizes: Mapping[Recipe, int | None],
    num_classes: int,
    datasets: Mapping[tuple[int, int], Dataset],
) -> list[list[Run]]:
    """Return which runs may be trained together, two or more each; `sizes` is by `head_size`.

    They share all but OWN and the seeds of init and order; no group is more than MOST_WORK.
    """
    alike: dict[tuple[Recipe, int], list[Run]] = {}
    for run in runs:
        if sizes[run.row.recipe] is not None:
            key = run.row.recipe.model_copy(update=PLAIN), run.seeds["split"]
            alike.setdefault(key, []).append(run)
    found = []
    for (recipe, seed), members in alike.items():
        images = len(datasets[recipe.side, seed].indices("train"))
        work = 6.0 * num_classes * images * recipe.epochs * (sizes[members[0].row.recipe] or 0)
        most = max(1, int(MOST_WORK / work))
        found += [members[start : start + most] for start in range(0, len(members), most)]
    return [group for group in found if len(group) > 1]


def begun_with(folder: Path) -> tuple[str, ...]:
    """Return the names of the runs that the unfinished run in `folder` was begun together with."""
    return tuple((integrity.read_sealed(folder / "run.json") or {}).get("together", ()))


def run_together(
    jobs: Sequence[Job], done: Collection[str] = ()
) -> Iterator[tuple[Run, store.Record | None]]:
    """Train the heads of `jobs`; yield each run's records, and None once its folder is finished.

    Runs named in `done` are finished already: they only keep company. A run whose loss becomes no
    number is not finished here: it is left to be run by itself.
    """
    names = [job.run.name for job in jobs]
    began, left = perf_counter(), {job.run.name: job for job in jobs if job.run.name not in done}
    for job in left.values():
        store.begin(job.folder, job.run, job.identity, together=names)
    try:
        prepared = prepare(jobs[0])
        before = proof(prepared.net, prepared.frozen)
        split = split_of(jobs[0].dataset, jobs[0].run.row.recipe, jobs[0].run.seeds["order"])
        asked = _heads(jobs)
        setting_up = (perf_counter() - began) / len(jobs)
        for _ in heads.epochs(asked, prepared.inputs, split):
            for job, head in zip(jobs, asked, strict=True):
                if not head.error and job.run.name in left:
                    yield job.run, head.records[-1]
        unchanged = proof(prepared.net, prepared.frozen) == before
        prepared.net.module.to(memory_format=torch.contiguous_format)  # once, as it is written
        for job, head in zip(jobs, asked, strict=True):
            if not head.error and job.run.name in left:
                spent = setting_up + sum(record.seconds for record in head.records)
                store.write_records(job.folder, head.records)
                ready = _with_head(prepared, head)
                loop.restore_best(ready.training)
                finish(job, ready, split, unchanged, spent - perf_counter(), at_once=len(jobs))
                del left[job.run.name]
                yield job.run, None
    except (KeyboardInterrupt, GeneratorExit):
        for job in left.values():
            store.write_state(job.folder, job.run, job.identity, "interrupted", together=names)
        raise


def _heads(jobs: Sequence[Job]) -> list[Head]:
    """Return every run's head at its start."""
    starts: dict[int, tuple[Tensor, Tensor]] = {}
    for job in jobs:
        if (seed := job.run.seeds["init"]) not in starts:
            starts[seed] = _start(job)
    return [
        Head(job.run.row.recipe, job.run.seeds["order"], *starts[job.run.seeds["init"]])
        for job in jobs
    ]


def _start(job: Job) -> tuple[Tensor, Tensor]:
    """Return the head that the run's seed initialises: weight (C, D) and bias (C,)."""
    torch.manual_seed(seeds.number("init", job.run.seeds["init"]))
    with machine.quiet():
        net = zoo.build(job.run.row.recipe, len(job.dataset.classes), offline=job.offline)
    head = net.module.get_submodule(net.head)
    assert isinstance(head, nn.Linear)
    return head.weight.detach(), head.bias.detach()


def _with_head(prepared: Prepared, head: Head) -> Prepared:
    """Return `prepared` as if its net had been trained by itself to where `head` is."""
    model = prepared.training.model
    weight, bias = changing(model)
    training = loop.Training(
        model,
        prepared.training.optimizer,
        records=head.records,
        best={weight: head.weight, bias: head.bias},
        best_epoch=head.best_epoch,
    )
    return replace(prepared, training=training)
