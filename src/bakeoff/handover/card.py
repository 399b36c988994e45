"""The model card: README.md, filled in from the study's own files. Nothing in it is typed by hand.

The last section, on exports, is what `export/*.json` says; it is written again after each export.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from bakeoff import evaluate
from bakeoff.evidence.abstention import abstain
from bakeoff.evidence.calibration import binomial_interval, calibrate, probabilities
from bakeoff.files import write_text
from bakeoff.judged import judged
from bakeoff.models.config import Config, Trust
from bakeoff.recipe import Recipe, difference, in_words
from bakeoff.store import Predictions, RunFiles
from bakeoff.study import Study

NAME, EXPORTS = "README.md", "## Exports"


def write(
    folder: Path,
    config: Config,
    study: Study,
    runs: Sequence[RunFiles],
    best: RunFiles,
    trust: Trust,
    *,
    timm: bool,
) -> None:
    """Write the card of `best` among `runs` into its model `folder`; `timm`: whether it reads it.

    Predictions are read from the run folder; nothing is computed by the net.
    """
    validation, test = best.predictions("validation"), best.predictions("test")
    recipe, per_class = config.bakeoff.recipe, _per_class(test, config.label_names)
    rows = judged([run for run in runs if run.table == best.table])
    text = _template("card.md.j2").render(
        timm=timm,
        architecture=config.architecture,
        classes=config.label_names,
        version=config.bakeoff.version,
        size=recipe.size,
        study=study,
        source=Path(study.data.source).name or "unnamed",
        run=best,
        data=best.run["data"],
        recipe={name: new for name, (_, new) in difference(Recipe(), recipe).items()},
        change=in_words({name: (old, new) for name, (old, new) in best.change.items()}),
        test=_accuracy(test),
        validation_accuracy=evaluate.accuracy(validation.logits, validation.labels),
        row=next(row for row in rows if row.variant == best.variant),
        finished=sum(run.state == "finished" for run in runs),
        per_class=per_class,
        weakest=min(per_class, key=lambda each: each["recall"]),
        trust=trust,
        calibration=calibrate(validation.logits, validation.labels, test.logits, test.labels),
        promises=_kept(trust, validation, test),
    )
    write_text(folder / NAME, text)
    write_exports(folder)


def write_exports(folder: Path) -> None:
    """Write the card's last section again, from what `folder`/export says was measured."""
    path = folder / NAME
    text = path.read_text(encoding="utf-8") if path.is_file() else f"# {folder.resolve().name}\n"
    told = [json.loads(each.read_text("utf-8")) for each in sorted(folder.glob("export/*.json"))]
    more = _template("exports.md.j2").render(exports=told, head=EXPORTS) if told else ""
    write_text(path, text.partition(f"\n{EXPORTS}")[0].rstrip("\n") + "\n" + more)


def _accuracy(test: Predictions) -> dict[str, Any]:
    hits, count = int((test.logits.argmax(axis=1) == test.labels).sum()), int(test.labels.size)
    return {"n": count, "accuracy": hits / count, "interval": binomial_interval(hits, count)}


def _per_class(test: Predictions, classes: Sequence[str]) -> list[dict[str, Any]]:
    counts = evaluate.confusion(test.logits.argmax(axis=1), test.labels, len(classes))
    shares = evaluate.per_class(counts)
    wrong = counts - np.diag(np.diagonal(counts))
    return [
        {
            "name": name,
            "support": int(shares.support[place]),
            "precision": float(shares.precision[place]),
            "recall": float(shares.recall[place]),
            "f1": float(shares.f1[place]),
            "mistake": classes[int(wrong[place].argmax())] if wrong[place].any() else "",
        }
        for place, name in enumerate(classes)
    ]


def _kept(trust: Trust, validation: Predictions, test: Predictions) -> list[dict[str, Any]]:
    """Say of every promise what it is worth on test."""
    known = probabilities(validation.logits, trust.temperature), validation.labels
    new = probabilities(test.logits, trust.temperature), test.labels
    promises = (
        abstain(known, new, error=each.error, confidence=trust.confidence)
        for each in trust.promises
    )
    return [{"error": p.error, "threshold": p.threshold, "test": p.test} for p in promises]


def _template(name: str) -> jinja2.Template:
    """Return a Markdown template; what stands in a table's cell goes through `cell`."""
    room = jinja2.Environment(
        loader=jinja2.PackageLoader("bakeoff.handover", ""),
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    room.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    room.filters["count"] = lambda number: f"{number:,}"
    room.filters["cell"] = lambda text: " ".join(str(text).split()).replace("|", "\\|")
    return room.get_template(name)
