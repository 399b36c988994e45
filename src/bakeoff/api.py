"""What a Python program uses: the same as the commands do, without their output.

Progress is said on stderr. Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bakeoff import study as studies
from bakeoff.models.config import beginning
from bakeoff.settings import Settings
from bakeoff.study import Study

if TYPE_CHECKING:
    from bakeoff.classifier import Classifier
    from bakeoff.tables import TableRow


def load(path: str | Path, *, device: str = "auto") -> Classifier:
    """Open a model folder, or that of a run folder or of a study's best.

    Nothing of it is executed. Raises RecipeError where it is no model, or contradicts itself.

    >>> model = load("runs/mine/best")
    >>> model.predict(["photographs/a/1.png"])
    ['a']
    >>> model.predict_proba(["photographs/a/1.png", "photographs/b/1.png"]).shape
    (2, 2)
    """
    from bakeoff.classifier import load as opened

    return opened(path, device=device)


def train(
    photographs: str | Path,
    *,
    out: str | Path = "model",
    weights: str | Path | None = None,
    start: str | Path | None = None,
    recipe: Mapping[str, Any] | None = None,
    budget: str = "10m",
    settings: Settings | None = None,
) -> Classifier:
    """Make one good model from a folder or CSV of photographs; it lies in `out`/best.

    `weights` to start from are `imagenet` (the default), `none` or a file. `start` is an earlier
    model instead, or a run or study folder that holds one: its net, what that sees, and its weights
    but for the head. `recipe` has the fields to set, nested or dotted; the others are chosen so
    that it takes about `budget` (`90s`, `45m`, `2h`). Raises RecipeError or DataError for what
    cannot be trained, TrainingError for a run that failed.

    >>> small = {"model": "baseline", "size": 32, "net": {"width": 4, "padding": 1}, "epochs": 4}
    >>> model = train("photographs", weights="none", recipe=small)
    >>> model.classes
    ('a', 'b')
    """
    begun = beginning(weights, start)
    fields = [*begun.items(), *(recipe or {}).items(), ("data.source", str(photographs))]
    overrides = [f"{name}={json.dumps(value)}" for name, value in fields]
    from bakeoff import chosen

    study, _ = chosen.study(overrides, Path(out), settings or Settings(), budget)
    _carry_out(study, Path(out), None, settings)
    return load(out)


def compare(
    study: Study | str | Path,
    *,
    out: str | Path = "runs",
    seeds: int | None = None,
    settings: Settings | None = None,
) -> list[TableRow]:
    """Run every variant of a study below `out`, and return its rows with their verdicts.

    `study` is a Study, a file, or the name of a shipped one; `seeds` is how many to have, by
    default its own. What is finished already is not repeated. Raises as `train` does.

    >>> small = {"model": "baseline", "size": 32, "net": {"width": 4, "padding": 1}, "epochs": 4}
    >>> nets = {"recipe": small, "variants": {"silu": {"net.activation": "silu"}}}
    >>> mine = Study(name="mine", data={"source": "photographs"}, tables={"nets": nets})
    >>> [(row.variant, row.n) for row in compare(mine)]
    [('base', 1), ('silu', 1)]
    """
    asked = study if isinstance(study, Study) else studies.read(study)
    folder = Path(out) / asked.name
    _carry_out(asked, folder, seeds, settings)
    from bakeoff.report import rows_of

    return rows_of(folder)


def _carry_out(study: Study, folder: Path, seeds: int | None, settings: Settings | None) -> None:
    runs = studies.runs(study, seeds=seeds)
    from bakeoff import conduct
    from bakeoff.loop import TrainingError

    quiet, err = Console(quiet=True), Console(stderr=True)
    failed = conduct.plan(conduct.Job(study, folder, settings or Settings(), quiet, err), runs)
    if failed:
        raise TrainingError(f"{failed} runs failed; the same call tries them again")
