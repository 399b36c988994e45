"""What one run measured, from its folder: its saved logits scored, its chosen epoch looked up.

Whatever a run became, it gets a score; one that is not finished says what its records know so far.
Accuracies are 0..1, losses in nats, times in seconds. No torch.
"""

from __future__ import annotations

import statistics
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bakeoff import evaluate
from bakeoff.store import Record, RunFiles


@dataclass(frozen=True)
class Score:
    """What one run measured: at its chosen epoch when finished, at its best epoch so far before."""

    run: RunFiles
    state: str
    epochs: int
    note: str = ""
    test_accuracy: float | None = None
    test_loss: float | None = None
    test_images: int | None = None
    validation_accuracy: float | None = None
    validation_loss: float | None = None
    train_accuracy: float | None = None
    train_loss: float | None = None
    seconds: float | None = None


def score(run: RunFiles) -> Score:
    """Score one run; a finished run whose files cannot be read counts as failed, and says so."""
    epochs = len(run.records)
    if run.state != "finished":
        record = max(run.records, key=lambda r: (r.validation_accuracy, -r.epoch), default=None)
        note = str(run.run.get("error") or run.run.get("reason") or "")
        seconds = sum(record.seconds for record in run.records) or None
        return Score(run, run.state, epochs, note, seconds=seconds, **_of_record(record))
    try:
        test = run.predictions("test")
        test_accuracy = evaluate.accuracy(test.logits, test.labels)
        test_loss = evaluate.cross_entropy(test.logits, test.labels)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        note = f"predictions.npz cannot be read ({type(error).__name__})"
        return Score(run, "failed", epochs, note)
    because = run.run.get("fp32_because")
    chosen = [record for record in run.records if record.epoch == run.run.get("best_epoch")]
    measured = _of_record(chosen[0] if chosen else None)
    for name in ("train_accuracy", "train_loss", "seconds"):
        measured[name] = run.run.get(name, measured.get(name))
    return Score(
        run,
        "finished",
        epochs,
        note=f"trained again in fp32: {because}"
        if (because := run.run.get("fp32_because"))
        else "",
        test_accuracy=test_accuracy,
        test_loss=test_loss,
        test_images=len(test.labels),
        **measured,
    )


def difference(scores: Sequence[Score], base: Sequence[Score]) -> tuple[float | None, int]:
    """Return the mean difference in test accuracy to `base` over shared seeds, and how many."""
    before = {score.run.seed: score.test_accuracy for score in base}
    pairs = [
        score.test_accuracy - other
        for score in scores
        if score.test_accuracy is not None and (other := before.get(score.run.seed)) is not None
    ]
    return (statistics.fmean(pairs) if pairs else None), len(pairs)


def name_of(run: RunFiles) -> str:
    """Name a run as its folder does: `table/variant/seed-n`."""
    return f"{run.table}/{run.variant}/seed-{run.seed}"


def _of_record(record: Record | None) -> dict[str, Any]:
    if record is None:
        return {}
    return {
        "validation_accuracy": record.validation_accuracy,
        "validation_loss": record.validation_loss,
        "train_accuracy": record.clean_accuracy,
        "train_loss": record.clean_loss,
    }
