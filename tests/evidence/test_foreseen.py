"""What a plan cannot decide is what its verdicts could not: the same rule, before the runs."""

from __future__ import annotations

import pytest

from bakeoff import study as studies
from bakeoff.evidence import holm
from bakeoff.evidence.foreseen import undecidable
from bakeoff.evidence.paired import sign_flip
from bakeoff.study import Study, Table


def study(changes: int) -> Study:
    variants = {f"v{n}": {"lr": 10.0 ** -(n + 4)} for n in range(changes)}
    return Study(name="mine", tables={"t": Table(recipe={"model": "baseline"}, variants=variants)})


@pytest.mark.parametrize("changes", [1, 2, 3, 4, 6, 7])
@pytest.mark.parametrize("seeds", range(5, 10))
def test_it_is_said_where_the_clearest_difference_of_all_would_not_do(
    changes: int, seeds: int
) -> None:
    (best, *_) = holm([sign_flip([1.0] * seeds)] + [1.0] * (changes - 1))
    assert best is not None
    mine = study(changes)
    said = list(undecidable(mine, studies.runs(mine, seeds=seeds)))
    assert bool(said) == (best > 0.05)


def test_it_names_table_counts_and_what_would_do() -> None:
    mine = study(3)
    assert list(undecidable(mine, studies.runs(mine, ["t/v0"], 6))) == [
        "t: 6 seeds cannot decide 3 changes, however large the difference; --seeds 7 can"
    ]
    (said,) = undecidable(study(1), studies.runs(study(1), seeds=1))
    assert said.startswith("t: 1 seed cannot decide 1 change, ")


def test_nothing_is_said_of_bases_alone_or_of_a_table_without_changes() -> None:
    mine = study(3)
    assert not list(undecidable(mine, studies.runs(mine, ["t/base"], 2)))
    assert not list(undecidable(study(0), studies.runs(study(0), seeds=1)))


@pytest.mark.parametrize("name", ["beyond", "demo", "heads", "report-doubts"])
def test_shipped_studies_that_promise_verdicts_can_give_them(name: str) -> None:
    shipped = studies.read(name)
    assert not list(undecidable(shipped, studies.runs(shipped)))
