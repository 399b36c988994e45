"""benchmarks.beyond: the part of the study that is carried out, and what is kept of it."""

from __future__ import annotations

import pytest

from bakeoff import study as studies
from benchmarks import beyond


def test_rows_left_out_count_nowhere() -> None:
    asked = beyond.part(studies.read("beyond"), "small", ["best", "cosine", "custom7"])
    assert [(row.table, row.variant) for row in studies.rows(asked)] == [
        ("small", "custom7"),
        ("small", "cosine"),
        ("small", "best"),
    ]
    every = beyond.part(studies.read("beyond"), "heads", [])
    assert every.tables["heads"] == studies.read("beyond").tables["heads"]


@pytest.mark.parametrize(
    ("table", "rows", "said"),
    [("smal", [], "there is no table smal"), ("small", ["bets"], "--rows: there is no bets")],
)
def test_what_is_not_there_is_refused(table: str, rows: list[str], said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        beyond.part(studies.read("beyond"), table, rows)
