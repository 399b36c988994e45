"""The report replayed: printed figures, our rows beside them, claims, doubts, the document."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff import page, replication, store
from bakeoff import study as studies
from bakeoff.fields import RecipeError
from bakeoff.replication import DOUBTED, REPLAYED
from bakeoff.replication import words as said
from bakeoff.study import Study, runs

OURS = ("pizza", "tacos", "soup|<b>")


def written(
    folder: Path, study: Study, write: Callable[..., None], only: list[str], seeds: int = 1
) -> Path:
    store.write_study(folder, study)
    for run in runs(study, only, seeds):
        write(folder, run, OURS, per_class=10, epochs=2)
    return folder


@pytest.fixture
def replayed(tmp_path: Path, writer: Callable[..., None]) -> Path:
    """Two rows of table 3 at 64 px."""
    sets = ["custom/size=64", "custom/weights=/some/where/start.safetensors"]
    study = studies.read(REPLAYED, sets)
    return written(tmp_path / "replay", study, writer, ["baseline", "custom7"])


@pytest.fixture
def doubted(tmp_path: Path, writer: Callable[..., None]) -> Path:
    return written(tmp_path / "doubts", studies.read(DOUBTED), writer, ["pool_stride"], seeds=2)


def test_every_printed_row_is_there_in_the_study_s_order() -> None:
    printed = [
        (row.table, row.variant) for table in replication.report().tables for row in table.rows
    ]
    assert printed == [(row.table, row.variant) for row in studies.rows(studies.read(REPLAYED))]
    assert [table.number for table in replication.report().tables] == [3, 4, 6]


@pytest.mark.parametrize(
    ("table", "variant", "figures"),
    [
        ("custom", "baseline", (0.325, 2.219, 0.354, 2.131, 0.378, 2.059)),
        ("custom", "custom6", (0.456, 1.797, 0.456, None, 0.4916, 1.673)),
        ("resnet18", "resnet2", (0.9999, 0.004, 0.7787, 0.799, 0.816, 0.653)),
        ("vgg16_bn", "vgg1", (0.5757, 1.321, 0.4827, 1.672, 0.499, 1.740)),
        ("vgg16_bn", "vgg6", (0.8398, 0.512, 0.812, 0.605, 0.8296, 0.590)),
    ],
)
def test_printed_figures(table: str, variant: str, figures: tuple[Any, ...]) -> None:
    found = replication.report().table(table)
    assert found
    row = next(row for row in found.rows if row.variant == variant)
    said = [
        value
        for split in (row.train, row.validation, row.test)
        for value in (split.accuracy, split.loss)
    ]
    assert said == pytest.approx(list(figures))


def test_every_doubt_that_runs_can_settle_has_its_table() -> None:
    tables = [doubt.table for doubt in replication.report().doubts if doubt.table]
    assert tables == list(studies.read(DOUBTED).tables)
    changes = {row.table: set(row.change) for row in studies.rows(studies.read(DOUBTED))[1::2]}
    assert changes == {
        "pool_stride": {"net.pool_stride"},
        "relu_logits": {"net.relu_logits"},
        "extra_convs": {"net.extra_convs"},
        "rate": {"lr"},
        "colour_jitter": {"augment.policy"},
    }


def test_the_doubts_bases_are_rows_of_the_report() -> None:
    rows = {(row.table, row.variant): row.recipe for row in studies.rows(studies.read(REPLAYED))}
    bases = {row.table: row.recipe for row in studies.rows(studies.read(DOUBTED)) if row.is_base}
    assert bases["rate"] == rows["custom", "custom4"]
    assert bases["colour_jitter"] == rows["resnet18", "resnet6"]
    same = rows["custom", "custom5"].model_copy(update={"model": "custom"})
    assert bases["pool_stride"] == bases["relu_logits"] == bases["extra_convs"] == same


def test_the_document_holds_every_row_run_or_not(replayed: Path, tmp_path: Path) -> None:
    path = replication.write_replication([replayed], tmp_path / "docs" / "replication.md")
    text = path.read_text(encoding="utf-8")
    lines = {line.split(" | ")[0].strip("| "): line for line in text.splitlines()}
    names = [row.variant for table in replication.report().tables for row in table.rows]
    assert set(names) <= set(lines)
    own = replication.read_replay(replayed).finished("custom")[1]
    assert f"| 52.44 / 1.550 | {said.ours(own, 'train')} |" in lines["custom7"]
    assert "| 1 | +14.6 | " in lines["custom7"]
    assert lines["custom1"].endswith("not run here |")
    assert "`bakeoff run food101-20 --only custom/custom1,custom/custom2," in text
    assert "Not run here: `bakeoff run food101-20 --only vgg16_bn`." in text
    assert "Not run here: `bakeoff run report-doubts --only pool_stride`." in text


def test_the_document_says_what_was_run_on_what(replayed: Path, tmp_path: Path) -> None:
    text = replication.write_replication([replayed], tmp_path / "r.md").read_text(encoding="utf-8")
    assert "3, 2 of them the report's (pizza, tacos); not the report's: soup|\\<b>" in text
    assert "these are other photographs" in text
    assert "- Resolution: 64 px of 256 kept" in text
    assert "- Start weights: start.safetensors" in text
    assert "/some/where" not in text
    assert "- Hardware: NVIDIA H200, bf16" in text
    assert "- Other than in the shipped study: size 224 → 64" in text


def test_claims_that_were_not_run_are_not_said_to_have_failed(
    replayed: Path, tmp_path: Path
) -> None:
    found = replication.read_replay(replayed)
    words = {judged.claim.sentence: said.finding(judged) for judged in found.judgements}
    assert words["The best custom net beats the baseline."] == "cannot tell"
    assert words["Fine-tuning all of ResNet-18 helps."] == "not run here"
    counted = said.tally(found.judgements)
    assert counted.endswith("not run here")
    text = replication.write_replication([replayed], tmp_path / "r.md").read_text(encoding="utf-8")
    assert f"{counted}." in text
    assert "| The best custom net beats the baseline. | cannot tell | " in text


def test_a_doubt_that_was_run_shows_both_rows_and_the_verdict(
    doubted: Path, replayed: Path, tmp_path: Path
) -> None:
    path = replication.write_replication([replayed, doubted], tmp_path / "r.md")
    text = path.read_text(encoding="utf-8")
    assert "- The runs: stride\\_3 " in text
    assert "(n = 2); stride\\_1 " in text
    assert "can't tell yet: 2 shared seeds cannot give a p below 0.500" in text
    assert "`pool_stride` ran on: " in text
    assert "Not run here: `bakeoff run report-doubts --only rate`." in text


def test_two_folders_of_one_table_stand_under_each_other(replayed: Path, tmp_path: Path) -> None:
    path = replication.write_replication([replayed, replayed], tmp_path / "r.md")
    text = path.read_text(encoding="utf-8")
    assert "### Replay 1 of 2" in text
    assert text.count("| 52.44 / 1.550 |") == 2


def test_without_a_folder_all_is_not_run_and_another_study_is_refused(
    made: Path, tmp_path: Path
) -> None:
    text = replication.write_replication([], tmp_path / "r.md").read_text(encoding="utf-8")
    assert text.count("not run here |") == 22
    with pytest.raises(RecipeError, match="small is not a study of the report"):
        replication.write_replication([made], tmp_path / "r.md")


def test_the_page_of_the_report_s_studies_replays_it(
    replayed: Path, doubted: Path, made: Path
) -> None:
    text = page.build(replayed).read_text(encoding="utf-8")
    assert 'id="replayed-table"' in text
    assert text.count("<small>not run here</small>") == 20
    assert "To settle it: <code>bakeoff run report-doubts --only rate</code>" in text
    text = page.build(doubted).read_text(encoding="utf-8")
    assert 'id="replayed-table"' not in text
    assert "can&#39;t tell yet: 2 shared seeds" in text
    assert 'id="replayed"' not in page.build(made).read_text(encoding="utf-8")
