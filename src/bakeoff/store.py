"""The run folder: the only reader and writer of what a study leaves on disk. No torch.

    <study folder>/study.yaml                      the study as run
    <study folder>/<table>/<variant>/seed-<n>/     one run: the files named below

Every file is written aside, flushed and renamed, so that a reader sees all of it or none. A run is
finished when its run.json says so, which holds the checksums of the others and of itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import yaml

from bakeoff.documents import read_yaml_file
from bakeoff.fields import RecipeError, validated
from bakeoff.files import aside, sweep, write_json, write_text
from bakeoff.integrity import State, checksums, is_damaged, read_sealed, sealed
from bakeoff.recipe import difference, digest, in_words, parse
from bakeoff.study import Row, Run, Study, rows

FORMAT = 1
Split = Literal["validation", "test"]


@dataclass(frozen=True)
class Record:
    """What one epoch measured. Accuracies 0..1, losses in nats, times in seconds.

    `train_*` is the running mean over the epoch's own (augmented) batches; `clean_*` is measured
    after the epoch, in eval mode and without augmentation, on `clean_images` training photographs.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    clean_loss: float
    clean_accuracy: float
    clean_images: int
    validation_loss: float
    validation_accuracy: float
    seconds: float
    images_per_second: float


@dataclass(frozen=True)
class Predictions:
    """The logits of one split: `ids` (N,) text, `labels` (N,) int64, `logits` (N, C) float32."""

    ids: npt.NDArray[np.str_]
    labels: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Finished:
    """What is known at the end of a run; `seconds` is its share of those trained `at_once`."""

    classes: tuple[str, ...]
    best_epoch: int
    train_accuracy: float
    train_loss: float
    train_images: int
    seconds: float
    images_per_second: float
    peak_megabytes: float
    parameters: int
    trainable_parameters: int
    frozen_unchanged: bool | None
    test_reads: int
    data: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    fp32_because: str = ""
    at_once: int = 1


@dataclass(frozen=True)
class RunFiles:
    """A run as read back from its folder."""

    folder: Path
    table: str
    variant: str
    seed: int
    state: State
    recipe: dict[str, Any]
    change: dict[str, Any]
    records: tuple[Record, ...]
    run: dict[str, Any]

    def predictions(self, split: Split) -> Predictions:
        """Read the saved logits of `split`; raises FileNotFoundError before the run is finished.

        Raises ValueError when they are not the ones that were written.
        """
        if is_damaged(self.folder, "predictions.npz", self.run):
            raise ValueError(f"{self.folder / 'predictions.npz'} is damaged")
        with np.load(self.folder / "predictions.npz", allow_pickle=False) as arrays:
            return Predictions(*(arrays[f"{split}_{part}"] for part in ("ids", "labels", "logits")))


def identity(run: Run, fingerprint: str, weights: str, teacher: str = "") -> str:
    """Name a run by all that decides it: recipe, photographs, start weights, teacher and seeds."""
    # what has its default is left out, so that a new field leaves finished runs what they are
    places: dict[str, bool | set[str]] = {"weights": True, "distill": {"teacher"}}
    recipe = run.row.recipe.model_dump(mode="json", exclude=places, exclude_defaults=True)
    return digest(FORMAT, recipe, weights, fingerprint, run.seeds, *filter(None, [teacher]))


def write_study(folder: Path, study: Study) -> None:
    """Keep the study beside its runs, so that reports know what was asked and what is missing.

    Raises RecipeError when runs are there that the study, as it is now, would have made otherwise.
    """
    _refuse_changed_rows(folder, study)
    try:
        text = yaml.safe_dump(study.model_dump(mode="json", by_alias=True), sort_keys=False)
        write_text(folder / "study.yaml", text)
    except (NotADirectoryError, FileExistsError):
        raise RecipeError(f"--out: {folder} cannot be a folder, a file is in the way") from None
    except OSError as error:
        raise RecipeError(f"--out: {folder} cannot be written to: {error.strerror}") from None


def read_study(folder: Path) -> Study:
    """Read the study kept in `folder`; RecipeError where there is none."""
    path = folder / "study.yaml"
    if not path.is_file():
        raise RecipeError(f"{folder}: no study.yaml here; give a study folder such as runs/demo")
    content = read_yaml_file(path)
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: this file is damaged; run the study again to write it anew")
    return validated(Study, content, where=str(path))


def begin(folder: Path, run: Run, identity_: str, **more: Any) -> str:
    """Open a run folder: its recipe and the state `running`; what killed writers left is removed.

    `more` goes into run.json. Returns why an earlier attempt at this run went over to fp32, or an
    empty text.
    """
    sweep(folder)
    sweep(folder / "model")
    before = read_sealed(folder / "run.json") or {}
    because = str(before.get("fp32_because", "")) if before.get("identity") == identity_ else ""
    change = {name: list(values) for name, values in run.row.change.items()}
    kept = {"recipe": run.row.recipe.model_dump(mode="json"), "change": change}
    write_text(folder / "recipe.yaml", yaml.safe_dump(kept, sort_keys=False))
    write_state(folder, run, identity_, "running", fp32_because=because, **more)
    return because


def write_state(folder: Path, run: Run, identity_: str, state: State, **more: Any) -> None:
    """Write run.json with `state`, what the run is, and `more`."""
    named = {"table": run.row.table, "variant": run.row.variant, "seed": run.seed}
    head = {"format": FORMAT, "state": state, "identity": identity_, **named, "seeds": run.seeds}
    write_json(folder / "run.json", sealed({**head, **more}))


def write_records(folder: Path, records: Sequence[Record]) -> None:
    """Write records.jsonl, a line an epoch."""
    lines = (json.dumps(asdict(record)) + "\n" for record in records)
    write_text(folder / "records.jsonl", "".join(lines))


def write_predictions(folder: Path, splits: Mapping[Split, Predictions]) -> None:
    """Write predictions.npz with `<split>_ids`, `<split>_labels` and `<split>_logits`."""
    arrays = {
        f"{split}_{name}": array
        for split, predictions in splits.items()
        for name, array in vars(predictions).items()
    }
    with aside(folder / "predictions.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def finish(folder: Path, run: Run, identity_: str, finished: Finished) -> None:
    """Say that the run is whole, with the checksums of its files; resume.pt is removed."""
    write_state(folder, run, identity_, "finished", **asdict(finished), files=checksums(folder))
    (folder / "resume.pt").unlink(missing_ok=True)


def read_runs(folder: Path) -> list[RunFiles]:
    """Read every run of the study in `folder`, in the study's own order; pending ones included.

    Seeds beyond the study's own (asked for with `--seeds`) are found by looking.
    """
    study = read_study(folder)
    return [
        read_run(_place(folder, row) / f"seed-{seed}", row, seed)
        for row in rows(study)
        for seed in sorted({*study.seeds, *_seeds(_place(folder, row))})
    ]


def read_run(folder: Path, row: Row, seed: int) -> RunFiles:
    """Read what is there of one run in its own folder."""
    run = read_sealed(folder / "run.json") or {"state": "pending"}
    records = _read_records(folder / "records.jsonl")
    if records is None:
        records, run = (), {**run, "state": "failed", "error": "records.jsonl is damaged"}
    recipe = row.recipe.model_dump(mode="json")
    change = {name: list(values) for name, values in row.change.items()}
    what = folder, row.table, row.variant, seed, run["state"]
    return RunFiles(*what, recipe, change, records, run)


def _refuse_changed_rows(folder: Path, study: Study) -> None:
    """Refuse a study whose rows are no longer what the runs in `folder` were made with."""
    for row in rows(study):
        for path in sorted(_place(folder, row).glob("seed-*/recipe.yaml")):
            if is_damaged(path.parent, path.name, read_sealed(path.parent / "run.json") or {}):
                continue
            try:
                kept = parse(read_yaml_file(path)["recipe"])
            except (RecipeError, TypeError, LookupError, AttributeError):
                continue  # damaged or of another version: run.json says whose run it is
            if change := difference(kept, row.recipe):
                raise RecipeError(
                    f"{path.parent} was run with another recipe ({in_words(change)}): "
                    "choose another --out, or remove that folder"
                )


def _place(folder: Path, row: Row) -> Path:
    return folder / row.table / row.variant


def _seeds(place: Path) -> list[int]:
    found = (path.name.removeprefix("seed-") for path in place.glob("seed-*") if path.is_dir())
    return [int(text) for text in found if text.isascii() and text.isdecimal()]


def _read_records(path: Path) -> tuple[Record, ...] | None:
    """Read records.jsonl; None where it is damaged."""
    if not path.is_file():
        return ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return tuple(Record(**json.loads(line)) for line in lines)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
