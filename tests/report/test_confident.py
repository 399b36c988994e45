"""The best variant's confidence, and the labels that its runs doubt."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bakeoff import evaluate, page, store
from bakeoff.evidence import calibrate, likely_errors
from bakeoff.judged import rows_of
from bakeoff.page import confident, suspects, words
from bakeoff.study import Study, runs

SURE = 9.0


def sure_run(
    folder: Path, wrong: int, num_classes: int = 12, temperature: float = 1.0
) -> store.Predictions:
    """600 photographs; the first `wrong` are firmly taken for the next class."""
    labels = np.arange(600, dtype=np.int64) % num_classes
    said = labels.copy()
    said[:wrong] = (said[:wrong] + 1) % num_classes
    logits = np.zeros((600, num_classes), np.float32)
    logits[np.arange(600), said] = SURE * temperature
    split = folder.name
    ids = np.array([f"{split}/{n:04d}.jpg" for n in range(600)])
    return store.Predictions(ids, labels, logits)


@pytest.fixture
def sure(
    tmp_path: Path, study: Study, writer: Callable[..., None], rewrite: Callable[..., None]
) -> Path:
    """A finished study whose runs are right but for 6 photographs of validation and 12 of test."""
    folder = tmp_path / "sure"
    classes = tuple(f"class {n}" for n in range(12))
    store.write_study(folder, study)
    for run in runs(study):
        writer(folder, run, classes, per_class=2)
        splits: dict[store.Split, store.Predictions] = {
            "validation": sure_run(Path("validation"), 6),
            "test": sure_run(Path("test"), 12),
        }
        rewrite(folder / run.name, splits)
    return folder


def test_the_best_variant_s_best_run_is_measured(made: Path) -> None:
    rows = rows_of(made)
    best = words.leader(rows)
    assert best
    chosen = max(best.scores, key=lambda score: score.validation_accuracy or 0)
    held, test = (chosen.run.predictions(split) for split in ("validation", "test"))
    found = confident.confidence(rows)
    assert found
    assert (found.row, found.seed) == (best, chosen.run.seed)
    assert found.found == calibrate(held.logits, held.labels, test.logits, test.labels)
    assert len(found.temperatures) == 3
    assert found.top5 is None  # five classes: the label is always among five
    assert [diagram.name for diagram in found.diagrams] == ["As trained", "With the temperature"]
    counted = sum(each.count for each in found.diagrams[0].bins)
    assert counted == len(test.labels)
    assert found.diagrams[0].picture.count('class="middle"') == len(found.diagrams[0].bins)


def test_abstention_is_told_with_coverage_error_and_classes(sure: Path) -> None:
    found = confident.confidence(rows_of(sure))
    assert found
    assert found.promise.threshold is not None
    assert (found.promise.test.accepted, found.promise.test.errors) == (600, 12)
    said = confident.promise_said(found.promise)
    assert "that answers 100.0 % (600 of 600), of which 2.0 % are wrong (1.0 to 3.5)." in said
    text = page.build(sure).read_text(encoding="utf-8")
    table = re.search(r'<table class="sortable" id="promise-table">.*?</table>', text, re.S)
    assert table
    assert table[0].count('<th scope="row"') == 12


def test_top_five_stands_there_from_eleven_classes_on(sure: Path) -> None:
    found = confident.confidence(rows_of(sure))
    assert found
    assert found.top5
    test = sure_run(Path("test"), 12)
    assert found.top5[0] == pytest.approx(evaluate.top_k(test.logits, test.labels, 5))
    assert found.top5[1] == 0.0


def test_a_promise_that_cannot_be_made_is_said(made: Path) -> None:
    found = confident.confidence(rows_of(made))
    assert found
    assert found.promise.threshold is None
    assert "would answer nothing" in confident.promise_said(found.promise)
    assert 'id="promise-table"' not in page.build(made).read_text(encoding="utf-8")


def test_a_diverged_leader_has_no_confidence(
    tmp_path: Path, study: Study, writer: Callable[..., None], rewrite: Callable[..., None]
) -> None:
    store.write_study(tmp_path, study)
    for run in list(runs(study))[:1]:
        writer(tmp_path, run, ("a", "b"))
        bad = store.Predictions(np.array(["x"]), np.array([0]), np.full((1, 2), np.nan, np.float32))
        rewrite(tmp_path / run.name, {"validation": bad, "test": bad})
    assert confident.confidence(rows_of(tmp_path)) is None
    assert 'id="confidence"' not in page.build(tmp_path).read_text(encoding="utf-8")


def test_suspects_are_those_that_evidence_finds_with_their_photographs(sure: Path) -> None:
    rows = rows_of(sure)
    asked: list[str] = []

    def thumbnail(name: str) -> bytes | None:
        asked.append(name)
        return b"\x89PNG" if name.startswith("test") else None

    found = suspects.suspects(rows, thumbnail)
    assert found
    best = words.leader(rows)
    assert best
    expected = {
        each.id
        for split in ("validation", "test")
        for each in likely_errors([score.run.predictions(split) for score in best.scores])
    }
    assert {each.suspect.id for each in found.shown} == expected == set(asked)
    assert found.count == 18
    assert all(one.suspect.suggested == (one.suspect.label + 1) % 12 for one in found.shown)
    assert suspects.agreed(found.shown[0].suspect) == "3 of 3 runs, 0 % for its label"
    assert {each.split for each in found.shown if each.picture} == {"test"}
    text = page.build(sure, thumbnails=thumbnail).read_text(encoding="utf-8")
    assert '<b class="names">class 1?</b> labelled class 0' in text
    assert "18 photographs of validation and test" in text


def test_no_suspect_is_said(
    tmp_path: Path, study: Study, writer: Callable[..., None], rewrite: Callable[..., None]
) -> None:
    store.write_study(tmp_path, study)
    for run in runs(study):
        writer(tmp_path, run, ("a", "b"), per_class=2)
        right = sure_run(Path("test"), 0, num_classes=2)
        rewrite(tmp_path / run.name, {"validation": right, "test": right})
    found = suspects.suspects(rows_of(tmp_path), None)
    assert found
    assert suspects.in_words(found).startswith("None: no photograph")
