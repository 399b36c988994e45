"""`--until-decided` as a whole: which seeds it runs, for whom, and when it stops."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bakeoff import decide, store
from bakeoff.events import Ended, Event
from bakeoff.fields import RecipeError
from bakeoff.settings import Cluster, Settings
from bakeoff.study import Run, Study

TABLES = {"small": {"base": "plain", "variants": {"good": {"lr": 0.01}, "idle": {"lr": 0.02}}}}
RATES = {"plain": 0.6, "good": 0.75, "idle": 0.6}


@pytest.fixture
def carried_out(
    monkeypatch: pytest.MonkeyPatch, made: Any, fill: Callable[..., None]
) -> list[tuple[str, int]]:
    """Put made-up results in the place of training; the runs asked for are listed."""
    asked: list[tuple[str, int]] = []

    def execute(
        study: Study, runs: Sequence[Run], folder: Path, settings: Settings, progress: object
    ) -> Iterator[Event]:
        store.write_study(folder, study)
        for run in runs:
            asked.append((run.row.variant, run.seed))
            fill(folder, run, made(RATES[run.row.variant]))
            yield Ended(run)

    monkeypatch.setattr(decide, "execute", execute)
    return asked


def study() -> Study:
    return Study.model_validate({"name": "made", "seeds": (0, 1), "tables": TABLES})


def test_what_is_decided_gets_no_more_seeds_and_the_rest_goes_on(
    tmp_path: Path, carried_out: list[tuple[str, int]]
) -> None:
    events = list(decide.until_decided(study(), (), tmp_path, Settings(), most=10))
    assert len(events) == len(carried_out)
    runs = {name: [seed for variant, seed in carried_out if variant == name] for name in RATES}
    assert runs["good"] == list(range(7)), "0.05 / 2 changes needs seven seeds"
    assert runs["idle"] == runs["plain"] == list(range(10))
    kept = json.loads((tmp_path / "decisions.json").read_text())
    assert kept["small/good"]["decided"] == "helped"
    assert kept["small/good"]["seeds"] == 7
    assert kept["small/idle"]["decided"] is None
    assert kept["small/idle"]["more"] == 0


def test_it_goes_on_from_the_seeds_that_are_there(
    tmp_path: Path, carried_out: list[tuple[str, int]]
) -> None:
    list(decide.until_decided(study(), ("good",), tmp_path, Settings(), most=3))
    assert {seed for _, seed in carried_out} == {0}, "three seeds could never decide"
    list(decide.until_decided(study(), ("good",), tmp_path, Settings()))
    assert max(seed for _, seed in carried_out) == 6
    assert "idle" not in {name for name, _ in carried_out}


def test_no_seed_is_begun_that_would_not_fit_into_the_budget(
    tmp_path: Path, carried_out: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 10))  # every look at the clock is ten seconds later
    monkeypatch.setattr(decide, "monotonic", lambda: float(next(clock)))
    list(decide.until_decided(study(), (), tmp_path, Settings(), budget_seconds=45))
    assert {seed for _, seed in carried_out} == {0, 1}


def test_a_cluster_gets_all_seeds_up_to_the_next_look_that_can_decide(
    tmp_path: Path, carried_out: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up, batches = decide.execute, []

    def execute(study_: Study, runs: Sequence[Run], *others: Any) -> Iterator[Event]:
        batches.append(sorted({run.seed for run in runs}))
        return made_up(study_, runs, *others)

    monkeypatch.setattr(decide, "execute", execute)
    list(decide.until_decided(study(), (), tmp_path / "cluster", Settings(cluster=Cluster())))
    assert batches[:3] == [[0, 1, 2, 3, 4, 5], [6], [7]]
    at_once, carried_out[:] = sorted(carried_out), []
    list(decide.until_decided(study(), (), tmp_path / "here", Settings()))
    assert sorted(carried_out) == at_once, "not one run more than here"
    decided = [
        json.loads((tmp_path / name / "decisions.json").read_text()) for name in ("cluster", "here")
    ]
    assert decided[0] == decided[1]


def test_only_a_base_cannot_be_decided(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="--until-decided: no variant was chosen"):
        list(decide.until_decided(study(), ("plain",), tmp_path, Settings()))


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("45m", 2700), ("1.5 h", 5400)])
def test_times_are_read(text: str, seconds: float) -> None:
    assert decide.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "2 days", "-3m", "0s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="allowed: 90s, 45m, 2h"):
        decide.seconds(text)
